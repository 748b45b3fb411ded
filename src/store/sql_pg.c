/* The PostgreSQL driver: a pool of connections for each worker, on its loop.
 *
 *   submit -> an idle connection, or a new one while there are fewer than sql.pool, or the waiting
 *             list -> the first connection that becomes idle takes the first that waits
 *   begin  -> the connection belongs to the transaction until its end
 *
 * A pool per worker, not one for the process: no lock, no thread to wake, and each connection's
 * socket is polled by the loop that uses it. While PostgreSQL is away one connection at a time
 * tries, with pauses that grow from 0.1 to 5 s, shorter while somebody waits; who waits is taken
 * back by the port after sql.wait.
 *
 * The pool owns its connections; the driver owns the URL. What must never happen: an op that waits
 * while a connection is idle. */
#include "sql_pg.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    sql_db base;
    char *url;
    PQconninfoOption *target;
    _Atomic bool away; /* said so */
} pg;

typedef struct {
    pg *db;
    sql_port *port;
    list conns, waiting;
    size_t waiting_count;
    unsigned attempts; /* that failed in a row */
    uint64_t retry_at;
    bool closing;
    char problem[PG_PROBLEM_MAX];
} pool;

static void dispatch(pool *p);

static pool *pool_of(const sql_op *op)
{
    return op->port->pool;
}

/* Events of connections --------------------------------------------------------------------- */

static void on_ready(pg_conn *c, void *arg)
{
    pool *p = arg;
    (void)c;
    p->attempts = 0;
    p->problem[0] = '\0';
    if (atomic_exchange(&p->db->away, false))
        log_info("PostgreSQL is back", LOG_NUM("waiting", p->waiting_count));
    dispatch(p);
}

static uint64_t pause_ms(const pool *p)
{
    uint64_t pause = (uint64_t)PG_BACKOFF_MS << (p->attempts < 6 ? p->attempts : 6);
    uint64_t most = p->waiting_count > 0 ? PG_BACKOFF_ASKED_MS : PG_BACKOFF_MAX_MS;
    if (pause > most)
        pause = most;
    return pause * 3 / 4 + clock_us() % (pause / 4 + 1); /* jitter: workers come back apart */
}

static void on_lost(pg_conn *c, const char *why, void *arg)
{
    pool *p = arg;
    if (!pg_conn_connecting(c))
        return; /* whether it is away is seen by the next one */
    snprintf(p->problem, sizeof p->problem, "%s", why);
    p->retry_at = clock_ms() + pause_ms(p);
    p->attempts++;
    if (!atomic_exchange(&p->db->away, true))
        log_error("PostgreSQL can't be reached; it is tried again", LOG_TEXT("error", p->problem));
}

/* The pool ---------------------------------------------------------------------------------- */

static const pg_conn_events events = {on_ready, on_lost};

static pg_conn *find_idle(pool *p, size_t *count, size_t *connecting)
{
    pg_conn *idle = NULL;
    *count = *connecting = 0;
    LIST_FOR_EACH (it, &p->conns) {
        pg_conn *c = pg_conn_of_link(it);
        ++*count;
        *connecting += pg_conn_connecting(c) ? 1 : 0;
        if (idle == NULL && pg_conn_idle(c))
            idle = c;
    }
    return idle;
}

static sql_op *take_waiting(pool *p)
{
    sql_op *op = LIST_ENTRY(p->waiting.next, sql_op, link);
    list_remove(&op->link);
    p->waiting_count--;
    atomic_store(&op->begun, true);
    return op;
}

static void grow(pool *p, size_t count, size_t connecting)
{
    bool away = p->attempts > 0;
    if (count >= p->db->base.options.pool || connecting >= (away ? 1 : p->waiting_count) ||
        (away && clock_ms() < p->retry_at))
        return;
    pg_conn_open(p->port, p->db->url, p->db->target, &events, p, &p->conns);
}

static void dispatch(pool *p)
{
    size_t count, connecting;
    while (p->waiting_count > 0 && !p->closing) {
        pg_conn *idle = find_idle(p, &count, &connecting);
        if (idle == NULL) {
            grow(p, count, connecting);
            return;
        }
        pg_conn_run(idle, take_waiting(p));
    }
}

/* From the port ----------------------------------------------------------------------------- */

static void submit_to_tx(sql_op *op)
{
    pg_conn *c = op->tx->connection;
    atomic_store(&op->begun, true);
    if (c != NULL)
        pg_conn_run(c, op);
    else if (op->kind == SQL_ROLLBACK)
        sql_op_finish(op, SQL_OK);
    else
        sql_op_finish(op, sql_op_say(op, SQL_UNAVAILABLE,
                                     "the connection was lost in the transaction: nothing of it "
                                     "was kept"));
}

static void submit(sql_op *op)
{
    pool *p = pool_of(op);
    if (op->tx != NULL && op->kind != SQL_BEGIN) {
        submit_to_tx(op);
        return;
    }
    if (p->waiting_count >= p->db->base.options.queue) {
        sql_op_finish(op, sql_op_say(op, SQL_UNAVAILABLE,
                                     "too many statements wait for the database: try again"));
        return;
    }
    list_append(&p->waiting, &op->link);
    p->waiting_count++;
    if (p->attempts > 0 && p->retry_at > clock_ms() + PG_BACKOFF_ASKED_MS)
        p->retry_at = clock_ms() + PG_BACKOFF_ASKED_MS;
    dispatch(p);
}

static bool withdraw(sql_op *op)
{
    pool *p = pool_of(op);
    if (atomic_load(&op->begun))
        return false;
    list_remove(&op->link);
    p->waiting_count--;
    if (p->problem[0] != '\0')
        sql_op_say(op, SQL_UNAVAILABLE, "%s", p->problem);
    return true;
}

static void port_open(sql_port *port)
{
    pool *p = mem_alloc(sizeof *p);
    p->db = (pg *)port->db;
    p->port = port;
    list_init(&p->conns);
    list_init(&p->waiting);
    port->pool = p;
}

static void port_tick(sql_port *port, uint64_t now)
{
    pool *p = port->pool;
    LIST_FOR_EACH_SAFE (it, &p->conns)
        pg_conn_tick(pg_conn_of_link(it), now);
    dispatch(p);
}

static void port_close(sql_port *port)
{
    pool *p = port->pool;
    p->closing = true;
    while (!list_empty(&p->conns))
        pg_conn_close(pg_conn_of_link(p->conns.next));
    free(p);
    port->pool = NULL;
}

static void close_db(sql_db *db)
{
    pg *p = (pg *)db;
    PQconninfoFree(p->target);
    free(p->url);
    free(p);
}

static const sql_driver driver = {"postgres", submit,     withdraw, port_open,
                                  port_tick,  port_close, close_db};

sql_db *sql_pg_open(const sql_options *options, char *error, size_t error_size)
{
    PQconninfoOption *target = pg_target_parse(options->url, error, error_size);
    if (target == NULL)
        return NULL;
    pg *p = mem_alloc(sizeof *p);
    p->base = (sql_db){&driver, *options};
    p->url = mem_dup(options->url, strlen(options->url));
    p->target = target;
    p->base.options.url = p->url;
    p->base.options.folder = "";
    return &p->base;
}
