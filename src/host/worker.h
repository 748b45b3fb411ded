/* One worker: a thread's loop, its VM, its ends of store and hub, its listeners and connections. */
#pragma once
#include "script.h"

struct config;
typedef struct worker worker;

/* On the calling thread, without listeners: for `lunacast lua`. NULL: said on stderr. */
worker *worker_new_bare(const struct config *config);
uv_loop_t *worker_loop(worker *w);
vm *worker_vm(worker *w);
/* Ends tasks, closes what the worker owns, runs the loop dry, frees it. */
void worker_free(worker *w);
