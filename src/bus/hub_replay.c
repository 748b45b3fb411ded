/* Subscribers to messages of a topic with a history: where they begin, and how they get what the
 * worker's queue does not have for them.
 *
 *   hub_subscribe_log -> begin -> replays --hub_replay: all served--> log_subscribers
 *        \--the history is not known yet, or not well enough--> unbegun --hub_sync--> begin
 *   log_subscribers --the queue does not follow on its position--> replays
 *   log_subscribers, replays --it took less than it was given--> paused --hub_resume--> replays
 *
 * What must never happen: a message twice to one subscriber; one left out without a gap told; a
 * verdict "not recovered" from a node that has not asked the remote since. */
#include "hub_batch.h"
#include "hub_private.h"

#include "clock.h"

/* What follows on *at. True: something before it is lost, and *at is where the rest begins. */
static bool read_history(hub_topic *t, hub_position *at, hub_batch *b, uint64_t *lost)
{
    hub *h = t->port->hub;
    hub_message found[HUB_TOGETHER];
    bool gap = false;
    pthread_mutex_lock(&h->lock);
    hub_history *y = hub_history_of(h, t->state);
    if (y != NULL) {
        uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
        bool same = hub_history_has(y, at);
        gap = !same || at->offset + 1 < first;
        *lost = same ? first - at->offset - 1 : 0;
        if (gap)
            *at = (hub_position){y->epoch, first - 1};
        size_t n = hub_history_read(y, at->offset, HUB_TOGETHER, found);
        for (size_t i = 0; i < n; i++)
            hub_batch_add(b, found[i].data, 0, (hub_position){y->epoch, found[i].offset});
    }
    pthread_mutex_unlock(&h->lock);
    return gap;
}

/* True: there may be more for it. */
static bool replay_some(hub_topic *t, hub_subscriber *s)
{
    hub_batch b = {.replay = true};
    uint64_t lost = 0;
    hub_position at = s->position;
    bool gap = read_history(t, &at, &b, &lost);
    bool more = b.n > 0;
    s->position = at;
    if (gap && !hub_batch_gap(&t->replays, s, lost, b.n > 0))
        more = false;
    else if (more) {
        s->replaying = true;
        hub_spend(&t->port->past_left, b.bytes);
        more = hub_batch_offer(t, s, &b, 0, b.n);
    } else {
        s->replaying = false;
        list_put(&t->log_subscribers, &s->link);
    }
    hub_batch_free(&b);
    return more;
}

/* Subscribing ------------------------------------------------------------------------------- */

/* Where a subscriber begins, under the lock. */
static hub_recovery place(hub *h, hub_history *y, const hub_log_start *start, hub_position *at)
{
    uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
    uint32_t wanted = start->history;
    *at = start->since;
    if (hub_history_has(y, at) && at->offset + 1 >= first)
        return HUB_RECOVERED;
    *at = (hub_position){y->epoch, y->last};
    if (start->since.epoch != 0 && wanted == 0)
        wanted = 1; /* the newest state there is */
    at->offset -= wanted < y->count ? wanted : y->count;
    return start->since.epoch != 0 ? HUB_NOT_RECOVERED : HUB_FROM_NOW;
}

/* False: the remote must be asked first. */
static bool try_to_begin(hub_topic *t, hub_subscriber *s, const hub_log_start *start,
                         hub_recovery *recovery)
{
    hub *h = t->port->hub;
    topic_state *state = t->state;
    bool asked = start->watched || (s->waits_for != 0 && state->sync_done >= s->waits_for);
    if (hub_sync_kept(h, state) &&
        (state->sync_done == 0 || (!asked && !hub_sync_knows(h, state, start->since)))) {
        if (s->waits_for == 0)
            s->waits_for = state->joined ? hub_sync_want(h, state) : 1;
        return false;
    }
    hub_history *y = hub_history_of(h, state);
    *recovery = HUB_FROM_NOW;
    s->position = (hub_position){0};
    if (y != NULL)
        *recovery = place(h, y, start, &s->position);
    list_put(&t->log_subscribers, &s->link);
    if (y != NULL && s->position.offset < y->last) {
        list_put(&t->replays, &s->link);
        hub_mark(t, t->port);
    }
    return true;
}

static void begin(hub_topic *t, hub_subscriber *s, const hub_log_start *start)
{
    hub *h = t->port->hub;
    hub_recovery recovery;
    pthread_mutex_lock(&h->lock);
    bool begun = try_to_begin(t, s, start, &recovery);
    pthread_mutex_unlock(&h->lock);
    if (!begun) {
        s->position = start->since;
        s->wanted = start->history;
        list_put(&t->unbegun, &s->link);
    } else if (s->position.epoch != 0 && s->transport->begun != NULL) {
        s->transport->begun(s, s->position, recovery);
    }
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
    s->waits_for = 0;
    s->over_rate = false;
    s->rate = bucket_full(t->rate, clock_ms());
    list_init(&s->link);
    t->subscriber_count++;
    t->log_subscriber_count++;
    begin(t, s, start != NULL ? start : &from_now);
}

void hub_resume(hub_subscriber *s)
{
    hub_topic *t = s->topic;
    hub *h = t->port->hub;
    list_put(&t->replays, &s->link);
    pthread_mutex_lock(&h->lock);
    hub_mark(t, t->port);
    pthread_mutex_unlock(&h->lock);
}

/* In the worker's turn ---------------------------------------------------------------------- */

/* Those for whom the remote has been asked. */
static void begin_waiting(hub_topic *t)
{
    list rest;
    list_move(&t->unbegun, &rest);
    while (!list_empty(&rest)) {
        hub_subscriber *s = LIST_ENTRY(rest.next, hub_subscriber, link);
        list_put(&t->unbegun, &s->link);
        begin(t, s, &(hub_log_start){.since = s->position, .history = s->wanted});
    }
}

/* True: the history has grown past the queue. *newest is where it ends. */
static bool take_behind(hub_topic *t, hub_position *newest)
{
    hub *h = t->port->hub;
    if (!t->replay_behind || t->batch != NULL) /* who is unserved is not behind */
        return false;
    t->replay_behind = false;
    pthread_mutex_lock(&h->lock);
    hub_history *y = hub_history_of(h, t->state);
    if (y != NULL)
        *newest = (hub_position){y->epoch, y->last};
    pthread_mutex_unlock(&h->lock);
    return y != NULL;
}

static void find_behind(hub_topic *t, hub_position newest)
{
    LIST_FOR_EACH_SAFE (it, &t->log_subscribers) {
        hub_subscriber *s = LIST_ENTRY(it, hub_subscriber, link);
        if (s->position.epoch != 0 &&
            (s->position.epoch != newest.epoch || s->position.offset != newest.offset))
            list_put(&t->replays, &s->link);
    }
}

void hub_replay(hub_topic *t)
{
    hub_position newest;
    if (take_behind(t, &newest))
        find_behind(t, newest);
    begin_waiting(t);
    while (!list_empty(&t->replays) && t->port->past_left > 0) {
        hub_subscriber *s = LIST_ENTRY(t->replays.next, hub_subscriber, link);
        if (replay_some(t, s))
            list_put(&t->replays, &s->link); /* behind the others */
    }
}
