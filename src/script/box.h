/* Small helpers for bindings that hand C memory and JSON to Lua. */
#pragma once
#include "buf.h"
#include <lua.h>

/* Pushes an empty buffer that is freed with its box, so that a raise in between leaks nothing. */
buf *box_push_buf(lua_State *L);
/* Pushes the buffer's bytes as a string and wipes them in the buffer. */
void box_push_text(lua_State *L, buf *b);
/* The userdata at `arg` if its metatable is the one that the registry holds under the address
 * `type`, else NULL; what is looked at several times a request need not be found by its name. */
void *box_test(lua_State *L, int arg, const char *type);
/* Pushes host.json's function of that name. */
void box_push_json(lua_State *L, const char *name);
