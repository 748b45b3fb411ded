/* Tasks: coroutines that wait without blocking. A binding that must wait starts its operation, then
 * returns task_park(); the operation's callback calls task_wake(), which only queues; the worker's
 * one drain (task_run_ready) resumes. Callbacks never run Lua.
 *
 *     static void on_done(operation *op)             // always called exactly once, on the loop
 *     {
 *         task_wake(op->token, push_result, free_op, op);   // late? free_op(op) runs at once
 *     }
 *     static int l_fetch(lua_State *L)
 *     {
 *         operation *op = ...;                       // arguments checked before this line
 *         op->token = task_token_of(L);              // raises where waiting is not possible
 *         start(op, on_done);
 *         return task_park(L, NULL, NULL);
 *     }
 *     static int push_result(lua_State *L, void *data)      // runs inside the resume; may raise
 *     {
 *         lua_pushlstring(...);
 *         return 1;                                  // results that the Lua caller sees
 *     }
 *
 * A parked operation holds a token, never a pointer: after the task's end the token is stale and
 * task_wake does nothing but dispose of the data. */
#pragma once
#include "vm.h"

typedef struct {
    uint32_t index, generation; /* into the worker thread's table; 0, 0 is never live */
} task_token;

/* Pushes the results (or, for task_start, a function and its arguments); returns the number of
 * results (or arguments). Does not free data. */
typedef int (*task_push)(lua_State *L, void *data);
/* Frees data; called exactly once for every task_wake, whether or not the task still lives. */
typedef void (*task_dispose)(void *data);
/* Stops the operation of a task that is being cancelled (timer, subscription); its data stays the
 * operation's own. */
typedef void (*task_cancel_fn)(void *data);

typedef enum { TASK_OK, TASK_ERROR, TASK_CANCELLED } task_outcome;

typedef struct {
    /* Pushes a function and its arguments, returns the number of arguments. Runs inside the task;
     * it may raise, and may leave values below the function. */
    task_push fill;
    /* Once, at the end; NULL: errors are logged. TASK_OK: inside the task, with what fill left and
     * then the results on the stack; it may raise, which makes the end a TASK_ERROR, and may park.
     * TASK_ERROR: on the VM's main state, the error value at index 1, its traceback (a string) at
     * 2; TASK_CANCELLED: on the main state, nothing. Returns 0. */
    int (*on_end)(lua_State *L, task_outcome outcome, void *data);
    /* Once, after the task is over and Lua has returned: the place to let go of data. May be NULL.
     */
    void (*on_done)(void *data);
} task_ops;

/* For an on_end that has nothing better to do with TASK_ERROR: logs the traceback at index 2. */
void task_log_failure(lua_State *L);

/* Starts a task and runs it to its end or first wait before returning; while Lua runs on this
 * worker (an answer that lets the next pipelined request begin), it waits for the turn's drain
 * instead. */
void task_start(vm *v, const task_ops *ops, void *data);
/* The same from anywhere: it runs at the worker's next turn. */
task_token task_spawn(vm *v, const task_ops *ops, void *data); /* 0, 0: there is no memory */

/* As task_spawn, for work of the application itself: it ends when new scripts take over. What it
 * spawns is resident too. */
void task_spawn_resident(vm *v, const task_ops *ops, void *data);

/* The running task's token. Raises "cannot wait here" inside a user's own coroutine, at the top
 * level of a file, or in a callback of sort, gsub and the like. Call before starting the operation.
 */
task_token task_token_of(lua_State *L);
/* `return task_park(L, cancel, data)` is the only yield. cancel may be NULL. */
int task_park(lua_State *L, task_cancel_fn cancel, void *data);
/* Queues the parked task to go on with push's results. A stale token or a task that was already
 * woken: dispose(data) at once, returns false. dispose may be NULL. */
bool task_wake(task_token token, task_push push, task_dispose dispose, void *data);
/* Ends a task from outside (peer gone, deadline, shutdown): calls its cancel, runs its <close>
 * variables, then on_end(TASK_CANCELLED). A stale token does nothing. Not for the running task. */
void task_cancel(task_token token);
bool task_alive(task_token token);
