/* See waiter.h. The timer is closed, and the memory with it, once the task has taken its results or
 * has ended: whichever comes, exactly one of the two calls waiter_cancel. What must never happen: a
 * waiter woken twice; one in a list after its task's end. */
#include "waiter.h"

#include "mem.h"

#include <math.h>
#include <stdlib.h>

enum { WAIT_MAX_S = 365 * 86400 };

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

void waiter_cancel(void *data)
{
    waiter *w = data;
    list_remove(&w->link);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

static int push(lua_State *L, void *data)
{
    waiter *w = data;
    return w->push(L, w);
}

void waiter_wake(waiter *w, bool reached)
{
    list_remove(&w->link);
    w->reached = reached;
    uv_timer_stop(&w->timer);
    task_wake(w->token, push, waiter_cancel, w);
}

static void on_time(uv_timer_t *timer)
{
    waiter_wake(timer->data, false);
}

waiter *waiter_start(lua_State *L, list *into, lua_Number seconds, task_push push_results)
{
    task_token token = task_token_of(L);
    waiter *w = mem_alloc(sizeof *w);
    w->token = token;
    w->push = push_results;
    w->timer.data = w;
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    uv_timer_init(loop, &w->timer);
    list_append(into, &w->link);
    if (seconds >= 0) {
        uv_update_time(loop);
        /* The loop's clock is cut to milliseconds: one more, so that nobody wakes early. */
        uint64_t ms = seconds > 0 ? (uint64_t)ceil(seconds * 1000) + 1 : 0;
        uv_timer_start(&w->timer, on_time, ms, 0);
    }
    return w;
}

lua_Number waiter_check_seconds(lua_State *L, int arg)
{
    if (lua_isnoneornil(L, arg))
        return -1;
    lua_Number seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0 && seconds <= WAIT_MAX_S, arg, "seconds, from 0 to a year");
    return seconds;
}
