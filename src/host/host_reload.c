/* What changes while the server runs: certificate, settings and scripts; and what scripts may ask
 * about it. Everything here but the functions of the api runs on the main thread.
 *
 * What must never happen: a worker with new scripts while another one's are refused; a request that
 * sees both (each VM is one set of files). */
#include "host_private.h"

#include "clock.h"
#include "config.h"
#include "file_set.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "setup.h"
#include "tls.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_US = 2000 };

/* The certificate --------------------------------------------------------------------------- */

int host_load_tls(host *h, struct tls_context **tls, char *error, size_t size)
{
    *tls = NULL;
    if (config_text(h->config, "tls.cert")[0] == '\0')
        return 0;
    char *cert = setup_path(&h->shared, "tls.cert"), *key = setup_path(&h->shared, "tls.key");
    *tls = tls_context_new(cert, key, error, size);
    free(cert);
    free(key);
    return *tls != NULL ? 0 : -1;
}

void host_reload_tls(host *h)
{
    struct tls_context *tls;
    char error[ERROR_BYTES];
    if (host_load_tls(h, &tls, error, sizeof error) != 0) {
        log_error("the new certificate is wrong, the old one stays", LOG_TEXT("error", error));
        return;
    }
    if (tls == NULL || h->tls == NULL) {
        if (tls != NULL || h->tls != NULL)
            log_warn("TLS is switched on or off by a restart only",
                     LOG_TEXT("setting", "tls.cert"));
        if (tls != NULL)
            tls_context_drop(tls);
        return;
    }
    for (int i = 0; i < h->seat_count; i++)
        worker_set_tls(h->seats[i].worker, tls);
    tls_context_drop(h->tls);
    h->tls = tls;
    log_info("the certificate was read again",
             LOG_TEXT("file", config_text(h->config, "tls.cert")));
}

/* A reload ---------------------------------------------------------------------------------- */

/* What takes effect at the start only keeps its value, so that no script sees one that the process
 * does not follow. */
static void keep_fixed(const host *h, config *next)
{
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (key->reloadable || config_same(next, h->config, key))
            continue;
        log_warn("a changed setting needs a restart", LOG_TEXT("setting", key->name),
                 LOG_TEXT("source", config_source(next, key)));
        config_copy(next, h->config, key);
    }
}

static bool build_all(host *h, dispatcher **next, char *error, size_t error_size)
{
    for (int i = 0; i < h->seat_count; i++) {
        next[i] = worker_build(h->seats[i].worker, error, error_size);
        if (next[i] == NULL)
            return false;
    }
    return true;
}

static void drop_all(const host *h, dispatcher **next)
{
    for (int i = 0; i < h->seat_count && next[i] != NULL; i++)
        dispatcher_drop(next[i]);
}

static bool is_told_to_stop(void)
{
    sigset_t pending;
    sigemptyset(&pending);
    sigpending(&pending);
    return sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
}

/* In development a reload begins as a start does: with the migrations that were written since. They
 * may take their time, and wait for others; who stops the server doesn't wait for them. */
static bool rehearse(host *h, dispatcher *next, char *error, size_t error_size)
{
    if (!config_bool(h->config, "dev"))
        return true;
    worker *first = h->seats[0].worker;
    rehearsal r = {.next = next, .error = error, .error_size = error_size};
    uv_sem_init(&r.done, 0);
    worker_rehearse(first, &r);
    while (uv_sem_trywait(&r.done) != 0) {
        if (is_told_to_stop())
            worker_end_rehearsal(first);
        usleep(LOOK_US);
    }
    uv_sem_destroy(&r.done);
    return r.result == 0;
}

/* Returns when all workers serve with the new scripts. */
static void swap_all(host *h, dispatcher **next)
{
    uv_sem_t done;
    uv_sem_init(&done, 0);
    for (int i = 0; i < h->seat_count; i++)
        worker_swap(h->seats[i].worker, next[i], &done);
    for (int i = 0; i < h->seat_count; i++)
        uv_sem_wait(&done);
    uv_sem_destroy(&done);
}

static void adopt(host *h, config *next)
{
    bool other_tls = !config_same(next, h->config, config_find("tls.cert")) ||
                     !config_same(next, h->config, config_find("tls.key"));
    setup_adopt(&h->shared, next);
    config_drop(h->config);
    h->config = next;
    if (other_tls)
        host_reload_tls(h);
}

/* A release that is being replaced may be away for a moment: that is no empty application. */
static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* All or nothing: the settings are read, and a VM for every worker is built with them beside the
 * running ones, here on the main thread; only when all are good does anything change. */
static bool try_reload(host *h, char *error, size_t error_size)
{
    if (!is_folder(h->shared.folder)) {
        snprintf(error, error_size, "%s: the application's folder is gone", h->shared.folder);
        return false;
    }
    config *next = h->settings->read(h->settings->arg, error, error_size);
    if (next == NULL)
        return false;
    keep_fixed(h, next);
    dispatcher **built = mem_alloc((size_t)h->seat_count * sizeof(dispatcher *));
    file_set *before = h->shared.script.files;
    h->shared.script.files = file_set_new();
    h->shared.script.config = next;
    bool good = build_all(h, built, error, error_size) && rehearse(h, built[0], error, error_size);
    if (good)
        swap_all(h, built);
    else
        drop_all(h, built);
    free(built);
    file_set_drop(good ? before : h->shared.script.files);
    if (good) {
        adopt(h, next);
    } else {
        h->shared.script.files = before;
        h->shared.script.config = h->config;
        config_drop(next);
    }
    return good;
}

void host_reload(host *h)
{
    char error[ERROR_BYTES];
    uint64_t began = clock_ms();
    reload_state_begin(&h->reloads);
    bool good = try_reload(h, error, sizeof error);
    reload_state_end(&h->reloads, good ? NULL : error);
    metrics_add(good ? METRIC_RELOADS : METRIC_RELOADS_FAILED, 1);
    if (good)
        log_info("the scripts were reloaded", LOG_NUM("ms", clock_ms() - began));
    else
        log_error("the new scripts are wrong, the old ones serve on", LOG_TEXT("error", error));
    for (int i = 0; i < h->seat_count; i++)
        worker_reloaded(h->seats[i].worker, good ? RELOAD_GOOD : RELOAD_REFUSED);
}

/* What scripts may ask ---------------------------------------------------------------------- */

static uint64_t ask_reload(void *arg)
{
    host *h = arg;
    uint64_t ticket = reload_state_ticket(&h->reloads);
    if (ticket != 0)
        kill(getpid(), SIGUSR1);
    return ticket;
}

static void look(void *arg, host_facts *out)
{
    host *h = arg;
    reload_state_look(&h->reloads, out);
}

static bool look_at_worker(void *arg, int index, host_worker *out)
{
    host *h = arg;
    if (index >= h->seat_count)
        return false;
    worker_board *board = &h->shared.boards[index];
    pthread_mutex_lock(&board->lock);
    *out = board->facts;
    pthread_mutex_unlock(&board->lock);
    return true;
}

static void advance(void *arg, uint64_t ms)
{
    host *h = arg;
    clock_advance(ms);
    for (int i = 0; i < h->seat_count; i++)
        worker_advance(h->seats[i].worker, ms);
}

void host_open_api(host *h, uint64_t generation)
{
    h->api = (host_api){
        .arg = h, .reload = ask_reload, .look = look, .worker = look_at_worker, .advance = advance};
    h->shared.host = &h->api;
    reload_state_init(&h->reloads, generation);
    h->shared.boards = mem_alloc((size_t)h->seat_count * sizeof(worker_board));
    for (int i = 0; i < h->seat_count; i++)
        pthread_mutex_init(&h->shared.boards[i].lock, NULL);
}

void host_close_api(host *h)
{
    for (int i = 0; i < h->seat_count; i++)
        pthread_mutex_destroy(&h->shared.boards[i].lock);
    free(h->shared.boards);
    reload_state_deinit(&h->reloads);
}
