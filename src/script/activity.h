/* What sockets and processes of trusted scripts share: the one wait for "something has happened",
 * the box that Lua holds, and a list of what is open, so that a worker's end closes it. Per thread.
 */
#pragma once
#include "list.h"
#include <lauxlib.h>
#include <stdbool.h>

/* Something that a script opened; embedded. close(o) is called once, from the loop's thread and
 * outside of Lua's collector; it frees when its handles are closed. */
typedef struct activity_object {
    list link;
    void (*close)(struct activity_object *o);
    bool forgotten; /* its box was collected: closed at the next occasion */
} activity_object;

/* A kind of box: its methods, to which `close` is added. */
void activity_new_kind(lua_State *L, const char *kind, const luaL_Reg *methods);
/* Pushes an empty box; the object comes into it by activity_add. */
activity_object **activity_new_box(lua_State *L, const char *kind);
void activity_add(activity_object **box, activity_object *o, void (*close)(activity_object *o));
/* The object in the box at 1; raises "this <what> is closed" where it is empty. */
activity_object *activity_check(lua_State *L, const char *kind, const char *what);
/* Empties the box at 1; what was in it, or NULL. */
activity_object *activity_take(lua_State *L, const char *kind);
/* Closes it now, if it is still open. */
void activity_close(activity_object *o);
/* Closes what was forgotten. */
void activity_sweep(void);
/* Wakes every task that waits for activity. */
void activity_happened(void);
/* wait(seconds): parks until something has happened, or so long. */
int activity_wait(lua_State *L);
/* Raises unless the script is trusted (lunacast lua, test, commands). */
void activity_check_trusted(lua_State *L, const char *module);
