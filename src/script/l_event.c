/* host.event: something that tasks of one VM wait for. Set once, it stays set: who waits later goes
 * on at once, so that there is no moment at which a wake-up can be missed. Why no condition
 * variable: it would need a loop around each wait.
 *
 *   new --wait--> tasks parked --set--> all woken, set for ever
 *                     \--its timeout, its end--> this one out
 *
 * A waiter is a libuv timer with a place in the event's list. The event is a userdata; it lies in
 * the frame of the parked call, which keeps it from being collected. What must never happen: a
 * waiter woken twice; a waiter in the list after its task's end. */
#include "list.h"
#include "mem.h"
#include "task.h"

#include <math.h>
#include <stdlib.h>

static const char event_name[] = "host.event";

enum { WAIT_MAX_S = 365 * 86400 };

typedef struct {
    list waiters;
    bool set;
} event;

typedef struct {
    list link;
    uv_timer_t timer;
    task_token token;
    bool reached;
} waiter;

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

/* The task has ended from outside. */
static void end_waiter(void *data)
{
    waiter *w = data;
    list_remove(&w->link);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

static int push_reached(lua_State *L, void *data)
{
    waiter *w = data;
    lua_pushboolean(L, w->reached);
    return 1;
}

static void wake(waiter *w, bool reached)
{
    list_remove(&w->link);
    w->reached = reached;
    uv_timer_stop(&w->timer);
    task_wake(w->token, push_reached, end_waiter, w);
}

static void on_time(uv_timer_t *timer)
{
    wake(timer->data, false);
}

static waiter *start_waiting(lua_State *L, event *e, lua_Number seconds)
{
    task_token token = task_token_of(L);
    waiter *w = mem_alloc(sizeof *w);
    w->token = token;
    w->timer.data = w;
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    uv_timer_init(loop, &w->timer);
    list_append(&e->waiters, &w->link);
    if (seconds >= 0) {
        uv_update_time(loop);
        uv_timer_start(&w->timer, on_time, (uint64_t)ceil(seconds * 1000) + 1, 0);
    }
    return w;
}

/* wait(seconds?): true, or false after that time. */
static int event_wait(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, event_name);
    lua_Number seconds = luaL_optnumber(L, 2, -1);
    luaL_argcheck(L, lua_isnoneornil(L, 2) || (seconds >= 0 && seconds <= WAIT_MAX_S), 2,
                  "seconds, from 0 to a year");
    if (e->set) {
        lua_pushboolean(L, 1);
        return 1;
    }
    waiter *w = start_waiting(L, e, seconds);
    return task_park(L, end_waiter, w);
}

static int event_set(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, event_name);
    e->set = true;
    while (!list_empty(&e->waiters))
        wake(LIST_ENTRY(e->waiters.next, waiter, link), true);
    return 0;
}

static int event_is_set(lua_State *L)
{
    const event *e = luaL_checkudata(L, 1, event_name);
    lua_pushboolean(L, e->set);
    return 1;
}

static int event_new(lua_State *L)
{
    event *e = lua_newuserdatauv(L, sizeof *e, 0);
    list_init(&e->waiters);
    e->set = false;
    luaL_setmetatable(L, event_name);
    return 1;
}

int luaopen_host_event(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"wait", event_wait}, {"set", event_set}, {"is_set", event_is_set}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"new", event_new}, {NULL, NULL}};
    luaL_newmetatable(L, event_name);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "locked");
    lua_setfield(L, -2, "__metatable");
    luaL_newlib(L, functions);
    return 1;
}
