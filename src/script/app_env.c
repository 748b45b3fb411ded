/* The globals of an application's files. They share one VM with the framework and with each other's
 * requests, so whatever is shared can be read only: the global names, Lua's libraries, the modules
 * host.* and web.*, and the metatables of their objects. Modules of the application's own are its
 * own. The framework has the tables themselves: it pays nothing for this.
 *
 *   a file of the application: _ENV = view of `names` -> print, pairs ...: functions
 *                                                     -> string, math ...: views
 *                                                     -> require: views of what is lunacast's
 *   a file of the framework:   _ENV = Lua's own globals
 *
 * Rejected: an environment per request (its tables are made anew each time, and the libraries in
 * them stay shared). What must never happen: a function among `names` that gives away or changes a
 * table behind a view; spec/host/read_only_spec.lua walks all that can be reached. */
#include "app_env.h"

#include "read_only.h"
#include "vm.h"
#include <lauxlib.h>
#include <lualib.h>

/* In the registry: the environment, the table behind it, name -> true of lunacast's modules, and
 * the metatables that were set by scripts of the application (weak). */
static const char env_key, names_key, owned_key, own_metatables_key;

enum { SOURCE_MOST = 256 * 1024 };

static const char source_too_long[] =
    "load takes 256 KiB of source at most; put it into a file below lua/";

/* Base functions that ignore metamethods ---------------------------------------- */

static void refuse_view(lua_State *L, const char *function)
{
    if (read_only_behind(L, 1))
        luaL_error(L, "%s: the table is read-only, all requests share it", function);
}

static int app_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    refuse_view(L, "rawset");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* Of a view: the field, as the view gives it, or nil. */
static int app_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    bool is_view = read_only_behind(L, 1);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, is_view ? 3 : 1) == LUA_TTABLE && is_view) {
        lua_pushvalue(L, 2);
        lua_gettable(L, 1);
    }
    return 1;
}

static int app_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (read_only_behind(L, 1)) {
        lua_settop(L, 2);
        return read_only_next(L);
    }
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

/* Metatables ---------------------------------------- */

static void push_own_metatables(lua_State *L)
{
    vm_push_weak(L, &own_metatables_key);
}

/* A table that is called by way of others: Lua follows them in one C loop, each time moving all
 * arguments up; one whose __call is itself takes minutes. */
static void check_call(lua_State *L, int metatable)
{
    lua_pushliteral(L, "__call");
    if (lua_rawget(L, metatable) != LUA_TNIL && !lua_isfunction(L, -1))
        luaL_error(L, "__call must be a function, got a %s", luaL_typename(L, -1));
    lua_pop(L, 1);
}

/* setmetatable(t, mt): a view serves as what is behind it. */
static int app_setmetatable(lua_State *L)
{
    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        if (read_only_behind(L, 2)) {
            lua_replace(L, 2);
        } else {
            check_call(L, 2);
            push_own_metatables(L);
            lua_pushvalue(L, 2);
            lua_pushboolean(L, 1);
            lua_rawset(L, -3);
            lua_settop(L, 2);
        }
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

static int app_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return 1;
    push_own_metatables(L);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        lua_pushvalue(L, 2);
        read_only(L, "a metatable of lunacast", NULL);
        return 1;
    }
    lua_settop(L, 2);
    return 1;
}

/* require and load ---------------------------------------- */

static bool is_owned(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &owned_key);
    bool owned = lua_getfield(L, -1, name) != LUA_TNIL;
    lua_pop(L, 2);
    return owned;
}

static int app_require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_istable(L, 2) && !read_only_known(L, 2) && is_owned(L, name))
        read_only(L, name, NULL);
    return 1;
}

/* Upvalues: the script's reader, the bytes that it may still give. */
static int counted_reader(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, 1);
    lua_Integer left = lua_tointeger(L, lua_upvalueindex(2));
    if (lua_type(L, 1) == LUA_TSTRING)
        left -= (lua_Integer)lua_rawlen(L, 1);
    if (left < 0)
        return luaL_error(L, source_too_long);
    lua_pushinteger(L, left);
    lua_replace(L, lua_upvalueindex(2));
    return 1;
}

/* The parser is one C function, which nothing interrupts, and there are texts for which it takes
 * the square of their length. */
static int app_load(lua_State *L)
{
    bool has_env = !lua_isnone(L, 4);
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > SOURCE_MOST) {
        luaL_pushfail(L);
        lua_pushstring(L, source_too_long);
        return 2;
    }
    if (lua_isfunction(L, 1)) {
        lua_pushvalue(L, 1);
        lua_pushinteger(L, SOURCE_MOST);
        lua_pushcclosure(L, counted_reader, 2);
        lua_replace(L, 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    if (!has_env && lua_isfunction(L, -1))
        app_env_give(L);
    return lua_gettop(L);
}

/* The environment ---------------------------------------- */

static int undeclared_write(lua_State *L)
{
    return luaL_error(L, "assignment to global '%s': declare it with `local`",
                      luaL_tolstring(L, 2, NULL));
}

static int undeclared_read(lua_State *L)
{
    return luaL_error(L, "no global '%s': a typo, or a missing `local x = require ...`?",
                      luaL_tolstring(L, 2, NULL));
}

/* The function there becomes the new one's upvalue. */
static void replace(lua_State *L, int names, const char *name, lua_CFunction function)
{
    lua_getfield(L, names, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, names, name);
}

static void replace_functions(lua_State *L, int names)
{
    static const luaL_Reg functions[] = {{"rawset", app_rawset},
                                         {"rawget", app_rawget},
                                         {"next", app_next},
                                         {"setmetatable", app_setmetatable},
                                         {"require", app_require},
                                         {"load", app_load},
                                         {"getmetatable", app_getmetatable},
                                         {NULL, NULL}};
    for (const luaL_Reg *f = functions; f->name != NULL; f++)
        replace(L, names, f->name, f->func);
}

/* Pushes a copy of Lua's globals, the libraries in it as views. */
static void push_names(lua_State *L)
{
    lua_newtable(L);
    lua_pushglobaltable(L);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        if (lua_istable(L, -1) && !lua_rawequal(L, -1, -4))
            read_only(L, lua_tostring(L, -2), NULL);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

void app_env_open(lua_State *L)
{
    int top = lua_gettop(L);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &owned_key);
    push_names(L);
    int names = lua_gettop(L);
    replace_functions(L, names);
    lua_pushnil(L);
    lua_setfield(L, names, LUA_GNAME);
    lua_pushvalue(L, names);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
    read_only(L, LUA_GNAME, NULL);
    int env = names;
    lua_getmetatable(L, env);
    lua_pushcfunction(L, undeclared_write);
    lua_setfield(L, -2, "__newindex");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
    lua_pushvalue(L, env);
    lua_setfield(L, -2, LUA_GNAME);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, env);
    lua_setfield(L, -2, LUA_GNAME);
    lua_pushvalue(L, env);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
    lua_settop(L, top);
}

void app_env_give(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key) == LUA_TNIL || lua_setupvalue(L, -2, 1) == NULL)
        lua_pop(L, 1);
}

void app_env_own(lua_State *L, const char *name)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &owned_key) == LUA_TTABLE) {
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, name);
    }
    lua_pop(L, 1);
}

static void lock(lua_State *L)
{
    static const luaL_Reg refusals[] = {
        {"__index", undeclared_read}, {"__newindex", undeclared_write}, {NULL, NULL}};
    luaL_newlib(L, refusals);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void app_env_lock(lua_State *L)
{
    lua_pushglobaltable(L);
    lock(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
    lock(L);
}
