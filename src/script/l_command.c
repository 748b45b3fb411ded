/* host.command: what a command of the command line needs of the process around it. Only there: a
 * script of an application that requires it is told so. */
#include "config.h"
#include "vm.h"

#include <stdio.h>

/* open_store(): from now on host.store is the application's. */
static int l_open_store(lua_State *L)
{
    const host_api *host = vm_services(vm_of(L))->host;
    char error[1024];
    if (host->open_store(host->arg, error, sizeof error) != 0)
        return vm_fail(L, "unavailable", "%s", error);
    /* host.store names its driver when it is loaded: that may have been before. */
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushnil(L);
    lua_setfield(L, -2, "host.store");
    lua_pushboolean(L, 1);
    return 1;
}

static void set_paths(lua_State *L, vm *v)
{
    const char *folder = vm_settings(v)->folder;
    const char *data = config_text(vm_config(v), "data");
    lua_pushstring(L, folder);
    lua_setfield(L, -2, "folder");
    if (data[0] == '/')
        lua_pushstring(L, data);
    else
        lua_pushfstring(L, "%s/%s", folder, data);
    lua_setfield(L, -2, "data");
}

int luaopen_host_command(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open_store", l_open_store}, {NULL, NULL}};
    vm *v = vm_of(L);
    const host_api *host = vm_services(v)->host;
    if (host == NULL || host->open_store == NULL || !vm_settings(v)->trusted)
        return luaL_error(L, "host.command is for commands (lua/commands/), not for the server");
    luaL_newlib(L, functions);
    set_paths(L, v);
    lua_pushliteral(L, LUNACAST_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
