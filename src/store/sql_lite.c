/* The SQLite driver: one thread that writes, a few that read, each with a connection of its own.
 *
 *   submit -> queue of the writer | of the readers -> a thread: run -> sql_op_post
 *   begin -> the thread belongs to the transaction: it takes from the transaction's list only,
 *            until commit or rollback
 *
 * SQLite has one writer at a time anyway; with one thread nobody waits for a lock of our own, and
 * order is the order of arrival. Rejected: the loops' thread pool, whose few threads also hash
 * passwords and look up names, and where writers would wait for each other's locks.
 * A statement by itself that writes is a transaction of its own, so that one whose result is too
 * large is undone.
 *
 * Threads start, and open the file, when they are first needed; a file that can't be opened is
 * tried again with each call. The driver owns threads and queues; an op belongs to the queue, then
 * to its thread, until it is posted. What must never happen: a thread touching an op or a
 * transaction that it has posted. */
#include "clock.h"
#include "folder.h"
#include "log.h"
#include "mem.h"
#include "sql_lite_db.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { READERS_MAX = 16 };

typedef struct lite lite;

/* A queue and the threads that serve it. */
typedef struct {
    lite *owner;
    bool writer;
    pthread_cond_t filled;
    list queue;
    size_t queued;
} lane;

typedef struct {
    lane *lane;
    pthread_t id;
    lite_db *db;
    sql_tx *active;
} server;

struct lite {
    sql_db base;
    char *folder, *path;
    pthread_mutex_t lock; /* guards lanes and the transactions' lists */
    pthread_mutex_t opening;
    lane writers, readers;
    server *servers;
    size_t server_count;
    bool started, stopping;
    bool broken; /* said so */
};

static lite *of_op(const sql_op *op)
{
    return (lite *)op->port->db; /* base is the first member */
}

/* A thread's work --------------------------------------------------------------------------- */

static bool ensure_open(server *s, sql_op *op)
{
    lite *l = s->lane->owner;
    char error[300];
    if (s->db != NULL)
        return true;
    pthread_mutex_lock(&l->opening);
    if (folder_make(l->folder) != 0)
        snprintf(error, sizeof error, "%s: %s", l->folder, strerror(errno));
    else
        s->db = lite_db_open(&l->base.options, l->path, s->lane->writer, error, sizeof error);
    if (s->db == NULL && !l->broken)
        log_error("the database can't be opened; it is tried again with each call",
                  LOG_TEXT("error", error));
    l->broken = s->db == NULL;
    pthread_mutex_unlock(&l->opening);
    if (s->db == NULL)
        sql_op_say(op, SQL_UNAVAILABLE, "the database can't be opened: %s", error);
    return s->db != NULL;
}

static sql_code begin(server *s, sql_op *op)
{
    sql_code code = lite_db_begin(s->db, op);
    if (code != SQL_OK)
        return code;
    s->active = op->tx;
    op->tx->connection = s->lane;
    return SQL_OK;
}

static sql_code finish(server *s, sql_op *op)
{
    s->active = NULL;
    if (op->kind == SQL_COMMIT)
        return lite_db_commit(s->db, op);
    lite_db_rollback(s->db);
    return SQL_OK;
}

static sql_code write_alone(server *s, sql_op *op)
{
    bool reads = op->reads;
    op->reads = false;
    sql_code code = lite_db_begin(s->db, op);
    op->reads = reads;
    if (code != SQL_OK)
        return code;
    code = lite_db_run(s->db, op);
    if (code == SQL_OK)
        return lite_db_commit(s->db, op);
    lite_db_rollback(s->db);
    return code;
}

static void enqueue(lane *to, sql_op *op)
{
    list_append(&to->queue, &op->link);
    to->queued++;
    pthread_cond_broadcast(&to->filled);
}

/* WITH and EXPLAIN may write after all. */
static void hand_over(sql_op *op)
{
    lite *l = of_op(op);
    pthread_mutex_lock(&l->lock);
    op->reads = false;
    atomic_store(&op->begun, false);
    enqueue(&l->writers, op);
    pthread_mutex_unlock(&l->lock);
}

static void run(server *s, sql_op *op)
{
    bool may_stop = op->kind == SQL_QUERY || op->kind == SQL_BEGIN;
    if (may_stop && atomic_load(&op->cancelled)) {
        sql_op_post(op, sql_op_say(op, SQL_UNAVAILABLE, "nobody waits for it any more"));
    } else if (!ensure_open(s, op)) {
        sql_op_post(op, SQL_UNAVAILABLE);
    } else if (op->kind == SQL_BEGIN) {
        sql_op_post(op, begin(s, op));
    } else if (op->kind != SQL_QUERY) {
        sql_op_post(op, finish(s, op));
    } else if (s->active == NULL && s->lane->writer) {
        sql_op_post(op, write_alone(s, op));
    } else if (s->active == NULL && lite_db_writes(s->db, op)) {
        hand_over(op);
    } else {
        sql_op_post(op, lite_db_run(s->db, op));
    }
}

/* With the lock held; NULL: nothing to do now. */
static sql_op *take(server *s)
{
    list *from = s->active != NULL ? &s->active->ops : &s->lane->queue;
    if (list_empty(from))
        return NULL;
    sql_op *op = LIST_ENTRY(from->next, sql_op, link);
    list_remove(&op->link);
    s->lane->queued -= s->active == NULL ? 1 : 0;
    atomic_store(&op->begun, true);
    return op;
}

static void *serve(void *arg)
{
    server *s = arg;
    lite *l = s->lane->owner;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        sql_op *op = take(s);
        if (op == NULL && l->stopping)
            break;
        if (op == NULL) {
            pthread_cond_wait(&s->lane->filled, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        run(s, op);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    if (s->db != NULL)
        lite_db_close(s->db);
    return NULL;
}

/* From the ports ---------------------------------------------------------------------------- */

/* With the lock held. */
static void start(lite *l)
{
    if (l->started)
        return;
    l->started = true;
    l->servers = mem_alloc((l->base.options.readers + 1) * sizeof *l->servers);
    for (size_t i = 0; i <= l->base.options.readers; i++) {
        server *s = &l->servers[l->server_count];
        s->lane = i == 0 ? &l->writers : &l->readers;
        if (pthread_create(&s->id, NULL, serve, s) == 0)
            l->server_count++;
    }
}

static void submit_to_tx(lite *l, sql_op *op)
{
    lane *of = op->tx->connection;
    atomic_store(&op->begun, true);
    pthread_mutex_lock(&l->lock);
    list_append(&op->tx->ops, &op->link);
    pthread_cond_broadcast(&of->filled);
    pthread_mutex_unlock(&l->lock);
}

static void submit(sql_op *op)
{
    lite *l = of_op(op);
    if (op->tx != NULL && op->kind != SQL_BEGIN) {
        submit_to_tx(l, op);
        return;
    }
    lane *to = op->reads ? &l->readers : &l->writers;
    pthread_mutex_lock(&l->lock);
    start(l);
    bool fits = to->queued < l->base.options.queue;
    if (fits)
        enqueue(to, op);
    pthread_mutex_unlock(&l->lock);
    if (!fits)
        sql_op_finish(op, sql_op_say(op, SQL_UNAVAILABLE,
                                     "too many statements wait for the database: try again"));
}

static bool withdraw(sql_op *op)
{
    lite *l = of_op(op);
    pthread_mutex_lock(&l->lock);
    bool waits = !atomic_load(&op->begun);
    if (waits) {
        list_remove(&op->link);
        (op->reads ? &l->readers : &l->writers)->queued--;
    }
    pthread_mutex_unlock(&l->lock);
    return waits;
}

/* Opening and closing ----------------------------------------------------------------------- */

static void init_lane(lite *l, lane *to, bool writer)
{
    to->owner = l;
    to->writer = writer;
    list_init(&to->queue);
    pthread_cond_init(&to->filled, NULL);
}

static void close_db(sql_db *db)
{
    lite *l = (lite *)db;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_broadcast(&l->writers.filled);
    pthread_cond_broadcast(&l->readers.filled);
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < l->server_count; i++)
        pthread_join(l->servers[i].id, NULL);
    pthread_cond_destroy(&l->writers.filled);
    pthread_cond_destroy(&l->readers.filled);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->opening);
    free(l->servers);
    free(l->folder);
    free(l->path);
    free(l);
}

static const sql_driver driver = {"sqlite", submit, withdraw, NULL, NULL, NULL, close_db};

sql_db *sql_lite_open(const sql_options *options)
{
    static const char file[] = "/sql.db";
    lite *l = mem_alloc(sizeof *l);
    size_t n = strlen(options->folder);
    l->base = (sql_db){&driver, *options};
    if (l->base.options.readers > READERS_MAX)
        l->base.options.readers = READERS_MAX;
    l->folder = mem_dup(options->folder, n);
    l->path = mem_alloc(n + sizeof file);
    memcpy(l->path, options->folder, n);
    memcpy(l->path + n, file, sizeof file);
    l->base.options.folder = l->folder;
    l->base.options.url = "";
    pthread_mutex_init(&l->lock, NULL);
    pthread_mutex_init(&l->opening, NULL);
    init_lane(l, &l->writers, true);
    init_lane(l, &l->readers, false);
    return &l->base;
}
