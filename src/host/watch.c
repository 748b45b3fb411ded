/* Directories are watched, never files: an editor that writes a new file and renames it over the
 * old one leaves a watch on a file behind on nothing. After each burst of changes the tree is
 * walked again, since folders come and go (and a symlinked release points elsewhere).
 *
 *   WATCHING --event--> SETTLING --50 ms without another--> on_change, walk again --> WATCHING
 *
 * Owner: a worker. Freed in the last close callback. What must never happen: a watch per file; an
 * endless walk (symlinks are followed one step, depth and number are bounded). */
#include "watch.h"

#include "buf.h"
#include "log.h"
#include "mem.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { DEBOUNCE_MS = 50, FOLDERS_MAX = 1000, DEPTH_MAX = 12 };

struct watch {
    uv_loop_t *loop;
    char *folder;
    void (*on_change)(void *arg);
    void *arg;
    uv_timer_t settle;
    uv_fs_event_t *folders[FOLDERS_MAX];
    size_t count;
    bool full_logged;
};

static void on_settled(uv_timer_t *timer);

static bool is_ours(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > 0 && name[n - 1] != '~' && strcmp(name, "4913") != 0;
}

static void on_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    (void)events;
    watch *w = handle->data;
    if (status < 0 || (name != NULL && !is_ours(name)))
        return;
    uv_timer_start(&w->settle, on_settled, DEBOUNCE_MS, 0);
}

/* The application's folder itself holds other things too (data, logs): only these names count. */
static void on_root_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    static const char *const names[] = {"config.lua", "lua", "templates", "plugins"};
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            on_event(handle, name, events, status);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void add(watch *w, const char *path, uv_fs_event_cb on)
{
    if (w->count == FOLDERS_MAX) {
        if (!w->full_logged)
            log_warn("too many folders to watch; the rest is reloaded by SIGHUP only",
                     LOG_NUM("watched", FOLDERS_MAX));
        w->full_logged = true;
        return;
    }
    uv_fs_event_t *handle = mem_alloc(sizeof *handle);
    uv_fs_event_init(w->loop, handle);
    handle->data = w;
    uv_unref((uv_handle_t *)handle);
    int status = uv_fs_event_start(handle, on, path, 0);
    if (status != 0) {
        log_debug("a folder can't be watched", LOG_TEXT("folder", path),
                  LOG_TEXT("error", uv_strerror(status)));
        uv_close((uv_handle_t *)handle, on_closed);
        return;
    }
    w->folders[w->count++] = handle;
}

static void walk(watch *w, const char *path, int depth)
{
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (dir == NULL)
        return;
    add(w, path, on_event);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct stat info;
        buf below = {0};
        buf_format(&below, "%s/%s", path, entry->d_name);
        if (is_ours(entry->d_name) && stat(buf_cstr(&below), &info) == 0 && S_ISDIR(info.st_mode))
            walk(w, below.data, depth + 1);
        buf_free(&below);
    }
    closedir(dir);
}

static void stop_all(watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        uv_close((uv_handle_t *)w->folders[i], on_closed);
    w->count = 0;
}

static void watch_all(watch *w)
{
    static const char *const below[] = {"lua", "templates", "plugins"};
    add(w, w->folder, on_root_event);
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        buf path = {0};
        buf_format(&path, "%s/%s", w->folder, below[i]);
        walk(w, buf_cstr(&path), 0);
        buf_free(&path);
    }
}

static void on_settled(uv_timer_t *timer)
{
    watch *w = timer->data;
    stop_all(w);
    watch_all(w);
    w->on_change(w->arg);
}

watch *watch_new(uv_loop_t *loop, const char *folder, void (*on_change)(void *arg), void *arg)
{
    watch *w = mem_alloc(sizeof *w);
    w->loop = loop;
    w->folder = mem_dup(folder, strlen(folder));
    w->on_change = on_change;
    w->arg = arg;
    uv_timer_init(loop, &w->settle);
    w->settle.data = w;
    uv_unref((uv_handle_t *)&w->settle);
    watch_all(w);
    return w;
}

static void on_settle_closed(uv_handle_t *handle)
{
    watch *w = handle->data;
    free(w->folder);
    free(w);
}

void watch_close(watch *w)
{
    stop_all(w);
    uv_close((uv_handle_t *)&w->settle, on_settle_closed);
}
