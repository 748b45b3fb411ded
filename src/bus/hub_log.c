/* Messages of which every one counts. Each worker that has subscribers to them has a queue per
 * topic, filled under the hub's lock and so in the topic's one order, emptied in the worker's next
 * turns: a batch goes to one subscriber after the other, and the next batch when all have it. The
 * queue is bounded: a worker that stands still loses the oldest, and its subscribers hear how many,
 * unless the topic has a history to take them from. Rejected: one history per topic that workers
 * read with cursors of their own, which would keep messages until the slowest worker has read them.
 *
 * A worker that has more to write than it can falls behind by at most the rule's max_wait: what has
 * waited for longer is left out for everybody and told, so that nobody's delay grows with the load;
 * the newest goes out however late it is.
 *
 * Where there is a history, each subscriber knows the position of its last message, and gets from
 * the queue only what follows on it. All else comes from the history (hub_replay.c).
 *
 * What must never happen: a message to a subscriber after its gap was told in the wrong place; one
 * twice; a queue kept for a topic without subscribers. */
#include "hub_batch.h"
#include "hub_private.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

enum { WARN_MS = 10000 };

typedef struct {
    list link;
    frame *data;
    uint64_t version;
    uint64_t came_ms;
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

static void drop_first(hub_topic *t)
{
    message *oldest = first_of(&t->log);
    t->log_count--;
    t->log_bytes -= oldest->data->len;
    free_message(oldest);
}

/* The history has it, where there is one. */
static bool is_kept(const message *m)
{
    return m->position.epoch != 0 && m->name == NULL;
}

static void make_room(hub_topic *t, size_t bytes)
{
    while (t->log_count > 0 &&
           (t->log_count >= HUB_LOG_MESSAGES || t->log_bytes + bytes > HUB_LOG_BYTES)) {
        t->log_lost += is_kept(first_of(&t->log)) ? 0 : 1;
        drop_first(t);
    }
}

static void leave_out(hub_topic *t)
{
    const message *m = first_of(&t->log);
    if (!is_kept(m))
        t->log_lost++;
    else if (t->late_to.epoch != m->position.epoch)
        t->late_from = t->late_to = m->position;
    else
        t->late_to = m->position;
    drop_first(t);
}

/* Returns how many; not the newest. */
static size_t leave_out_late(hub_topic *t)
{
    uint64_t most = t->state->rule.max_wait_ms, now = clock_ms();
    size_t n = 0;
    while (most > 0 && t->log_count > 1 && first_of(&t->log)->came_ms + most < now) {
        leave_out(t);
        n++;
    }
    return n;
}

static void append(hub_topic *t, frame *data, uint64_t version, hub_position position, frame *name)
{
    make_room(t, data->len);
    message *m = mem_alloc(sizeof *m);
    m->data = frame_hold(data);
    m->version = version;
    m->came_ms = clock_ms();
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

/* What is missing before the batch. */
static void take_gap(hub_topic *t, hub_batch *b)
{
    b->gap = t->log_lost > 0 || t->log_broken;
    b->lost = t->log_broken ? 0 : t->log_lost;
    b->late_from = t->late_from;
    b->late_to = t->late_to;
    t->log_lost = 0;
    t->log_broken = false;
    t->late_from = t->late_to = (hub_position){0};
}

static void take_first(hub_topic *t, hub_batch *b)
{
    message *m = first_of(&t->log);
    hub_batch_message *to = hub_batch_add(b, frame_hold(m->data), m->version, m->position);
    if (m->name != NULL) {
        to->name = frame_hold(m->name);
        to->position = (hub_position){0};
    }
    drop_first(t);
}

/* Returns how many were left out before it. */
static size_t take(hub_topic *t, hub_batch *b)
{
    hub *h = t->port->hub;
    pthread_mutex_lock(&h->lock);
    size_t late = leave_out_late(t);
    while (t->log_count > 0 && b->n < HUB_TOGETHER &&
           (b->n == 0 || b->bytes + first_of(&t->log)->data->len <= HUB_TOGETHER_BYTES))
        take_first(t, b);
    take_gap(t, b);
    t->replay_behind = t->replay_behind || t->log_behind;
    t->log_behind = false;
    pthread_mutex_unlock(&h->lock);
    return late;
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
        hub_batch_gap(&t->log_subscribers, s, 0, false);
}

/* False: it is gone. */
static bool tell_gap(hub_topic *t, hub_subscriber *s, const hub_batch *b)
{
    bool more = b->n > 0 && t->rate == 0;
    if (s->position.epoch == 0)
        return !b->gap || hub_batch_gap(&t->log_subscribers, s, b->lost, more);
    if (s->position.epoch != b->late_to.epoch || s->position.offset >= b->late_to.offset ||
        s->position.offset + 1 < b->late_from.offset)
        return true;
    uint64_t lost = b->late_to.offset - s->position.offset;
    s->position = b->late_to;
    return hub_batch_gap(&t->log_subscribers, s, lost, more);
}

static void give_batch(hub_topic *t, hub_subscriber *s)
{
    hub_batch *b = t->batch;
    bool follows;
    if (!tell_gap(t, s, b))
        return;
    size_t from = first_new(b, s, &follows);
    if (!follows)
        list_put(&t->replays, &s->link);
    else if (from < b->n && t->rate > 0)
        deliver_slowly(t, s, b, from);
    else if (from < b->n)
        hub_batch_offer(t, s, b, from, b->n);
}

static void end_batch(hub_topic *t)
{
    if (t->batch != NULL)
        hub_batch_free(t->batch);
    free(t->batch);
    t->batch = NULL;
}

static void warn(hub_topic *t, size_t late)
{
    metrics_add(METRIC_MESSAGES_LATE, (int64_t)late);
    if (late == 0 || (t->warned_ms != 0 && clock_ms() < t->warned_ms + WARN_MS))
        return;
    t->warned_ms = clock_ms();
    log_warn("messages were left out: there is more to send than this worker can",
             LOG_SLICE("topic", t->node.key), LOG_NUM("messages", late),
             LOG_NUM("subscribers", t->log_subscriber_count));
}

/* False: there is nothing to give. */
static bool begin_batch(hub_topic *t)
{
    t->batch = mem_alloc(sizeof *t->batch);
    warn(t, take(t, t->batch));
    if (t->batch->n > 0 || t->batch->gap) {
        list_move(&t->log_subscribers, &t->unserved);
        return true;
    }
    end_batch(t);
    return false;
}

void hub_log_deliver(hub_topic *t)
{
    hub_port *p = t->port;
    if (t->log_subscriber_count == 0) {
        hub_log_clear(t);
        return;
    }
    if (!list_empty(&t->unfinished_link))
        return;
    t->delivering = true;
    while (p->live_left > 0 && (t->batch != NULL || begin_batch(t))) {
        if (hub_walk(t, &t->unserved, &t->log_subscribers, t->batch->bytes, give_batch))
            end_batch(t);
    }
    hub_replay(t);
    t->delivering = false;
    if (p->live_left == 0 || p->past_left == 0)
        hub_go_on_later(t);
}

void hub_log_clear(hub_topic *t)
{
    hub *h = t->port->hub;
    hub_batch nothing = {.n = 0};
    end_batch(t);
    pthread_mutex_lock(&h->lock);
    while (t->log_count > 0)
        drop_first(t);
    take_gap(t, &nothing);
    pthread_mutex_unlock(&h->lock);
}

slice hub_topic_of(const hub_subscriber *s)
{
    return s->topic->node.key;
}
