/* What a connection is subscribed to.
 *
 * A newest value waits until the client has taken what was sent before, and a newer one replaces
 * it; one that the client has is not sent again. A message goes to the connection's queue while
 * that has room; then the policy of the topic's rule decides:
 *
 *   disconnect    the client is closed
 *   latest        the newest message waits here, the others are lost
 *   drop_oldest   a queue here, within the bound and the rule's max_wait, loses the oldest
 *   pause         the hub stops and goes on from the history when the queue is empty
 *
 * What comes from the history sets no client aside: it comes at the client's pace. A loss, here or
 * before, is told before the message that follows it, and after those that wait since before it.
 * What waits here are references, which count for the connection with what they refer to
 * (waiting_bytes), so that one slow client costs at most the bound and what its connection holds.
 *
 * What must never happen: a subscription that waits for a drain which does not come; a message that
 * overtakes those that wait; a subscription touched after a write that ended its connection. */
#include "subscriptions.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

/* What is given to the connection can't be taken back, so that it gets little ahead of the kernel:
 * the rest waits here, where it may be dropped. */
enum { AHEAD_MAX = 64 * 1024 };
static const uint64_t unknown = UINT64_MAX; /* a number of lost messages */

typedef struct queued {
    struct queued *next;
    frame *data;
    uint64_t came_ms;
    uint64_t lost; /* before it */
} queued;

typedef struct {
    hub_subscriber subscriber;
    list link; /* in subscriptions.all */
    subscriptions *home;
    frame *waiting;       /* the newest value, until the client has taken what was before */
    uint64_t version;     /* of the newest value that was given to it */
    queued *first, *last; /* messages that wait */
    uint64_t lost;        /* after the last of them */
    bool held;            /* the hub waits for hub_resume */
    bool slow;            /* and the log knows, until it has caught up */
    bool skips;           /* newest values; the log was told once */
    uint8_t policy;       /* hub_slow */
    uint64_t max_wait_ms; /* of the topic's rule */
    subscribed *begun;    /* where to note how it began */
} subscription;

static subscription *of(hub_subscriber *s)
{
    return LIST_ENTRY(s, subscription, subscriber);
}

subscriptions *subscriptions_of(hub_subscriber *s)
{
    return of(s)->home;
}

/* Slowness ---------------------------------------------------------------------------------- */

static void note(subscription *s, bool *noted, const char *done, metric counter)
{
    const subscriptions *all = s->home;
    metrics_add(counter, 1);
    if (*noted)
        return;
    *noted = true;
    audience_slow(all->member, hub_topic_of(&s->subscriber),
                  conn_queued(all->c) + all->waiting_bytes, done);
}

static void note_slow(subscription *s, const char *done, metric counter)
{
    note(s, &s->slow, done, counter);
}

/* Who is shown the newest skips the others as a matter of course: it is told once. */
static void note_skipped(subscription *s)
{
    note(s, &s->skips, "skipped", METRIC_PICTURES_SKIPPED);
}

/* What a message costs here: its bytes may be shared, this is not. */
static size_t cost_of(const frame *f)
{
    return f->len + sizeof(queued);
}

static void drop_first(subscription *s)
{
    queued *q = s->first;
    s->first = q->next;
    if (s->first == NULL)
        s->last = NULL;
    s->home->waiting_bytes -= cost_of(q->data);
    frame_drop(q->data);
    free(q);
}

static void put_last(subscription *s, frame *f)
{
    queued *q = mem_alloc(sizeof *q);
    q->data = frame_hold(f);
    q->came_ms = clock_ms();
    q->lost = s->lost;
    s->lost = 0;
    if (s->last != NULL)
        s->last->next = q;
    else
        s->first = q;
    s->last = q;
    s->home->waiting_bytes += cost_of(f);
}

static uint64_t add_lost(uint64_t a, uint64_t b)
{
    return a == unknown || b == unknown ? unknown : a + b;
}

static void lose_first(subscription *s)
{
    uint64_t lost = add_lost(s->first->lost, 1);
    drop_first(s);
    uint64_t *next = s->first != NULL ? &s->first->lost : &s->lost;
    *next = add_lost(*next, lost);
    metrics_add(METRIC_MESSAGES_LOST, 1);
    note_slow(s, "dropped", METRIC_MESSAGES_DROPPED);
}

static bool is_late(const subscription *s, const queued *q)
{
    return s->max_wait_ms > 0 && q->came_ms + s->max_wait_ms < clock_ms();
}

static void let_wait(subscription *s, frame *f)
{
    size_t most = s->policy == HUB_SLOW_LATEST ? 0 : s->home->queue;
    while (s->first != NULL && (s->home->waiting_bytes + cost_of(f) > most || is_late(s, s->first)))
        lose_first(s);
    put_last(s, f);
}

/* Room for another message, leaving some for what goes past the topics. A batch that was not sent
 * yet is not slowness, and no drain would follow it. */
static bool has_pace(const subscriptions *all, size_t n)
{
    size_t most = all->queue / 2 < AHEAD_MAX ? all->queue / 2 : AHEAD_MAX;
    if (conn_queued(all->c) + n <= most)
        return true;
    conn_flush(all->c);
    return conn_queued(all->c) == 0 || conn_queued(all->c) + n <= most;
}

/* Messages ---------------------------------------------------------------------------------- */

/* What is missing before the next one; false: the connection has ended. */
static bool tell_lost(subscription *s, uint64_t *lost)
{
    subscriptions *all = s->home;
    uint64_t n = *lost;
    *lost = 0;
    if (n > 0)
        all->ops->gap(all, &s->subscriber, n == unknown ? 0 : n);
    return !all->closed;
}

/* False: the connection has ended. */
static bool write_next(subscription *s, frame *f)
{
    subscriptions *all = s->home;
    if (tell_lost(s, &s->lost))
        all->ops->write(all, f);
    return !all->closed;
}

static void send_all(subscription *s, frame *const *encoded, size_t n)
{
    const subscriptions_ops *ops = s->home->ops;
    for (size_t i = 0; i < n; i++) {
        slice topic = hub_topic_of(&s->subscriber);
        if (!ops->has_room(s->home, topic, encoded[i]->len) || !write_next(s, encoded[i]))
            return;
    }
}

static size_t send_at_its_pace(subscription *s, frame *const *encoded, size_t n)
{
    subscriptions *all = s->home;
    for (size_t i = 0; i < n && !all->closed; i++) {
        if (!has_pace(all, encoded[i]->len)) {
            s->held = true;
            if (!s->subscriber.replaying)
                note_slow(s, "paused", METRIC_SUBSCRIBERS_PAUSED);
            return i;
        }
        write_next(s, encoded[i]);
    }
    return n;
}

static void send_or_wait(subscription *s, frame *const *encoded, size_t n)
{
    subscriptions *all = s->home;
    for (size_t i = 0; i < n && !all->closed; i++) {
        if (s->first == NULL && has_pace(all, encoded[i]->len))
            write_next(s, encoded[i]);
        else
            let_wait(s, encoded[i]);
    }
}

/* The subscription may go with the first message that is too much for the client; its home stays.
 */
size_t subscriptions_messages(hub_subscriber *subscriber, frame *const *encoded, size_t n)
{
    subscription *s = of(subscriber);
    subscriptions *all = s->home;
    size_t taken = n;
    bool corked = (n > 1 || s->lost > 0) && conn_cork(all->c);
    if (subscriber->replaying || (s->policy == HUB_SLOW_PAUSE && subscriber->position.epoch != 0))
        taken = send_at_its_pace(s, encoded, n);
    else if (s->policy == HUB_SLOW_LATEST || s->policy == HUB_SLOW_DROP_OLDEST)
        send_or_wait(s, encoded, n);
    else
        send_all(s, encoded, n);
    if (corked)
        conn_uncork(all->c);
    return taken;
}

void subscriptions_begun(hub_subscriber *subscriber, hub_position at, hub_recovery recovery)
{
    subscribed *note = of(subscriber)->begun;
    if (note != NULL)
        *note = (subscribed){at, recovery};
}

/* What follows at once leaves together with it; what waits goes before it. */
void subscriptions_gap(hub_subscriber *subscriber, uint64_t lost)
{
    subscription *s = of(subscriber);
    s->lost = add_lost(s->lost, lost > 0 ? lost : unknown);
    if (!subscriber->more && s->first == NULL)
        tell_lost(s, &s->lost);
}

/* False: the connection has ended. */
static bool write_first(subscription *s)
{
    subscriptions *all = s->home;
    if (!tell_lost(s, &s->first->lost))
        return false;
    frame *next = frame_hold(s->first->data);
    drop_first(s);
    all->ops->write(all, next);
    frame_drop(next);
    return !all->closed;
}

/* What waited; false: some still does, or the connection has ended. */
static bool flush_messages(subscription *s)
{
    subscriptions *all = s->home;
    while (s->first != s->last && is_late(s, s->first))
        lose_first(s);
    while (s->first != NULL && has_pace(all, s->first->data->len)) {
        if (!write_first(s))
            return false;
    }
    return s->first == NULL && tell_lost(s, &s->lost);
}

/* Newest values ----------------------------------------------------------------------------- */

void subscriptions_deliver(hub_subscriber *subscriber, frame *encoded, uint64_t version)
{
    subscription *s = of(subscriber);
    subscriptions *all = s->home;
    if (version == s->version)
        return;
    /* The first one goes out with the head, which may still lie in the connection's batch. */
    bool first = s->version == 0 && conn_queued(all->c) + encoded->len <= all->queue;
    s->version = version;
    if (!first && conn_queued(all->c) > 0)
        conn_flush(all->c);
    if (first || conn_queued(all->c) == 0) {
        all->ops->write(all, encoded);
        return;
    }
    if (s->waiting != NULL)
        note_skipped(s);
    frame_drop(s->waiting);
    s->waiting = frame_hold(encoded);
}

/* False: the connection has ended. */
static bool flush_value(subscription *s)
{
    subscriptions *all = s->home;
    frame *next = s->waiting;
    s->waiting = NULL;
    if (next == NULL)
        return true;
    all->ops->write(all, next);
    frame_drop(next);
    return !all->closed;
}

static void go_on(subscriptions *all)
{
    LIST_FOR_EACH_SAFE (it, &all->all) {
        subscription *s = LIST_ENTRY(it, subscription, link);
        if (!flush_value(s) || !flush_messages(s))
            return; /* ended, or full again: the next drain goes on */
        s->slow = false;
        if (s->held) {
            s->held = false;
            hub_resume(&s->subscriber);
            if (all->closed)
                return;
        }
    }
}

void subscriptions_drained(subscriptions *all)
{
    bool corked = conn_cork(all->c);
    go_on(all);
    if (corked)
        conn_uncork(all->c);
}

/* Coming and going -------------------------------------------------------------------------- */

static void free_subscription(subscription *s)
{
    hub_unsubscribe(&s->subscriber);
    list_remove(&s->link);
    s->home->count--;
    frame_drop(s->waiting);
    while (s->first != NULL)
        drop_first(s);
    free(s);
}

void subscriptions_end(hub_subscriber *subscriber, slice topic)
{
    subscriptions *all = subscriptions_of(subscriber);
    const hub_transport *transport = subscriber->transport;
    free_subscription(of(subscriber));
    audience_exit(all->member, topic);
    if (all->ops->ended != NULL)
        all->ops->ended(all, topic, transport);
}

static subscription *find(const subscriptions *all, slice topic)
{
    LIST_FOR_EACH (it, &all->all) {
        subscription *s = LIST_ENTRY(it, subscription, link);
        if (slice_eq(hub_topic_of(&s->subscriber), topic))
            return s;
    }
    return NULL;
}

static bool is_same(const subscription *s, const hub_transport *transport, const subscribing *how)
{
    return s->subscriber.log == how->log && s->subscriber.transport == transport &&
           how->start.since.epoch == 0 && how->start.history == 0;
}

static subscription *add(subscriptions *all, slice topic)
{
    subscription *s = mem_alloc(sizeof *s);
    s->home = all;
    hub_rule rule = hub_rule_of(hub_of(all->port), topic);
    s->policy = (uint8_t)rule.slow[all->ops->kind];
    s->max_wait_ms = rule.max_wait_ms;
    list_append(&all->all, &s->link);
    all->count++;
    return s;
}

void subscriptions_init(subscriptions *all)
{
    list_init(&all->all);
}

static bool subscribe(subscriptions *all, slice topic, const hub_transport *transport,
                      const subscribing *how, subscribed *got)
{
    subscription *s = find(all, topic);
    if (s != NULL && is_same(s, transport, how)) {
        got->at = s->subscriber.position;
        return true;
    }
    if (s != NULL)
        free_subscription(s);
    if (all->count >= SUBSCRIPTIONS_MAX)
        return false;
    s = add(all, topic);
    if (!how->log) {
        hub_subscribe(all->port, topic, &s->subscriber, transport);
        return true;
    }
    s->begun = got;
    hub_subscribe_log(all->port, topic, &s->subscriber, transport, &how->start);
    s->begun = NULL;
    return true;
}

bool subscriptions_add(subscriptions *all, slice topic, const hub_transport *transport,
                       const subscribing *how, subscribed *got)
{
    *got = (subscribed){0};
    if (all->closed)
        return true;
    if (!subscribe(all, topic, transport, how, got))
        return false;
    if (how->present)
        audience_enter(all->member, topic);
    return true;
}

bool subscriptions_remove(subscriptions *all, slice topic)
{
    subscription *s = find(all, topic);
    if (s != NULL)
        free_subscription(s);
    audience_exit(all->member, topic);
    return s != NULL;
}

void subscriptions_leave(subscriptions *all)
{
    all->closed = true;
    while (!list_empty(&all->all))
        free_subscription(LIST_ENTRY(all->all.next, subscription, link));
}

void subscriptions_each(const subscriptions *all, void (*fn)(slice topic, void *arg), void *arg)
{
    LIST_FOR_EACH (it, &all->all)
        fn(hub_topic_of(&LIST_ENTRY(it, subscription, link)->subscriber), arg);
}
