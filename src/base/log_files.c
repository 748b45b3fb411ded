/* Each kind keeps one descriptor number for the life of the process: a new file takes its place by
 * dup3, which is atomic, so writers need neither lock nor reference count. Rejected: a thread that
 * writes (a crash loses what waits, and the queue needs a policy when the disk is slow); falling
 * back to stderr when the disk is full (mostly the same disk, and one line per request there hides
 * what matters).
 *
 * One thread at a time rotates or looks after a file; the others write on meanwhile, to the old
 * file or the new one. Once a second a writer looks whether the path still is the open file; when
 * folder or file have vanished, they are made again.
 *
 * What must never happen: a thread that waits for another one's rotation; an error of the disk that
 * reaches who wanted to log. */
#include "log_files.h"

#include "clock.h"
#include "folder.h"
#include "mem.h"
#include "metrics.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 1000, SAY_MS = 60000, PATH_BYTES = 4096, MESSAGE_BYTES = 512 };

typedef struct {
    int fd; /* the same number from open to close */
    _Atomic uint64_t size;
    _Atomic uint64_t looked_at; /* ms */
    _Atomic bool torn;          /* the last line's end is missing */
    pthread_mutex_t tending;    /* rotation, reopening */
} log_file;

static const char *const names[] = {"auth", "api", "error", "performance"};
static const metric counters[] = {METRIC_LOG_AUTH, METRIC_LOG_API, METRIC_LOG_ERROR,
                                  METRIC_LOG_PERFORMANCE};
static log_file files[LOG_KIND_COUNT];
static char *folder;
static size_t rotate_at;
static int kept;
static _Atomic uint64_t said_at; /* ms; 0: never */

log_kind log_kind_of(const log_field *fields, size_t count)
{
    int kind = LOG_KIND_COUNT;
    for (size_t i = 0; i < count && kind == LOG_KIND_COUNT; i++) {
        if (fields[i].type != LOG_TYPE_TEXT || strcmp(fields[i].key, "kind") != 0)
            continue;
        for (kind = 0; kind < LOG_KIND_COUNT; kind++)
            if (slice_eq(fields[i].text, slice_of(names[kind])))
                break;
    }
    return (log_kind)kind;
}

/* number 0: the file that is written to. */
static void path_of(log_kind kind, int number, char path[PATH_BYTES])
{
    if (number == 0)
        snprintf(path, PATH_BYTES, "%s/%s.log", folder, names[kind]);
    else
        snprintf(path, PATH_BYTES, "%s/%s.log.%d", folder, names[kind], number);
}

static int open_path(log_kind kind)
{
    char path[PATH_BYTES];
    path_of(kind, 0, path);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static uint64_t size_of(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0;
}

static void lose(log_kind kind, int code)
{
    char line[MESSAGE_BYTES];
    uint64_t now = clock_ms() + 1, last = atomic_load(&said_at);
    metrics_add(METRIC_LOG_LOST, 1);
    if ((last != 0 && now < last + SAY_MS) || !atomic_compare_exchange_strong(&said_at, &last, now))
        return;
    int n =
        snprintf(line, sizeof line,
                 "lunacast: %s.log takes no lines (%s); they are lost and counted in "
                 "lunacast_log_lines_lost_total until the folder of log.folder is right again\n",
                 names[kind], strerror(code));
    ssize_t written = write(STDERR_FILENO, line, (size_t)n);
    (void)written;
}

/* Puts the file at the path into the place of the open one. Errors leave the old one. */
static int replace(log_kind kind)
{
    log_file *f = &files[kind];
    int fd = open_path(kind);
    if (fd < 0 && errno == ENOENT && folder_make(folder) == 0)
        fd = open_path(kind);
    if (fd < 0)
        return -1;
    dup3(fd, f->fd, O_CLOEXEC);
    atomic_store(&f->size, size_of(fd));
    atomic_store(&f->torn, false);
    close(fd);
    return 0;
}

static void shift(log_kind kind)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    for (int i = kept; i > 0; i--) {
        path_of(kind, i - 1, from);
        path_of(kind, i, to);
        rename(from, to); /* a missing one is no harm */
    }
    path_of(kind, 0, from);
    if (kept == 0)
        unlink(from);
}

static bool is_moved(log_kind kind)
{
    char path[PATH_BYTES];
    struct stat there, open_one;
    path_of(kind, 0, path);
    if (stat(path, &there) != 0 || fstat(files[kind].fd, &open_one) != 0)
        return true;
    return there.st_ino != open_one.st_ino || there.st_dev != open_one.st_dev;
}

/* The first writer of a second looks after the file. */
static void look_after(log_kind kind)
{
    log_file *f = &files[kind];
    uint64_t now = clock_ms(), last = atomic_load(&f->looked_at);
    if (now < last + LOOK_MS || !atomic_compare_exchange_strong(&f->looked_at, &last, now))
        return;
    if (pthread_mutex_trylock(&f->tending) != 0)
        return;
    if (is_moved(kind) && replace(kind) != 0)
        lose(kind, errno);
    pthread_mutex_unlock(&f->tending);
}

static void rotate(log_kind kind)
{
    log_file *f = &files[kind];
    if (pthread_mutex_trylock(&f->tending) != 0)
        return;
    if (atomic_load(&f->size) >= rotate_at) {
        shift(kind);
        atomic_store(&f->size, 0); /* also when no new one can be opened: not at every line */
        if (replace(kind) != 0)
            lose(kind, errno);
    }
    pthread_mutex_unlock(&f->tending);
}

static void append(log_kind kind, const char *line, size_t n)
{
    log_file *f = &files[kind];
    if (atomic_exchange(&f->torn, false) && write(f->fd, "\n", 1) != 1)
        atomic_store(&f->torn, true);
    ssize_t written = write(f->fd, line, n);
    if (written > 0)
        atomic_fetch_add(&f->size, (uint64_t)written);
    if (written == (ssize_t)n)
        return;
    if (written > 0)
        atomic_store(&f->torn, true);
    lose(kind, written < 0 ? errno : ENOSPC);
}

void log_files_write(log_kind kind, const char *line, size_t n)
{
    metrics_add(counters[kind], 1);
    if (folder == NULL)
        return;
    look_after(kind);
    append(kind, line, n);
    if (rotate_at != 0 && atomic_load(&files[kind].size) >= rotate_at)
        rotate(kind);
}

bool log_files_enabled(void)
{
    return folder != NULL;
}

void log_files_reopen(void)
{
    for (int kind = 0; folder != NULL && kind < LOG_KIND_COUNT; kind++) {
        pthread_mutex_lock(&files[kind].tending);
        if (replace((log_kind)kind) != 0)
            lose((log_kind)kind, errno);
        pthread_mutex_unlock(&files[kind].tending);
    }
}

int log_files_open(const log_files_options *options, char *error, size_t error_size)
{
    folder = mem_dup(options->folder, strlen(options->folder));
    rotate_at = options->rotate;
    kept = options->keep;
    bool made = folder_make(folder) == 0;
    for (int kind = 0; kind < LOG_KIND_COUNT; kind++)
        files[kind].fd = -1;
    for (int kind = 0; kind < LOG_KIND_COUNT; kind++) {
        log_file *f = &files[kind];
        f->fd = made ? open_path((log_kind)kind) : -1;
        if (f->fd < 0) {
            snprintf(error, error_size, "log.folder: %s/%s.log: %s", folder, names[kind],
                     strerror(errno));
            log_files_close();
            return -1;
        }
        pthread_mutex_init(&f->tending, NULL);
        atomic_store(&f->size, size_of(f->fd));
        atomic_store(&f->looked_at, clock_ms());
    }
    return 0;
}

void log_files_close(void)
{
    for (int kind = 0; folder != NULL && kind < LOG_KIND_COUNT; kind++) {
        if (files[kind].fd >= 0) {
            close(files[kind].fd);
            pthread_mutex_destroy(&files[kind].tending);
        }
    }
    free(folder);
    folder = NULL;
}
