/* The time budget of Lua: a watchdog thread looks at each worker every few milliseconds and ends a
 * resume that has used up its CPU time. A worker pays two plain stores per resume and nothing per
 * instruction. */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct guard guard;

/* For the calling thread; budgets in microseconds of the thread's CPU time. */
guard *guard_new(uint64_t warn_us, uint64_t limit_us);
void guard_free(guard *g);  /* on the thread that uses it */
void guard_adopt(guard *g); /* the calling thread uses it from now on */

/* Around every entry into Lua. `L` is the thread that runs. */
void guard_enter(guard *g, lua_State *L);
/* True when it took longer than warn_us; the CPU time used is in *us (rounded to the watchdog's
 * period). */
bool guard_leave(guard *g, uint64_t *us);
/* Lua switches to another coroutine inside an entry; returns the one before, to be put back. */
lua_State *guard_switch(guard *g, lua_State *L);
