/* What co.c asks of task.c. */
#pragma once
#include <lua.h>
#include <stdbool.h>

/* L is the entry thread of the running task. */
bool task_owns_thread(lua_State *L);
/* A script holds a reference to its task's thread: it will not be reused. */
void task_thread_seen(lua_State *L);
/* Is the coroutine at `arg` one that a task runs in, or ran in? */
bool task_is_thread(lua_State *L, int arg);
