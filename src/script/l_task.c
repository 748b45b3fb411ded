/* host.task: more than one thing at once. */
#include "task.h"

#include "mem.h"
#include <stdlib.h>

typedef struct {
    int ref; /* a table: the function and its arguments */
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
    return (int)n - 1;
}

static const task_ops ops = {fill, NULL, free};

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
    task_token token = task_spawn(vm_of(L), &ops, s);
    lua_pushinteger(L, (lua_Integer)((uint64_t)token.generation << 32 | token.index));
    return 1;
}

/* alive(id) -> has it not ended yet? */
static int task_is_alive(lua_State *L)
{
    uint64_t id = (uint64_t)luaL_checkinteger(L, 1);
    lua_pushboolean(L, task_alive((task_token){(uint32_t)id, (uint32_t)(id >> 32)}));
    return 1;
}

int luaopen_host_task(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"spawn", task_spawn_function}, {"alive", task_is_alive}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
