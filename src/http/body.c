/* The request's body, pulled by the handler. Until it asks, at most body_window bytes are held and
 * then reading pauses; asking for the whole lets it grow to the limit, asking for pieces hands over
 * what has come and never holds more than the window.
 *
 * x->body gathers, x->piece is what the handler was given last. A small body of declared length
 * lies in the arena. What must never happen: on_body called inside the call that asks. */
#include "http_internal.h"

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

const char *body_fault_text(int status)
{
    switch (status) {
    case 413:
        return "the body is larger than this address takes";
    case 408:
        return "the body came too slowly";
    default:
        return "the body is malformed or incomplete";
    }
}

static body_status fault_status(const exchange *x)
{
    if (x->body_fault == 408)
        return BODY_SLOW;
    return x->body_fault == 413 ? BODY_LARGE : BODY_ABORTED;
}

void body_free(exchange *x)
{
    if (!x->body_inline)
        buf_free(&x->body);
    buf_free(&x->piece);
}

static void append(exchange *x, slice data)
{
    if (x->body.data == NULL && x->body_declared > 0 && x->body_declared <= BODY_IN_ARENA &&
        x->mode != READ_SOME) {
        x->body.data = arena_alloc(&x->arena, (size_t)x->body_declared);
        x->body.cap = (size_t)x->body_declared;
        x->body_inline = true;
    }
    buf_append_slice(&x->body, data);
}

bool body_take(exchange *x, slice data)
{
    if (x->mode == READ_ALL && x->body.len + data.n > x->body_limit)
        return false;
    append(x, data);
    return true;
}

bool body_wants_more(const exchange *x)
{
    return x->mode == READ_ALL || x->body.len < x->handler->limits->body_window;
}

static slice next_piece(exchange *x)
{
    if (x->body_inline) { /* it all came before the first piece was asked for */
        slice all = {x->body.data, x->body.len};
        x->body = (buf){0};
        x->body_inline = false;
        x->body_declared = 0;
        return all;
    }
    buf_free(&x->piece);
    x->piece = x->body;
    x->body = (buf){0};
    return (slice){x->piece.data, x->piece.len};
}

static void tell(exchange *x, body_status status, slice data)
{
    exchange_on_body on_body = x->on_body;
    x->on_body = NULL;
    on_body(x, status, data, x->body_arg);
}

static slice whole(const exchange *x)
{
    return x->body.len > 0 ? (slice){x->body.data, x->body.len} : SLICE("");
}

void body_progress(exchange *x)
{
    x->body_done = x->hc->body_done;
    if (x->on_body == NULL)
        return;
    if (x->mode == READ_SOME && x->body.len > 0)
        tell(x, BODY_WHOLE, next_piece(x));
    else if (x->body_fault != 0)
        tell(x, fault_status(x), SLICE(""));
    else if (x->body_done && x->mode == READ_SOME)
        tell(x, BODY_END, SLICE(""));
    else if (x->body_done)
        tell(x, BODY_WHOLE, whole(x));
}

/* Lets the connection read on, without calling back. */
static void want(exchange *x, read_mode mode)
{
    x->mode = mode;
    if (x->hc == NULL || x->body_done)
        return;
    if (x->expect && x->body.len == 0)
        conn_write(x->hc->c, go_on, sizeof go_on - 1);
    x->expect = false;
    http_conn_body_wanted(x->hc);
}

void body_dismiss(exchange *x)
{
    if (x->on_body != NULL)
        tell(x, BODY_ABORTED, SLICE(""));
}

/* Whoever has waited until now waits no more: there is one reader. */
static body_status wait(exchange *x, exchange_on_body on_body, void *arg)
{
    if (x->hc == NULL)
        return BODY_ABORTED;
    if (x->body_arg != arg)
        body_dismiss(x);
    x->on_body = on_body;
    x->body_arg = arg;
    return BODY_WAIT;
}

body_status exchange_read_all(exchange *x, size_t limit, slice *data, exchange_on_body on_body,
                              void *arg)
{
    x->body_limit = limit != 0 ? limit : x->handler->limits->body;
    if (x->body_fault == 0 && (x->body_declared > x->body_limit || x->body.len > x->body_limit))
        return BODY_LARGE;
    if (x->body_fault == 0)
        want(x, READ_ALL);
    if (x->body_fault != 0)
        return fault_status(x);
    if (!x->body_done)
        return wait(x, on_body, arg);
    *data = whole(x);
    return BODY_WHOLE;
}

body_status exchange_read_some(exchange *x, slice *data, exchange_on_body on_body, void *arg)
{
    if (x->body_fault == 0)
        want(x, READ_SOME);
    if (x->body.len > 0) {
        *data = next_piece(x);
        return BODY_WHOLE;
    }
    if (x->body_fault != 0)
        return fault_status(x);
    return x->body_done ? BODY_END : wait(x, on_body, arg);
}

void exchange_read_cancel(exchange *x)
{
    x->on_body = NULL;
}
