/* Messages of which every one counts. Each worker that has subscribers to them has a queue per
 * topic, filled under the hub's lock and so in the topic's one order, emptied in the worker's next
 * turn. The queue is bounded: a worker that stands still loses the oldest, and its subscribers hear
 * how many. Rejected: one history per topic that workers read with cursors of their own, which
 * would keep messages until the slowest worker has read them.
 *
 * What must never happen: a message to a subscriber after its gap was told in the wrong place; a
 * queue kept for a topic without subscribers. */
#include "hub_private.h"

#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

enum { TOGETHER = 64 };

typedef struct {
    list link;
    frame *data;
    uint64_t version;
} message;

static void free_message(message *m)
{
    list_remove(&m->link);
    frame_drop(m->data);
    free(m);
}

static message *first_of(list *l)
{
    return LIST_ENTRY(l->next, message, link);
}

/* Under the lock ---------------------------------------------------------------------------- */

static void make_room(hub_topic *t, size_t bytes)
{
    while (t->log_count > 0 &&
           (t->log_count >= HUB_LOG_MESSAGES || t->log_bytes + bytes > HUB_LOG_BYTES)) {
        message *oldest = first_of(&t->log);
        t->log_count--;
        t->log_bytes -= oldest->data->len;
        t->log_lost++;
        free_message(oldest);
    }
}

static void append(hub_topic *t, frame *data, uint64_t version)
{
    make_room(t, data->len);
    message *m = mem_alloc(sizeof *m);
    m->data = frame_hold(data);
    m->version = version;
    list_append(&t->log, &m->link);
    t->log_count++;
    t->log_bytes += data->len;
}

void hub_log_append(topic_state *s, frame *data, uint64_t version, hub_port *from)
{
    LIST_FOR_EACH (it, &s->listeners) {
        hub_topic *t = LIST_ENTRY(it, hub_topic, listener_link);
        if (t->log_subscriber_count == 0)
            continue;
        append(t, data, version);
        hub_mark(t, from);
    }
}

void hub_log_break(topic_state *s)
{
    LIST_FOR_EACH (it, &s->listeners) {
        hub_topic *t = LIST_ENTRY(it, hub_topic, listener_link);
        if (t->log_subscriber_count == 0)
            continue;
        t->log_broken = true;
        hub_mark(t, NULL);
    }
}

/* True: there is a gap before the messages. */
static bool take(hub_topic *t, list *messages, uint64_t *lost)
{
    hub *h = t->port->hub;
    pthread_mutex_lock(&h->lock);
    list_move(&t->log, messages);
    bool gap = t->log_lost > 0 || t->log_broken;
    *lost = t->log_broken ? 0 : t->log_lost;
    t->log_count = t->log_bytes = 0;
    if (t->log_lost > 0)
        metrics_add(METRIC_MESSAGES_LOST, (int64_t)t->log_lost);
    t->log_lost = 0;
    t->log_broken = false;
    pthread_mutex_unlock(&h->lock);
    return gap;
}

/* On the worker's loop ---------------------------------------------------------------------- */

/* Messages that go out together, so that a subscriber takes them in one write. */
typedef struct {
    message *messages[TOGETHER];
    size_t n;
    frame *encoded[HUB_TRANSPORTS][TOGETHER];
    size_t encoded_n[HUB_TRANSPORTS];
} batch;

static void encode_for(const hub_topic *t, batch *b, const hub_transport *transport)
{
    size_t *n = &b->encoded_n[transport->index];
    for (size_t i = 0; i < b->n; i++) {
        const message *m = b->messages[i];
        frame *f = transport->encode(t->node.key, m->data, m->version);
        if (f != NULL)
            b->encoded[transport->index][(*n)++] = f;
    }
}

static void deliver_to(hub_topic *t, hub_subscriber *s, batch *b)
{
    const hub_transport *transport = s->transport;
    int i = transport->index;
    if (b->encoded_n[i] == 0)
        encode_for(t, b, transport);
    if (b->encoded_n[i] > 0)
        transport->messages(s, b->encoded[i], b->encoded_n[i]);
}

/* b == NULL: tells of `lost` messages. A callback may unsubscribe anyone. */
static void walk(hub_topic *t, batch *b, uint64_t lost)
{
    list rest;
    list_move(&t->log_subscribers, &rest);
    while (!list_empty(&rest)) {
        hub_subscriber *s = LIST_ENTRY(rest.next, hub_subscriber, link);
        list_remove(&s->link);
        list_append(&t->log_subscribers, &s->link);
        if (b != NULL)
            deliver_to(t, s, b);
        else
            s->transport->gap(s, lost);
    }
}

static void deliver_some(hub_topic *t, list *messages)
{
    batch b = {.n = 0};
    for (; b.n < TOGETHER && !list_empty(messages); b.n++) {
        b.messages[b.n] = first_of(messages);
        list_remove(&b.messages[b.n]->link);
    }
    walk(t, &b, 0);
    for (size_t i = 0; i < b.n; i++)
        free_message(b.messages[i]);
    for (size_t k = 0; k < HUB_TRANSPORTS; k++) {
        for (size_t i = 0; i < b.encoded_n[k]; i++)
            frame_drop(b.encoded[k][i]);
    }
}

void hub_log_deliver(hub_topic *t)
{
    list messages;
    uint64_t lost;
    if (t->log_subscriber_count == 0) {
        hub_log_clear(t);
        return;
    }
    bool gap = take(t, &messages, &lost);
    bool outermost = !t->delivering;
    t->delivering = true;
    if (gap)
        walk(t, NULL, lost);
    while (!list_empty(&messages))
        deliver_some(t, &messages);
    if (outermost)
        t->delivering = false;
}

void hub_log_clear(hub_topic *t)
{
    list messages;
    uint64_t lost;
    take(t, &messages, &lost);
    while (!list_empty(&messages))
        free_message(first_of(&messages));
}

slice hub_topic_of(const hub_subscriber *s)
{
    return s->topic->node.key;
}

void hub_subscribe_log(hub_port *p, slice topic, hub_subscriber *s, const hub_transport *transport)
{
    hub_topic *t = hub_get_topic(p, topic);
    s->topic = t;
    s->transport = transport;
    s->log = true;
    list_append(&t->log_subscribers, &s->link);
    t->subscriber_count++;
    t->log_subscriber_count++;
}
