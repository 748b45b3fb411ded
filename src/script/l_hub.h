/* What other files of this folder ask of the hub's binding. */
#pragma once
#include "hub_position.h"
#include <lua.h>
#include <stdbool.h>

/* Ends the watch at `arg`; anything else there is left alone. */
void hub_watch_close(lua_State *L, int arg);
/* The option `mode` of the table at `arg`: "log", or "latest" when there is none; else raises. */
bool hub_check_log(lua_State *L, int arg);
/* Pushes it as text and returns 1; nothing and 0 when there is none. */
int hub_push_position(lua_State *L, hub_position position);
