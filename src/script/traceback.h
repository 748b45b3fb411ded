/* The calls that led to an error, as text. */
#pragma once
#include <lua.h>

/* Pushes on L the message and the calls of `from`, from that level on. */
void traceback_push(lua_State *L, lua_State *from, const char *message, int level);
