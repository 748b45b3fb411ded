/* host.hub: who is connected. */
#include "l_audience.h"

#include "vm.h"

static int64_t check_time(lua_State *L, int arg, const char *name)
{
    lua_Number seconds = vm_opt_number(L, arg, name, 0);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e12, arg, "a time is in Unix seconds");
    return (int64_t)seconds;
}

audience_identity audience_check_identity(lua_State *L, int arg)
{
    audience_identity who = {.issued = check_time(L, arg, "iat"),
                             .expires = check_time(L, arg, "exp")};
    who.user = vm_opt_slice(L, arg, "user", (slice){"", 0});
    who.tenant = vm_opt_slice(L, arg, "tenant", (slice){"", 0});
    who.jti = vm_opt_slice(L, arg, "jti", (slice){"", 0});
    return who;
}

static int make_connection_id(lua_State *L)
{
    char id[AUDIENCE_ID_MAX + 1];
    audience_make_id(id);
    lua_pushstring(L, id);
    return 1;
}

void audience_open_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connection_id", make_connection_id}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
