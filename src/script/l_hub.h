/* What response_table.c asks of the hub's binding. */
#pragma once
#include <lua.h>

/* Ends the watch at `arg`; anything else there is left alone. */
void hub_watch_close(lua_State *L, int arg);
