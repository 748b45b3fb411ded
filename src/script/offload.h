/* Work that would block, on the thread pool, for a task that waits. The operation embeds an offload
 * as its first member and is freed by `dispose`.
 *
 *     task_token token = task_token_of(L);           // raises where waiting is not possible
 *     operation *op = mem_alloc(sizeof *op);
 *     op->offload = (offload){.token = token, .run = run, .push = push, .dispose = dispose};
 *     offload_begin(loop, &op->offload);
 *     return task_park(L, NULL, NULL);
 *
 * A task that ends meanwhile leaves the work to finish; then only `dispose` is called. */
#pragma once
#include "task.h"

typedef struct offload {
    uv_work_t work;
    task_token token;
    void (*run)(struct offload *o); /* on a thread of the pool: no Lua, nothing of the worker's */
    task_push push;                 /* data: the offload */
    task_dispose dispose;           /* data: the offload */
} offload;

void offload_begin(uv_loop_t *loop, offload *o);
