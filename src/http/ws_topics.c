/* What a WebSocket is subscribed to, and what becomes of it when the client reads more slowly than
 * it comes. Transports of the hub: messages as they are, or in envelopes that tell topic and
 * position, each compressed or not.
 *
 * A newest value waits until the client has taken what was sent before, and a newer one replaces
 * it. A message goes to the connection's queue while that has room; then the policy of the topic's
 * rule decides:
 *
 *   disconnect    the client is closed (1013)
 *   latest        the newest message waits here, the others are lost
 *   drop_oldest   a queue here, within limits.ws_queue, loses the oldest
 *   pause         the hub stops and goes on from the history when the queue is empty
 *
 * What comes from the history sets no client aside: it comes at the client's pace. A loss is told
 * before the message that follows it. What waits here counts for its connection (waiting_bytes), so
 * that one slow client costs at most twice limits.ws_queue.
 *
 * What must never happen: a subscription that waits for a drain which does not come; a message that
 * overtakes those that wait. */
#include "ws_private.h"

#include "envelope.h"
#include "http_slots.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "ws_pack.h"
#include <stdlib.h>

typedef struct queued {
    struct queued *next;
    frame *data;
} queued;

typedef struct {
    hub_subscriber subscriber;
    list link; /* in ws.subscriptions */
    ws *w;
    frame *waiting;       /* the newest value, until the client has taken what was before */
    queued *first, *last; /* messages that wait */
    uint64_t lost;        /* before the first of them */
    bool held;            /* the hub waits for hub_resume */
    bool slow;            /* and the log knows */
    uint8_t policy;       /* hub_slow */
    ws_subscribed *begun; /* where to note how it began */
} subscription;

static subscription *of(hub_subscriber *s)
{
    return LIST_ENTRY(s, subscription, subscriber);
}

/* Slowness ---------------------------------------------------------------------------------- */

static void note_slow(subscription *s, const char *done, metric counter)
{
    ws *w = s->w;
    audience_identity who = audience_identity_of(&w->member);
    metrics_add(counter, 1);
    if (s->slow)
        return;
    s->slow = true;
    log_info("a subscriber reads too slowly", LOG_TEXT("peer", conn_peer(w->c)),
             LOG_SLICE("connection", audience_id(&w->member)), LOG_SLICE("user", who.user),
             LOG_SLICE("topic", hub_topic_of(&s->subscriber)),
             LOG_NUM("queued", conn_queued(w->c) + w->waiting_bytes), LOG_TEXT("done", done));
}

static void drop_first(subscription *s)
{
    queued *q = s->first;
    s->first = q->next;
    if (s->first == NULL)
        s->last = NULL;
    s->w->waiting_bytes -= q->data->len;
    frame_drop(q->data);
    free(q);
}

static void put_last(subscription *s, frame *f)
{
    queued *q = mem_alloc(sizeof *q);
    q->data = frame_hold(f);
    if (s->last != NULL)
        s->last->next = q;
    else
        s->first = q;
    s->last = q;
    s->w->waiting_bytes += f->len;
}

static void let_wait(subscription *s, frame *f)
{
    size_t most = s->policy == HUB_SLOW_LATEST ? 0 : s->w->limits->queue;
    while (s->first != NULL && s->w->waiting_bytes + f->len > most) {
        drop_first(s);
        s->lost++;
        note_slow(s, "dropped", METRIC_WS_DROPPED);
    }
    put_last(s, f);
}

/* Room for another message, leaving some for what goes past the topics. A batch that was not sent
 * yet is not slowness, and no drain would follow it. */
static bool has_pace(ws *w, size_t n)
{
    size_t most = w->limits->queue / 2;
    if (conn_queued(w->c) + n <= most)
        return true;
    conn_flush(w->c);
    return conn_queued(w->c) == 0 || conn_queued(w->c) + n <= most;
}

/* Messages ---------------------------------------------------------------------------------- */

static void send_all(ws *w, frame *const *encoded, size_t n)
{
    for (size_t i = 0; i < n && w->state == WS_IS_OPEN; i++) {
        if (ws_has_room(w, encoded[i]->len))
            ws_write_frame(w, encoded[i]);
    }
}

static size_t send_at_its_pace(subscription *s, frame *const *encoded, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!has_pace(s->w, encoded[i]->len)) {
            s->held = true;
            if (!s->subscriber.replaying)
                note_slow(s, "paused", METRIC_WS_PAUSED);
            return i;
        }
        if (!ws_write_frame(s->w, encoded[i]))
            break;
    }
    return n;
}

static void send_or_wait(subscription *s, frame *const *encoded, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s->first != NULL || !has_pace(s->w, encoded[i]->len))
            let_wait(s, encoded[i]);
        else if (!ws_write_frame(s->w, encoded[i]))
            return;
    }
}

/* The subscription may go with the first message that is too much for the client; w stays. */
static size_t deliver_messages(hub_subscriber *subscriber, frame *const *encoded, size_t n)
{
    subscription *s = of(subscriber);
    ws *w = s->w;
    size_t taken = n;
    bool corked = n > 1 && conn_cork(w->c);
    if (subscriber->replaying || (s->policy == HUB_SLOW_PAUSE && subscriber->position.epoch != 0))
        taken = send_at_its_pace(s, encoded, n);
    else if (s->policy == HUB_SLOW_LATEST || s->policy == HUB_SLOW_DROP_OLDEST)
        send_or_wait(s, encoded, n);
    else
        send_all(w, encoded, n);
    if (corked)
        conn_uncork(w->c);
    return taken;
}

static void gap(hub_subscriber *subscriber, uint64_t lost)
{
    ws *w = of(subscriber)->w;
    w->ops->on_gap(w, hub_topic_of(subscriber), lost);
}

static void gap_in_envelope(hub_subscriber *subscriber, uint64_t lost)
{
    buf text = {0};
    envelope_gap(&text, hub_topic_of(subscriber), lost);
    ws_send(of(subscriber)->w, WS_TEXT, (slice){text.data, text.len});
    buf_free(&text);
}

static void begun(hub_subscriber *subscriber, hub_position at, hub_recovery recovery)
{
    ws_subscribed *note = of(subscriber)->begun;
    if (note != NULL)
        *note = (ws_subscribed){at, recovery};
}

/* What waited; false: some still does. */
static bool flush_messages(subscription *s)
{
    ws *w = s->w;
    if (s->first != NULL && s->lost > 0) {
        uint64_t lost = s->lost;
        s->lost = 0;
        metrics_add(METRIC_MESSAGES_LOST, (int64_t)lost);
        s->subscriber.transport->gap(&s->subscriber, lost);
    }
    while (w->state == WS_IS_OPEN && s->first != NULL && has_pace(w, s->first->data->len)) {
        frame *f = frame_hold(s->first->data);
        drop_first(s);
        ws_write_frame(w, f); /* s may be gone */
        frame_drop(f);
    }
    return w->state == WS_IS_OPEN && s->first == NULL;
}

/* Newest values ----------------------------------------------------------------------------- */

static void deliver(hub_subscriber *subscriber, frame *encoded, uint64_t version)
{
    (void)version;
    subscription *s = of(subscriber);
    if (conn_queued(s->w->c) > 0)
        conn_flush(s->w->c);
    if (conn_queued(s->w->c) == 0) {
        ws_write_frame(s->w, encoded);
        return;
    }
    frame_drop(s->waiting);
    s->waiting = frame_hold(encoded);
}

/* False: it is closing. */
static bool flush_value(subscription *s)
{
    frame *next = s->waiting;
    s->waiting = NULL;
    bool open = next == NULL || ws_write_frame(s->w, next);
    frame_drop(next);
    return open;
}

void ws_topics_drained(ws *w)
{
    LIST_FOR_EACH_SAFE (it, &w->subscriptions) {
        subscription *s = LIST_ENTRY(it, subscription, link);
        if (!flush_value(s) || !flush_messages(s))
            return; /* closing, or full again: the next drain goes on */
        s->slow = false;
        if (s->held) {
            s->held = false;
            hub_resume(&s->subscriber);
        }
    }
}

/* Transports -------------------------------------------------------------------------------- */

static ws_opcode opcode_of(slice data)
{
    return utf8_valid(data) ? WS_TEXT : WS_BINARY;
}

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    (void)position;
    slice bytes = {data->data, data->len};
    return ws_frame_new(opcode_of(bytes), false, bytes);
}

/* For those with permessage-deflate: once for all of them. */
static frame *encode_packed(slice topic, const frame *data, uint64_t version, hub_position position)
{
    slice bytes = {data->data, data->len};
    frame *packed = ws_pack(opcode_of(bytes), bytes);
    return packed != NULL ? packed : encode(topic, data, version, position);
}

static frame *put_in_envelope(slice topic, const frame *data, hub_position position, bool pack)
{
    char text[HUB_POSITION_TEXT];
    slice place = {text, hub_position_text(position, text)};
    buf out = {0};
    envelope_write(&out, topic, place, (slice){data->data, data->len});
    slice bytes = {out.data, out.len};
    frame *f = pack ? ws_pack(WS_TEXT, bytes) : NULL;
    if (f == NULL)
        f = ws_frame_new(WS_TEXT, false, bytes);
    buf_free(&out);
    return f;
}

static frame *encode_envelope(slice topic, const frame *data, uint64_t version,
                              hub_position position)
{
    (void)version;
    return put_in_envelope(topic, data, position, false);
}

static frame *encode_envelope_packed(slice topic, const frame *data, uint64_t version,
                                     hub_position position)
{
    (void)version;
    return put_in_envelope(topic, data, position, true);
}

static void free_subscription(subscription *s)
{
    hub_unsubscribe(&s->subscriber);
    list_remove(&s->link);
    s->w->subscription_count--;
    frame_drop(s->waiting);
    while (s->first != NULL)
        drop_first(s);
    free(s);
}

static void end(hub_subscriber *subscriber, const char *reason)
{
    (void)reason;
    free_subscription(of(subscriber));
}

/* [in an envelope][compressed] */
static const hub_transport transports[2][2] = {
    {{"ws", encode, deliver, end, SLOT_WS, deliver_messages, gap, begun},
     {"ws", encode_packed, deliver, end, SLOT_WS_PACKED, deliver_messages, gap, begun}},
    {{"ws", encode_envelope, deliver, end, SLOT_WS_ENVELOPE, deliver_messages, gap_in_envelope,
      begun},
     {"ws", encode_envelope_packed, deliver, end, SLOT_WS_ENVELOPE_PACKED, deliver_messages,
      gap_in_envelope, begun}},
};

/* Subscribing ------------------------------------------------------------------------------- */

static subscription *find(ws *w, slice topic)
{
    LIST_FOR_EACH (it, &w->subscriptions) {
        subscription *s = LIST_ENTRY(it, subscription, link);
        if (slice_eq(hub_topic_of(&s->subscriber), topic))
            return s;
    }
    return NULL;
}

static bool is_same(const subscription *s, const hub_transport *transport,
                    const ws_subscribing *how)
{
    return s->subscriber.log == how->log && s->subscriber.transport == transport &&
           how->start.since.epoch == 0 && how->start.history == 0;
}

static subscription *add(ws *w, slice topic)
{
    subscription *s = mem_alloc(sizeof *s);
    s->w = w;
    s->policy = (uint8_t)hub_rule_of(hub_of(w->port), topic).slow[HUB_CLASS_WS];
    list_append(&w->subscriptions, &s->link);
    w->subscription_count++;
    return s;
}

bool ws_subscribe(ws *w, slice topic, const ws_subscribing *how, ws_subscribed *got)
{
    const hub_transport *transport = &transports[how->envelope][w->packs];
    *got = (ws_subscribed){0};
    if (w->state != WS_IS_OPEN)
        return true;
    subscription *s = find(w, topic);
    if (s != NULL && is_same(s, transport, how)) {
        got->at = s->subscriber.position;
        return true;
    }
    if (s != NULL)
        free_subscription(s);
    if (w->subscription_count >= WS_SUBSCRIPTIONS_MAX)
        return false;
    s = add(w, topic);
    if (!how->log) {
        hub_subscribe(w->port, topic, &s->subscriber, transport);
        return true;
    }
    s->begun = got;
    hub_subscribe_log(w->port, topic, &s->subscriber, transport, &how->start);
    s->begun = NULL;
    return true;
}

bool ws_unsubscribe(ws *w, slice topic)
{
    subscription *s = find(w, topic);
    if (s != NULL)
        free_subscription(s);
    return s != NULL;
}

void ws_topics_leave(ws *w)
{
    while (!list_empty(&w->subscriptions))
        free_subscription(LIST_ENTRY(w->subscriptions.next, subscription, link));
}

void ws_topics_each(const ws *w, void (*fn)(slice topic, void *arg), void *arg)
{
    LIST_FOR_EACH (it, &w->subscriptions)
        fn(hub_topic_of(&LIST_ENTRY(it, subscription, link)->subscriber), arg);
}
