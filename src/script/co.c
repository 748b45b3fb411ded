/* Lua's coroutine library with two differences: the watchdog is told which coroutine runs (Lua has
 * no call that tells), and a task whose thread a script has seen is not reused for another task.
 * A script can neither resume nor close the coroutine of a task, its own or another's: the host
 * does. A coroutine made by a script can't wait for the host: the wait would yield to the script's
 * own resume. task_token_of raises there. */
#include "co.h"

#include "guard.h"
#include "task_private.h"
#include "vm_private.h"

static lua_State *check_co(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argexpected(L, co, 1, "coroutine");
    return co;
}

static const char *state_of(lua_State *L, lua_State *co)
{
    if (L == co)
        return "running";
    if (lua_status(co) == LUA_YIELD)
        return "suspended";
    if (lua_status(co) != LUA_OK)
        return "dead";
    lua_Debug ar;
    if (lua_getstack(co, 0, &ar))
        return "normal";
    return lua_gettop(co) == 0 ? "dead" : "suspended";
}

/* Moves n arguments over, resumes; the number of results on L, or -1 with the error value. */
static int resume(lua_State *L, lua_State *co, int n)
{
    if (!lua_checkstack(co, n)) {
        lua_pushliteral(L, "too many arguments to resume");
        return -1;
    }
    guard *g = vm_guard(vm_of(L));
    lua_xmove(L, co, n);
    lua_State *before = guard_switch(g, co);
    int results = 0;
    int status = lua_resume(co, L, n, &results);
    guard_switch(g, before);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

static int co_resume(lua_State *L)
{
    lua_State *co = check_co(L);
    if (task_is_thread(L, 1)) {
        lua_pushboolean(L, 0);
        lua_pushliteral(L, "cannot resume a request's own coroutine");
        return 2;
    }
    int n = resume(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    if (n < 0)
        n = 1;
    lua_insert(L, -(n + 1));
    return n + 1;
}

static int call_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));
    if (n >= 0)
        return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_resetthread(co);
        lua_xmove(co, L, 1);
    }
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int co_create(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static int co_wrap(lua_State *L)
{
    co_create(L);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

static int co_yield (lua_State *L)
{
    if (task_owns_thread(L))
        return luaL_error(L, "attempt to yield outside of a coroutine of your own");
    return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
    lua_pushstring(L, state_of(L, check_co(L)));
    return 1;
}

static int co_isyieldable(lua_State *L)
{
    lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
    lua_pushboolean(L, lua_isyieldable(co) && !task_owns_thread(co));
    return 1;
}

static int co_running(lua_State *L)
{
    task_thread_seen(L);
    lua_pushthread(L);
    lua_pushboolean(L, task_owns_thread(L));
    return 2;
}

static int co_close(lua_State *L)
{
    lua_State *co = check_co(L);
    const char *state = state_of(L, co);
    if (task_is_thread(L, 1))
        return luaL_error(L, "cannot close a request's own coroutine");
    if (state[0] != 's' && state[0] != 'd')
        return luaL_error(L, "cannot close a %s coroutine", state);
    guard *g = vm_guard(vm_of(L));
    lua_State *before = guard_switch(g, co);
    int status = lua_resetthread(co);
    guard_switch(g, before);
    lua_pushboolean(L, status == LUA_OK);
    if (status == LUA_OK)
        return 1;
    lua_xmove(co, L, 1);
    return 2;
}

int luaopen_co(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"create", co_create},   {"wrap", co_wrap},     {"resume", co_resume},
        {"yield", co_yield },    {"status", co_status}, {"isyieldable", co_isyieldable},
        {"running", co_running}, {"close", co_close},   {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
