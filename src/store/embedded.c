/* The embedded driver: all keys in memory, made durable by SQLite on one writer thread.
 *
 *   get, ttl      -> memory, under a read lock held for one look-up -> answered on the same loop
 *   set, add, ... -> queue -> writer thread: decides a batch, one transaction, then memory,
 *                    then the answers (embedded_writer.c)
 *
 * Why memory first: a picture's arguments are read far more often than written, and a loop must not
 * wait for a disk. Rejected: SQLite reads on the thread pool (two thread switches per get), one
 * connection per worker (lock waits between writers). Readers never see a value that is not in the
 * file yet: memory changes after the commit, so there is nothing to undo when a commit fails.
 *
 * The folder is locked (flock) for the life of the store; the lock file carries our pid for the
 * message that a second process prints. The queue is bounded in calls and bytes; over it a call is
 * answered STORE_UNAVAILABLE at once.
 *
 * The store owns everything; ports own nothing here. What must never happen: a system call under
 * `lock`; a write that was answered before its commit. */
#include "embedded.h"

#include "clock.h"
#include "folder.h"
#include "mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static embedded *of_port(store_port *p)
{
    return (embedded *)p->store; /* base is the first member */
}

/* Reads --------------------------------------------------------------------------------------- */

static record *find_alive(embedded *e, slice key)
{
    int64_t now = clock_wall_ms();
    pthread_rwlock_rdlock(&e->lock);
    map_node *node = map_find(&e->records, key);
    record *r = node != NULL ? MAP_ENTRY(node, record, node) : NULL;
    r = r != NULL && record_alive(r, now) ? record_hold(r) : NULL;
    pthread_rwlock_unlock(&e->lock);
    return r;
}

static void read_value(store_op *op)
{
    record *r = find_alive(of_port(op->port), op->key);
    if (r == NULL) {
        store_op_finish(op, STORE_ABSENT);
        return;
    }
    char version[24];
    int n = snprintf(version, sizeof version, "%" PRIx64, r->version);
    store_op_set_version(op, (slice){version, (size_t)n});
    op->result.value = r->value;
    op->held = r;
    op->release = record_drop;
    store_op_finish(op, STORE_OK);
}

static void read_ttl(store_op *op)
{
    record *r = find_alive(of_port(op->port), op->key);
    if (r == NULL) {
        store_op_finish(op, STORE_ABSENT);
        return;
    }
    op->result.number = r->expires == 0 ? -1 : r->expires - clock_wall_ms();
    record_drop(r);
    store_op_finish(op, STORE_OK);
}

/* Writes go to the writer --------------------------------------------------------------------- */

static bool enqueue(embedded *e, store_op *op)
{
    size_t size = store_op_size(op);
    pthread_mutex_lock(&e->queue_lock);
    bool fits = e->queued < EMBEDDED_QUEUE_MAX && e->queued_bytes + size <= EMBEDDED_QUEUE_BYTES;
    if (fits) {
        list_append(&e->queue, &op->link);
        e->queued++;
        e->queued_bytes += size;
        pthread_cond_signal(&e->queue_filled);
    }
    pthread_mutex_unlock(&e->queue_lock);
    return fits;
}

/* A disk that hangs must not hang a health check. */
static bool is_stuck(embedded *e)
{
    uint64_t since = atomic_load(&e->busy_since);
    return since != 0 && clock_ms() > since + 2000;
}

static void submit(store_op *op)
{
    embedded *e = of_port(op->port);
    if (op->kind == STORE_GET)
        read_value(op);
    else if (op->kind == STORE_TTL)
        read_ttl(op);
    else if (op->kind == STORE_PING && is_stuck(e))
        store_op_finish(op,
                        store_op_say(op, STORE_UNAVAILABLE,
                                     "the disk of %s has not answered for over 2 s", e->folder));
    else if (!enqueue(e, op))
        store_op_finish(op, store_op_say(op, STORE_UNAVAILABLE,
                                         "too many writes are waiting for the disk: try again"));
}

/* Opening and closing ------------------------------------------------------------------------- */

static long lock_holder(int fd)
{
    char text[32] = {0};
    return pread(fd, text, sizeof text - 1, 0) > 0 ? strtol(text, NULL, 10) : 0;
}

static int take_lock(embedded *e, char *error, size_t error_size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", e->folder);
    e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (e->lock_fd < 0) {
        snprintf(error, error_size, "%s: %s; choose another data folder, or make it writable", path,
                 strerror(errno));
        return -1;
    }
    if (flock(e->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(error, error_size,
                 "%s is in use by process %ld: stop it, or choose another data folder", e->folder,
                 lock_holder(e->lock_fd));
        return -1;
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(e->lock_fd, 0) != 0 || pwrite(e->lock_fd, pid, (size_t)n, 0) != n) {
        /* Only the message of a second process suffers. */
    }
    return 0;
}

static bool load_row(const embedded_row *row, void *arg)
{
    embedded *e = arg;
    record *r = record_new(row);
    if (r == NULL)
        return false;
    if (r->version > e->version)
        e->version = r->version;
    record_account(0, 1, 0, record_size(r));
    e->bytes += record_size(r);
    map_insert(&e->records, &r->node);
    return true;
}

static int load(embedded *e, bool full, char *error, size_t error_size)
{
    char path[4096];
    int64_t reserved = 0;
    snprintf(path, sizeof path, "%s/lunacast.db", e->folder);
    e->db = embedded_db_open(path, full, error, error_size);
    if (e->db == NULL)
        return -1;
    if (embedded_db_load(e->db, clock_wall_ms(), load_row, e) != 0 ||
        embedded_db_number(e->db, "version", &reserved) != 0 ||
        embedded_db_next_expiry(e->db, &e->next_sweep) != 0) {
        embedded_db_explain(e->db, error, error_size);
        return -1;
    }
    /* Versions up to `reserved` may have been given to keys that are gone. */
    if ((uint64_t)reserved > e->version)
        e->version = (uint64_t)reserved;
    e->reserved = e->version;
    return 0;
}

static void free_embedded(embedded *e)
{
    size_t slot = 0;
    map_node *node = map_next(&e->records, &slot, NULL);
    record_account(e->records.count, 0, e->bytes, 0);
    while (node != NULL) {
        map_node *next = map_next(&e->records, &slot, node);
        record_drop(MAP_ENTRY(node, record, node));
        node = next;
    }
    map_free(&e->records);
    if (e->db != NULL)
        embedded_db_close(e->db);
    if (e->lock_fd >= 0)
        close(e->lock_fd);
    pthread_rwlock_destroy(&e->lock);
    pthread_mutex_destroy(&e->queue_lock);
    pthread_cond_destroy(&e->queue_filled);
    free(e->folder);
    free(e);
}

static void close_store(store *s)
{
    embedded *e = (embedded *)s;
    pthread_mutex_lock(&e->queue_lock);
    e->stopping = true;
    pthread_cond_signal(&e->queue_filled);
    pthread_mutex_unlock(&e->queue_lock);
    pthread_join(e->writer, NULL);
    free_embedded(e);
}

static const store_driver driver = {"embedded", submit, NULL, NULL, close_store};

static embedded *new_embedded(const store_embedded_options *options)
{
    embedded *e = mem_alloc(sizeof *e);
    pthread_condattr_t monotonic; /* a wait must not follow the wall clock */
    e->base.driver = &driver;
    e->folder = mem_dup(options->folder, strlen(options->folder));
    e->max_bytes = options->max_bytes;
    e->lock_fd = -1;
    list_init(&e->queue);
    pthread_rwlock_init(&e->lock, NULL);
    pthread_mutex_init(&e->queue_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->queue_filled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return e;
}

store *store_embedded_open(const store_embedded_options *options, char *error, size_t error_size)
{
    embedded *e = new_embedded(options);
    if (folder_make(e->folder) != 0)
        snprintf(error, error_size, "%s: %s; choose another data folder, or make it writable",
                 e->folder, strerror(errno));
    else if (take_lock(e, error, error_size) == 0 &&
             load(e, options->full, error, error_size) == 0) {
        if (pthread_create(&e->writer, NULL, embedded_write_loop, e) == 0)
            return &e->base;
        snprintf(error, error_size, "no thread for the store: %s", strerror(errno));
    }
    free_embedded(e);
    return NULL;
}
