/* What the files of an application see as their globals. */
#pragma once
#include <lua.h>

/* Once per VM of an application, when the libraries are complete. */
void app_env_open(lua_State *L);
/* The function on top, which was just loaded, gets these globals; in a VM without them nothing
 * changes. */
void app_env_give(lua_State *L);
/* What require(name) gives belongs to lunacast: an application gets a view of it. */
void app_env_own(lua_State *L, const char *name);
/* Scripts are loaded: from now on the name of a global that is not there raises. */
void app_env_lock(lua_State *L);
