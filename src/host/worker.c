/* A worker: the thread that serves. It drives its loop; before and after each poll it resumes the
 * tasks that became ready. What must never happen: another thread touching anything here but
 * through a mailbox. */
#include "worker.h"

#include "log.h"
#include "mem.h"
#include <stdlib.h>

struct worker {
    uv_loop_t loop;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    services services;
    vm *vm;
};

static void turn(worker *w)
{
    if (w->vm != NULL)
        task_run_ready(w->vm);
}

static void on_before_poll(uv_prepare_t *handle)
{
    turn(handle->data);
}

static void on_after_poll(uv_check_t *handle)
{
    turn(handle->data);
}

worker *worker_new_bare(const struct config *config)
{
    worker *w = mem_alloc(sizeof *w);
    uv_loop_init(&w->loop);
    uv_prepare_init(&w->loop, &w->before_poll);
    uv_check_init(&w->loop, &w->after_poll);
    w->before_poll.data = w->after_poll.data = w;
    uv_prepare_start(&w->before_poll, on_before_poll);
    uv_check_start(&w->after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&w->before_poll);
    uv_unref((uv_handle_t *)&w->after_poll);
    w->services = (services){.loop = &w->loop, .config = config};
    vm_options options = {.memory_limit = 0, .warn_us = 10000000, .folder = ".", .trusted = true};
    w->vm = vm_new(&w->services, &options);
    if (w->vm == NULL) {
        worker_free(w);
        return NULL;
    }
    return w;
}

uv_loop_t *worker_loop(worker *w)
{
    return &w->loop;
}

vm *worker_vm(worker *w)
{
    return w->vm;
}

void worker_free(worker *w)
{
    if (w->vm != NULL) {
        task_cancel_all(w->vm);
        vm_drop(w->vm);
    }
    uv_close((uv_handle_t *)&w->before_poll, NULL);
    uv_close((uv_handle_t *)&w->after_poll, NULL);
    while (uv_loop_alive(&w->loop))
        uv_run(&w->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&w->loop) != 0)
        log_error("handles are open at the end", LOG_NUM("worker", w->services.worker));
    task_thread_exit();
    free(w);
}
