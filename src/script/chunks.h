/* The framework's Lua files, compiled once per process. */
#pragma once
#include "embedded.h"
#include <lua.h>

/* Pushes the file as a function, named "@lua/web/router.lua" for messages. Raises when it is wrong,
 * or when memory is out. */
void chunks_load(lua_State *L, const struct embedded_file *file);
