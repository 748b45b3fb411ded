/* The front of the relational store: limits, the operation, the transaction, and the port that
 * answers.
 *
 *   sql_query() -> op -> driver->submit -> (thread | connection of the pool)
 *       -> answers of the port, on its loop -> done
 *
 *   a transaction: BEGINNING --answer--> OPEN --commit, rollback--> ENDING --answer--> ENDED
 *                                          |
 *                      deadline, caller gone, port closing: the port rolls back by itself
 *
 * What waits for a connection waits at most `wait_ms`; the tick takes it back from the driver then.
 * The deadline of a transaction is kept here for both drivers: a driver holds a connection from
 * begin until the one commit or rollback that this file promises.
 *
 * A port is owned by its loop, an op by its driver from submit to its answer. What must never
 * happen: an op without its one answer; a transaction that is open and that nobody will end; a
 * statement that was sent twice. */
#include "sql_driver.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 100, OWN_PARTS = 2 /* answers and tick; drivers hold more */ };

static void start_rollback(sql_tx *tx);

/* Transactions -------------------------------------------------------------------------------- */

static void free_if_over(sql_tx *tx)
{
    if (tx->state == TX_ENDED && tx->dropped)
        free(tx);
}

void sql_tx_drop(sql_tx *tx)
{
    tx->dropped = true;
    free_if_over(tx);
}

sql_code sql_tx_failure(const sql_tx *tx, const char **message)
{
    *message = tx->message;
    return tx->failure;
}

static void doom(sql_tx *tx, sql_code code, const char *message)
{
    if (tx->failure != SQL_OK)
        return;
    tx->failure = code;
    snprintf(tx->message, sizeof tx->message, "%s", message);
}

static void end_tx(sql_tx *tx)
{
    tx->state = TX_ENDED;
    list_remove(&tx->link);
    free_if_over(tx);
}

/* Who began it is gone, or took too long. */
static void look_after(sql_tx *tx, uint64_t now)
{
    bool late = now >= tx->deadline;
    if (tx->state != TX_OPEN || !(late || tx->dropped || tx->port->closing))
        return;
    if (late && !tx->dropped)
        doom(tx, SQL_TIMEOUT, "the transaction took too long and was rolled back");
    if (tx->running != NULL) {
        if (!late)
            atomic_store(&tx->running->cancelled, true);
        return; /* its answer comes in time, and then the rollback */
    }
    metrics_add(METRIC_SQL_ABANDONED, 1);
    start_rollback(tx);
}

static void after_answer(sql_tx *tx, sql_kind kind, sql_code code)
{
    tx->running = NULL;
    if (kind == SQL_COMMIT || kind == SQL_ROLLBACK || (kind == SQL_BEGIN && code != SQL_OK)) {
        tx->dropped = tx->dropped || kind == SQL_BEGIN;
        end_tx(tx);
    }
}

/* Answers ------------------------------------------------------------------------------------- */

static void count(const sql_op *op, sql_code code)
{
    static const slice names[] = {[SQL_QUERY] = SLICE("query"),
                                  [SQL_BEGIN] = SLICE("begin"),
                                  [SQL_COMMIT] = SLICE("commit"),
                                  [SQL_ROLLBACK] = SLICE("rollback")};
    uint64_t us = clock_us() - op->started_us;
    metrics_time(METRIC_SQL_SECONDS, names[op->kind], us);
    sql_log_slow(op, us);
    if (code == SQL_UNAVAILABLE || code == SQL_BUSY || code == SQL_TIMEOUT || code == SQL_FULL)
        metrics_add(METRIC_SQL_FAILURES, 1);
}

static void drop_op(sql_op *op)
{
    if (--op->refs > 0)
        return;
    sql_rows_free(&op->rows);
    free(op->params);
    free(op);
}

static sql_op *op_of(const sql_result *r)
{
    return (sql_op *)(uintptr_t)((const char *)r - offsetof(sql_op, result));
}

void sql_keep(const sql_result *r)
{
    op_of(r)->refs++;
}

void sql_release(const sql_result *r)
{
    drop_op(op_of(r));
}

/* The state of the transaction changes before done, which may look at it or go on with it. */
static void settle_tx(sql_op *op)
{
    sql_tx *tx = op->tx;
    sql_result *r = &op->result;
    if (op->kind == SQL_QUERY && r->code != SQL_OK)
        doom(tx, r->code, r->message);
    if (op->kind == SQL_BEGIN && r->code == SQL_OK) {
        tx->state = TX_OPEN;
        tx->deadline = clock_ms() + tx->options.timeout_ms;
        r->tx = tx;
    }
    if (op->undoes && r->code == SQL_OK)
        r->code = sql_op_say(op, tx->failure, "%s", tx->message);
}

static void answer(list *link)
{
    sql_op *op = LIST_ENTRY(link, sql_op, link);
    sql_port *p = op->port;
    sql_tx *tx = op->tx;
    sql_kind kind = op->kind;
    sql_code code = op->result.code;
    list_remove(&op->all_link);
    count(op, code);
    bool owns = tx != NULL && tx->running == op;
    if (owns)
        settle_tx(op);
    if (owns)
        after_answer(tx, kind, code);
    if (code == SQL_OK)
        sql_rows_seal(&op->rows, &op->result);
    if (op->done != NULL)
        op->done(&op->result, op->arg);
    drop_op(op);
    answers_count(&p->answers, -1);
}

static void settle(sql_op *op, sql_code code)
{
    op->result.code = code;
    op->result.detail = &op->detail;
    if (code == SQL_OK)
        op->result.message = NULL;
    else if (op->result.message == NULL)
        op->result.message = "the database could not do it";
}

void sql_op_finish(sql_op *op, sql_code code)
{
    settle(op, code);
    atomic_store(&op->begun, true); /* nothing to take back any more */
    answers_add(&op->port->answers, &op->link);
}

void sql_op_post(sql_op *op, sql_code code)
{
    settle(op, code);
    answers_post(&op->port->answers, &op->link);
}

/* Time ---------------------------------------------------------------------------------------- */

static void take_back(sql_op *op, const char *why)
{
    if (!op->port->db->driver->withdraw(op))
        return;
    metrics_add(METRIC_SQL_REFUSED, 1);
    if (op->message[0] == '\0') /* else the driver knows better */
        sql_op_say(op, SQL_UNAVAILABLE, "%s", why);
    sql_op_finish(op, SQL_UNAVAILABLE);
}

static void expire(sql_port *p, uint64_t now)
{
    LIST_FOR_EACH_SAFE (it, &p->all) {
        sql_op *op = LIST_ENTRY(it, sql_op, all_link);
        if (!atomic_load(&op->begun) && now > op->queued_at + p->db->options.wait_ms)
            take_back(op, "the database had no time for it; was it asked from inside a "
                          "transaction, beside it?");
    }
}

static void on_tick(uv_timer_t *timer)
{
    sql_port *p = timer->data;
    uint64_t now = clock_ms();
    expire(p, now);
    LIST_FOR_EACH_SAFE (it, &p->transactions)
        look_after(LIST_ENTRY(it, sql_tx, link), now);
    if (p->db->driver->port_tick != NULL)
        p->db->driver->port_tick(p, now);
    if (p->answers.pending == 0 && list_empty(&p->transactions) && p->parts == OWN_PARTS) {
        uv_timer_stop(&p->tick);
        p->ticking = false;
    }
}

static void tick(sql_port *p)
{
    if (p->ticking)
        return;
    p->ticking = true;
    uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
}

/* The port ------------------------------------------------------------------------------------ */

void sql_port_hold(sql_port *p)
{
    p->parts++;
}

void sql_port_release(sql_port *p)
{
    if (--p->parts == 0)
        free(p);
}

static void on_tick_closed(uv_handle_t *tick)
{
    sql_port_release(tick->data);
}

static void on_answers_closed(void *port)
{
    sql_port_release(port);
}

static void close_when_done(void *port)
{
    sql_port *p = port;
    if (!p->closing || p->gone || p->answers.pending > 0 || !list_empty(&p->transactions))
        return;
    p->gone = true;
    if (p->db->driver->port_close != NULL)
        p->db->driver->port_close(p);
    uv_close((uv_handle_t *)&p->tick, on_tick_closed);
    answers_close(&p->answers, on_answers_closed);
}

sql_port *sql_port_new(sql_db *db, uv_loop_t *loop)
{
    sql_port *p = mem_alloc(sizeof *p);
    p->db = db;
    p->loop = loop;
    p->parts = OWN_PARTS;
    list_init(&p->all);
    list_init(&p->transactions);
    uv_timer_init(loop, &p->tick);
    uv_unref((uv_handle_t *)&p->tick);
    p->tick.data = p;
    answers_init(&p->answers, loop, p, answer, close_when_done);
    if (db->driver->port_open != NULL)
        db->driver->port_open(p);
    return p;
}

void sql_port_close(sql_port *p)
{
    if (p->closing)
        return;
    p->closing = true;
    LIST_FOR_EACH_SAFE (it, &p->all) {
        sql_op *op = LIST_ENTRY(it, sql_op, all_link);
        atomic_store(&op->cancelled, true);
        if (!atomic_load(&op->begun))
            take_back(op, "the server is stopping");
    }
    LIST_FOR_EACH_SAFE (it, &p->transactions)
        look_after(LIST_ENTRY(it, sql_tx, link), clock_ms());
    tick(p);
    close_when_done(p);
}

void sql_close(sql_db *db)
{
    db->driver->close(db);
}

const char *sql_name(const sql_port *p)
{
    return p->db->driver->name;
}

sql_db *sql_open(const sql_options *options, char *error, size_t error_size)
{
    return options->url[0] != '\0' ? sql_pg_open(options, error, error_size)
                                   : sql_lite_open(options);
}

/* Operations ---------------------------------------------------------------------------------- */

static sql_op *new_op(sql_port *p, sql_tx *tx, sql_kind kind, slice text, sql_done done, void *arg)
{
    sql_op *op = mem_alloc(sizeof *op + text.n + 1);
    op->refs = 1;
    op->port = p;
    op->tx = tx;
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    op->started_us = clock_us();
    op->queued_at = clock_ms();
    op->timeout_ms = p->db->options.timeout_ms;
    op->max_rows = p->db->options.rows;
    op->max_bytes = p->db->options.bytes;
    memcpy(op->bytes, text.n > 0 ? text.p : "", text.n);
    op->text = (slice){op->bytes, text.n};
    list_append(&p->all, &op->all_link);
    answers_count(&p->answers, 1);
    tick(p);
    return op;
}

static void submit(sql_op *op)
{
    if (op->tx != NULL)
        op->tx->running = op;
    op->port->db->driver->submit(op);
}

/* SQL_OK: the transaction may go on. */
static sql_code check_tx(sql_op *op, const sql_tx *tx)
{
    if (tx->running != NULL)
        return sql_op_say(op, SQL_FAILED, "a transaction does one statement at a time");
    if (tx->failure != SQL_OK)
        return sql_op_say(op, tx->failure == SQL_TIMEOUT ? SQL_TIMEOUT : SQL_ABORTED,
                          "the transaction has failed before: %.400s", tx->message);
    if (tx->state != TX_OPEN)
        return sql_op_say(op, SQL_ABORTED, "the transaction has ended");
    return SQL_OK;
}

void sql_query(sql_port *p, sql_tx *tx, const sql_statement *s, sql_done done, void *arg)
{
    slice text = s->text.n <= SQL_TEXT_MAX ? s->text : (slice){"", 0};
    sql_op *op = new_op(p, tx, SQL_QUERY, text, done, arg);
    if (s->timeout_ms > 0)
        op->timeout_ms = s->timeout_ms;
    if (s->max_rows > 0)
        op->max_rows = s->max_rows;
    sql_code code = sql_op_check(op, s);
    if (code == SQL_OK && tx != NULL)
        code = check_tx(op, tx);
    if (code == SQL_OK && p->closing)
        code = sql_op_say(op, SQL_UNAVAILABLE, "the server is stopping");
    if (code != SQL_OK) {
        if (tx != NULL && tx->running == NULL)
            doom(tx, code, op->message);
        sql_op_finish(op, code);
        return;
    }
    sql_op_copy(op, s);
    submit(op);
}

void sql_begin(sql_port *p, const sql_tx_options *options, sql_done done, void *arg)
{
    sql_tx *tx = mem_alloc(sizeof *tx);
    tx->port = p;
    tx->options = *options;
    if (tx->options.timeout_ms == 0)
        tx->options.timeout_ms = p->db->options.transaction_ms;
    list_init(&tx->ops);
    list_append(&p->transactions, &tx->link);
    sql_op *op = new_op(p, tx, SQL_BEGIN, (slice){"", 0}, done, arg);
    op->reads = options->read_only;
    if (!p->closing) {
        submit(op);
        return;
    }
    tx->running = op;
    sql_op_finish(op, sql_op_say(op, SQL_UNAVAILABLE, "the server is stopping"));
}

static void end(sql_tx *tx, sql_kind kind, sql_done done, void *arg)
{
    sql_op *op = new_op(tx->port, tx, kind, (slice){"", 0}, done, arg);
    sql_code code = SQL_OK;
    if (tx->state != TX_OPEN)
        code = tx->failure != SQL_OK ? sql_op_say(op, tx->failure, "%s", tx->message)
                                     : sql_op_say(op, SQL_ABORTED, "the transaction has ended");
    else if (tx->running != NULL)
        code = sql_op_say(op, SQL_FAILED, "a statement of the transaction still runs");
    if (code != SQL_OK) {
        sql_op_finish(op, code);
        return;
    }
    tx->state = TX_ENDING;
    submit(op);
}

static void start_rollback(sql_tx *tx)
{
    end(tx, SQL_ROLLBACK, NULL, NULL);
}

void sql_commit(sql_tx *tx, sql_done done, void *arg)
{
    if (tx->failure == SQL_OK || tx->state != TX_OPEN || tx->running != NULL) {
        end(tx, SQL_COMMIT, done, arg);
        return;
    }
    end(tx, SQL_ROLLBACK, done, arg);
    tx->running->undoes = true;
}

void sql_rollback(sql_tx *tx, sql_done done, void *arg)
{
    if (done == NULL && tx->state == TX_OPEN && tx->running != NULL) {
        atomic_store(&tx->running->cancelled, true); /* the tick ends it after its answer */
        return;
    }
    if (done == NULL && tx->state == TX_OPEN)
        metrics_add(METRIC_SQL_ABANDONED, 1);
    if (done != NULL || tx->state == TX_OPEN)
        end(tx, SQL_ROLLBACK, done, arg);
}
