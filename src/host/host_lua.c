/* `lunacast lua FILE` and the commands in Lua: one worker without listeners, one task, then the
 * ordered end. The embedded store can be open in one process only, which is the server's right: it
 * is opened when a script asks for it. For a file that is when host.store is first required, where
 * there is one (a data folder that exists or was named), so that a script leaves no folder behind
 * that nobody asked for; for a command, when it says so. While a server holds it, host.store
 * answers "unavailable". Redis, which carries the hub, too, a file has from the beginning. */
#include "host.h"

#include "config.h"
#include "log.h"
#include "setup.h"
#include "worker.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    worker_shared shared;
    host_api api;
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

static bool has_redis(const config *c)
{
    return config_text(c, "redis.url")[0] != '\0';
}

static bool has_data(const config *c)
{
    /* The folder of a script is the one it was started in: no setup_path needed. */
    return strcmp(config_source(c, config_find("data")), "default") != 0 ||
           access(config_text(c, "data"), F_OK) == 0;
}

/* The last close callback of a loop may be what a task waits for: it is resumed before we give up.
 */
static void run_till_idle(run *r)
{
    do {
        uv_run(worker_loop(r->worker), UV_RUN_DEFAULT);
        task_run_ready();
    } while (!r->ended && (task_any_ready() || uv_loop_alive(worker_loop(r->worker))));
}

/* file NULL: a command. */
static int run_script(run *r, const char *file, int argc, char **argv)
{
    r->worker = worker_new_bare(&r->shared);
    if (r->worker == NULL)
        return 1;
    r->code = 1;
    script_start(worker_vm(r->worker), file, argc, argv, on_end, r);
    run_till_idle(r);
    if (!r->ended) {
        fprintf(stderr, "lunacast: %s waits for something that will never come\n",
                file != NULL ? file : argv[0]);
        r->code = 1;
    }
    worker_free(r->worker);
    return r->code;
}

static void set_trusted(run *r, config *c, const char *folder)
{
    setup_limits(&r->shared, c, folder);
    r->shared.script.trusted = true;
    r->shared.script.memory_limit = 0;
    r->shared.script.warn_us = 0;
    r->shared.script.limit_us = 0;
}

static int open_store(void *arg, char *error, size_t error_size)
{
    run *r = arg;
    if (r->shared.store != NULL)
        return 0;
    if (setup_open_store(&r->shared, error, error_size) != 0)
        return -1;
    worker_open_store(r->worker);
    return 0;
}

static void lend_store(void *arg)
{
    run *r = arg;
    char error[1024];
    if (has_data(r->shared.config) && open_store(r, error, sizeof error) != 0)
        log_warn("the store can't be opened", LOG_TEXT("error", error));
}

int host_lua(config *c, const char *file, int argc, char **argv)
{
    run r = {0};
    char error[1024];
    set_trusted(&r, c, ".");
    r.api = (host_api){.arg = &r, .lend_store = lend_store};
    r.shared.host = &r.api;
    if (setup_open(&r.shared, has_redis(c), error, sizeof error) != 0)
        log_warn("the store can't be opened", LOG_TEXT("error", error));
    int code = run_script(&r, file, argc, argv);
    setup_close(&r.shared);
    return code;
}

static int check_settings(void *arg, char *error, size_t error_size)
{
    return setup_check(((run *)arg)->shared.config, error, error_size);
}

int host_command(config *c, const char *folder, int argc, char **argv)
{
    run r = {0};
    char error[1024];
    set_trusted(&r, c, folder);
    r.api = (host_api){.arg = &r, .open_store = open_store, .check_settings = check_settings};
    r.shared.host = &r.api;
    if (setup_open(&r.shared, false, error, sizeof error) != 0) {
        fprintf(stderr, "lunacast: %s\n", error);
        return 1;
    }
    int code = run_script(&r, NULL, argc, argv);
    setup_close(&r.shared);
    return code;
}
