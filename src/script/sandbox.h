/* What a script finds when it starts: libraries, require, locked doors. */
#pragma once
#include "vm.h"

/* Fills a fresh state. Raises when memory is out. */
void sandbox_open(lua_State *L, const vm_options *options);
/* After boot: a write to an undeclared global raises from now on, a read names the typo. */
void sandbox_lock_globals(lua_State *L);
