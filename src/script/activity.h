/* What sockets and processes of trusted scripts share: the one wait for "something has happened",
 * and a list of what is open, so that a worker's end closes it. Per thread. */
#pragma once
#include "list.h"
#include <lua.h>
#include <stdbool.h>

/* Something that a script opened; embedded. close(o) is called once, from the loop's thread and
 * outside of Lua's collector; it frees when its handles are closed. */
typedef struct activity_object {
    list link;
    void (*close)(struct activity_object *o);
    bool forgotten; /* its box was collected: closed at the next occasion */
} activity_object;

void activity_add(activity_object *o, void (*close)(activity_object *o));
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
