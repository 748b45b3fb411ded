/* Messages of which every one counts. Each worker that has subscribers to them has a queue per
 * topic, filled under the hub's lock and so in the topic's one order, emptied in the worker's next
 * turn. The queue is bounded: a worker that stands still loses the oldest, and its subscribers hear
 * how many, unless the topic has a history to take them from. Rejected: one history per topic that
 * workers read with cursors of their own, which would keep messages until the slowest worker has
 * read them.
 *
 * Where there is a history, each subscriber knows the position of its last message, and gets from
 * the queue only what follows on it. All else comes from the history:
 *
 *   hub_subscribe_log -> replays --replay: all served--> log_subscribers
 *   log_subscribers --the queue does not follow on its position--> replays
 *   log_subscribers, replays --it took less than it was given--> paused --hub_resume--> replays
 *
 * What must never happen: a message to a subscriber after its gap was told in the wrong place; one
 * twice; a queue kept for a topic without subscribers. */
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

enum { TOGETHER = 64 };

typedef struct {
    list link;
    frame *data;
    uint64_t version;
    hub_position position;
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
        t->log_lost += oldest->position.epoch == 0 ? 1 : 0; /* else the history has it */
        free_message(oldest);
    }
}

static void append(hub_topic *t, frame *data, uint64_t version, hub_position position)
{
    make_room(t, data->len);
    message *m = mem_alloc(sizeof *m);
    m->data = frame_hold(data);
    m->version = version;
    m->position = position;
    list_append(&t->log, &m->link);
    t->log_count++;
    t->log_bytes += data->len;
}

void hub_log_append(topic_state *s, frame *data, uint64_t version, hub_position position,
                    hub_port *from)
{
    LIST_FOR_EACH (it, &s->listeners) {
        hub_topic *t = LIST_ENTRY(it, hub_topic, listener_link);
        if (t->log_subscriber_count == 0)
            continue;
        append(t, data, version, position);
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
    struct {
        frame *data;
        uint64_t version;
        hub_position position;
    } messages[TOGETHER];
    size_t n;
    frame *encoded[HUB_TRANSPORTS][TOGETHER];
    size_t encoded_n[HUB_TRANSPORTS];
} batch;

static void add_to_batch(batch *b, frame *data, uint64_t version, hub_position position)
{
    b->messages[b->n].data = data;
    b->messages[b->n].version = version;
    b->messages[b->n++].position = position;
}

static void free_batch(batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        frame_drop(b->messages[i].data);
    for (size_t k = 0; k < HUB_TRANSPORTS; k++) {
        for (size_t i = 0; i < b->encoded_n[k]; i++)
            frame_drop(b->encoded[k][i]);
    }
}

/* When memory is out, the rest is missing: who has a position gets it from the history later. */
static void encode_for(const hub_topic *t, batch *b, const hub_transport *transport)
{
    size_t *n = &b->encoded_n[transport->index];
    while (*n < b->n) {
        frame *f = transport->encode(t->node.key, b->messages[*n].data, b->messages[*n].version,
                                     b->messages[*n].position);
        if (f == NULL)
            return;
        b->encoded[transport->index][(*n)++] = f;
    }
}

static void move_to(list *where, hub_subscriber *s)
{
    list_remove(&s->link);
    list_append(where, &s->link);
}

/* Messages `from` and after of the batch. s may be gone afterwards; false: it is, or takes no more
 * for now. */
static bool offer(hub_topic *t, hub_subscriber *s, batch *b, size_t from)
{
    const hub_transport *transport = s->transport;
    int k = transport->index;
    list here;
    if (b->encoded_n[k] == 0)
        encode_for(t, b, transport);
    if (b->encoded_n[k] <= from)
        return true;
    size_t n = b->encoded_n[k] - from;
    hub_position before = s->position;
    s->position = b->messages[b->encoded_n[k] - 1].position;
    list_init(&here);
    move_to(&here, s);
    size_t taken = transport->messages(s, b->encoded[k] + from, n);
    if (list_empty(&here))
        return false;
    if (taken < n && s->position.epoch != 0) {
        s->position = taken == 0 ? before : b->messages[from + taken - 1].position;
        move_to(&t->paused, s);
        return false;
    }
    move_to(&t->log_subscribers, s);
    return true;
}

static bool is_next(hub_position position, hub_position after)
{
    return position.epoch == 0 ||
           (position.epoch == after.epoch && position.offset == after.offset + 1);
}

/* Where what s does not have begins, and whether it is all that s misses. */
static size_t first_new(const batch *b, const hub_subscriber *s, bool *follows)
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

static void deliver_to(hub_topic *t, hub_subscriber *s, batch *b)
{
    bool follows;
    size_t from = first_new(b, s, &follows);
    if (!follows)
        move_to(&t->replays, s);
    else if (from < b->n)
        offer(t, s, b, from);
}

/* b == NULL: tells of `lost` messages those who can't get them from a history. A callback may
 * unsubscribe anyone. */
static void walk(hub_topic *t, batch *b, uint64_t lost)
{
    list rest;
    list_move(&t->log_subscribers, &rest);
    while (!list_empty(&rest)) {
        hub_subscriber *s = LIST_ENTRY(rest.next, hub_subscriber, link);
        move_to(&t->log_subscribers, s);
        if (b != NULL)
            deliver_to(t, s, b);
        else if (s->position.epoch == 0)
            s->transport->gap(s, lost);
    }
}

static void deliver_some(hub_topic *t, list *messages)
{
    batch b = {.n = 0};
    while (b.n < TOGETHER && !list_empty(messages)) {
        message *m = first_of(messages);
        add_to_batch(&b, frame_hold(m->data), m->version, m->position);
        free_message(m);
    }
    walk(t, &b, 0);
    free_batch(&b);
}

/* From the history -------------------------------------------------------------------------- */

hub_history *hub_log_history(hub *h, slice topic, const hub_rule *rule)
{
    if (rule->history.messages == 0 || h->has_remote)
        return NULL;
    return hub_history_get(&h->histories, topic, &rule->history, clock_wall_ms());
}

static hub_history *history_of(hub_topic *t)
{
    return hub_log_history(t->port->hub, t->node.key, &t->state->rule);
}

/* What follows on *at. True: something before it is lost, and *at is where the rest begins. */
static bool read_history(hub_topic *t, hub_position *at, batch *b, uint64_t *lost)
{
    hub *h = t->port->hub;
    hub_message found[TOGETHER];
    bool gap = false;
    pthread_mutex_lock(&h->lock);
    hub_history *y = history_of(t);
    if (y != NULL) {
        uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
        bool same = at->epoch == y->epoch && at->offset <= y->last;
        gap = !same || at->offset + 1 < first;
        *lost = same ? first - at->offset - 1 : 0;
        if (gap)
            *at = (hub_position){y->epoch, first - 1};
        size_t n = hub_history_read(y, at->offset, TOGETHER, found);
        for (size_t i = 0; i < n; i++)
            add_to_batch(b, found[i].data, 0, (hub_position){y->epoch, found[i].offset});
    }
    pthread_mutex_unlock(&h->lock);
    return gap;
}

/* False: s is gone. */
static bool tell_gap(hub_topic *t, hub_subscriber *s, uint64_t lost)
{
    list here;
    list_init(&here);
    move_to(&here, s);
    metrics_add(METRIC_MESSAGES_LOST, (int64_t)lost);
    s->transport->gap(s, lost);
    bool stays = !list_empty(&here);
    if (stays)
        move_to(&t->replays, s);
    return stays;
}

static bool replay_some(hub_topic *t, hub_subscriber *s)
{
    batch b = {.n = 0};
    uint64_t lost = 0;
    hub_position at = s->position;
    bool gap = read_history(t, &at, &b, &lost);
    bool more = b.n > 0;
    s->position = at;
    if (gap && !tell_gap(t, s, lost))
        more = false;
    else if (more) {
        s->replaying = true;
        more = offer(t, s, &b, 0);
    } else {
        s->replaying = false;
        move_to(&t->log_subscribers, s);
    }
    free_batch(&b);
    return more;
}

static void replay_all(hub_topic *t)
{
    list rest;
    list_move(&t->replays, &rest);
    while (!list_empty(&rest)) {
        hub_subscriber *s = LIST_ENTRY(rest.next, hub_subscriber, link);
        move_to(&t->replays, s);
        while (replay_some(t, s))
            ;
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
    replay_all(t);
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

/* Subscribing ------------------------------------------------------------------------------- */

/* Where a subscriber begins, under the lock. */
static hub_recovery place(hub *h, hub_history *y, const hub_log_start *start, hub_position *at)
{
    uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
    uint32_t wanted = start->history;
    *at = (hub_position){y->epoch, y->last};
    if (start->since.epoch == y->epoch && start->since.offset <= y->last &&
        start->since.offset + 1 >= first) {
        *at = start->since;
        return HUB_RECOVERED;
    }
    if (start->since.epoch != 0 && wanted == 0)
        wanted = 1; /* the newest state there is */
    at->offset -= wanted < y->count ? wanted : y->count;
    return start->since.epoch != 0 ? HUB_NOT_RECOVERED : HUB_FROM_NOW;
}

static void begin(hub_topic *t, hub_subscriber *s, const hub_log_start *start)
{
    hub *h = t->port->hub;
    hub_recovery recovery = HUB_FROM_NOW;
    bool behind = false;
    pthread_mutex_lock(&h->lock);
    hub_history *y = history_of(t);
    if (y != NULL) {
        recovery = place(h, y, start, &s->position);
        behind = s->position.offset < y->last;
    }
    if (behind)
        hub_mark(t, t->port);
    pthread_mutex_unlock(&h->lock);
    if (behind)
        move_to(&t->replays, s);
    if (s->position.epoch != 0 && s->transport->begun != NULL)
        s->transport->begun(s, s->position, recovery);
}

void hub_subscribe_log(hub_port *p, slice topic, hub_subscriber *s, const hub_transport *transport,
                       const hub_log_start *start)
{
    static const hub_log_start from_now;
    hub_topic *t = hub_get_topic(p, topic);
    s->topic = t;
    s->transport = transport;
    s->log = true;
    s->replaying = false;
    s->position = (hub_position){0};
    list_append(&t->log_subscribers, &s->link);
    t->subscriber_count++;
    t->log_subscriber_count++;
    begin(t, s, start != NULL ? start : &from_now);
}

void hub_resume(hub_subscriber *s)
{
    hub_topic *t = s->topic;
    hub *h = t->port->hub;
    move_to(&t->replays, s);
    pthread_mutex_lock(&h->lock);
    hub_mark(t, t->port);
    pthread_mutex_unlock(&h->lock);
}
