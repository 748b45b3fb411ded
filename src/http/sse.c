/* Server-sent events.
 *
 *   OPEN --sse_end, no topic left, ops of the audience: event `end`--> CLOSING
 *     |                                                                   \--all taken--> closed
 *     \--has_room: too slow: event `end`, CLOSE_MS--> aborted when it still takes nothing
 *
 * A client comes back by itself, with the id of the last event that it saw. So an id is only sent
 * where it is a place to go on from, and a stream on a topic with a history begins with one, before
 * any event: who loses the line at once misses nothing. What can't be made good is an event `gap`.
 * Ends that shall last are answered 204 at the next request; that is the script's side.
 *
 * What must never happen: a write after the stream's end; a stream that is silent for longer than
 * the heartbeat. */
#include "sse.h"

#include "envelope.h"
#include "http_slots.h"
#include "mem.h"
#include "metrics.h"
#include "sse_event.h"
#include <stdlib.h>

enum { HEARTBEAT_MS = 15000, CLOSE_MS = 1000, ENOUGH = 64 * 1024 };

struct sse {
    audience_member member;
    subscriptions topics;
    conn *c;
    const sse_ops *ops; /* NULL: nobody above */
    void *owner;
    size_t queue; /* bytes that may wait for the client */
    bool closing, slow, ready;
};

/* A comment: clients skip it, and the server knows what it stands for. */
static const slice last_mark = SLICE_INIT("\n:last\n\n");

static sse *of(subscriptions *all)
{
    return LIST_ENTRY(all, sse, topics);
}

/* Ending ------------------------------------------------------------------------------------ */

static void put_end(buf *out, slice code)
{
    buf data = {0};
    buf_format(&data, "{\"code\":\"%.*s\"}", (int)code.n, code.p);
    sse_event(out,
              &(sse_fields){.event = SLICE("end"), .data = {data.data, data.len}, .retry = -1});
    buf_free(&data);
}

/* Nothing is sent any more; whoever waits for room learns of it. */
static void close_down(sse *s)
{
    s->closing = true;
    subscriptions_leave(&s->topics);
    if (s->ops != NULL)
        s->ops->on_writable(s);
}

static void begin_end(sse *s, slice code, const audience_end *why)
{
    buf bytes = {0};
    close_down(s);
    audience_leave(&s->member, why);
    if (code.n > 0) {
        put_end(&bytes, code);
        conn_write(s->c, bytes.data, bytes.len);
    }
    buf_free(&bytes);
}

void sse_end(sse *s, slice code)
{
    if (s->closing)
        return;
    begin_end(s, code, &(audience_end){0, code.n > 0 ? code : SLICE("ended"), {"", 0}});
    conn_close(s->c);
}

/* What waits is of no use to a client that does not read: it has a second. */
static void give_up_slow(sse *s, slice topic)
{
    metrics_add(METRIC_SSE_SLOW, 1);
    audience_slow(&s->member, topic, conn_queued(s->c), "closed");
    s->slow = true;
    begin_end(s, audience_overloaded.word, &audience_overloaded);
    conn_deadline(s->c, CLOSE_MS);
}

/* Sending ----------------------------------------------------------------------------------- */

static void heartbeat_later(sse *s)
{
    conn_deadline(s->c, HEARTBEAT_MS);
}

static bool room_for(sse *s, slice topic, size_t n)
{
    size_t queued = conn_queued(s->c);
    if (!s->closing && queued > 0 && queued + n > s->queue)
        give_up_slow(s, topic);
    return !s->closing;
}

static bool has_room(subscriptions *all, slice topic, size_t n)
{
    return room_for(of(all), topic, n);
}

static void count_sent(sse *s)
{
    s->member.delivered++;
    metrics_add(METRIC_EVENTS_SENT, 1);
    heartbeat_later(s);
}

bool sse_is_last(slice bytes)
{
    return bytes.n >= last_mark.n &&
           memcmp(bytes.p + bytes.n - last_mark.n, last_mark.p, last_mark.n) == 0;
}

static void write_frame(subscriptions *all, frame *f)
{
    sse *s = of(all);
    conn_write_frame(s->c, f);
    count_sent(s);
    if (s->ready && sse_is_last((slice){f->data, f->len}))
        sse_end(s, (slice){"", 0});
}

/* A write that finds the peer gone closes the connection, which tells us later. */
bool sse_is_open(const sse *s)
{
    return !s->closing && !conn_closing(s->c);
}

bool sse_send(sse *s, slice bytes)
{
    if (!sse_is_open(s) || !room_for(s, (slice){"", 0}, bytes.n))
        return false;
    conn_write(s->c, bytes.p, bytes.n);
    count_sent(s);
    return true;
}

bool sse_must_wait(const sse *s)
{
    return sse_is_open(s) && conn_queued(s->c) > ENOUGH;
}

/* Topics ------------------------------------------------------------------------------------ */

static frame *event_frame(slice id, slice data)
{
    buf out = {0};
    sse_event(&out, &(sse_fields){.id = id, .data = data, .retry = -1});
    frame *f = frame_new(out.data, out.len);
    buf_free(&out);
    return f;
}

static slice bytes_of(const frame *data)
{
    return (slice){data->data, data->len};
}

static frame *encode_value(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)position;
    buf id = {0};
    buf_uint(&id, version);
    frame *f = event_frame((slice){id.data, id.len}, bytes_of(data));
    buf_free(&id);
    return f;
}

static frame *encode_message(slice topic, const frame *data, uint64_t version,
                             hub_position position)
{
    (void)topic;
    (void)version;
    char text[HUB_POSITION_TEXT];
    return event_frame((slice){text, hub_position_text(position, text)}, bytes_of(data));
}

static frame *envelope_frame(buf *envelope)
{
    frame *f = event_frame((slice){0}, (slice){envelope->data, envelope->len});
    buf_free(envelope);
    return f;
}

static frame *encode_value_enveloped(slice topic, const frame *data, uint64_t version,
                                     hub_position position)
{
    (void)position;
    buf envelope = {0};
    envelope_value(&envelope, topic, version, bytes_of(data));
    return envelope_frame(&envelope);
}

static frame *encode_message_enveloped(slice topic, const frame *data, uint64_t version,
                                       hub_position position)
{
    (void)version;
    char text[HUB_POSITION_TEXT];
    buf envelope = {0};
    envelope_write(&envelope, topic, (slice){text, hub_position_text(position, text)},
                   bytes_of(data));
    return envelope_frame(&envelope);
}

static frame *encode_ready(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    char text[4 + HUB_POSITION_TEXT] = "id: ";
    size_t n = hub_position_text(position, text + 4);
    text[4 + n] = '\n';
    return frame_join(text, n > 0 ? 4 + n + 1 : 0, data->data, data->len);
}

static void put_gap(buf *out, slice id, slice topic, uint64_t lost)
{
    buf data = {0};
    envelope_gap(&data, topic, lost);
    sse_event(
        out,
        &(sse_fields){.id = id, .event = SLICE("gap"), .data = {data.data, data.len}, .retry = -1});
    buf_free(&data);
}

static void gap(subscriptions *all, hub_subscriber *subscriber, uint64_t lost)
{
    buf out = {0};
    put_gap(&out, (slice){0}, hub_topic_of(subscriber), lost);
    sse_send(of(all), (slice){out.data, out.len});
    buf_free(&out);
}

/* The place from which the client goes on when the line breaks before the first event. */
static void tell_begin(sse *s, slice topic, hub_position at, hub_recovery recovery, bool alone)
{
    char text[HUB_POSITION_TEXT];
    slice id = {text, alone ? hub_position_text(at, text) : 0};
    buf out = {0};
    if (recovery == HUB_NOT_RECOVERED)
        put_gap(&out, id, topic, 0);
    else if (id.n > 0)
        sse_event(&out, &(sse_fields){.id = id, .retry = -1});
    if (out.len > 0)
        conn_write(s->c, out.data, out.len);
    buf_free(&out);
}

static void begun(hub_subscriber *subscriber, hub_position at, hub_recovery recovery)
{
    bool alone = subscriber->transport->index != SLOT_SSE_ENVELOPE;
    tell_begin(of(subscriptions_of(subscriber)), hub_topic_of(subscriber), at, recovery, alone);
}

#define TRANSPORT(encode, slot)                                                                \
    {                                                                                          \
        "sse", encode, subscriptions_deliver, subscriptions_end, slot, subscriptions_messages, \
            subscriptions_gap, begun                                                           \
    }

/* [form][messages]; a slot is used for values or for messages, so both may have the same. */
static const hub_transport transports[3][2] = {
    [SSE_ALONE] = {TRANSPORT(encode_value, SLOT_SSE), TRANSPORT(encode_message, SLOT_SSE)},
    [SSE_ENVELOPE] = {TRANSPORT(encode_value_enveloped, SLOT_SSE_ENVELOPE),
                      TRANSPORT(encode_message_enveloped, SLOT_SSE_ENVELOPE)},
    [SSE_READY] = {TRANSPORT(encode_ready, SLOT_SSE_READY),
                   TRANSPORT(encode_ready, SLOT_SSE_READY)},
};

static void topic_ended(subscriptions *all, slice topic, const hub_transport *transport)
{
    sse *s = of(all);
    (void)topic;
    (void)transport;
    if (all->count == 0)
        sse_end(s, SLICE("ended"));
}

static const subscriptions_ops topic_ops = {HUB_CLASS_SSE, write_frame, has_room, gap, topic_ended};

bool sse_subscribe(sse *s, slice topic, sse_form form, const subscribing *how)
{
    subscribed got;
    s->ready = form == SSE_READY;
    return subscriptions_add(&s->topics, topic, &transports[form][how->log], how, &got);
}

/* As a member of the audience --------------------------------------------------------------- */

static sse *sse_of(const audience_member *m)
{
    return LIST_ENTRY(m, sse, member);
}

static void member_end(audience_member *m, const audience_end *why)
{
    sse *s = sse_of(m);
    if (s->closing)
        return;
    begin_end(s, why->word, why);
    conn_close(s->c);
}

static void member_topics(const audience_member *m, void (*fn)(slice topic, void *arg), void *arg)
{
    subscriptions_each(&sse_of(m)->topics, fn, arg);
}

/* A stream without any topic left would be silent for ever. */
static bool member_unsubscribe(audience_member *m, slice topic)
{
    sse *s = sse_of(m);
    bool was = subscriptions_remove(&s->topics, topic);
    if (was && s->topics.count == 0 && s->ops == NULL)
        member_end(m, &audience_kicked);
    return was;
}

static void member_say(audience_member *m, slice text)
{
    sse *s = sse_of(m);
    buf out = {0};
    sse_event(&out, &(sse_fields){.event = SLICE("say"), .data = text, .retry = -1});
    if (room_for(s, (slice){"", 0}, out.len))
        conn_write(s->c, out.data, out.len);
    buf_free(&out);
}

static const audience_ops member_ops = {"sse", member_end, member_topics, member_unsubscribe,
                                        member_say};

/* The connection ---------------------------------------------------------------------------- */

/* A client has nothing to say; its end of the stream is the end. */
static void on_data(conn *c, const char *data, size_t n)
{
    sse *s = conn_owner(c);
    (void)data;
    if (n > 0)
        return;
    close_down(s);
    conn_close(c);
}

static void on_drain(conn *c)
{
    sse *s = conn_owner(c);
    if (s->slow)
        conn_close(c);
    if (s->closing)
        return;
    subscriptions_drained(&s->topics);
    if (s->ops != NULL && !s->closing)
        s->ops->on_writable(s);
}

static void on_deadline(conn *c)
{
    sse *s = conn_owner(c);
    if (s->slow) {
        conn_abort(c);
        return;
    }
    if (conn_queued(c) == 0)
        conn_write(c, sse_heartbeat.p, sse_heartbeat.n);
    heartbeat_later(s);
}

static void on_close(conn *c)
{
    sse *s = conn_owner(c);
    s->closing = true;
    subscriptions_leave(&s->topics);
    audience_leave(&s->member, NULL);
    if (s->ops != NULL)
        s->ops->on_close(s);
    metrics_add(METRIC_VIEWERS, -1);
    free(s);
}

static const conn_ops sse_conn_ops = {on_data, on_drain, on_deadline, on_close};

sse *sse_start(exchange *x, hub_port *port, slice first, const audience_opening *opening,
               const sse_ops *ops, void *owner)
{
    exchange_add_header(x, SLICE("Content-Type"), SLICE("text/event-stream"));
    exchange_add_header(x, SLICE("Stream-Id"), opening->id);
    const ws_limits *limits = &exchange_limits(x)->ws;
    conn *c = exchange_take(x, first);
    if (c == NULL)
        return NULL;
    sse *s = mem_alloc(sizeof *s);
    *s = (sse){.c = c, .ops = ops, .owner = owner, .queue = limits->queue};
    s->topics = (subscriptions){
        .c = c, .port = port, .ops = &topic_ops, .member = &s->member, .queue = limits->queue};
    subscriptions_init(&s->topics);
    metrics_add(METRIC_VIEWERS, 1);
    conn_set_owner(c, &sse_conn_ops, s);
    audience_join(&s->member, &member_ops, c, opening);
    heartbeat_later(s);
    return s;
}

void *sse_owner(const sse *s)
{
    return s->owner;
}

const char *sse_ready(buf *out, slice event, slice data, int64_t retry, bool last)
{
    const char *why = sse_event(out, &(sse_fields){.event = event, .data = data, .retry = retry});
    if (why == NULL && last) {
        out->len -= 2; /* the last line's end and the empty line */
        buf_append_slice(out, last_mark);
    }
    return why;
}
