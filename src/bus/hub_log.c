/* Messages of which every one counts. Each worker that has subscribers to them has a queue per
 * topic, filled under the hub's lock and so in the topic's one order, emptied in the worker's next
 * turn. The queue is bounded: a worker that stands still loses the oldest, and its subscribers hear
 * how many, unless the topic has a history to take them from. Rejected: one history per topic that
 * workers read with cursors of their own, which would keep messages until the slowest worker has
 * read them.
 *
 * Where there is a history, each subscriber knows the position of its last message, and gets from
 * the queue only what follows on it. All else comes from the history (hub_replay.c).
 *
 * What must never happen: a message to a subscriber after its gap was told in the wrong place; one
 * twice; a queue kept for a topic without subscribers. */
#include "hub_batch.h"
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

typedef struct {
    list link;
    frame *data;
    uint64_t version;
    hub_position position;
    frame *name; /* of its topic, when that is another than where it is queued (a pattern) */
} message;

static void free_message(message *m)
{
    list_remove(&m->link);
    frame_drop(m->data);
    frame_drop(m->name);
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
        bool kept = oldest->position.epoch != 0 && oldest->name == NULL;
        t->log_lost += kept ? 0 : 1; /* the history has it */
        free_message(oldest);
    }
}

static void append(hub_topic *t, frame *data, uint64_t version, hub_position position, frame *name)
{
    make_room(t, data->len);
    message *m = mem_alloc(sizeof *m);
    m->data = frame_hold(data);
    m->version = version;
    m->position = position;
    m->name = name != NULL ? frame_hold(name) : NULL;
    list_append(&t->log, &m->link);
    t->log_count++;
    t->log_bytes += data->len;
}

static void append_for_all(topic_state *s, frame *data, uint64_t version, hub_position position,
                           frame *name, hub_port *from)
{
    LIST_FOR_EACH (it, &s->listeners) {
        hub_topic *t = LIST_ENTRY(it, hub_topic, listener_link);
        if (t->log_subscriber_count == 0)
            continue;
        append(t, data, version, position, name);
        hub_mark(t, from);
    }
}

void hub_log_append(topic_state *s, frame *data, uint64_t version, hub_position position,
                    hub_port *from)
{
    append_for_all(s, data, version, position, NULL, from);
}

void hub_log_append_named(topic_state *s, slice name, frame *data, uint64_t version,
                          hub_position position, hub_port *from)
{
    frame *copy = frame_new(name.p, name.n);
    if (copy == NULL)
        return;
    append_for_all(s, data, version, position, copy, from);
    frame_drop(copy);
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
    t->replay_behind = t->replay_behind || t->log_behind;
    t->log_behind = false;
    pthread_mutex_unlock(&h->lock);
    return gap;
}

/* On the worker's loop ---------------------------------------------------------------------- */

static bool is_next(hub_position position, hub_position after)
{
    return position.epoch == 0 ||
           (position.epoch == after.epoch && position.offset == after.offset + 1);
}

/* Where what s does not have begins, and whether it is all that s misses. */
static size_t first_new(const hub_batch *b, const hub_subscriber *s, bool *follows)
{
    size_t i = 0;
    while (i < b->n && s->position.epoch != 0 &&
           b->messages[i].position.epoch == s->position.epoch &&
           b->messages[i].position.offset <= s->position.offset)
        i++;
    *follows = i == b->n || s->position.epoch == 0 || is_next(b->messages[i].position, s->position);
    for (size_t j = i + 1; j < b->n && b->messages[i].position.epoch != 0; j++)
        *follows = *follows && is_next(b->messages[j].position, b->messages[j - 1].position);
    return i;
}

/* What is over the rate is left out; that is told once, before the next one that is not. */
static void deliver_slowly(hub_topic *t, hub_subscriber *s, hub_batch *b, size_t from)
{
    size_t to = from;
    uint64_t now = clock_ms();
    while (to < b->n && bucket_take(&s->rate, t->rate, now))
        to++;
    if (to > from) {
        s->over_rate = false;
        if (!hub_batch_offer(t, s, b, from, to))
            return;
    }
    if (to == b->n)
        return;
    s->position = b->messages[b->n - 1].position;
    metrics_add(METRIC_MESSAGES_LOST, (int64_t)(b->n - to));
    bool told = s->over_rate;
    s->over_rate = true;
    if (!told)
        hub_batch_gap(&t->log_subscribers, s, 0);
}

static void deliver_to(hub_topic *t, hub_subscriber *s, hub_batch *b)
{
    bool follows;
    size_t from = first_new(b, s, &follows);
    if (!follows)
        list_put(&t->replays, &s->link);
    else if (from < b->n && t->rate > 0)
        deliver_slowly(t, s, b, from);
    else if (from < b->n)
        hub_batch_offer(t, s, b, from, b->n);
}

/* b == NULL: tells of `lost` messages those who can't get them from a history. A callback may
 * unsubscribe anyone. */
static void walk(hub_topic *t, hub_batch *b, uint64_t lost)
{
    list rest;
    list_move(&t->log_subscribers, &rest);
    while (!list_empty(&rest)) {
        hub_subscriber *s = LIST_ENTRY(rest.next, hub_subscriber, link);
        list_put(&t->log_subscribers, &s->link);
        if (b != NULL)
            deliver_to(t, s, b);
        else if (s->position.epoch == 0)
            s->transport->gap(s, lost);
    }
}

static void deliver_some(hub_topic *t, list *messages)
{
    hub_batch b = {.n = 0};
    while (b.n < HUB_TOGETHER && !list_empty(messages)) {
        message *m = first_of(messages);
        hub_batch_message *to = hub_batch_add(&b, frame_hold(m->data), m->version, m->position);
        if (m->name != NULL) {
            to->name = frame_hold(m->name);
            to->position = (hub_position){0};
        }
        free_message(m);
    }
    walk(t, &b, 0);
    hub_batch_free(&b);
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
    hub_replay(t);
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
