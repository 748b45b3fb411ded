/* Viewers. One ops table per transport says how a value is encoded (once per value and worker, by
 * the hub) and what else goes over the wire; the rest is the same for all.
 *
 * A viewer holds at most one value that waits: when the connection has not taken the last one yet,
 * the newest replaces what waits, so a slow viewer skips pictures, never gets half of one, and
 * never an older one after a newer.
 *
 *   WRITABLE --deliver: all taken--> WRITABLE
 *       \--deliver: some left--> BUSY --deliver--> BUSY (newest waits) --on_drain--> WRITABLE
 *
 * Owner: the connection. It leaves the hub first, in on_close, and is freed there. What must never
 * happen: a stream subscribed after its connection's on_close. */
#include "stream.h"

#include "http_slots.h"
#include "mem.h"
#include "metrics.h"
#include "mixed_part.h"
#include "sse_event.h"
#include <stdlib.h>

enum { SSE_HEARTBEAT_MS = 15000 };

typedef struct stream_transport {
    hub_transport hub;
    const audience_ops *members;
    const char *content_type;
    const slice *opening;  /* sent with the head */
    bool skips_repeats;    /* the value is not sent again to keep the line alive */
    bool says_goodbye;     /* an event tells why it ends */
    uint64_t heartbeat_ms; /* 0: none of its own */
} stream_transport;

typedef struct {
    hub_subscriber subscriber;
    audience_member member;
    conn *conn;
    frame *waiting;
    uint64_t version;
} stream;

static const stream_transport *transport_of(const stream *s)
{
    return (const stream_transport *)(const void *)s->subscriber.transport;
}

static void arm_heartbeat(stream *s)
{
    uint64_t ms = transport_of(s)->heartbeat_ms;
    if (ms > 0)
        conn_deadline(s->conn, ms);
}

static void send_frame(stream *s, frame *f)
{
    conn_write_frame(s->conn, f);
    s->member.delivered++;
    metrics_add(METRIC_PICTURES_SENT, 1);
    arm_heartbeat(s);
}

static void deliver(hub_subscriber *subscriber, frame *encoded, uint64_t version)
{
    stream *s = LIST_ENTRY(subscriber, stream, subscriber);
    const stream_transport *t = transport_of(s);
    if (version == s->version && t->skips_repeats)
        return;
    /* The first picture goes out with the head, which may still lie in the connection's batch: then
     * there is no drain to wait for. */
    bool first = s->version == 0;
    s->version = version;
    if (first || conn_queued(s->conn) == 0) {
        send_frame(s, encoded);
        return;
    }
    if (s->waiting != NULL)
        metrics_add(METRIC_PICTURES_SKIPPED, 1);
    frame_drop(s->waiting);
    s->waiting = frame_hold(encoded);
}

static void say_goodbye(stream *s, slice data)
{
    buf event = {0};
    frame_drop(s->waiting);
    s->waiting = NULL;
    if (transport_of(s)->says_goodbye)
        sse_event(&event, &(sse_fields){.event = SLICE("end"), .data = data, .retry = -1});
    if (event.len > 0)
        conn_write(s->conn, event.data, event.len);
    buf_free(&event);
    conn_close(s->conn);
}

static void end(hub_subscriber *subscriber, slice topic)
{
    stream *s = LIST_ENTRY(subscriber, stream, subscriber);
    (void)topic;
    audience_leave(&s->member, &(audience_end){0, SLICE_INIT("ended"), {"", 0}});
    say_goodbye(s, SLICE("ended"));
}

/* Whose stream it is ------------------------------------------------------------------------- */

static stream *stream_of(const audience_member *m)
{
    return LIST_ENTRY(m, stream, member);
}

static void member_end(audience_member *m, const audience_end *why)
{
    stream *s = stream_of(m);
    buf data = {0};
    hub_unsubscribe(&s->subscriber);
    audience_leave(m, why);
    buf_format(&data, "{\"code\":\"%.*s\"}", (int)why->word.n, why->word.p);
    say_goodbye(s, (slice){data.data, data.len});
    buf_free(&data);
}

static void member_topics(const audience_member *m, void (*fn)(slice topic, void *arg), void *arg)
{
    const hub_subscriber *subscriber = &stream_of(m)->subscriber;
    if (subscriber->topic != NULL)
        fn(hub_topic_of(subscriber), arg);
}

/* A stream is one topic: without it there is nothing left to look at. */
static bool member_unsubscribe(audience_member *m, slice topic)
{
    const hub_subscriber *subscriber = &stream_of(m)->subscriber;
    if (subscriber->topic == NULL || !slice_eq(hub_topic_of(subscriber), topic))
        return false;
    member_end(m, &audience_kicked);
    return true;
}

static const audience_ops mixed_members = {"mixed", member_end, member_topics, member_unsubscribe};
static const audience_ops sse_members = {"sse", member_end, member_topics, member_unsubscribe};

/* A viewer has nothing to say; its end of the stream is the end. */
static void on_data(conn *c, const char *data, size_t n)
{
    (void)data;
    if (n == 0)
        conn_close(c);
}

static void on_drain(conn *c)
{
    stream *s = conn_owner(c);
    if (s->waiting == NULL)
        return;
    frame *next = s->waiting;
    s->waiting = NULL;
    send_frame(s, next);
    frame_drop(next);
}

static void on_deadline(conn *c)
{
    stream *s = conn_owner(c);
    if (conn_queued(c) == 0)
        conn_write(c, sse_heartbeat.p, sse_heartbeat.n);
    arm_heartbeat(s);
}

static void on_close(conn *c)
{
    stream *s = conn_owner(c);
    hub_unsubscribe(&s->subscriber);
    audience_leave(&s->member, NULL);
    frame_drop(s->waiting);
    metrics_add(METRIC_VIEWERS, -1);
    free(s);
}

static const conn_ops stream_ops = {on_data, on_drain, on_deadline, on_close};

/* Transports -------------------------------------------------------------------------------- */

static frame *encode_mixed(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    (void)topic;
    (void)version;
    return mixed_encode(data);
}

static frame *encode_sse(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    (void)topic;
    buf id = {0}, out = {0};
    buf_uint(&id, version);
    sse_event(&out,
              &(sse_fields){.id = {id.data, id.len}, .data = {data->data, data->len}, .retry = -1});
    frame *f = frame_new(out.data, out.len);
    buf_free(&id);
    buf_free(&out);
    return f;
}

static const stream_transport transports[] = {
    {.hub = {"mixed", encode_mixed, deliver, end, SLOT_MIXED, NULL, NULL, NULL},
     .members = &mixed_members,
     .content_type = MIXED_CONTENT_TYPE,
     .opening = &mixed_opening},
    {.hub = {"sse", encode_sse, deliver, end, SLOT_SSE, NULL, NULL, NULL},
     .members = &sse_members,
     .content_type = "text/event-stream",
     .skips_repeats = true,
     .says_goodbye = true,
     .heartbeat_ms = SSE_HEARTBEAT_MS},
};

const stream_transport *stream_transport_find(slice name)
{
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
        if (slice_eq(name, slice_of(transports[i].hub.name)))
            return &transports[i];
    }
    return NULL;
}

const char *stream_content_type(const stream_transport *t)
{
    return t->content_type;
}

/* What goes out with the head; in the exchange's arena when it must be put together. */
static slice opening_of(exchange *x, const stream_transport *t, slice preamble)
{
    slice opening = t->opening != NULL ? *t->opening : (slice){"", 0};
    if (preamble.n == 0)
        return opening;
    char *both = arena_alloc(exchange_arena(x), preamble.n + opening.n);
    memcpy(both, preamble.p, preamble.n);
    memcpy(both + preamble.n, opening.p, opening.n);
    return (slice){both, preamble.n + opening.n};
}

static stream *new_stream(conn *c, const stream_transport *t, const audience_opening *opening)
{
    stream *s = mem_alloc(sizeof *s);
    s->conn = c;
    metrics_add(METRIC_VIEWERS, 1);
    conn_set_owner(c, &stream_ops, s);
    conn_deadline(c, 0);
    audience_join(&s->member, t->members, c, opening);
    return s;
}

void stream_start(exchange *x, const stream_transport *t, hub_port *port, slice topic,
                  slice preamble, const audience_opening *opening)
{
    exchange_add_header(x, SLICE("Stream-Id"), opening->id);
    conn *c = exchange_take(x, opening_of(x, t, preamble));
    if (c == NULL)
        return;
    stream *s = new_stream(c, t, opening);
    hub_subscribe(port, topic, &s->subscriber, &t->hub);
    if (s->subscriber.topic != NULL)
        arm_heartbeat(s);
}
