/* The table of C modules that scripts can require: one row per l_<name>.c, which has
 * luaopen_host_<name>. */
#include "vm.h"

/* clang-format off */
#define MODULES(M) \
    M(account) \
    M(client) \
    M(command) \
    M(config) \
    M(control) \
    M(crypto) \
    M(event) \
    M(events) \
    M(file) \
    M(gateway) \
    M(hub) \
    M(json) \
    M(jwk) \
    M(jwt) \
    M(log) \
    M(metrics) \
    M(peer) \
    M(process) \
    M(redis) \
    M(regex) \
    M(sql) \
    M(store) \
    M(task) \
    M(template) \
    M(time) \
    M(unicode) \
    M(zone)
/* clang-format on */

#define DECLARE(name) int luaopen_host_##name(lua_State *L);
#define ENTRY(name) {"host." #name, luaopen_host_##name},

MODULES(DECLARE)

const luaL_Reg vm_modules[] = {MODULES(ENTRY){NULL, NULL}};
