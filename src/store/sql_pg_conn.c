/* One connection to PostgreSQL, on its loop, without a blocking call.
 *
 *   LOOKING_UP --> CONNECTING --> IDLE --run--> BUSY --all steps done--> IDLE
 *       '---------------'----------'-----------'--- lost --> freed (on_lost)
 *
 * An op is a few steps, each one command: set the time limit where it differs, forget the oldest
 * prepared statement where there are too many, prepare, execute. Rows come one by one
 * (single-row mode), so that a result that is too large never lies in memory; what is over the
 * limit is read and dropped. The server's statement_timeout ends what is slow; a connection that
 * does not answer a second after that is given up. Rejected: PQcancel, which opens a second
 * connection and blocks.
 *
 * libpq may change its socket with each step of connecting, and the new one may have the old one's
 * number: the poll handle is stopped before each such step and made anew.
 *
 * Owned by the pool's list; the port is held by each poll handle. What must never happen: a
 * statement sent twice after the connection was lost (whether it was done is told as `unsure`); a
 * connection that goes back to the pool inside a transaction. One file of over 500 lines, since the
 * states of a connection and the steps of an op are one machine. */
#include "sql_pg.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include <stdio.h>
#include <stdlib.h>

typedef enum { LOOKING_UP, CONNECTING, IDLE, BUSY } conn_state;
typedef enum { STEP_LIMIT, STEP_FORGET, STEP_PREPARE, STEP_EXECUTE } conn_step;

struct pg_conn {
    list link;
    sql_port *port;
    const char *url;
    const PQconninfoOption *target;
    const pg_conn_events *events;
    void *arg;
    conn_state state;
    uint64_t since; /* ms, of the state */
    pg_look_up *look_up;
    PGconn *pg;
    uv_poll_t *poll;
    int fd, watched; /* its number and events */
    sql_op *op;
    sql_tx *tx; /* whose it is between its begin and its end */
    conn_step step;
    sql_code code; /* of the op so far */
    bool stale;    /* its plan was out of date: prepared anew once */
    uint64_t deadline;
    uint64_t server_timeout; /* ms; 0: unknown */
    bool limited_inside;     /* it was set in the running transaction */
    pg_statements statements;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void send_next(pg_conn *c);

static void set_state(pg_conn *c, conn_state state)
{
    bool was = c->state >= IDLE, is = state >= IDLE;
    if (was != is)
        metrics_add(METRIC_SQL_CONNECTIONS, is ? 1 : -1);
    c->state = state;
    c->since = clock_ms();
}

bool pg_conn_idle(const pg_conn *c)
{
    return c->state == IDLE && c->tx == NULL;
}

bool pg_conn_connecting(const pg_conn *c)
{
    return c->state < IDLE;
}

pg_conn *pg_conn_of_link(list *link)
{
    return LIST_ENTRY(link, pg_conn, link);
}

/* The socket -------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
    sql_port_release(handle->data);
    free(handle);
}

static void close_poll(pg_conn *c)
{
    if (c->poll == NULL)
        return;
    uv_poll_stop(c->poll);
    c->watched = 0;
    c->poll->data = c->port;
    uv_close((uv_handle_t *)c->poll, on_poll_closed);
    c->poll = NULL;
}

static void watch(pg_conn *c, int events)
{
    int fd = PQsocket(c->pg);
    if (c->poll != NULL && fd != c->fd)
        close_poll(c);
    if (c->poll == NULL) {
        c->poll = mem_alloc(sizeof *c->poll);
        uv_poll_init(c->port->loop, c->poll, fd);
        uv_unref((uv_handle_t *)c->poll);
        sql_port_hold(c->port);
        c->poll->data = c;
        c->fd = fd;
    }
    if (events != c->watched)
        uv_poll_start(c->poll, events, on_poll);
    c->watched = events;
}

/* The end ----------------------------------------------------------------------------------- */

static void free_conn(pg_conn *c)
{
    set_state(c, CONNECTING); /* the gauge */
    list_remove(&c->link);
    close_poll(c);
    if (c->look_up != NULL)
        pg_look_up_free(c->look_up);
    if (c->pg != NULL)
        PQfinish(c->pg);
    pg_statements_free(&c->statements);
    if (c->tx != NULL)
        c->tx->connection = NULL;
    free(c);
}

/* Whether the running op may have been done, though its answer is lost. */
static bool is_unsure(const pg_conn *c)
{
    const sql_op *op = c->op;
    if (op->kind == SQL_COMMIT)
        return true;
    return op->kind == SQL_QUERY && op->tx == NULL && !op->reads && c->step == STEP_EXECUTE;
}

static void answer_lost(pg_conn *c, sql_code code, const char *why)
{
    sql_op *op = c->op;
    if (op == NULL)
        return;
    bool unsure = is_unsure(c);
    c->op = NULL;
    op->result.unsure = unsure;
    sql_op_finish(op, sql_op_say(op, code, "%s: %s", why,
                                 unsure           ? "it may have been done or not"
                                 : op->tx != NULL ? "nothing of the transaction was kept"
                                                  : "nothing was done"));
}

static void lose(pg_conn *c, sql_code code, const char *why)
{
    char text[PG_PROBLEM_MAX];
    snprintf(text, sizeof text, "%s", why);
    text[strcspn(text, "\n")] = '\0';
    answer_lost(c, code, text);
    pg_conn_events events = *c->events;
    void *arg = c->arg;
    events.on_lost(c, text, arg);
    free_conn(c);
}

void pg_conn_close(pg_conn *c)
{
    answer_lost(c, SQL_UNAVAILABLE, "the server is stopping");
    free_conn(c);
}

static void lose_by_libpq(pg_conn *c)
{
    const char *why = PQerrorMessage(c->pg);
    lose(c, SQL_UNAVAILABLE, why[0] != '\0' ? why : "the connection was lost");
}

/* Steps of an op ---------------------------------------------------------------------------- */

static void become_idle(pg_conn *c)
{
    set_state(c, IDLE);
    if (c->tx == NULL)
        c->events->on_ready(c, c->arg);
}

static void finish(pg_conn *c)
{
    sql_op *op = c->op;
    bool outside = c->tx == NULL;
    c->op = NULL;
    if (op->kind == SQL_BEGIN && c->code == SQL_OK) {
        c->tx = op->tx;
        c->tx->connection = c;
        outside = false;
    } else if (op->kind == SQL_COMMIT || op->kind == SQL_ROLLBACK) {
        c->tx->connection = NULL;
        c->tx = NULL;
        outside = true;
    }
    if (op->kind == SQL_ROLLBACK && c->limited_inside)
        c->server_timeout = 0; /* it was rolled back, too */
    c->limited_inside = c->limited_inside && c->tx != NULL;
    sql_op_finish(op, c->code);
    if (outside && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
        lose(c, SQL_FAILED, "a statement left a transaction open");
    else
        become_idle(c);
}

static int send_limit(pg_conn *c)
{
    char text[64];
    c->step = STEP_LIMIT;
    c->limited_inside = c->tx != NULL;
    snprintf(text, sizeof text, "SET statement_timeout = %llu",
             (unsigned long long)c->op->timeout_ms);
    return PQsendQuery(c->pg, text);
}

static int send_forget(pg_conn *c)
{
    char text[64];
    c->step = STEP_FORGET;
    snprintf(text, sizeof text, "DEALLOCATE %s", pg_statements_oldest(&c->statements));
    pg_statements_forget_oldest(&c->statements);
    return PQsendQuery(c->pg, text);
}

static int send_prepare(pg_conn *c)
{
    c->step = STEP_PREPARE;
    const char *name = pg_statements_begin(&c->statements, c->op->text);
    return PQsendPrepare(c->pg, name, c->op->text.p, 0, NULL);
}

static int send_prepared(pg_conn *c, const char *name)
{
    pg_params params;
    c->step = STEP_EXECUTE;
    pg_params_init(&params, c->op);
    int sent = PQsendQueryPrepared(c->pg, name, (int)c->op->param_count, params.values,
                                   params.lengths, params.formats, 0);
    pg_params_free(&params);
    return sent != 0 && PQsetSingleRowMode(c->pg);
}

static int send_statement(pg_conn *c)
{
    if (c->server_timeout != c->op->timeout_ms)
        return send_limit(c);
    const char *name = pg_statements_find(&c->statements, c->op->text);
    if (name != NULL)
        return send_prepared(c, name);
    return pg_statements_full(&c->statements) ? send_forget(c) : send_prepare(c);
}

static int send_begin(pg_conn *c)
{
    const sql_tx_options *o = &c->op->tx->options;
    char text[64];
    snprintf(text, sizeof text, "BEGIN%s%s", o->serializable ? " ISOLATION LEVEL SERIALIZABLE" : "",
             o->read_only ? " READ ONLY" : "");
    return PQsendQuery(c->pg, text);
}

static int send_step(pg_conn *c)
{
    c->step = STEP_EXECUTE;
    switch (c->op->kind) {
    case SQL_BEGIN:
        return send_begin(c);
    case SQL_COMMIT:
        return PQsendQuery(c->pg, "COMMIT");
    case SQL_ROLLBACK:
        return PQsendQuery(c->pg, "ROLLBACK");
    default:
        return send_statement(c);
    }
}

static void flush(pg_conn *c)
{
    int left = PQflush(c->pg);
    if (left < 0)
        lose_by_libpq(c);
    else
        watch(c, left > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void send_next(pg_conn *c)
{
    if (send_step(c) == 0)
        lose_by_libpq(c);
    else
        flush(c);
}

void pg_conn_run(pg_conn *c, sql_op *op)
{
    c->op = op;
    c->code = SQL_OK;
    c->stale = false;
    c->deadline = clock_ms() + op->timeout_ms + PG_GRACE_MS;
    set_state(c, BUSY);
    send_next(c);
}

/* Answers ----------------------------------------------------------------------------------- */

/* The schema changed under a prepared statement: it was not run. Outside of a transaction it is
 * prepared anew; inside, the transaction is doomed, and may be tried again. */
static bool is_stale(pg_conn *c, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool plan = state != NULL && c->step == STEP_EXECUTE && c->op->kind == SQL_QUERY &&
                (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0);
    if (!plan || c->stale || !pg_statements_forget(&c->statements, c->op->text))
        return false;
    c->stale = true;
    if (c->tx != NULL)
        c->code = sql_op_say(c->op, SQL_CONFLICT, "the schema was changed meanwhile");
    return true;
}

static void note_affected(pg_conn *c, PGresult *result)
{
    const char *tag = PQcmdStatus(result);
    if (strncmp(tag, "SELECT", 6) != 0 && c->step == STEP_EXECUTE)
        c->op->result.affected = strtoll(PQcmdTuples(result), NULL, 10);
}

static void on_rows(pg_conn *c, const PGresult *result)
{
    if (c->code == SQL_OK)
        c->code = pg_add_rows(c->op, result);
}

static void on_result(pg_conn *c, PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        on_rows(c, result);
        break;
    case PGRES_TUPLES_OK:
        on_rows(c, result);
        note_affected(c, result);
        break;
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        note_affected(c, result);
        break;
    default:
        if (!is_stale(c, result) && c->code == SQL_OK)
            c->code = pg_error(c->op, result);
    }
}

/* A write that was done, but whose rows can't be given. */
static void note_unsure(pg_conn *c)
{
    sql_op *op = c->op;
    bool refused = c->code == SQL_TOO_LARGE || c->code == SQL_TYPE;
    if (refused && c->step == STEP_EXECUTE && op->tx == NULL && op->result.affected > 0)
        op->result.unsure = true;
}

static void end_step(pg_conn *c)
{
    if (c->step == STEP_PREPARE)
        pg_statements_end(&c->statements, c->code == SQL_OK);
    if (c->step == STEP_LIMIT)
        c->server_timeout = c->code == SQL_OK ? c->op->timeout_ms : 0;
    bool again = c->stale && c->code == SQL_OK && c->step == STEP_EXECUTE &&
                 c->op->rows.columns == NULL &&
                 pg_statements_find(&c->statements, c->op->text) == NULL;
    bool last = c->step == STEP_EXECUTE && !again;
    note_unsure(c);
    if (c->code != SQL_OK || last)
        finish(c);
    else
        send_next(c);
}

static void read_results(pg_conn *c)
{
    PGresult *result;
    while (!PQisBusy(c->pg)) {
        result = PQgetResult(c->pg);
        if (PQstatus(c->pg) == CONNECTION_BAD) {
            PQclear(result);
            lose_by_libpq(c);
            return;
        }
        if (result == NULL) {
            end_step(c);
            return;
        }
        bool copies =
            PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT;
        on_result(c, result);
        PQclear(result);
        if (copies) {
            lose(c, SQL_DENIED, "COPY is not possible here");
            return;
        }
    }
}

static void on_readable(pg_conn *c)
{
    if (!PQconsumeInput(c->pg))
        lose_by_libpq(c);
    else if (c->state == BUSY)
        read_results(c);
    else if (PQisBusy(c->pg) == 0 && PQstatus(c->pg) == CONNECTION_BAD)
        lose_by_libpq(c);
}

/* Connecting -------------------------------------------------------------------------------- */

static void on_notice(void *arg, const PGresult *result)
{
    (void)arg;
    log_debug("a notice of PostgreSQL", LOG_TEXT("text", PQresultErrorMessage(result)));
}

static void on_connected(pg_conn *c)
{
    PQsetnonblocking(c->pg, 1);
    PQsetNoticeReceiver(c->pg, on_notice, NULL);
    c->server_timeout = c->port->db->options.timeout_ms;
    watch(c, UV_READABLE);
    become_idle(c);
}

static void connect_step(pg_conn *c)
{
    if (c->poll != NULL)
        uv_poll_stop(c->poll);
    c->watched = 0;
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        watch(c, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        watch(c, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        on_connected(c);
        break;
    default:
        lose_by_libpq(c);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    pg_conn *c = poll->data;
    (void)status; /* libpq meets it, too */
    if (c->state == CONNECTING) {
        connect_step(c);
        return;
    }
    if ((events & UV_WRITABLE) != 0 && (events & UV_READABLE) == 0)
        flush(c);
    else
        on_readable(c);
}

static void on_found(void *arg, const char *problem)
{
    pg_conn *c = arg;
    if (problem != NULL) {
        lose(c, SQL_UNAVAILABLE, problem);
        return;
    }
    c->pg = pg_look_up_connect(c->look_up, c->url, c->target, c->port->db->options.timeout_ms);
    set_state(c, CONNECTING);
    if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD)
        lose(c, SQL_UNAVAILABLE, c->pg != NULL ? PQerrorMessage(c->pg) : "out of memory");
    else
        watch(c, UV_WRITABLE);
}

pg_conn *pg_conn_open(sql_port *p, const char *url, const PQconninfoOption *target,
                      const pg_conn_events *events, void *arg, list *all)
{
    pg_conn *c = mem_alloc(sizeof *c);
    c->port = p;
    c->url = url;
    c->target = target;
    c->events = events;
    c->arg = arg;
    c->since = clock_ms();
    pg_statements_init(&c->statements);
    list_append(all, &c->link);
    c->look_up = pg_look_up_start(p->loop, target, on_found, c);
    pg_look_up_run(c->look_up);
    return c;
}

/* Time -------------------------------------------------------------------------------------- */

void pg_conn_tick(pg_conn *c, uint64_t now)
{
    if (c->state < IDLE && now > c->since + PG_CONNECT_MS)
        lose(c, SQL_UNAVAILABLE, "no connection within 5 s");
    else if (c->state == BUSY && c->port->closing && atomic_load(&c->op->cancelled))
        lose(c, SQL_UNAVAILABLE, "the server is stopping");
    else if (c->state == BUSY && now > c->deadline)
        lose(c, SQL_TIMEOUT, "PostgreSQL did not answer in time");
    else if (pg_conn_idle(c) && now > c->since + PG_IDLE_MS)
        free_conn(c);
}
