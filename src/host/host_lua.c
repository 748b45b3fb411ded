/* `lunacast lua FILE`: one worker without listeners, one task, then the ordered end. */
#include "host.h"

#include "worker.h"
#include <stdio.h>

typedef struct {
    worker *worker;
    int code;
    bool ended;
} run;

static void on_end(void *arg, int code)
{
    run *r = arg;
    r->ended = true;
    r->code = code;
    uv_stop(worker_loop(r->worker));
}

int host_lua(const struct config *config, const char *file, int argc, char **argv)
{
    run r = {.worker = worker_new_bare(config), .code = 1};
    if (r.worker == NULL)
        return 1;
    script_start(worker_vm(r.worker), file, argc, argv, on_end, &r);
    if (!r.ended)
        uv_run(worker_loop(r.worker), UV_RUN_DEFAULT);
    if (!r.ended) {
        fprintf(stderr, "lunacast: %s waits for something that will never come\n", file);
        r.code = 1;
    }
    worker_free(r.worker);
    return r.code;
}
