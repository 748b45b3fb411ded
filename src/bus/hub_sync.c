/* With a remote: how a node comes to know a topic's history, and keeps knowing it. It reads what
 * the remote has kept when it begins to listen, then follows by the messages that come. Their
 * offsets count by one, so a hole shows: what comes after it is held, and the remote is read again
 * from where the node stands.
 *
 *   unknown --hub_joined: hub_sync_want--> reading --on_page--> following
 *   following --a hole, a lost link, a client that is ahead of us--> reading
 *   reading --failed--> (the second's tick) --> reading
 *
 * Readings are begun from a worker's turn, on that worker's link (hub_sync_run), since the wish may
 * come up on any thread; so many at a time that other commands find room on the link, though every
 * topic has to be read after a lost link. A reading has a number; who needs to know what there is
 * *now* waits for one with a number that was not given yet.
 *
 * Owner: the hub; all under its lock. What must never happen: a message counted in after a hole; a
 * held message forgotten without a reading that follows. */
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include <stdlib.h>

enum { READINGS_MAX = 256 };

typedef struct {
    list link;
    frame *data;
    hub_position position;
    int64_t time_ms;
    uint64_t before; /* readings with a higher number were begun after it came */
} held_message;

typedef struct {
    hub *hub;
    uint64_t number;
    size_t n;
    char name[];
} reading;

bool hub_sync_kept(const hub *h, const topic_state *s)
{
    return h->has_remote && s->rule.history.messages > 0;
}

/* Wishes ------------------------------------------------------------------------------------ */

static void wake_a_port(hub *h)
{
    for (size_t i = 0; i < h->port_count; i++) {
        hub_port *p = h->ports[i];
        if (p == NULL || p->closing)
            continue;
        if (!atomic_exchange(&p->has_mail, true))
            uv_async_send(&p->wake);
        return;
    }
}

static void queue_reading(hub *h, topic_state *s)
{
    if (s->reading || !list_empty(&s->sync_link))
        return;
    list_append(&h->syncs, &s->sync_link);
    wake_a_port(h);
}

uint64_t hub_sync_want(hub *h, topic_state *s)
{
    s->sync_wanted = h->last_sync + 1;
    if (!s->ended)
        queue_reading(h, s);
    return s->sync_wanted;
}

void hub_sync_retry(hub *h, topic_state *s)
{
    if (!s->sync_failed || s->ended)
        return;
    s->sync_failed = false;
    queue_reading(h, s);
}

bool hub_sync_knows(hub *h, topic_state *s, hub_position since)
{
    if (since.epoch == 0 || s->sync_done == 0 || s->reading)
        return since.epoch == 0 && s->sync_done > 0;
    hub_history *y = hub_history_find(&h->histories, s->node.key);
    return y != NULL && hub_history_has(y, &since) &&
           since.offset + 1 >= hub_history_first(&h->histories, y, clock_wall_ms());
}

hub_history *hub_history_of(hub *h, topic_state *s)
{
    if (s->rule.history.messages == 0 || (h->has_remote && s->sync_done == 0))
        return NULL;
    return hub_history_get(&h->histories, s->node.key, &s->rule.history, clock_wall_ms());
}

/* Messages ---------------------------------------------------------------------------------- */

static void drop_held(topic_state *s)
{
    held_message *m = LIST_ENTRY(s->held.next, held_message, link);
    list_remove(&m->link);
    s->held_count--;
    s->held_bytes -= m->data->len;
    frame_drop(m->data);
    free(m);
}

/* The oldest go first: the reading that follows brings them, or shows their hole. */
static void hold(hub *h, topic_state *s, frame *data, hub_position position, int64_t time_ms)
{
    while (s->held_count > 0 &&
           (s->held_count >= HUB_LOG_MESSAGES || s->held_bytes + data->len > HUB_LOG_BYTES))
        drop_held(s);
    held_message *m = mem_alloc(sizeof *m);
    *m = (held_message){
        .data = frame_hold(data), .position = position, .time_ms = time_ms, .before = h->last_sync};
    list_append(&s->held, &m->link);
    s->held_count++;
    s->held_bytes += data->len;
}

/* False: there is a hole before it. */
static bool count_in(hub *h, topic_state *s, frame *data, hub_position position, int64_t time_ms)
{
    hub_history *y = hub_history_of(h, s);
    if (y->epoch == position.epoch && position.offset <= y->last)
        return true;
    if (y->epoch != position.epoch || position.offset != y->last + 1)
        return false;
    hub_history_append(&h->histories, y, data, time_ms);
    hub_log_append(s, data, 0, position, NULL);
    return true;
}

void hub_sync_receive(hub *h, topic_state *s, frame *data, hub_position position, int64_t time_ms)
{
    if (s->rule.history.messages == 0) {
        hub_log_append(s, data, 0, (hub_position){0}, NULL);
        return;
    }
    if (s->sync_done > 0 && !s->reading && list_empty(&s->held) &&
        count_in(h, s, data, position, time_ms))
        return;
    hold(h, s, data, position, time_ms);
    if (!s->reading && list_empty(&s->sync_link))
        hub_sync_want(h, s);
}

/* A reading that was begun after it came says another epoch: its own is over. */
static bool is_over(hub *h, topic_state *s, const held_message *m)
{
    return s->sync_done > m->before && hub_history_of(h, s)->epoch != m->position.epoch;
}

static void release_held(hub *h, topic_state *s)
{
    while (!list_empty(&s->held)) {
        held_message *m = LIST_ENTRY(s->held.next, held_message, link);
        if (!is_over(h, s, m) && !count_in(h, s, m->data, m->position, m->time_ms)) {
            hub_sync_want(h, s);
            return;
        }
        drop_held(s);
    }
}

void hub_sync_forget(topic_state *s)
{
    list_remove(&s->sync_link);
    while (!list_empty(&s->held))
        drop_held(s);
}

/* Readings ---------------------------------------------------------------------------------- */

/* What the remote has kept takes the place of what we know, from where the two meet. */
static void take_page(hub *h, topic_state *s, const hub_history_page *page)
{
    hub_histories *all = &h->histories;
    hub_position newest = page->position;
    hub_history *y = hub_history_get(all, s->node.key, &s->rule.history, clock_wall_ms());
    uint64_t from = page->n > 0 ? page->items[0].offset - 1 : newest.offset;
    hub_position at = {y->epoch, y->last};
    if (!hub_position_carry(&at, newest.epoch, &page->past) || at.offset > newest.offset ||
        at.offset < from)
        hub_history_move(all, y, (hub_position){newest.epoch, from});
    y->epoch = newest.epoch;
    y->past = page->past;
    for (size_t i = 0; i < page->n; i++) {
        if (page->items[i].offset == y->last + 1)
            hub_history_append(all, y, page->items[i].data, page->items[i].time_ms);
    }
}

static void finish_reading(hub *h, topic_state *s, int status, const hub_history_page *page)
{
    s->reading = false;
    if (status != 0) {
        s->sync_failed = true;
        return;
    }
    s->sync_done = s->sync_begun;
    take_page(h, s, page);
    release_held(h, s);
    LIST_FOR_EACH (it, &s->listeners)
        LIST_ENTRY(it, hub_topic, listener_link)->log_behind = true;
    hub_mark_all(s, NULL);
    if (s->sync_wanted > s->sync_begun)
        queue_reading(h, s);
}

static void on_page(void *ctx, int status, const hub_history_page *page)
{
    reading *r = ctx;
    hub *h = r->hub;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, (slice){r->name, r->n});
    if (s != NULL && s->reading && s->sync_begun == r->number)
        finish_reading(h, s, status, page);
    if (h->readings-- == READINGS_MAX && !list_empty(&h->syncs))
        wake_a_port(h);
    pthread_mutex_unlock(&h->lock);
    free(r);
}

/* Under the lock; NULL: none is wanted, or enough are under way. */
static reading *begin_reading(hub *h, hub_remote_query *query)
{
    if (list_empty(&h->syncs) || h->readings == READINGS_MAX)
        return NULL;
    h->readings++;
    topic_state *s = LIST_ENTRY(h->syncs.next, topic_state, sync_link);
    list_remove(&s->sync_link);
    s->reading = true;
    s->sync_begun = ++h->last_sync;
    reading *r = mem_alloc(sizeof *r + s->node.key.n);
    *r = (reading){.hub = h, .number = s->sync_begun, .n = s->node.key.n};
    memcpy(r->name, s->node.key.p, r->n);
    *query = (hub_remote_query){.limit = s->rule.history.messages,
                                .follows = true,
                                .epoch = hub_histories_epoch(&h->histories),
                                .age_ms = s->rule.history.age_ms};
    hub_history *y = hub_history_find(&h->histories, s->node.key);
    if (y != NULL)
        query->since = (hub_position){y->epoch, y->last};
    return r;
}

void hub_sync_run(hub_port *p)
{
    hub *h = p->hub;
    reading *r;
    if (!h->has_remote)
        return;
    do {
        hub_remote_query query;
        pthread_mutex_lock(&h->lock);
        r = begin_reading(h, &query);
        pthread_mutex_unlock(&h->lock);
        if (r != NULL)
            h->remote.read(h->remote.arg, p, (slice){r->name, r->n}, &query, on_page, r);
    } while (r != NULL);
}
