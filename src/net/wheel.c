/* Why a wheel and not a uv_timer per connection: a timer is 152 bytes and a heap operation for
 * every request; here a deadline that moves later is one store. Rejected: a list per duration
 * (idle, head, stall), since streams bring durations of their own.
 *
 * After the process was stopped or blocked (SIGSTOP, a suspended machine), everything would seem
 * overdue although the peers have long sent what we waited for. So a tick that comes far too late
 * only notes the time; what is still due at the next one has really failed.
 *
 * The timer runs only while something is linked: an idle server sleeps.
 *
 * Owner: the conn_pool. What must never happen: an entry freed while linked. */
#include "wheel.h"

#include "clock.h"

static void read_clock(wheel *w)
{
    w->loop_ms = uv_now(w->timer.loop);
    w->now = clock_ms();
}

uint64_t wheel_now(wheel *w)
{
    if (w->loop_ms != uv_now(w->timer.loop))
        read_clock(w);
    return w->now;
}

void wheel_init(wheel *w, uv_loop_t *loop, void (*on_due)(wheel_entry *e))
{
    for (int i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    w->on_due = on_due;
    w->linked = 0;
    read_clock(w);
}

void wheel_close(wheel *w, uv_close_cb on_closed)
{
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

void wheel_entry_init(wheel_entry *e)
{
    *e = (wheel_entry){0};
    list_init(&e->node);
}

void wheel_remove(wheel *w, wheel_entry *e)
{
    if (list_empty(&e->node))
        return;
    list_remove(&e->node);
    w->linked--;
}

static void place(wheel *w, wheel_entry *e)
{
    uint64_t tick = (e->due + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    uint64_t last =
        w->tick + WHEEL_SLOTS - 1; /* further ones are looked at then, and placed again */
    if (tick > last)
        tick = last;
    if (tick <= w->tick)
        tick = w->tick + 1;
    e->tick = tick;
    list_append(&w->slots[tick % WHEEL_SLOTS], &e->node);
    w->linked++;
}

static void look_at(wheel *w, wheel_entry *e)
{
    wheel_remove(w, e);
    if (e->due == 0)
        return;
    if (e->due > w->now) {
        place(w, e);
        return;
    }
    e->due = 0;
    w->on_due(e);
}

static void work_off(wheel *w, uint64_t until)
{
    if (until > w->tick + WHEEL_SLOTS)
        w->tick = until - WHEEL_SLOTS;
    while (w->tick < until) {
        w->tick++;
        list due;
        list_move(&w->slots[w->tick % WHEEL_SLOTS], &due);
        while (!list_empty(&due))
            look_at(w, LIST_ENTRY(due.next, wheel_entry, node));
    }
}

static void on_tick(uv_timer_t *timer)
{
    wheel *w = timer->data;
    read_clock(w);
    uint64_t passed = w->now - w->seen;
    w->seen = w->now;
    w->jumped = passed >= WHEEL_JUMP_MS && !w->jumped;
    if (!w->jumped)
        work_off(w, w->now / WHEEL_TICK_MS);
    if (w->linked == 0)
        uv_timer_stop(timer);
}

static void start(wheel *w)
{
    w->seen = wheel_now(w);
    w->tick = w->now / WHEEL_TICK_MS;
    uv_timer_start(&w->timer, on_tick, WHEEL_TICK_MS, WHEEL_TICK_MS);
}

void wheel_set(wheel *w, wheel_entry *e, uint64_t due)
{
    e->due = due;
    if (due == 0)
        return;
    if (!list_empty(&e->node)) {
        if (due >= e->tick * WHEEL_TICK_MS)
            return;
        wheel_remove(w, e);
    }
    if (!uv_is_active((uv_handle_t *)&w->timer))
        start(w);
    place(w, e);
}
