/* A task that waits until somebody wakes it, or so long. Lies in a list of whoever may wake it,
 * until it is woken or ended; freed by itself. */
#pragma once
#include "list.h"
#include "task.h"

typedef struct waiter {
    list link;
    uv_timer_t timer;
    task_token token;
    task_push push; /* with the waiter as data: pushes what the task gets */
    bool reached;   /* woken, and not by its time */
} waiter;

/* Begins the wait of the calling task; seconds < 0: for ever. The caller ends with
 * `return task_park(L, waiter_cancel, w)`. Raises where waiting is not possible. */
waiter *waiter_start(lua_State *L, list *into, lua_Number seconds, task_push push);
/* Out of the list; the task goes on with what push gives. */
void waiter_wake(waiter *w, bool reached);
/* For task_park: the task has ended from outside. */
void waiter_cancel(void *w);
/* The optional argument `arg` as seconds, -1 when absent; raises for what is no time. */
lua_Number waiter_check_seconds(lua_State *L, int arg);
