/* Tables that scripts can read and not write: what all requests of a VM share. */
#pragma once
#include <lua.h>
#include <stdbool.h>

/* Replaces the table on top by its view, the same one each time. A write raises "NAME is read-only:
 * ADVICE"; advice NULL: the usual one. */
void read_only(lua_State *L, const char *name, const char *advice);
/* Pushes the view of the table at index when there is one already. */
bool read_only_known(lua_State *L, int index);
/* Pushes the table behind the view at index; false, and nothing pushed: it is no view. */
bool read_only_behind(lua_State *L, int index);
/* next() of the view at argument 1; also what pairs() of a view goes by. */
int read_only_next(lua_State *L);
