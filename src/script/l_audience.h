/* host.hub's functions about who is connected, and identities in tables. */
#pragma once
#include "audience.h"
#include <lua.h>

/* The table at arg (or nil): { user, tenant, jti, iat, exp }. Leaves its texts on the stack, where
 * they must stay while the identity is used. */
audience_identity audience_check_identity(lua_State *L, int arg);
/* { id, identity = { user, ... } } of a stream's table, with an id of its own where it has none;
 * what is left on the stack must stay while the opening is used. */
audience_opening audience_check_opening(lua_State *L, int stream, char id[AUDIENCE_ID_MAX + 1]);
/* Adds the functions to the table at the top. */
void audience_open_functions(lua_State *L);
