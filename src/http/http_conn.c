/* HTTP/1.1 on one connection: reads requests, one exchange at a time, and goes on when it is
 * answered.
 *
 *            +----------------- http_conn_answered, body done ------------------------+
 *            v                                                                        |
 * REFUSED  HEAD --head complete--> BODY --body done--> WAIT --http_conn_answered------+
 *     \      \                      \--answered: the rest is read away--> BODY (x == NULL)
 *      \      \--refuse, EOF, deadline: 4xx/408---->/
 *       \--first bytes: 503--> CLOSED <--no keep-alive--/        exchange_take: freed
 *
 * Bytes are used from where they were read; what cannot be used yet (half a head, pipelined
 * requests while one is in flight, a body nobody asks for) is saved, bounded, and reading pauses.
 * One loop (process) does it all: an answer given inside it only changes the state, so 500
 * pipelined requests need no stack, and all their answers leave in few writes.
 *
 * While a request waits for its answer the connection is read on (up to PENDING_LIMIT), or the
 * peer's end would go unnoticed. A peer that ends its side gets HALF_CLOSED_MS for an answer that
 * is on its way; then the exchange is abandoned.
 *
 * Owner: the conn, until on_close or exchange_take. What must never happen: a byte of a request
 * body taken for a request, a recursion through an answer. */
#include "http_internal.h"

#include "mem.h"
#include <stdlib.h>

static void on_data(conn *c, const char *data, size_t n);
static void on_drain(conn *c);
static void on_deadline(conn *c);
static void on_close(conn *c);
static const conn_ops http_ops = {on_data, on_drain, on_deadline, on_close};

void http_conn_start(conn *c, const http_handler *handler, const char *refusal)
{
    http_conn *hc = mem_alloc(sizeof *hc);
    hc->c = c;
    hc->handler = handler;
    hc->worker = http_worker_of(c);
    hc->refusal = refusal;
    hc->state = refusal != NULL ? H_REFUSED : H_HEAD;
    conn_set_owner(c, &http_ops, hc);
    conn_deadline(c, refusal != NULL ? REFUSED_MS : handler->limits->header_ms);
}

void http_conn_free(http_conn *hc)
{
    buf_free(&hc->saved);
    free(hc);
}

void http_conn_close(http_conn *hc)
{
    hc->state = H_CLOSED;
    buf_free(&hc->saved);
    conn_close(hc->c);
}

/* The loop ---------------------------------------------------------------------------------- */

static bool answers_pile_up(http_conn *hc)
{
    hc->piled = conn_queued(hc->c) >= ANSWERS_LIMIT;
    if (hc->piled) {
        conn_flush(hc->c);
        hc->piled = conn_queued(hc->c) >= ANSWERS_LIMIT;
    }
    return hc->piled;
}

/* False: nothing more can be done now. */
static bool step(http_conn *hc, slice *in)
{
    switch (hc->state) {
    case H_HEAD:
        return in->n > 0 && !answers_pile_up(hc) && http_read_head(hc, in);
    case H_BODY:
        return http_read_body(hc, in);
    case H_REFUSED:
        if (in->n > 0)
            http_refuse(hc, 503, hc->refusal);
        return false;
    default:
        return false;
    }
}

static void save(http_conn *hc, buf *held, slice rest)
{
    if (hc->state == H_CLOSED || hc->deaf || rest.n == 0)
        return;
    if (held->len == 0) {
        buf_append_slice(&hc->saved, rest);
        return;
    }
    buf_consume(held, held->len - rest.n);
    hc->saved = *held;
    *held = (buf){0};
}

/* Of the present window of the body's rate, what is left. */
static uint64_t window_left(const http_conn *hc)
{
    uint64_t end = hc->window_at + hc->handler->limits->body_grace_ms, now = conn_now(hc->c);
    return end > now ? end - now : 1;
}

static void set_deadline(http_conn *hc)
{
    const http_limits *limits = hc->handler->limits;
    bool answered = hc->x != NULL && hc->x->answered;
    if (hc->state == H_BODY && !answered) {
        conn_deadline(hc->c, http_window_open(hc) ? window_left(hc) : 0);
    } else if (hc->state != H_HEAD) {
        conn_deadline(hc->c, conn_peer_ended(hc->c) && !answered ? HALF_CLOSED_MS : 0);
    } else if (hc->piled) {
        conn_deadline(hc->c, 0);
    } else if (hc->saved.len == 0) {
        if (hc->served)
            conn_deadline(hc->c, limits->idle_ms);
    } else if (!hc->in_head) {
        hc->in_head = true;
        if (hc->served) /* the first head's deadline runs since the connection began */
            conn_deadline(hc->c, limits->header_ms);
    }
}

static void settle_down(http_conn *hc)
{
    if (hc->state == H_CLOSED || hc->state == H_REFUSED)
        return;
    if (hc->state == H_HEAD && !hc->piled &&
        (conn_peer_ended(hc->c) || (hc->draining && hc->saved.len == 0))) {
        http_conn_close(hc);
        return;
    }
    bool reading = hc->state == H_HEAD && !hc->piled; /* the head's own limits hold */
    if (!reading && hc->saved.len >= PENDING_LIMIT)
        conn_pause(hc->c);
    else
        conn_resume(hc->c);
    set_deadline(hc);
}

/* What came behind the request belongs to the new owner. */
static void hand_over(conn *c, slice rest)
{
    const conn_ops *ops = conn_get_ops(c);
    if (rest.n > 0 && ops != NULL && ops->on_data != NULL && !conn_closing(c))
        ops->on_data(c, rest.p, rest.n);
}

static void process(http_conn *hc, const char *data, size_t n)
{
    conn *c = hc->c;
    buf held = hc->saved;
    hc->saved = (buf){0};
    slice in = {data, n};
    if (held.len > 0) {
        buf_append(&held, data, n);
        in = (slice){held.data, held.len};
    }
    bool corked = conn_cork(c);
    hc->processing = true;
    while (step(hc, &in) && !hc->taken)
        ;
    hc->processing = false;
    if (hc->taken) {
        http_conn_free(hc);
        hand_over(c, in);
    } else {
        save(hc, &held, in);
        settle_down(hc);
    }
    if (corked)
        conn_uncork(c);
    buf_free(&held);
}

void http_conn_answered(http_conn *hc, bool keep)
{
    hc->x = NULL;
    if (!keep || hc->deaf)
        http_conn_close(hc);
    else
        hc->state = hc->body_done ? H_HEAD : H_BODY;
    if (!hc->processing)
        process(hc, "", 0);
}

void http_conn_body_wanted(http_conn *hc)
{
    hc->window_at = conn_now(hc->c);
    hc->window_bytes = 0;
    if (!hc->processing)
        process(hc, "", 0);
}

bool http_conn_body_small(const http_conn *hc)
{
    return hc->body_done || (!hc->is_chunked && hc->body_left <= DRAIN_LIMIT);
}

conn *http_conn_take(http_conn *hc)
{
    conn *c = hc->c;
    hc->x = NULL;
    hc->taken = true;
    hc->state = H_CLOSED;
    conn_set_owner(c, NULL, NULL);
    conn_deadline(c, 0);
    conn_resume(c);
    if (!hc->processing)
        http_conn_free(hc);
    return c;
}

/* What the connection reports ---------------------------------------------------------------- */

static void on_peer_ended(http_conn *hc)
{
    if (hc->state == H_REFUSED || (hc->state == H_BODY && hc->x == NULL))
        http_conn_close(hc);
    else if (hc->state == H_BODY && !hc->body_done) {
        hc->state = H_WAIT;
        http_body_fault(hc, 400);
    }
    if (hc->state != H_CLOSED)
        process(hc, "", 0);
}

static void on_data(conn *c, const char *data, size_t n)
{
    http_conn *hc = conn_owner(c);
    if (n == 0)
        on_peer_ended(hc);
    else if (!hc->deaf)
        process(hc, data, n);
}

static void on_drain(conn *c)
{
    http_conn *hc = conn_owner(c);
    if (hc->x != NULL && hc->x->file != NULL)
        file_drained(hc->x);
    else if (hc->x != NULL)
        response_drained(hc->x);
    else if (hc->piled)
        process(hc, "", 0);
}

static void body_deadline(http_conn *hc)
{
    const http_limits *limits = hc->handler->limits;
    if (hc->window_bytes < limits->body_rate * limits->body_grace_ms / 1000) {
        hc->state = H_WAIT;
        http_body_fault(hc, 408);
        return;
    }
    hc->window_at = conn_now(hc->c);
    hc->window_bytes = 0;
    set_deadline(hc);
}

static void on_deadline(conn *c)
{
    http_conn *hc = conn_owner(c);
    if (hc->state == H_BODY)
        body_deadline(hc);
    else if (hc->state == H_WAIT && hc->x != NULL && hc->x->answered)
        return; /* a file is on its way; the write queue has a deadline of its own */
    else if (hc->state == H_WAIT)
        conn_abort(c);
    else if (hc->state == H_HEAD && hc->saved.len > 0)
        http_refuse(hc, 408, "the request's head took too long");
    else
        http_conn_close(hc);
}

static void on_close(conn *c)
{
    http_conn *hc = conn_owner(c);
    exchange *x = hc->x;
    http_conn_free(hc);
    if (x != NULL)
        exchange_abandon(x);
}

void http_conn_drain(conn *c)
{
    if (conn_get_ops(c) != &http_ops)
        return;
    http_conn *hc = conn_owner(c);
    hc->draining = true;
    if (hc->state == H_HEAD && hc->saved.len == 0 && !hc->processing && !hc->piled)
        conn_deadline(c, DRAIN_MS);
}
