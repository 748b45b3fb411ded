/* The coroutine library for scripts: as Lua's own, and the time budget follows the running one. */
#pragma once
#include <lua.h>

int luaopen_co(lua_State *L);
