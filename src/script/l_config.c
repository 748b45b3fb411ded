/* host.config: the settings, read-only, the application's own keys too: a script that changed them
 * would change them for one worker only. */
#include "config.h"
#include "read_only.h"
#include "vm.h"

#include <stdlib.h>

static void push_typed(lua_State *L, const char *text)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        lua_pushboolean(L, text[0] == 't');
    else if (lua_stringtonumber(L, text) == 0)
        lua_pushstring(L, text);
}

/* app.a.b = text, making tables on the way; the app table is on top. */
static void apply_override(lua_State *L, const char *name, const char *text)
{
    int app = lua_gettop(L);
    lua_pushvalue(L, app);
    for (;;) {
        size_t n = strcspn(name, ".");
        lua_pushlstring(L, name, n);
        if (name[n] == '\0')
            break;
        lua_pushvalue(L, -1);
        if (lua_gettable(L, -3) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_settable(L, -5);
        }
        lua_copy(L, -1, app + 1);
        lua_settop(L, app + 1);
        name += n + 1;
    }
    push_typed(L, text);
    lua_settable(L, -3);
    lua_settop(L, app);
}

/* Pushes a table of the caller's own, or nil. */
static void push_section(lua_State *L, const config *c, const char *name)
{
    const char *expression = config_section(c, name);
    if (expression == NULL) {
        lua_pushnil(L);
        return;
    }
    lua_pushfstring(L, "return %s", expression);
    if (luaL_loadstring(L, lua_tostring(L, -1)) != LUA_OK)
        lua_error(L);
    lua_call(L, 0, 1);
    lua_remove(L, -2);
}

static void push_app(lua_State *L, const config *c)
{
    push_section(L, c, "app");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    const char *name, *text;
    for (size_t i = 0; config_app_override(c, i, &name, &text); i++)
        apply_override(L, name, text);
}

static void push_seconds(lua_State *L, uint64_t ms)
{
    if (ms % 1000 == 0)
        lua_pushinteger(L, (lua_Integer)(ms / 1000));
    else
        lua_pushnumber(L, (lua_Number)ms / 1000.0);
}

static void push_list(lua_State *L, const config *c, const char *name)
{
    size_t n = config_count(c, name);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, config_item(c, name, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static const config *settings(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* config.get(name): times are seconds, sizes are bytes. */
static int l_get(lua_State *L)
{
    const config *c = settings(L);
    const char *name = luaL_checkstring(L, 1);
    const config_key *key = config_find(name);
    if (key == NULL)
        return luaL_error(L, "no setting is named \"%s\"; `lunacast config` lists all", name);
    switch (key->type) {
    case CONFIG_TEXT:
        lua_pushstring(L, config_text(c, name));
        break;
    case CONFIG_INT:
        lua_pushinteger(L, config_int(c, name));
        break;
    case CONFIG_BOOL:
        lua_pushboolean(L, config_bool(c, name));
        break;
    case CONFIG_SIZE:
        lua_pushinteger(L, (lua_Integer)config_size(c, name));
        break;
    case CONFIG_TIME:
        push_seconds(L, config_ms(c, name));
        break;
    case CONFIG_LIST:
        push_list(L, c, name);
        break;
    }
    return 1;
}

/* config.section(name) -> table | nil */
static int l_section(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    if (!config_is_section(name))
        return luaL_error(L, "config.lua has no section named \"%s\"", name);
    push_section(L, settings(L), name);
    return 1;
}

int luaopen_host_config(lua_State *L)
{
    const config *c = vm_config(vm_of(L));
    lua_newtable(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushcclosure(L, l_get, 1);
    lua_setfield(L, -2, "get");
    lua_pushlightuserdata(L, (void *)(uintptr_t)c);
    lua_pushcclosure(L, l_section, 1);
    lua_setfield(L, -2, "section");
    push_app(L, c);
    lua_setfield(L, -2, "app");
    read_only(L, "host.config", "set it in config.lua, the environment or the command line");
    return 1;
}
