/* The time budget of Lua: a watchdog thread looks at each worker every few milliseconds and ends a
 * resume that has used up its CPU time, and sleeps while none runs. A worker pays two stores per
 * resume and nothing per instruction. */
#pragma once
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct guard guard;

#define GUARD_MESSAGE "the script ran out of its time budget (lua.time_ms)"

/* For the calling thread; budgets in microseconds of the thread's CPU time, 0: none. */
guard *guard_new(uint64_t warn_us, uint64_t limit_us);
void guard_set_budget(guard *g, uint64_t warn_us, uint64_t limit_us);
/* The limit only; returns what it was. 0, none, stays. */
uint64_t guard_set_limit(guard *g, uint64_t limit_us);
void guard_free(guard *g);  /* on the thread that uses it */
void guard_adopt(guard *g); /* the calling thread uses it from now on */

/* Around every entry into Lua. `L` is the thread that runs. */
void guard_enter(guard *g, lua_State *L);
typedef struct {
    uint64_t slow_us; /* CPU time used, when it was more than warn_us; else 0 */
    bool over;        /* it was ended: a yielded coroutine is not waiting, it is to be killed */
} guard_verdict;
guard_verdict guard_leave(guard *g);
/* Its budget is used up: C code in a loop looks, since the hook ends only Lua. */
bool guard_over(void);
/* The calling thread is between an enter and its leave: Lua is on the stack. */
bool guard_inside(void);
/* Lua switches to another coroutine inside an entry; returns the one before, to be put back. */
lua_State *guard_switch(guard *g, lua_State *L);
