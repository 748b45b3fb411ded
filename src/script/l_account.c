/* host.account: for the framework's own Lua, which knows where a plugin's code begins and ends. */
#include "account.h"

/* of(name) -> id */
static int l_of(lua_State *L)
{
    lua_pushinteger(L, account_of(vm_check_slice(L, 1)));
    return 1;
}

static int check_id(lua_State *L)
{
    lua_Integer id = luaL_checkinteger(L, 1);
    luaL_argcheck(L, id >= 0 && id < ACCOUNTS_MAX, 1, "an account of host.account.of");
    return (int)id;
}

/* enter(id) -> whose code it was */
static int l_enter(lua_State *L)
{
    lua_pushinteger(L, account_enter(vm_accounts(vm_of(L)), check_id(L)));
    return 1;
}

/* back(id, ...) -> ...: enters the account again whose code called, and hands results through */
static int l_back(lua_State *L)
{
    account_enter(vm_accounts(vm_of(L)), check_id(L));
    return lua_gettop(L) - 1;
}

static int l_failed(lua_State *L)
{
    account_failed(check_id(L));
    return 0;
}

/* failures(id) -> number, of all workers */
static int l_failures(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)account_failures(check_id(L)));
    return 1;
}

int luaopen_host_account(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"of", l_of},         {"enter", l_enter},       {"back", l_back},
        {"failed", l_failed}, {"failures", l_failures}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
