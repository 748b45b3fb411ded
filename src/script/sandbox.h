/* What a script finds when it starts: libraries, require, locked doors. */
#pragma once
#include "vm.h"

/* Fills a fresh state. Raises when memory is out. */
void sandbox_open(lua_State *L, const vm_options *options);
