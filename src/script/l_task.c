/* host.task: more than one thing at once. */
#include "task.h"

#include "mem.h"
#include <stdlib.h>

typedef struct {
    int ref; /* a table: the function and its arguments; LUA_NOREF: they have been taken */
} spawned;

static int fill(lua_State *L, void *data)
{
    spawned *s = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->ref);
    lua_Integer n = luaL_len(L, -1);
    luaL_checkstack(L, (int)n, "too many arguments");
    for (lua_Integer i = 1; i <= n; i++)
        lua_rawgeti(L, 1, i);
    lua_remove(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, s->ref);
    s->ref = LUA_NOREF;
    return (int)n - 1;
}

/* One that was cancelled may not have begun. */
static int on_end(lua_State *L, task_outcome outcome, void *data)
{
    const spawned *s = data;
    luaL_unref(L, LUA_REGISTRYINDEX, s->ref);
    if (outcome == TASK_ERROR)
        task_log_failure(L);
    return 0;
}

static const task_ops ops = {fill, on_end, free};

static void push_id(lua_State *L, task_token token)
{
    lua_pushinteger(L, (lua_Integer)((uint64_t)token.generation << 32 | token.index));
}

static task_token check_id(lua_State *L)
{
    uint64_t id = (uint64_t)luaL_checkinteger(L, 1);
    return (task_token){(uint32_t)id, (uint32_t)(id >> 32)};
}

/* spawn(fn, ...) -> id: runs fn as a task of its own, at the worker's next turn. What it raises is
 * logged. The id is the task's token, which finds no other task later. */
static int task_spawn_function(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    int n = lua_gettop(L);
    lua_createtable(L, n, 0);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_rawseti(L, 1, i);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    spawned *s = mem_alloc(sizeof *s);
    s->ref = ref;
    push_id(L, task_spawn(vm_of(L), &ops, s));
    return 1;
}

/* alive(id) -> has it not ended yet? */
static int task_is_alive(lua_State *L)
{
    lua_pushboolean(L, task_alive(check_id(L)));
    return 1;
}

/* current() -> the id of the running task, for cancel and alive. */
static int task_current(lua_State *L)
{
    push_id(L, task_token_of(L));
    return 1;
}

/* cancel(id): ends it where it waits, and runs its <close> variables. */
static int task_cancel_id(lua_State *L)
{
    task_cancel(check_id(L));
    return 0;
}

int luaopen_host_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"spawn", task_spawn_function},
                                         {"alive", task_is_alive},
                                         {"current", task_current},
                                         {"cancel", task_cancel_id},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
