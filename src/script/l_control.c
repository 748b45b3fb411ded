/* host.control: the server seen from inside: reload it, and ask how it is. For lua/control/, the
 * routes of the control socket, and for the pages of development.
 *
 * A wait for a reload is a node in a list of the worker's thread, which control_reload_ended walks.
 * The task's cancel takes it out. What must never happen: a node without a task, or one that no
 * attempt will reach. */
#include "control.h"

#include "config.h"
#include "list.h"
#include "mem.h"
#include "task.h"
#include <stdlib.h>

typedef struct {
    list link;
    task_token token;
    const host_api *host;
    uint64_t ticket;
} waiter;

static _Thread_local list waiters;

static const host_api *api_of(lua_State *L)
{
    const host_api *host = vm_services(vm_of(L))->host;
    if (host == NULL || host->look == NULL)
        luaL_error(L, "host.control is the server's; a command asks it by cli.control");
    return host;
}

static int push_stopping(lua_State *L)
{
    return vm_fail(L, "stopping", "the server is stopping");
}

static int push_outcome(lua_State *L, void *data)
{
    const waiter *w = data;
    host_facts facts;
    w->host->look(w->host->arg, &facts);
    if (facts.attempts < w->ticket)
        return push_stopping(L);
    if (facts.failed_ms != 0) {
        lua_pushnil(L);
        lua_pushstring(L, facts.error);
        lua_pushliteral(L, "refused");
        return 3;
    }
    lua_pushinteger(L, (lua_Integer)facts.generation);
    return 1;
}

void control_reload_ended(const host_api *host)
{
    if (waiters.next == NULL)
        return;
    host_facts facts;
    host->look(host->arg, &facts);
    LIST_FOR_EACH_SAFE (it, &waiters) {
        waiter *w = LIST_ENTRY(it, waiter, link);
        if (facts.attempts < w->ticket && !facts.stopping)
            continue;
        list_remove(&w->link);
        task_wake(w->token, push_outcome, free, w);
    }
}

static void cancel(void *data)
{
    waiter *w = data;
    list_remove(&w->link);
    free(w);
}

/* reload() */
static int l_reload(lua_State *L)
{
    const host_api *host = api_of(L);
    task_token token = task_token_of(L);
    uint64_t ticket = host->reload(host->arg);
    if (ticket == 0)
        return push_stopping(L);
    waiter *w = mem_alloc(sizeof *w);
    *w = (waiter){.token = token, .host = host, .ticket = ticket};
    if (waiters.next == NULL)
        list_init(&waiters);
    list_append(&waiters, &w->link);
    return task_park(L, cancel, w);
}

static void set_integer(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_seconds(lua_State *L, const char *name, int64_t ms)
{
    lua_pushnumber(L, (lua_Number)ms / 1000.0);
    lua_setfield(L, -2, name);
}

/* state() */
static int l_state(lua_State *L)
{
    const host_api *host = api_of(L);
    host_facts facts;
    host->look(host->arg, &facts);
    lua_createtable(L, 0, 6);
    set_integer(L, "generation", facts.generation);
    set_seconds(L, "since", facts.since_ms);
    lua_pushboolean(L, facts.stopping);
    lua_setfield(L, -2, "stopping");
    if (facts.failed_ms == 0)
        return 1;
    set_seconds(L, "failed_since", facts.failed_ms);
    lua_pushstring(L, facts.error);
    lua_setfield(L, -2, "error");
    return 1;
}

/* workers() */
static int l_workers(lua_State *L)
{
    const host_api *host = api_of(L);
    host_worker w;
    lua_newtable(L);
    for (int i = 0; host->worker(host->arg, i, &w); i++) {
        lua_createtable(L, 0, 7);
        set_integer(L, "lua_memory", w.lua_memory);
        set_integer(L, "tasks", w.tasks);
        set_integer(L, "connections", w.connections);
        set_integer(L, "websockets", w.websockets);
        set_integer(L, "draining_vms", w.draining_vms);
        set_integer(L, "draining_tasks", w.draining_tasks);
        set_integer(L, "longest_turn_us", w.longest_turn_us);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* where(fn) -> file, line: where a Lua function begins; nothing for one of C's. */
static int l_where(lua_State *L)
{
    lua_Debug info;
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_getinfo(L, ">S", &info);
    if (info.source[0] != '@')
        return 0;
    const char *folder = vm_settings(vm_of(L))->folder, *file = info.source + 1;
    size_t n = strlen(folder);
    if (strncmp(file, folder, n) == 0 && file[n] == '/')
        file += n + 1;
    lua_pushstring(L, file);
    lua_pushinteger(L, info.linedefined);
    return 2;
}

/* advance(seconds): see the setting test.clock. */
static int l_advance(lua_State *L)
{
    const host_api *host = api_of(L);
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "seconds, not negative");
    if (!config_bool(vm_config(vm_of(L)), "test.clock"))
        return luaL_error(L, "the setting test.clock is off: the clock stays");
    host->advance(host->arg, (uint64_t)(seconds * 1000));
    return 0;
}

int luaopen_host_control(lua_State *L)
{
    static const luaL_Reg functions[] = {{"reload", l_reload},   {"state", l_state},
                                         {"workers", l_workers}, {"where", l_where},
                                         {"advance", l_advance}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_pushliteral(L, LUNACAST_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
