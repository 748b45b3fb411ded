/* Small helpers for bindings that hand C memory and JSON to Lua. */
#pragma once
#include "buf.h"
#include <lua.h>

/* Pushes an empty buffer that is freed with its box, so that a raise in between leaks nothing. */
buf *box_push_buf(lua_State *L);
/* Pushes the buffer's bytes as a string and wipes them in the buffer. */
void box_push_text(lua_State *L, buf *b);
/* Pushes host.json's function of that name. */
void box_push_json(lua_State *L, const char *name);
