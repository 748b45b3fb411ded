/* Directories are watched, never files: an editor that writes a new file and renames it over the
 * old one leaves a watch on a file behind on nothing. The folder above the application's is watched
 * for its name: a release is often a symlink (`current`) that is renamed over the one before, which
 * nothing inside the folder shows. After each burst of changes the tree is walked again.
 *
 *   WATCHING --event--> SETTLING --30 ms without another, or 500 ms--> on_change, walk again
 *
 * Owner: a worker. Freed in the last close callback. What must never happen: a watch per file; an
 * endless walk (symlinks are followed, so its depth is bounded, as the number of watches is). */
#include "watch.h"

#include "buf.h"
#include "log.h"
#include "mem.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { DEBOUNCE_MS = 30, LONGEST_MS = 500, FOLDERS_MAX = 1000, DEPTH_MAX = 12 };

struct watch {
    uv_loop_t *loop;
    char *folder;
    const char *name; /* of the folder in the one above; NULL: it has none, as "." */
    bool page_files;
    uint64_t first_event; /* of the burst; 0: there is none */
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
    uint64_t now = uv_now(w->loop);
    if (w->first_event == 0)
        w->first_event = now;
    uint64_t left = w->first_event + LONGEST_MS > now ? w->first_event + LONGEST_MS - now : 0;
    uv_timer_start(&w->settle, on_settled, left < DEBOUNCE_MS ? left : DEBOUNCE_MS, 0);
}

/* What counts in the application's folder, which holds other things too (data, logs); those after
 * the third in development. */
static const char *const below[] = {"lua", "templates", "plugins", "public", "migrations"};

static size_t count_below(const watch *w)
{
    return w->page_files ? sizeof below / sizeof *below : 3;
}

static void on_root_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    const watch *w = handle->data;
    bool counts = name != NULL && strcmp(name, "config.lua") == 0;
    for (size_t i = 0; name != NULL && i < count_below(w); i++)
        counts = counts || strcmp(name, below[i]) == 0;
    if (counts)
        on_event(handle, name, events, status);
}

static void on_above_event(uv_fs_event_t *handle, const char *name, int events, int status)
{
    const watch *w = handle->data;
    if (name != NULL && w->name != NULL && strcmp(name, w->name) == 0)
        on_event(handle, name, events, status);
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
        buf inside = {0};
        buf_format(&inside, "%s/%s", path, entry->d_name);
        if (is_ours(entry->d_name) && stat(buf_cstr(&inside), &info) == 0 && S_ISDIR(info.st_mode))
            walk(w, inside.data, depth + 1);
        buf_free(&inside);
    }
    closedir(dir);
}

static void stop_all(watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        uv_close((uv_handle_t *)w->folders[i], on_closed);
    w->count = 0;
}

static void add_above(watch *w)
{
    buf path = {0};
    if (w->name == w->folder)
        buf_text(&path, ".");
    else
        buf_append(&path, w->folder, (size_t)(w->name - w->folder));
    add(w, buf_cstr(&path), on_above_event);
    buf_free(&path);
}

static void watch_all(watch *w)
{
    if (w->name != NULL)
        add_above(w);
    add(w, w->folder, on_root_event);
    for (size_t i = 0; i < count_below(w); i++) {
        buf path = {0};
        buf_format(&path, "%s/%s", w->folder, below[i]);
        walk(w, buf_cstr(&path), 0);
        buf_free(&path);
    }
}

static void on_settled(uv_timer_t *timer)
{
    watch *w = timer->data;
    w->first_event = 0;
    stop_all(w);
    watch_all(w);
    w->on_change(w->arg);
}

/* The last part of a path; NULL where that says nothing about the folder above. */
static const char *name_of(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    const char *name = slash != NULL ? slash + 1 : folder;
    bool named = *name != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    return named ? name : NULL;
}

static char *without_slash(const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    return mem_dup(folder, n);
}

watch *watch_new(uv_loop_t *loop, const char *folder, bool page_files, void (*on_change)(void *arg),
                 void *arg)
{
    watch *w = mem_alloc(sizeof *w);
    w->loop = loop;
    w->folder = without_slash(folder);
    w->name = name_of(w->folder);
    w->page_files = page_files;
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
