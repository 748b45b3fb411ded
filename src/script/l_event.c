/* host.event: something that tasks of one VM wait for. Set once, it stays set: who waits later goes
 * on at once, so that there is no moment at which a wake-up can be missed. Why no condition
 * variable: it would need a loop around each wait.
 *
 *   new --wait--> tasks parked --set--> all woken, set for ever
 *                     \--its timeout, its end--> this one out
 *
 * The event is a userdata; it lies in the frame of the parked call, which keeps it from being
 * collected. What must never happen: a waiter left behind by a set. */
#include "waiter.h"

static const char event_name[] = "host.event";

typedef struct {
    list waiters;
    bool set;
} event;

static int push_reached(lua_State *L, void *data)
{
    const waiter *w = data;
    lua_pushboolean(L, w->reached);
    return 1;
}

/* wait(seconds?): true, or false after that time. */
static int event_wait(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, event_name);
    lua_Number seconds = waiter_check_seconds(L, 2);
    if (e->set) {
        lua_pushboolean(L, 1);
        return 1;
    }
    return task_park(L, waiter_cancel, waiter_start(L, &e->waiters, seconds, push_reached));
}

static int event_set(lua_State *L)
{
    event *e = luaL_checkudata(L, 1, event_name);
    e->set = true;
    while (!list_empty(&e->waiters))
        waiter_wake(LIST_ENTRY(e->waiters.next, waiter, link), true);
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
