/* The calls that led to an error, as text. */
#pragma once
#include <lua.h>
#include <stddef.h>

/* Pushes on L the message and the calls of `from`, from that level on. */
void traceback_push(lua_State *L, lua_State *from, const char *message, int level);
/* How much of message and calls a person needs: all where one of the calls is in the application,
 * or the framework itself has failed; else the message, which says what and where. */
size_t traceback_useful(const char *text);
