/* One connection to an origin.
 *
 *   new --begin--> HEAD --head--> LENGTH | CHUNKED | UNTIL_CLOSE --whole--> IDLE --begin--> ...
 *                    \--fault, end, limit: closed-------------/               \--any byte: closed
 *
 * A request that is sent on a kept connection may meet its end: when not a byte of the answer has
 * come, and the request may be repeated, it goes out once more on a new one (client_lost).
 *
 * Owner: its conn; freed in on_close. What must never happen: a connection kept whose last answer
 * was not read to its end or broke a rule. */
#include "client_internal.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

static void leave_idle(client_link *l)
{
    if (l->state != LINK_IDLE)
        return;
    list_remove(&l->node);
    list_remove(&l->age);
    l->origin->cl->idle_count--;
    l->state = LINK_HEAD;
}

void client_link_close(client_link *l, bool abort)
{
    leave_idle(l);
    l->keep = false;
    buf_free(&l->saved);
    if (abort)
        conn_abort(l->c);
    else
        conn_close(l->c);
}

/* Sending -------------------------------------------------------------------------------------- */

/* The upstream's time to answer begins when it has the whole request. */
static uint64_t first_wait(const client_request *r)
{
    return r->has_stream && !r->stream_ended ? 0 : r->first_byte_ms;
}

static void tell_writable(client_request *r)
{
    if (client_room(r) && r->ops->on_writable != NULL)
        r->ops->on_writable(r);
}

void client_link_begin(client_link *l, client_request *r)
{
    l->r = r;
    r->link = l;
    l->heard = l->ended = l->keep = l->paused = false;
    l->interim = 0;
    l->state = LINK_HEAD;
    client_read_start(l);
    conn_rest(l->c, false);
    conn_deadline(l->c, 0);
    bool corked = conn_cork(l->c);
    conn_write(l->c, r->head.data, r->head.len);
    r->sent_body = r->has_body;
    client_arm(r, first_wait(r));
    tell_writable(r);
    if (corked)
        conn_uncork(l->c);
}

bool client_room(const client_request *r)
{
    return r->link != NULL && r->has_stream && !r->stream_ended && !conn_closing(r->link->c) &&
           conn_queued(r->link->c) < CLIENT_WAITS;
}

bool client_was_sent(const client_request *r)
{
    return r->was_sent || (r->link != NULL && !conn_handshaking(r->link->c));
}

void client_send(client_request *r, slice data)
{
    if (r->link == NULL || r->stream_ended || data.n == 0)
        return;
    conn *c = r->link->c;
    bool corked = conn_cork(c);
    r->sent_body = true;
    if (r->stream == CLIENT_CHUNKED) {
        char line[20];
        int n = snprintf(line, sizeof line, "%zx\r\n", data.n);
        conn_write(c, line, (size_t)n);
        conn_write(c, data.p, data.n);
        conn_write(c, "\r\n", 2);
    } else {
        slice part = {data.p, data.n < (uint64_t)r->stream ? data.n : (size_t)r->stream};
        conn_write(c, part.p, part.n);
        r->stream -= (int64_t)part.n;
    }
    if (corked)
        conn_uncork(c);
}

void client_send_end(client_request *r)
{
    if (r->link == NULL || r->stream_ended)
        return;
    r->stream_ended = true;
    if (r->stream == CLIENT_CHUNKED)
        conn_write(r->link->c, "0\r\n\r\n", 5);
    r->sent_body = true;
    if (r->link->state == LINK_HEAD)
        client_arm(r, r->first_byte_ms);
}

/* What the connection reports ------------------------------------------------------------------ */

static void on_data(conn *c, const char *data, size_t n)
{
    client_read(conn_owner(c), data, n);
}

static void on_drain(conn *c)
{
    client_link *l = conn_owner(c);
    if (l->r != NULL)
        tell_writable(l->r);
}

/* Only an idle one has a deadline of its own. */
static void on_deadline(conn *c)
{
    client_link *l = conn_owner(c);
    if (l->state == LINK_IDLE)
        client_link_close(l, false);
}

static void on_close(conn *c)
{
    client_link *l = conn_owner(c);
    client_request *r = l->r;
    const char *tls = conn_tls_failure(c);
    bool handshaking = conn_handshaking(c), silent = l->reused && !l->heard;
    leave_idle(l);
    client_origin *o = l->origin;
    buf_free(&l->saved);
    free(l);
    client_origin_drop(o);
    if (r == NULL)
        return;
    r->link = NULL;
    r->was_sent = r->was_sent || !handshaking;
    if (handshaking)
        client_lost(r, false, CLIENT_TLS, *tls != '\0' ? tls : "the TLS handshake was cut off");
    else
        client_lost(r, silent, CLIENT_RESET, "the connection was lost before the answer was whole");
}

void client_link_taken(client_link *l)
{
    client_origin *o = l->origin;
    buf_free(&l->saved);
    free(l);
    client_origin_drop(o);
}

static const conn_ops link_ops = {on_data, on_drain, on_deadline, on_close};

client_link *client_link_new(client_origin *o, conn *c)
{
    client_link *l = mem_alloc(sizeof *l);
    l->c = c;
    l->origin = o;
    list_init(&l->node);
    list_init(&l->age);
    conn_set_owner(c, &link_ops, l);
    return l;
}

/* Back-pressure -------------------------------------------------------------------------------- */

void client_pause(client_request *r)
{
    if (r->link == NULL || r->link->paused)
        return;
    r->link->paused = true;
    conn_pause(r->link->c);
    client_arm(r, 0); /* it is not the upstream that is slow */
}

void client_resume(client_request *r)
{
    client_link *l = r->link;
    if (l == NULL || !l->paused)
        return;
    l->paused = false;
    conn_resume(l->c);
    client_arm(r, r->idle_ms);
    if (!l->processing)
        client_read(l, "", 0);
}

/* Forgetting: what still comes goes nowhere ---------------------------------------------------- */

static void ignore_head(client_request *r, const client_answer *answer)
{
    (void)r, (void)answer;
}

static void ignore_body(client_request *r, slice data)
{
    (void)r, (void)data;
}

static void ignore_end(client_request *r, client_code code, const char *why)
{
    (void)r, (void)code, (void)why;
}

static void ignore_upgrade(client_request *r, const client_answer *answer, conn *c, slice rest)
{
    (void)r, (void)answer, (void)rest;
    conn_abort(c);
}

void client_forget(client_request *r)
{
    static const client_ops ignore = {ignore_head, ignore_body,    ignore_end,
                                      NULL,        ignore_upgrade, NULL};
    r->ops = &ignore;
    r->forgotten = true;
    r->cl->forgotten++;
}
