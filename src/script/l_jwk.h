/* The Lua boxes of keys and sets, for host.jwk and host.jwt. */
#pragma once
#include "jwk.h"
#include <lua.h>

/* Raise when the argument is something else. Valid as long as the argument is on the stack. */
jwk *jwk_check(lua_State *L, int arg);
jwk_set *jwk_check_set(lua_State *L, int arg);
