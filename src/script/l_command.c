/* host.command: what a command of the command line needs of the process around it. Only there: a
 * script of an application that requires it is told so. */
#include "config.h"
#include "dispatch.h"
#include "guard.h"
#include "mem.h"
#include "vm_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_US = 60000000 };

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

/* check_settings(): what a server would say of them at its start. */
static int l_check_settings(lua_State *L)
{
    const host_api *host = vm_services(vm_of(L))->host;
    char error[1024];
    if (host->check_settings(host->arg, error, sizeof error) != 0)
        return vm_fail(L, "settings", "%s", error);
    lua_pushboolean(L, 1);
    return 1;
}

/* application(): a VM as the server would build it, for as long as it takes to list what is in it.
 */
typedef struct {
    char *json;
    size_t n;
} inventory;

static int take_inventory(lua_State *L)
{
    inventory *i = lua_touserdata(L, 1);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "boot");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "inventory");
    lua_call(L, 0, 1);
    slice text = vm_check_slice(L, -1);
    i->json = mem_dup(text.p, text.n);
    i->n = text.n;
    return 0;
}

/* With the budget of a load, of which this command's own VM has none: an entry of its own. */
static int look_into(vm *v, inventory *i, char *error, size_t error_size)
{
    dispatcher *d = dispatcher_new(v, false, error, error_size);
    if (d == NULL)
        return -1;
    int result = vm_protect(v, take_inventory, i, error, error_size);
    task_cancel_vm(v, false);
    dispatcher_drop(d);
    return result;
}

static int l_application(lua_State *L)
{
    vm *own = vm_of(L);
    char error[HOST_ERROR_BYTES];
    inventory i = {0};
    vm_options options = *vm_settings(own);
    options.trusted = false;
    options.limit_us = LOOK_US;
    options.memory_limit = config_size(vm_config(own), "lua.memory");
    vm *v = vm_new(vm_services(own), &options);
    if (v == NULL)
        return vm_fail(L, "memory", "not enough memory for a Lua VM (lua.memory)");
    guard_leave(vm_guard(own));
    int result = look_into(v, &i, error, sizeof error);
    vm_drop(v);
    guard_enter(vm_guard(own), L);
    if (result != 0) {
        lua_pushnil(L);
        lua_pushstring(L, error);
        lua_pushliteral(L, "refused");
        return 3;
    }
    lua_pushlstring(L, i.json, i.n);
    free(i.json);
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
    static const luaL_Reg functions[] = {{"open_store", l_open_store},
                                         {"check_settings", l_check_settings},
                                         {"application", l_application},
                                         {NULL, NULL}};
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
