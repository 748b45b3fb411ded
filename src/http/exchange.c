/* The life of an exchange, and what its handler may know about it.
 *
 *   born (http_conn) --announce--> OPEN --answer complete: exchange_settle--> ANSWERED
 *                                   \--exchange_abandon--> ABANDONED             |
 *   freed when both have happened: settled, and exchange_release <--------------/
 *
 * Owner: the http_conn until it is answered, then its task alone. What must never happen: two
 * reports of one exchange, a pointer to the connection after x->hc is NULL. */
#include "http_internal.h"

#include "clock.h"
#include <stdatomic.h>

static _Atomic size_t alive;

void exchange_born(exchange *x, http_conn *hc)
{
    x->hc = hc;
    x->handler = hc->handler;
    x->started_us = clock_us();
    x->method = x->target = x->path = x->query = x->route = SLICE("");
    x->minor = 1;
    x->status = 200;
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
}

static void bury(exchange *x)
{
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    body_free(x);
    http_worker_recycle(x->worker, x);
}

void exchange_settle(exchange *x, int status)
{
    const http_handler *handler = x->handler;
    if (!x->settled && handler->on_done != NULL)
        handler->on_done(x, status, clock_us() - x->started_us, x->sent, handler->arg);
    x->settled = true;
    x->hc = NULL;
    if (x->released && x->on_abandon == NULL)
        bury(x);
}

void exchange_keep(exchange *x, void (*on_abandon)(exchange *x, void *arg), void *arg)
{
    x->on_abandon = on_abandon;
    x->keeper_arg = arg;
}

void exchange_let_go(exchange *x)
{
    x->on_abandon = NULL;
    if (x->released)
        exchange_release(x);
}

void exchange_abandon(exchange *x)
{
    x->hc = NULL;
    if (x->file != NULL) {
        file_peer_gone(x);
        return;
    }
    void (*on_abandon)(exchange *, void *) = x->on_abandon;
    bool tell = x->announced && !x->released;
    exchange_settle(x, 499);
    if (on_abandon != NULL)
        on_abandon(x, x->keeper_arg);
    else if (tell)
        x->handler->on_abandon(x, x->handler->arg);
}

void exchange_release(exchange *x)
{
    x->released = true;
    if (x->on_abandon != NULL)
        return; /* its keeper will let it go */
    /* Tasks that still wait here are others than the one that has ended. */
    body_dismiss(x);
    response_drained(x);
    if (x->settled) {
        bury(x);
        return;
    }
    if (x->answered)
        return; /* a file is on its way */
    if (x->begun)
        conn_abort(x->hc->c);
    else
        exchange_fail(x, 500, "internal", "the handler ended without an answer", false);
}

slice exchange_method(const exchange *x)
{
    return x->method;
}

slice exchange_path(const exchange *x)
{
    return x->path;
}

slice exchange_method_path(const exchange *x)
{
    const char *behind = x->method.p + x->method.n + 1;
    return x->path.p == behind ? (slice){x->method.p, x->method.n + 1 + x->path.n} : SLICE("");
}

slice exchange_query(const exchange *x)
{
    return x->query;
}

slice exchange_target(const exchange *x)
{
    return x->target;
}

int exchange_minor(const exchange *x)
{
    return x->minor;
}

slice exchange_id(const exchange *x)
{
    return x->id;
}

slice exchange_header(const exchange *x, slice name)
{
    for (size_t i = 0; i < x->header_count; i++)
        if (slice_ieq(x->headers[i].name, name))
            return x->headers[i].value;
    return (slice){0};
}

const http_header *exchange_headers(const exchange *x, size_t *count)
{
    *count = x->header_count;
    return x->headers;
}

conn *exchange_conn(const exchange *x)
{
    return x->hc != NULL ? x->hc->c : NULL;
}

const http_limits *exchange_limits(const exchange *x)
{
    return x->handler->limits;
}

arena *exchange_arena(exchange *x)
{
    return &x->arena;
}

void exchange_set_data(exchange *x, void *data)
{
    x->data = data;
}

void *exchange_data(const exchange *x)
{
    return x->data;
}

void exchange_set_route(exchange *x, slice route)
{
    x->route = route;
}

slice exchange_route(const exchange *x)
{
    return x->route;
}

bool exchange_answered(const exchange *x)
{
    return x->answered;
}

size_t exchange_alive(void)
{
    return atomic_load_explicit(&alive, memory_order_relaxed);
}
