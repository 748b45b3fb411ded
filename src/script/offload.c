/* uv_queue_work with a task at its end. What must never happen: run() reaching for Lua; an
 * operation freed before both its thread and its loop have left it. */
#include "offload.h"

static void on_run(uv_work_t *work)
{
    offload *o = work->data;
    o->run(o);
}

static void on_done(uv_work_t *work, int status)
{
    (void)status; /* nobody cancels */
    offload *o = work->data;
    task_wake(o->token, o->push, o->dispose, o);
}

void offload_begin(uv_loop_t *loop, offload *o)
{
    o->work.data = o;
    uv_queue_work(loop, &o->work, on_run, on_done);
}
