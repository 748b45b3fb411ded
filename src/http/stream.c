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

#include "mem.h"
#include "metrics.h"
#include "mixed_part.h"
#include "sse_event.h"
#include <stdlib.h>

enum { SSE_HEARTBEAT_MS = 15000 };

typedef struct stream_transport {
    hub_transport hub;
    const char *content_type;
    const slice *opening;  /* sent with the head */
    bool skips_repeats;    /* the value is not sent again to keep the line alive */
    slice goodbye;         /* when the topic ends */
    uint64_t heartbeat_ms; /* 0: none of its own */
} stream_transport;

typedef struct {
    hub_subscriber subscriber;
    list link; /* in `streams` */
    conn *conn;
    frame *waiting;
    uint64_t version;
} stream;

/* Every viewer of the calling worker's thread, for the ordered end. */
static _Thread_local list streams;

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

static void say_goodbye(stream *s)
{
    slice goodbye = transport_of(s)->goodbye;
    frame_drop(s->waiting);
    s->waiting = NULL;
    if (goodbye.n > 0)
        conn_write(s->conn, goodbye.p, goodbye.n);
    conn_close(s->conn);
}

static void end(hub_subscriber *subscriber, const char *reason)
{
    (void)reason;
    say_goodbye(LIST_ENTRY(subscriber, stream, subscriber));
}

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
    list_remove(&s->link);
    frame_drop(s->waiting);
    metrics_add(METRIC_VIEWERS, -1);
    free(s);
}

static const conn_ops stream_ops = {on_data, on_drain, on_deadline, on_close};

/* Transports -------------------------------------------------------------------------------- */

static frame *encode_mixed(slice topic, const frame *data, uint64_t version)
{
    (void)topic;
    (void)version;
    return mixed_encode(data);
}

static frame *encode_sse(slice topic, const frame *data, uint64_t version)
{
    (void)topic;
    buf id = {0}, out = {0};
    buf_uint(&id, version);
    sse_event(&out, (slice){id.data, id.len}, (slice){0}, (slice){data->data, data->len});
    frame *f = frame_new(out.data, out.len);
    buf_free(&id);
    buf_free(&out);
    return f;
}

static const stream_transport transports[] = {
    {.hub = {"mixed", encode_mixed, deliver, end, 0, NULL, NULL},
     .content_type = MIXED_CONTENT_TYPE,
     .opening = &mixed_opening},
    {.hub = {"sse", encode_sse, deliver, end, 1, NULL, NULL},
     .content_type = "text/event-stream",
     .skips_repeats = true,
     .goodbye = SLICE_INIT("event: end\ndata: ended\n\n"),
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

void stream_start(exchange *x, const stream_transport *t, hub_port *port, slice topic,
                  slice preamble)
{
    conn *c = exchange_take(x, opening_of(x, t, preamble));
    if (c == NULL)
        return;
    stream *s = mem_alloc(sizeof *s);
    s->conn = c;
    if (streams.next == NULL)
        list_init(&streams);
    list_append(&streams, &s->link);
    metrics_add(METRIC_VIEWERS, 1);
    conn_set_owner(c, &stream_ops, s);
    conn_deadline(c, 0);
    hub_subscribe(port, topic, &s->subscriber, &t->hub);
    if (s->subscriber.topic != NULL)
        arm_heartbeat(s);
}

void stream_end_all(void)
{
    list all;
    if (streams.next == NULL)
        return;
    list_move(&streams, &all);
    while (!list_empty(&all)) {
        stream *s = LIST_ENTRY(all.next, stream, link);
        list_remove(&s->link);
        list_append(&streams, &s->link);
        hub_unsubscribe(&s->subscriber);
        say_goodbye(s);
    }
}
