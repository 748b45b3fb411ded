/* A worker's side of the hub: its topics, its mailbox, and its turns. Who gets what is
 * hub_value.c's (newest values) and hub_log.c's (messages).
 *
 * A turn: both go out until so many bytes are given (each delivery counts for some more); what is
 * left over goes on in the loop's next turn, the topics in rotation. So a crowd keeps neither
 * sockets nor other topics waiting, and what comes meanwhile is seen at once, with its time.
 * Counted and not timed: the same on a busy machine.
 *
 * A topic of a port lives while it has subscribers or watches. A walk over subscribers takes each
 * one out of its list and puts it where it belongs after its turn, so that a callback may
 * unsubscribe anyone.
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
    list_init(&t->behind);
    list_init(&t->due);
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

void hub_free_if_unused(hub_topic *t)
{
    if (t->delivering || t->subscriber_count > 0 || !list_empty(&t->watches))
        return;
    hub_port *p = t->port;
    map_remove(&p->topics, &t->node);
    list_remove(&t->paced_link);
    list_remove(&t->quiet_link);
    list_remove(&t->unfinished_link);
    hub_value_clear(t);
    hub_unlisten(t);
    hub_log_clear(t);
    hub_replay_cache_free(t);
    free(t);
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
    end_subscribers(t, &t->behind);
    end_subscribers(t, &t->due);
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
        hub_value_changed(t);
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

void hub_begin_turn(hub_port *p)
{
    p->live_left = TURN_LIVE;
    p->past_left = TURN_PAST;
}

bool hub_walk(hub_topic *t, list *from, list *to, size_t bytes,
              void (*give)(hub_topic *t, hub_subscriber *s))
{
    hub_port *p = t->port;
    while (!list_empty(from) && p->live_left > 0) {
        hub_subscriber *s = LIST_ENTRY(from->next, hub_subscriber, link);
        list_put(to, &s->link);
        give(t, s);
        hub_spend(&p->live_left, bytes);
    }
    return list_empty(from);
}

void hub_go_on_later(hub_topic *t)
{
    list_put(&t->port->unfinished, &t->unfinished_link);
    uv_async_send(&t->port->wake);
}

/* Who was first is last now, when it needs more. */
static void go_on(hub_port *p)
{
    hub_begin_turn(p);
    while (!list_empty(&p->unfinished) && p->live_left > 0 && p->past_left > 0) {
        hub_topic *t = LIST_ENTRY(p->unfinished.next, hub_topic, unfinished_link);
        list_remove(&t->unfinished_link);
        hub_log_deliver(t);
        hub_value_deliver(t);
        hub_free_if_unused(t);
    }
    if (!list_empty(&p->unfinished))
        uv_async_send(&p->wake);
}

void hub_port_run(hub_port *p)
{
    if (p->closing || !atomic_exchange(&p->has_mail, false))
        return;
    hub_begin_turn(p);
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
    hub_begin_turn(p);
    hub_value_keep_alive(p, now);
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
    /* A value that lies in the mailbox goes to everyone on this topic. */
    if (t->latest != NULL)
        hub_value_greet(t, s);
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
