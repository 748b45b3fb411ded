/* A view is an empty table whose metatable leads to the table behind it: reads go there, a write
 * finds no field and is refused. Tables inside are views, too, made when they are first looked at.
 * Why views and not a check of each write: Lua asks nobody when a field exists; and why not the
 * table itself, emptied: the framework reads through its own references at full speed, only the
 * application's files are given views (app_env.c). A read through a view costs about 10 ns.
 *
 *   view --metatable--> __index: the table | its plain fields --__index--> look_up
 *                       [&behind_key] table, [&name_key], [&advice_key]
 *
 * Owner: scripts; the registry's list of views is weak. What must never happen: a way from a view
 * to the table behind it that a script can go: every function given to applications that ignores
 * metamethods (rawset, rawget, next ...) has to ask read_only_behind first. */
#include "read_only.h"

#include "vm.h"
#include <lauxlib.h>

static const char views_key, behind_key, name_key, advice_key;

static const char usual_advice[] =
    "all requests share it; keep what is yours in a table of your own";

static void push_views(lua_State *L)
{
    vm_push_weak(L, &views_key);
}

/* A field of the view's metatable. */
static bool push_fact(lua_State *L, int index, const void *key)
{
    if (!lua_getmetatable(L, index))
        return false;
    if (lua_rawgetp(L, -1, key) == LUA_TNIL) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

bool read_only_behind(lua_State *L, int index)
{
    return push_fact(L, index, &behind_key);
}

bool read_only_known(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    push_views(L);
    lua_pushvalue(L, index);
    bool known = lua_rawget(L, -2) != LUA_TNIL;
    lua_remove(L, -2);
    if (!known)
        lua_pop(L, 1);
    return known;
}

/* The value on top, of the view at `index` below `key`, as scripts may have it. */
static void cover(lua_State *L, int index, int key)
{
    if (!lua_istable(L, -1))
        return;
    push_fact(L, index, &name_key);
    push_fact(L, index, &advice_key);
    const char *name = lua_tostring(L, -2), *field = "?";
    if (lua_type(L, key) == LUA_TSTRING)
        field = lua_tostring(L, key);
    name = lua_pushfstring(L, "%s.%s", name, field);
    lua_pushvalue(L, -4);
    read_only(L, name, lua_tostring(L, -3));
    lua_replace(L, -5);
    lua_pop(L, 3);
}

static int refuse_write(lua_State *L)
{
    push_fact(L, 1, &name_key);
    push_fact(L, 1, &advice_key);
    const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "%s is read-only: %s (at the assignment to '%s')", lua_tostring(L, -2),
                      lua_tostring(L, -1), field);
}

/* __index of the tables that have tables in them: the view is the upvalue. */
static int look_up(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(1));
    read_only_behind(L, 3);
    lua_pushvalue(L, 2);
    lua_gettable(L, 4);
    cover(L, 3, 2);
    return 1;
}

static int view_length(lua_State *L)
{
    read_only_behind(L, 1);
    lua_pushinteger(L, luaL_len(L, -1));
    return 1;
}

int read_only_next(lua_State *L)
{
    lua_settop(L, 2);
    read_only_behind(L, 1);
    lua_pushvalue(L, 2);
    if (!lua_next(L, 3)) {
        lua_pushnil(L);
        return 1;
    }
    cover(L, 1, 4);
    return 2;
}

static int view_pairs(lua_State *L)
{
    lua_pushcfunction(L, read_only_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int call_ended(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return lua_gettop(L);
}

/* What is called may wait. */
static int view_call(lua_State *L)
{
    read_only_behind(L, 1);
    lua_replace(L, 1);
    lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, call_ended);
    return call_ended(L, LUA_OK, 0);
}

static bool is_uncovered(lua_State *L, int index)
{
    if (!lua_istable(L, index))
        return false;
    if (!read_only_behind(L, index))
        return true;
    lua_pop(L, 1);
    return false;
}

static bool has_tables(lua_State *L, int table)
{
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (is_uncovered(L, -1)) {
            lua_pop(L, 2);
            return true;
        }
        lua_pop(L, 1);
    }
    return false;
}

/* Pushes what __index is. Functions are found at once; a table is looked up, and covered. */
static void push_index(lua_State *L, int table, int view)
{
    if (!has_tables(L, table)) {
        lua_pushvalue(L, table);
        return;
    }
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, table)) {
        if (lua_isfunction(L, -1)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, view);
    lua_pushcclosure(L, look_up, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}

static void push_metatable(lua_State *L, int table, int view, const char *name, const char *advice)
{
    static const luaL_Reg methods[] = {{"__newindex", refuse_write},
                                       {"__len", view_length},
                                       {"__pairs", view_pairs},
                                       {"__call", view_call},
                                       {NULL, NULL}};
    luaL_newlib(L, methods);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, table);
    lua_rawsetp(L, -2, &behind_key);
    lua_pushstring(L, name);
    lua_rawsetp(L, -2, &name_key);
    lua_pushstring(L, advice != NULL ? advice : usual_advice);
    lua_rawsetp(L, -2, &advice_key);
    push_index(L, table, view);
    lua_setfield(L, -2, "__index");
}

void read_only(lua_State *L, const char *name, const char *advice)
{
    luaL_checkstack(L, 16, "too many tables in each other");
    int table = lua_gettop(L);
    if (read_only_behind(L, table)) {
        lua_pop(L, 1);
        return;
    }
    if (!read_only_known(L, table)) {
        lua_newtable(L);
        push_metatable(L, table, table + 1, name, advice);
        lua_setmetatable(L, table + 1);
        push_views(L);
        lua_pushvalue(L, table);
        lua_pushvalue(L, table + 1);
        lua_rawset(L, -3);
        lua_settop(L, table + 1);
    }
    lua_replace(L, table);
}
