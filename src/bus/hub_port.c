/* A worker's side of the hub: its subscribers, and when they get what.
 *
 * A turn: messages go out until so many bytes are given (each delivery counts for some more); what
 * is left over goes on in the loop's next turn, the topics in rotation. So a crowd's large messages
 * keep neither sockets nor other topics waiting, and what comes meanwhile is seen at once, with its
 * time. Counted and not timed: the same on a busy machine.
 *
 * Pace: a topic delivers at most max_fps values a second. The first goes out at once; what comes
 * within the slot waits and only the newest of it is sent when the slot opens. Silence: after
 * keep_alive_ms the newest value is sent again. Both lists are ordered by time, so the timers look
 * at the heads only. A rule's rate makes a topic's slots longer.
 *
 * A topic of a port lives while it has subscribers or watches. A walk over subscribers moves the
 * list away and puts each one back before its turn, so that a callback may unsubscribe anyone.
 *
 * What must never happen: a topic freed while it is being walked (delivering). */
#include "hub_batch.h"
#include "hub_private.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include <stdlib.h>

enum {
    TICK_MS = 1000,
    TURN_LIVE = 32 << 20, /* about 5 ms of a core */
    TURN_PAST = 16 << 20,
    DELIVERY = 8 << 10 /* what one costs besides its bytes, in bytes */
};

static void on_tick(uv_timer_t *timer);

/* Topics ------------------------------------------------------------------------------------ */

static hub_topic *find_topic(hub_port *p, slice name)
{
    map_node *node = map_find(&p->topics, name);
    return node == NULL ? NULL : MAP_ENTRY(node, hub_topic, node);
}

hub_topic *hub_get_topic(hub_port *p, slice name)
{
    hub_topic *t = find_topic(p, name);
    if (t != NULL)
        return t;
    t = mem_alloc(sizeof *t);
    t->port = p;
    list_init(&t->listener_link);
    list_init(&t->dirty_link);
    list_init(&t->log);
    list_init(&t->subscribers);
    list_init(&t->log_subscribers);
    list_init(&t->unserved);
    list_init(&t->unfinished_link);
    list_init(&t->replays);
    list_init(&t->paused);
    list_init(&t->unbegun);
    list_init(&t->watches);
    list_init(&t->paced_link);
    list_init(&t->quiet_link);
    hub_listen(t, name);
    map_insert(&p->topics, &t->node);
    hub_tick(p);
    return t;
}

void hub_tick(hub_port *p)
{
    if (p->ticking || p->closing)
        return;
    p->ticking = true;
    uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
}

static void drop_encoded(hub_topic *t)
{
    for (int i = 0; i < HUB_TRANSPORTS; i++) {
        frame_drop(t->encoded[i]);
        t->encoded[i] = NULL;
    }
}

void hub_free_if_unused(hub_topic *t)
{
    if (t->delivering || t->subscriber_count > 0 || !list_empty(&t->watches))
        return;
    hub_port *p = t->port;
    map_remove(&p->topics, &t->node);
    list_remove(&t->paced_link);
    list_remove(&t->quiet_link);
    list_remove(&t->unfinished_link);
    drop_encoded(t);
    frame_drop(t->latest);
    hub_unlisten(t);
    hub_log_clear(t);
    hub_replay_cache_free(t);
    free(t);
}

/* Delivery ---------------------------------------------------------------------------------- */

static frame *encoded_for(hub_topic *t, const hub_transport *transport)
{
    frame **cached = &t->encoded[transport->index];
    if (*cached == NULL)
        *cached = transport->encode(t->node.key, t->latest, t->version, (hub_position){0});
    return *cached;
}

static void deliver_one(hub_topic *t, hub_subscriber *s)
{
    frame *encoded = encoded_for(t, s->transport);
    if (encoded != NULL)
        s->transport->deliver(s, encoded, t->version);
}

static void deliver_all(hub_topic *t)
{
    list walk;
    t->delivering = true;
    t->sent_ms = clock_ms();
    list_remove(&t->quiet_link);
    list_append(&t->port->quiet, &t->quiet_link);
    list_move(&t->subscribers, &walk);
    while (!list_empty(&walk)) {
        hub_subscriber *s = LIST_ENTRY(walk.next, hub_subscriber, link);
        list_remove(&s->link);
        list_append(&t->subscribers, &s->link);
        deliver_one(t, s);
    }
    t->delivering = false;
}

static uint64_t slot_ms(const hub_topic *t)
{
    uint32_t fps = t->port->hub->max_fps, rate = t->rate;
    uint32_t least = fps == 0 || (rate > 0 && rate < fps) ? rate : fps;
    return least == 0 ? 0 : (1000u + least - 1) / least;
}

static void on_pace(uv_timer_t *timer);

static void plan_pace(hub_port *p)
{
    if (list_empty(&p->paced))
        return;
    hub_topic *first = LIST_ENTRY(p->paced.next, hub_topic, paced_link);
    uint64_t due = first->slot_ms, now = clock_ms();
    uv_update_time(p->loop);
    uv_timer_start(&p->pace, on_pace, due > now ? due - now : 0, 0);
}

/* Most topics have the same pace, so its place is at the end, or near it. */
static void wait_for_slot(hub_topic *t, uint64_t due)
{
    hub_port *p = t->port;
    list *before = p->paced.prev;
    t->waiting_slot = true;
    t->slot_ms = due;
    while (before != &p->paced && LIST_ENTRY(before, hub_topic, paced_link)->slot_ms > due)
        before = before->prev;
    list_append(before->next, &t->paced_link);
    if (before == &p->paced)
        plan_pace(p);
}

static void offer(hub_topic *t)
{
    uint64_t slot = slot_ms(t);
    if (t->waiting_slot || t->subscriber_count == 0)
        return;
    if (clock_ms() - t->sent_ms >= slot)
        deliver_all(t);
    else
        wait_for_slot(t, t->sent_ms + slot);
}

static void on_pace(uv_timer_t *timer)
{
    hub_port *p = timer->data;
    uint64_t now = clock_ms();
    while (!list_empty(&p->paced)) {
        hub_topic *t = LIST_ENTRY(p->paced.next, hub_topic, paced_link);
        if (now < t->slot_ms)
            break;
        list_remove(&t->paced_link);
        t->waiting_slot = false;
        deliver_all(t);
        hub_free_if_unused(t);
    }
    plan_pace(p);
}

static void end_subscribers(const hub_topic *t, list *subscribers)
{
    while (!list_empty(subscribers)) {
        hub_subscriber *s = LIST_ENTRY(subscribers->next, hub_subscriber, link);
        hub_unsubscribe(s);
        s->transport->end(s, t->node.key);
    }
}

/* The topic is over: nobody finds it any more, its subscribers are told, its watches are ready. */
static void end_topic(hub_topic *t)
{
    t->delivering = true;
    end_subscribers(t, &t->subscribers);
    end_subscribers(t, &t->log_subscribers);
    end_subscribers(t, &t->unserved);
    end_subscribers(t, &t->replays);
    end_subscribers(t, &t->paused);
    end_subscribers(t, &t->unbegun);
    hub_watches_end(t);
    t->delivering = false;
    hub_free_if_unused(t);
}

/* The mailbox ------------------------------------------------------------------------------- */

static void take_mail(hub_topic *t, bool *ended, bool *joined, uint64_t *sync, bool *changed)
{
    hub *h = t->port->hub;
    topic_state *s = t->state;
    frame *old = NULL;
    pthread_mutex_lock(&h->lock);
    t->dirty = false;
    *ended = s->ended;
    *joined = s->joined;
    *sync = s->sync_done;
    t->rate = s->rule.rate;
    *changed = s->latest != NULL && s->latest != t->latest;
    if (*changed) {
        old = t->latest;
        t->latest = frame_hold(s->latest);
        t->version = s->version;
    }
    pthread_mutex_unlock(&h->lock);
    frame_drop(old);
    if (*changed)
        drop_encoded(t);
}

static void read_mail(hub_topic *t)
{
    bool ended, joined, changed;
    uint64_t sync;
    take_mail(t, &ended, &joined, &sync, &changed);
    if (joined)
        hub_watches_ready(t, sync);
    hub_log_deliver(t);
    if (changed)
        offer(t);
    if (ended)
        end_topic(t);
    else
        hub_free_if_unused(t);
}

static hub_topic *next_dirty(hub_port *p, list *names)
{
    hub_topic *t = NULL;
    pthread_mutex_lock(&p->hub->lock);
    if (!list_empty(&p->refresh))
        list_move(&p->refresh, names);
    if (!list_empty(&p->dirty)) {
        t = LIST_ENTRY(p->dirty.next, hub_topic, dirty_link);
        list_remove(&t->dirty_link);
    }
    pthread_mutex_unlock(&p->hub->lock);
    return t;
}

void hub_spend(size_t *left, size_t bytes)
{
    bytes += DELIVERY;
    *left -= bytes < *left ? bytes : *left;
}

static void begin_turn(hub_port *p)
{
    p->live_left = TURN_LIVE;
    p->past_left = TURN_PAST;
}

/* Who was first is last now, when it needs more. */
static void go_on(hub_port *p)
{
    begin_turn(p);
    while (!list_empty(&p->unfinished) && p->live_left > 0 && p->past_left > 0) {
        hub_topic *t = LIST_ENTRY(p->unfinished.next, hub_topic, unfinished_link);
        list_remove(&t->unfinished_link);
        hub_log_deliver(t);
        hub_free_if_unused(t);
    }
    if (!list_empty(&p->unfinished))
        uv_async_send(&p->wake);
}

void hub_port_run(hub_port *p)
{
    if (p->closing || !atomic_exchange(&p->has_mail, false))
        return;
    begin_turn(p);
    list names;
    list_init(&names);
    hub_sync_run(p);
    hub_topic *t;
    while ((t = next_dirty(p, &names)) != NULL) {
        read_mail(t);
        hub_refresh_run(p, &names);
    }
    hub_refresh_run(p, &names);
}

static void on_wake(uv_async_t *async)
{
    hub_port *p = async->data;
    if (!p->closing)
        go_on(p);
    hub_port_run(p);
}

/* The second's tick: silence, forgotten watches, ends of life ------------------------------- */

/* Looks after the state, and says whether it is over. */
static bool is_expired(hub_topic *t, uint64_t now)
{
    hub *h = t->port->hub;
    pthread_mutex_lock(&h->lock);
    hub_sync_retry(h, t->state);
    bool expired = t->state->expires_ms != 0 && now >= t->state->expires_ms && !t->state->ended;
    pthread_mutex_unlock(&h->lock);
    return expired;
}

static void keep_quiet_alive(hub_port *p, uint64_t now)
{
    uint64_t after = p->hub->keep_alive_ms;
    while (after > 0 && !list_empty(&p->quiet)) {
        hub_topic *t = LIST_ENTRY(p->quiet.next, hub_topic, quiet_link);
        if (now < t->sent_ms + after) /* sent_ms may be later than now: just delivered */
            return;
        if (t->subscriber_count > 0 && t->latest != NULL)
            deliver_all(t);
        else
            list_remove(&t->quiet_link);
        hub_free_if_unused(t);
    }
}

/* Histories outlive their topics, and so does the tick that lets them age. */
static void age_histories(hub_port *p)
{
    hub *h = p->hub;
    pthread_mutex_lock(&h->lock);
    hub_histories_sweep(&h->histories, clock_wall_ms());
    bool over = p->topics.count == 0 && h->histories.by_name.count == 0;
    pthread_mutex_unlock(&h->lock);
    if (!over)
        return;
    p->ticking = false;
    uv_timer_stop(&p->tick);
}

static void on_tick(uv_timer_t *timer)
{
    hub_port *p = timer->data;
    uint64_t now = clock_ms();
    size_t slot = 0;
    keep_quiet_alive(p, now);
    hub_refresh_tick(p);
    for (map_node *n = map_next(&p->topics, &slot, NULL), *next; n != NULL; n = next) {
        next = map_next(&p->topics, &slot, n);
        hub_topic *t = MAP_ENTRY(n, hub_topic, node);
        if (!list_empty(&t->watches))
            hub_watches_check(t, now);
        hub_replay_cache_age(t);
        if (is_expired(t, now))
            hub_publish_local(p, t->node.key, NULL, (hub_meta){.ended = true});
        hub_free_if_unused(t);
    }
    hub_port_run(p);
    age_histories(p);
}

/* The face ---------------------------------------------------------------------------------- */

void hub_subscribe(hub_port *p, slice topic, hub_subscriber *s, const hub_transport *transport)
{
    hub_topic *t = hub_get_topic(p, topic);
    s->topic = t;
    s->transport = transport;
    s->log = false;
    list_append(&t->subscribers, &s->link);
    t->subscriber_count++;
    /* A value that lies in the mailbox goes to everyone on this topic within the same turn. */
    if (t->latest == NULL)
        return;
    if (list_empty(&t->quiet_link)) {
        t->sent_ms = clock_ms();
        list_append(&p->quiet, &t->quiet_link);
    }
    deliver_one(t, s);
}

void hub_unsubscribe(hub_subscriber *s)
{
    hub_topic *t = s->topic;
    if (t == NULL)
        return;
    list_remove(&s->link);
    s->topic = NULL;
    t->subscriber_count--;
    t->log_subscriber_count -= s->log ? 1 : 0;
    hub_free_if_unused(t);
}

hub *hub_of(hub_port *p)
{
    return p->hub;
}

hub_port *hub_port_new(hub *h, uv_loop_t *loop)
{
    hub_port *p = mem_alloc(sizeof *p);
    p->hub = h;
    p->loop = loop;
    list_init(&p->paced);
    list_init(&p->unfinished);
    list_init(&p->quiet);
    list_init(&p->dirty);
    list_init(&p->refresh);
    list_init(&p->refresh_failed);
    uv_async_init(loop, &p->wake, on_wake);
    uv_timer_init(loop, &p->tick);
    uv_timer_init(loop, &p->pace);
    p->wake.data = p->tick.data = p->pace.data = p;
    uv_unref((uv_handle_t *)&p->wake);
    uv_unref((uv_handle_t *)&p->tick);
    p->open_handles = 3;
    pthread_mutex_lock(&h->lock);
    h->ports[h->port_count++] = p;
    pthread_mutex_unlock(&h->lock);
    return p;
}

static void on_handle_closed(uv_handle_t *handle)
{
    hub_port *p = handle->data;
    if (--p->open_handles > 0)
        return;
    map_free(&p->topics);
    free(p);
}

static void forget_port(hub *h, hub_port *p)
{
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->port_count; i++) {
        if (h->ports[i] == p)
            h->ports[i] = NULL;
    }
    p->closing = true;
    pthread_mutex_unlock(&h->lock);
}

void hub_port_close(hub_port *p)
{
    forget_port(p->hub, p);
    size_t slot = 0;
    for (map_node *n = map_next(&p->topics, &slot, NULL), *next; n != NULL; n = next) {
        next = map_next(&p->topics, &slot, n);
        end_topic(MAP_ENTRY(n, hub_topic, node));
    }
    hub_refresh_run(p, &p->refresh);
    hub_refresh_run(p, &p->refresh_failed);
    uv_close((uv_handle_t *)&p->wake, on_handle_closed);
    uv_close((uv_handle_t *)&p->tick, on_handle_closed);
    uv_close((uv_handle_t *)&p->pace, on_handle_closed);
}
