/* `lunacast lua FILE`: one worker without listeners, one task, then the ordered end. The store is
 * opened where there is one (Redis, or a data folder that exists or was named), so that a script
 * leaves no folder behind that nobody asked for; while a server holds it, host.store answers
 * "unavailable". */
#include "host.h"

#include "config.h"
#include "log.h"
#include "setup.h"
#include "worker.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static bool wants_store(const config *c)
{
    /* The folder of a script is the one it was started in: no setup_path needed. */
    return config_text(c, "redis.url")[0] != '\0' ||
           strcmp(config_source(c, config_find("data")), "default") != 0 ||
           access(config_text(c, "data"), F_OK) == 0;
}

static int run_file(worker_shared *shared, const char *file, int argc, char **argv)
{
    run r = {.worker = worker_new_bare(shared), .code = 1};
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

int host_lua(config *c, const char *file, int argc, char **argv)
{
    worker_shared shared = {0};
    char error[1024];
    setup_limits(&shared, c, ".");
    shared.script.trusted = true;
    shared.script.memory_limit = 0;
    shared.script.warn_us = 0;
    shared.script.limit_us = 0;
    if (setup_open(&shared, wants_store(c), error, sizeof error) != 0)
        log_warn("the store can't be opened", LOG_TEXT("error", error));
    int code = run_file(&shared, file, argc, argv);
    setup_close(&shared);
    return code;
}
