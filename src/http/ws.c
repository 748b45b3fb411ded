/* WebSockets: the connection's side of ws_frame, and a member of the audience.
 *
 *   OPEN --ws_close: our close frame--> CLOSING --theirs, or CLOSE_MS--> ENDED
 *     \--their close frame, fail, the peer's end: finish-------------------->/
 *   ENDED --on_close of the connection--> freed
 *
 * What it is subscribed to is ws_topics.c's. A client whose queue is over the bound is closed, so
 * that one slow client costs at most the bound. Bytes that
 * come while reading is paused lie in `rest`, at most what one read brought. Any byte from the peer
 * counts as the answer to a ping: a pong may lie behind a long message.
 *
 * A client that has agreed on keys gets every message sealed for it: the shared frame is read, and
 * one for this client is made when it goes to the wire, so that the numbers have no holes.
 *
 * Owner: the connection. What must never happen: a call upward after on_close; a subscription after
 * the start of closing; a message in the clear after ws_seal. */
#include "ws_private.h"

#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "ws_pack.h"
#include <stdlib.h>

enum { CLOSE_MS = 1000 };

/* Closing ----------------------------------------------------------------------------------- */

static void tell(ws *w, int code, slice reason)
{
    if (w->told)
        return;
    w->told = true;
    audience_leave(&w->member, &(audience_end){code, {"", 0}, reason});
    w->ops->on_close(w, code, reason);
}

static void write_close(ws *w, int code, slice reason)
{
    char bytes[WS_CONTROL_MAX + 2];
    conn_write(w->c, bytes, ws_put_close(bytes, code, reason));
}

/* The TCP side ends; what is queued is still sent, for as long as a close may take. */
static void finish(ws *w, int code, slice reason)
{
    w->state = WS_IS_ENDED;
    subscriptions_leave(&w->topics);
    conn_close(w->c);
    tell(w, code, reason);
}

static void fail(ws *w, int code, const char *why)
{
    if (w->state == WS_IS_OPEN)
        write_close(w, code, slice_of(why));
    finish(w, code, slice_of(why));
}

void ws_close(ws *w, int code, slice reason)
{
    if (w->state != WS_IS_OPEN)
        return;
    w->state = WS_IS_CLOSING;
    subscriptions_leave(&w->topics);
    write_close(w, code, reason);
    conn_deadline(w->c, CLOSE_MS);
    tell(w, code, reason);
    ws_resume(w);
}

/* Sending ----------------------------------------------------------------------------------- */

static const slice no_topic = SLICE_INIT("");

static void give_up_slow(ws *w, slice topic)
{
    metrics_add(METRIC_WS_SLOW, 1);
    audience_slow(&w->member, topic, conn_queued(w->c), "closed");
    ws_close(w, WS_TRY_AGAIN, SLICE("the client reads too slowly"));
}

/* A single message over the bound may go when nothing waits. */
bool ws_has_room(ws *w, slice topic, size_t n)
{
    size_t queued = conn_queued(w->c);
    if (w->state == WS_IS_OPEN && queued > 0 && queued + n > w->limits->queue)
        give_up_slow(w, topic);
    return w->state == WS_IS_OPEN;
}

static bool write_small(ws *w, ws_opcode opcode, slice data)
{
    char header[WS_HEADER_MAX];
    size_t n = ws_put_header(header, opcode, false, data.n);
    if (!ws_has_room(w, no_topic, n + data.n))
        return false;
    char *room = conn_reserve(w->c, n + data.n);
    memcpy(room, header, n);
    if (data.n > 0)
        memcpy(room + n, data.p, data.n);
    conn_commit(w->c, n + data.n);
    return true;
}

static void count_sent(ws *w)
{
    w->member.delivered++;
    metrics_add(METRIC_WS_SENT, 1);
}

/* A key that is used up ends the connection: the client comes back with a new one. */
static bool write_sealed(ws *w, slice data)
{
    buf sealed = {0};
    bool good = seal_text_close(&w->keys->out, data, &sealed);
    if (!good)
        ws_close(w, WS_GOING_AWAY, SLICE("the keys are used up"));
    good = good && write_small(w, WS_TEXT, (slice){sealed.data, sealed.len});
    buf_free(&sealed);
    if (good)
        count_sent(w);
    return good;
}

bool ws_write_frame(ws *w, frame *f)
{
    if (w->keys != NULL)
        return write_sealed(w, ws_frame_data(f));
    conn_write_frame(w->c, f);
    count_sent(w);
    return true;
}

static bool send_packed(ws *w, frame *packed)
{
    bool sent = ws_has_room(w, no_topic, packed->len) && ws_write_frame(w, packed);
    frame_drop(packed);
    return sent;
}

bool ws_send(ws *w, ws_opcode opcode, slice data)
{
    if (w->state == WS_IS_OPEN && w->keys != NULL)
        return write_sealed(w, data);
    frame *packed = w->packs && w->state == WS_IS_OPEN ? ws_pack(opcode, data) : NULL;
    if (packed != NULL)
        return send_packed(w, packed);
    if (!write_small(w, opcode, data))
        return false;
    count_sent(w);
    return true;
}

bool ws_can_seal(const ws *w)
{
    return w->keys == NULL && w->topics.count == 0;
}

void ws_seal(ws *w, seal_channel *keys)
{
    w->keys = keys;
    w->packs = false; /* ciphertext does not get smaller */
}

seal_result ws_unseal(ws *w, slice text, buf *out)
{
    return w->keys != NULL ? seal_text_open(&w->keys->in, text, out) : SEAL_BROKEN;
}

/* As a member of the audience ---------------------------------------------------------------- */

static ws *ws_of(const audience_member *m)
{
    return LIST_ENTRY(m, ws, member);
}

static void member_end(audience_member *m, const audience_end *why)
{
    ws_close(ws_of(m), why->code, why->reason.n > 0 ? why->reason : why->word);
}

static void member_topics(const audience_member *m, void (*fn)(slice topic, void *arg), void *arg)
{
    subscriptions_each(&ws_of(m)->topics, fn, arg);
}

static bool member_unsubscribe(audience_member *m, slice topic)
{
    return ws_unsubscribe(ws_of(m), topic);
}

static void member_say(audience_member *m, slice text)
{
    ws_send(ws_of(m), WS_TEXT, text);
}

static const audience_ops member_ops = {"ws", member_end, member_topics, member_unsubscribe,
                                        member_say};

audience_member *ws_member(ws *w)
{
    return &w->member;
}

/* Receiving --------------------------------------------------------------------------------- */

static void on_peer_close(ws *w, const ws_message *m)
{
    if (w->state == WS_IS_OPEN)
        write_close(w, m->code, (slice){0});
    finish(w, m->code, m->data);
}

static void take_data(ws *w, ws_opcode opcode, slice data)
{
    metrics_add(METRIC_WS_RECEIVED, 1);
    w->ops->on_message(w, opcode == WS_BINARY, data);
}

static void take_packed(ws *w, const ws_message *m)
{
    buf data = {0};
    const char *why;
    int code = ws_unpack(m, w->limits, &data, &why);
    if (code != 0)
        fail(w, code, why);
    else
        take_data(w, m->opcode, (slice){data.data != NULL ? data.data : "", data.len});
    buf_free(&data);
}

static void take_message(ws *w, const ws_message *m)
{
    if (m->opcode == WS_CLOSE) {
        on_peer_close(w, m);
        return;
    }
    if (w->state != WS_IS_OPEN)
        return;
    if (!bucket_take(&w->rate, w->limits->rate, conn_now(w->c))) {
        fail(w, WS_POLICY, "more messages a second than are allowed here");
        return;
    }
    if (m->opcode == WS_PING)
        write_small(w, WS_PONG, m->data);
    if (m->opcode != WS_TEXT && m->opcode != WS_BINARY)
        return;
    if (m->compressed)
        take_packed(w, m);
    else
        take_data(w, m->opcode, m->data);
}

/* Returns what is not used, because reading was paused. */
static slice feed(ws *w, slice in)
{
    ws_message m;
    w->feeding = true;
    while (w->state != WS_IS_ENDED && !w->paused) {
        ws_result result = ws_parse(&w->parser, &in, &m);
        if (result == WS_READY)
            take_message(w, &m);
        else if (result == WS_BAD)
            fail(w, w->parser.code, w->parser.why);
        else
            break;
    }
    w->feeding = false;
    return w->state == WS_IS_ENDED ? (slice){0} : in;
}

static void feed_rest(ws *w)
{
    buf held = w->rest;
    w->rest = (buf){0};
    slice left = feed(w, (slice){held.data, held.len});
    buf_append_slice(&w->rest, left);
    buf_free(&held);
}

void ws_pause(ws *w)
{
    w->paused = true;
    conn_pause(w->c);
}

void ws_resume(ws *w)
{
    if (!w->paused)
        return;
    w->paused = false;
    conn_resume(w->c);
    if (!w->feeding && w->rest.len > 0)
        feed_rest(w);
}

/* Deadlines --------------------------------------------------------------------------------- */

static void arm(ws *w)
{
    uint64_t now = conn_now(w->c);
    conn_deadline(w->c, w->due > now ? w->due - now : 1);
}

static void plan_ping(ws *w)
{
    w->pinged = false;
    w->due = conn_now(w->c) + w->limits->ping_ms;
    arm(w);
}

static void ping(ws *w)
{
    if (!write_small(w, WS_PING, (slice){0}))
        return;
    w->pinged = true;
    w->due = conn_now(w->c) + w->limits->pong_ms;
    arm(w);
}

/* The time to close is over: a peer that still has not taken what was sent never will. */
static void end_closing(ws *w)
{
    w->state = WS_IS_ENDED;
    if (conn_queued(w->c) > 0)
        conn_abort(w->c);
    else
        conn_close(w->c);
}

static void on_deadline(conn *c)
{
    ws *w = conn_owner(c);
    uint64_t now = conn_now(c);
    if (w->state == WS_IS_CLOSING) {
        end_closing(w);
    } else if (now < w->due || w->paused) {
        /* While we read nothing, its pong can't be seen. */
        if (now >= w->due)
            plan_ping(w);
        arm(w);
    } else if (!w->pinged) {
        ping(w);
    } else {
        w->state = WS_IS_ENDED;
        subscriptions_leave(&w->topics);
        conn_abort(c);
        tell(w, WS_ABNORMAL, SLICE("no answer to a ping"));
    }
}

/* The connection ---------------------------------------------------------------------------- */

static void on_data(conn *c, const char *data, size_t n)
{
    ws *w = conn_owner(c);
    if (w->state == WS_IS_ENDED)
        return;
    if (n == 0) {
        finish(w, WS_ABNORMAL, SLICE("the connection ended without a close"));
        return;
    }
    if (w->pinged && w->state == WS_IS_OPEN)
        plan_ping(w);
    if (w->paused || w->rest.len > 0) {
        buf_append(&w->rest, data, n);
        if (!w->paused && !w->feeding)
            feed_rest(w);
        return;
    }
    buf_append_slice(&w->rest, feed(w, (slice){data, n}));
}

static void on_drain(conn *c)
{
    subscriptions_drained(&((ws *)conn_owner(c))->topics);
}

static void on_close(conn *c)
{
    ws *w = conn_owner(c);
    w->state = WS_IS_ENDED;
    subscriptions_leave(&w->topics);
    tell(w, WS_ABNORMAL, SLICE("the connection was lost"));
    metrics_add(METRIC_WEBSOCKETS, -1);
    ws_parser_free(&w->parser);
    buf_free(&w->rest);
    seal_channel_free(w->keys);
    free(w);
}

static const conn_ops ws_conn_ops = {on_data, on_drain, on_deadline, on_close};

ws *ws_start(exchange *x, hub_port *port, const ws_ops *ops, void *owner,
             const audience_opening *opening)
{
    char accept[WS_ACCEPT_SIZE];
    ws_accept(exchange_header(x, SLICE("sec-websocket-key")), accept);
    exchange_add_header(x, SLICE("Upgrade"), SLICE("websocket"));
    exchange_add_header(x, SLICE("Sec-WebSocket-Accept"), (slice){accept, sizeof accept});
    ws_deflate_terms terms = ws_pack_agree(x);
    const ws_limits *limits = &exchange_limits(x)->ws;
    buf rest = exchange_take_rest(x);
    conn *c = exchange_take(x, (slice){0});
    if (c == NULL) {
        buf_free(&rest);
        return NULL;
    }
    ws *w = mem_alloc(sizeof *w);
    *w = (ws){.c = c, .port = port, .ops = ops, .owner = owner, .limits = limits, .rest = rest};
    w->parser.max_message = limits->message;
    w->parser.deflate = terms.agreed;
    w->packs = ws_deflate_may_send(&terms);
    w->rate = bucket_full(limits->rate, conn_now(c));
    ws_topics_init(w);
    metrics_add(METRIC_WEBSOCKETS, 1);
    conn_set_owner(c, &ws_conn_ops, w);
    plan_ping(w);
    audience_join(&w->member, &member_ops, c, opening);
    return w;
}

void ws_begin(ws *w)
{
    if (w->rest.len > 0 && !w->paused)
        feed_rest(w);
}

void *ws_owner(const ws *w)
{
    return w->owner;
}

void ws_thread_exit(void)
{
    ws_deflate_thread_exit();
}
