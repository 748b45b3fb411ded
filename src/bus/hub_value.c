/* Newest values: who subscribed to them gets the one there is when it is its turn, and may miss
 * those before it.
 *
 *   behind --its slot opens: begin_round--> due --hub_value_deliver--> subscribers (have the
 * newest)
 *      \------------------------ a newer value: hub_value_changed ------------------------/
 *
 * A round goes on for as many turns as it takes (hub_port.c). A value that comes in the middle of
 * it goes to those that are still due; those that got the one before are behind. So nobody gets a
 * value twice, but after a silence, and nobody more of them than the pace allows.
 *
 * Pace: a topic begins at most max_fps rounds a second. The first goes out at once; what comes
 * within the slot waits and only the newest of it is sent when the slot opens. A rule's rate makes
 * a topic's slots longer. Silence: after keep_alive_ms the newest value is sent again, to all. Both
 * lists are ordered by time, so the timers look at the heads only.
 *
 * What must never happen: an older value after a newer one; a round that keeps the loop. */
#include "hub_private.h"

#include "clock.h"

/* Encoded once per transport, for all. */
static frame *encoded_for(hub_topic *t, const hub_transport *transport)
{
    frame **cached = &t->encoded[transport->index];
    if (*cached == NULL)
        *cached = transport->encode(t->node.key, t->latest, t->version, (hub_position){0});
    return *cached;
}

static void drop_encoded(hub_topic *t)
{
    for (int i = 0; i < HUB_TRANSPORTS; i++) {
        frame_drop(t->encoded[i]);
        t->encoded[i] = NULL;
    }
}

static void give(hub_topic *t, hub_subscriber *s)
{
    frame *encoded = encoded_for(t, s->transport);
    if (encoded != NULL)
        s->transport->deliver(s, encoded, t->version);
}

void hub_value_clear(hub_topic *t)
{
    drop_encoded(t);
    frame_drop(t->latest);
}

/* Rounds ------------------------------------------------------------------------------------ */

static void note_sent(hub_topic *t)
{
    t->sent_ms = clock_ms();
    list_put(&t->port->quiet, &t->quiet_link);
}

void hub_value_deliver(hub_topic *t)
{
    if (list_empty(&t->due) || !list_empty(&t->unfinished_link))
        return;
    t->delivering = true;
    bool done = hub_walk(t, &t->due, &t->subscribers, t->latest->len, give);
    t->delivering = false;
    if (!done)
        hub_go_on_later(t);
}

static void begin_round(hub_topic *t)
{
    note_sent(t);
    list_append_all(&t->due, &t->behind);
    hub_value_deliver(t);
}

void hub_value_greet(hub_topic *t, hub_subscriber *s)
{
    if (list_empty(&t->quiet_link))
        note_sent(t);
    give(t, s);
}

/* Pace and silence -------------------------------------------------------------------------- */

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

void hub_value_changed(hub_topic *t)
{
    uint64_t slot = slot_ms(t);
    drop_encoded(t);
    list_append_all(&t->behind, &t->subscribers);
    if (t->waiting_slot || t->subscriber_count == 0)
        return;
    if (clock_ms() - t->sent_ms >= slot)
        begin_round(t);
    else
        wait_for_slot(t, t->sent_ms + slot);
}

static void on_pace(uv_timer_t *timer)
{
    hub_port *p = timer->data;
    uint64_t now = clock_ms();
    hub_begin_turn(p);
    while (!list_empty(&p->paced)) {
        hub_topic *t = LIST_ENTRY(p->paced.next, hub_topic, paced_link);
        if (now < t->slot_ms)
            break;
        list_remove(&t->paced_link);
        t->waiting_slot = false;
        begin_round(t);
        hub_free_if_unused(t);
    }
    plan_pace(p);
}

void hub_value_keep_alive(hub_port *p, uint64_t now)
{
    uint64_t after = p->hub->keep_alive_ms;
    while (after > 0 && !list_empty(&p->quiet)) {
        hub_topic *t = LIST_ENTRY(p->quiet.next, hub_topic, quiet_link);
        if (now < t->sent_ms + after) /* sent_ms may be later than now: just delivered */
            return;
        if (t->subscriber_count > 0 && t->latest != NULL) {
            list_append_all(&t->behind, &t->subscribers);
            begin_round(t);
        } else {
            list_remove(&t->quiet_link);
        }
        hub_free_if_unused(t);
    }
}
