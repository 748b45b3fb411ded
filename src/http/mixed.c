/* Viewers of live pictures, which are encoded once per value and worker, by the hub.
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
#include "mixed.h"

#include "clock.h"
#include "http_slots.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "mixed_part.h"
#include <stdlib.h>

typedef struct {
    hub_subscriber subscriber;
    audience_member member;
    conn *conn;
    frame *waiting;
    uint64_t version;
    bool skips; /* and the log was told */
} viewer;

static void send_frame(viewer *v, frame *f)
{
    conn_write_frame(v->conn, f);
    v->member.delivered++;
    metrics_add(METRIC_PICTURES_SENT, 1);
}

/* As a matter of course: it is told once. */
static void note_skipped(viewer *v)
{
    metrics_add(METRIC_PICTURES_SKIPPED, 1);
    if (v->skips)
        return;
    v->skips = true;
    audience_slow(&v->member, hub_topic_of(&v->subscriber), conn_queued(v->conn) + v->waiting->len,
                  "skipped");
}

static void deliver(hub_subscriber *subscriber, frame *encoded, uint64_t version)
{
    viewer *v = LIST_ENTRY(subscriber, viewer, subscriber);
    /* The first picture goes out with the head, which may still lie in the connection's batch: then
     * there is no drain to wait for. */
    bool first = v->version == 0;
    v->version = version;
    if (first || conn_queued(v->conn) == 0) {
        send_frame(v, encoded);
        return;
    }
    if (v->waiting != NULL)
        note_skipped(v);
    frame_drop(v->waiting);
    v->waiting = frame_hold(encoded);
}

static void finish(viewer *v)
{
    frame_drop(v->waiting);
    v->waiting = NULL;
    conn_close(v->conn);
}

static void end(hub_subscriber *subscriber, slice topic)
{
    viewer *v = LIST_ENTRY(subscriber, viewer, subscriber);
    (void)topic;
    audience_leave(&v->member, &(audience_end){0, SLICE_INIT("ended"), {"", 0}});
    finish(v);
}

/* Whose stream it is ------------------------------------------------------------------------- */

static viewer *viewer_of(const audience_member *m)
{
    return LIST_ENTRY(m, viewer, member);
}

static void member_end(audience_member *m, const audience_end *why)
{
    viewer *v = viewer_of(m);
    hub_unsubscribe(&v->subscriber);
    audience_leave(m, why);
    finish(v);
}

static void member_topics(const audience_member *m, void (*fn)(slice topic, void *arg), void *arg)
{
    const hub_subscriber *subscriber = &viewer_of(m)->subscriber;
    if (subscriber->topic != NULL)
        fn(hub_topic_of(subscriber), arg);
}

/* A stream is one topic: without it there is nothing left to look at. */
static bool member_unsubscribe(audience_member *m, slice topic)
{
    const hub_subscriber *subscriber = &viewer_of(m)->subscriber;
    if (subscriber->topic == NULL || !slice_eq(hub_topic_of(subscriber), topic))
        return false;
    member_end(m, &audience_kicked);
    return true;
}

static const audience_ops member_ops = {"mixed", member_end, member_topics, member_unsubscribe,
                                        NULL};

/* A viewer has nothing to say; its end of the stream is the end. */
static void on_data(conn *c, const char *data, size_t n)
{
    (void)data;
    if (n == 0)
        conn_close(c);
}

static void on_drain(conn *c)
{
    viewer *v = conn_owner(c);
    if (v->waiting == NULL)
        return;
    frame *next = v->waiting;
    v->waiting = NULL;
    send_frame(v, next);
    frame_drop(next);
}

/* None is ever set. */
static void on_deadline(conn *c)
{
    (void)c;
}

static void on_close(conn *c)
{
    viewer *v = conn_owner(c);
    hub_unsubscribe(&v->subscriber);
    audience_leave(&v->member, NULL);
    frame_drop(v->waiting);
    metrics_add(METRIC_VIEWERS, -1);
    free(v);
}

static const conn_ops viewer_ops = {on_data, on_drain, on_deadline, on_close};

/* Beginning --------------------------------------------------------------------------------- */

/* The built-in pictures are refused before; this is what a script has published. */
static void note_forgery(slice topic)
{
    static _Thread_local uint64_t noted; /* once a second at most */
    uint64_t now = clock_ms();
    metrics_add(METRIC_PICTURES_FORGED, 1);
    if (noted != 0 && now - noted < 1000)
        return;
    noted = now;
    log_warn("a picture is not shown: a line of it begins with \"--frame\", which could forge a "
             "part of the stream",
             LOG_SLICE("topic", topic));
}

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    (void)version;
    if (mixed_could_forge((slice){data->data, data->len})) {
        note_forgery(topic);
        return NULL;
    }
    return mixed_encode(data);
}

static const hub_transport transport = {"mixed",    encode, deliver, end,
                                        SLOT_MIXED, NULL,   NULL,    NULL};

/* What goes out with the head; in the exchange's arena when it must be put together. */
static slice opening_of(exchange *x, slice preamble)
{
    if (preamble.n == 0)
        return mixed_opening;
    char *both = arena_alloc(exchange_arena(x), preamble.n + mixed_opening.n);
    memcpy(both, preamble.p, preamble.n);
    memcpy(both + preamble.n, mixed_opening.p, mixed_opening.n);
    return (slice){both, preamble.n + mixed_opening.n};
}

void mixed_start(exchange *x, hub_port *port, const mixed_view *view,
                 const audience_opening *opening)
{
    exchange_add_header(x, SLICE("Content-Type"), SLICE(MIXED_CONTENT_TYPE));
    exchange_add_header(x, SLICE("Stream-Id"), opening->id);
    conn *c = exchange_take(x, opening_of(x, view->preamble));
    if (c == NULL)
        return;
    viewer *v = mem_alloc(sizeof *v);
    v->conn = c;
    metrics_add(METRIC_VIEWERS, 1);
    conn_set_owner(c, &viewer_ops, v);
    conn_deadline(c, 0);
    audience_join(&v->member, &member_ops, c, opening);
    if (view->present)
        audience_enter(&v->member, view->topic);
    hub_subscribe(port, view->topic, &v->subscriber, &transport);
}
