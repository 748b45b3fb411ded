/* host.hub's functions about who is connected, and identities in tables. */
#pragma once
#include "audience.h"
#include <lua.h>

/* The table at arg (or nil): { user, tenant, jti, iat, exp }. Leaves its texts on the stack, where
 * they must stay while the identity is used. */
audience_identity audience_check_identity(lua_State *L, int arg);
/* Adds the functions to the table at the top. */
void audience_open_functions(lua_State *L);
