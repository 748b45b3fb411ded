/* The process. The main thread opens what all share (store, hub, addresses, certificate), starts
 * the workers, waits for signals, and takes everything down in the reverse order.
 *
 *   open -> workers boot -> all booted? -> listen -> ready line -> signals
 *   SIGTERM, SIGINT: workers drain -> joined -> hub, store -> audit -> exit 0; again: exit now
 *   SIGHUP, a saved file: the settings are read again and the scripts loaded with them, all or
 *   nothing; then the certificate is read again, and the log's files are opened again. The old
 *   ones stay where the new ones are wrong.
 *
 * In development an application that does not start is no end: a server with lua/web/dev/stand_in
 * for its scripts shows the problem. When the files change it goes, and the application is started
 * from the beginning, since anything may have been wrong: settings, migrations, a script.
 *
 *   live(application) --does not start--> live(stand-in) --files change--> live(application) ...
 *
 * What must never happen: the ready line before every address accepts; a worker's thread left when
 * the store closes. */
#include "host_private.h"

#include "access.h"
#include "clock.h"
#include "config.h"
#include "control_socket.h"
#include "exchange.h"
#include "file_set.h"
#include "frame.h"
#include "listener.h"
#include "log.h"
#include "log_files.h"
#include "mem.h"
#include "metrics.h"
#include "reload_state.h"
#include "setup.h"
#include "tls.h"
#include "worker.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Saved files are a signal to the main thread, which builds the new VMs. */
static void on_change(void *arg)
{
    (void)arg;
    kill(getpid(), SIGUSR1);
}

typedef enum { SIGNALLED, NOT_STARTED, FILES_CHANGED } outcome;

/* Workers ----------------------------------------------------------------------------------- */

static void start_first(host *h, worker *w)
{
    worker_start_application(w, on_change, NULL);
    if (h->control.fd >= 0)
        worker_listen_control(w, h->control.fd);
    h->control.fd = -1;
}

static void *work(void *arg)
{
    seat *s = arg;
    host *h = s->host;
    log_set_worker(s->index);
    metrics_set_worker(s->index);
    s->worker = worker_new(&h->shared, s->index, s->error, sizeof s->error);
    if (s->index == 0 && s->worker != NULL &&
        worker_prepare(s->worker, s->error, sizeof s->error) != 0) {
        worker_free(s->worker);
        s->worker = NULL;
    }
    uv_sem_post(&h->booted);
    uv_sem_wait(&h->may_serve);
    if (s->worker == NULL)
        return NULL;
    if (h->go) {
        for (size_t i = 0; i < h->address_count; i++) {
            worker_listen(s->worker, s->fds[i], h->addresses[i].tls ? h->tls : NULL);
            s->fds[i] = -1; /* the listener's now */
        }
        if (s->index == 0)
            start_first(h, s->worker);
        else
            worker_start_application(s->worker, NULL, NULL);
        uv_sem_post(&h->booted);
        worker_run(s->worker);
    }
    worker_free(s->worker);
    return NULL;
}

static sigset_t waited_signals(void)
{
    sigset_t waited;
    sigemptyset(&waited);
    sigaddset(&waited, SIGTERM);
    sigaddset(&waited, SIGINT);
    sigaddset(&waited, SIGHUP);
    sigaddset(&waited, SIGUSR1);
    return waited;
}

static void block_signals(sigset_t *waited)
{
    *waited = waited_signals();
    pthread_sigmask(SIG_BLOCK, waited, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int start_workers(host *h, char *error, size_t size)
{
    for (int i = 0; i < h->seat_count; i++) {
        seat *s = &h->seats[i];
        s->host = h;
        s->index = i;
        s->started = pthread_create(&s->thread, NULL, work, s) == 0;
        if (!s->started)
            uv_sem_post(&h->booted);
    }
    for (int i = 0; i < h->seat_count; i++)
        uv_sem_wait(&h->booted);
    h->go = true;
    for (int i = 0; i < h->seat_count; i++) {
        const seat *s = &h->seats[i];
        if (s->worker != NULL)
            continue;
        if (h->go)
            snprintf(error, size, "%s",
                     s->started ? s->error : "cannot start a thread; lower the setting workers");
        h->go = false;
    }
    for (int i = 0; i < h->seat_count; i++)
        uv_sem_post(&h->may_serve);
    for (int i = 0; h->go && i < h->seat_count; i++)
        uv_sem_wait(&h->booted);
    return h->go ? 0 : -1;
}

static void join_workers(host *h)
{
    for (int i = 0; i < h->seat_count; i++) {
        if (h->seats[i].started)
            pthread_join(h->seats[i].thread, NULL);
    }
}

/* Addresses --------------------------------------------------------------------------------- */

/* Ports that the system has picked, by their place in `listen`: the server that takes another's
 * place is found where that one was. */
static uint16_t picked[CONFIG_ADDRESSES_MAX];

static int parse_addresses(host *h, char *error, size_t size)
{
    h->address_count = config_count(h->config, "listen");
    h->addresses = mem_alloc(h->address_count * sizeof *h->addresses);
    for (size_t i = 0; i < h->address_count; i++) {
        if (listen_parse(config_item(h->config, "listen", i), &h->addresses[i], error, size) != 0)
            return -1;
        h->addresses[i].tls = h->tls != NULL && !h->addresses[i].is_unix;
        if (h->addresses[i].port == 0)
            h->addresses[i].port = picked[i];
    }
    return 0;
}

/* A TCP address is bound once per worker (SO_REUSEPORT), a unix socket once. */
static int open_addresses(host *h, char *error, size_t size)
{
    for (int s = 0; s < h->seat_count; s++) {
        h->seats[s].fds = mem_alloc(h->address_count * sizeof(int));
        for (size_t i = 0; i < h->address_count; i++)
            h->seats[s].fds[i] = -1;
    }
    for (size_t i = 0; i < h->address_count; i++) {
        for (int s = 0; s < h->seat_count; s++) {
            bool shared = h->addresses[i].is_unix && s > 0;
            int fd = shared ? dup(h->seats[0].fds[i]) : listen_open(&h->addresses[i], error, size);
            if (fd < 0)
                return -1;
            h->seats[s].fds[i] = fd;
        }
        if (h->addresses[i].picked)
            picked[i] = h->addresses[i].port;
    }
    return 0;
}

static void close_addresses(host *h)
{
    for (int s = 0; s < h->seat_count; s++) {
        for (size_t i = 0; h->seats[s].fds != NULL && i < h->address_count; i++) {
            if (h->seats[s].fds[i] >= 0)
                close(h->seats[s].fds[i]);
        }
        free(h->seats[s].fds);
    }
    for (size_t i = 0; i < h->address_count; i++) {
        if (h->addresses[i].is_unix && h->seat_count > 0 && h->go)
            unlink(h->addresses[i].host);
    }
    free(h->addresses);
}

static void print_ready(const host *h)
{
    for (size_t i = 0; i < h->address_count; i++) {
        const listen_address *a = &h->addresses[i];
        bool v6 = strchr(a->host, ':') != NULL;
        if (a->is_unix)
            printf("lunacast ready on unix:%s\n", a->host);
        else
            printf("lunacast ready on %s://%s%s%s:%u\n", a->tls ? "https" : "http", v6 ? "[" : "",
                   *a->host != '\0' ? a->host : "0.0.0.0", v6 ? "]" : "", a->port);
    }
    fflush(stdout);
}

/* Signals ----------------------------------------------------------------------------------- */

/* Lives to the end of the process, longer than any stack but its own. */
static void *exit_at_second_signal(void *arg)
{
    (void)arg;
    const sigset_t waited = waited_signals();
    int number = SIGHUP;
    while (number == SIGHUP || number == SIGUSR1)
        sigwait(&waited, &number);
    _exit(128 + number);
}

static void stop_workers(host *h, uint64_t drain_ms)
{
    reload_state_stop(&h->reloads);
    for (int i = 0; i < h->seat_count; i++)
        worker_reloaded(h->seats[i].worker, RELOADS_STOPPED);
    for (int i = 0; i < h->seat_count; i++)
        worker_stop(h->seats[i].worker, drain_ms);
}

/* A server that stands in goes when the files change, and its successor tries them. */
static outcome serve_until_signal(host *h, const sigset_t *waited)
{
    int number = 0;
    while (number != SIGTERM && number != SIGINT) {
        sigwait(waited, &number);
        if (h->problem != NULL && (number == SIGHUP || number == SIGUSR1)) {
            stop_workers(h, 0);
            return FILES_CHANGED;
        }
        if (number == SIGHUP || number == SIGUSR1)
            host_reload(h);
        if (number == SIGHUP) {
            host_reload_tls(h);
            log_files_reopen();
        }
    }
    log_info("stopping", LOG_TEXT("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"),
             LOG_NUM("drain_ms", config_ms(h->config, "drain")));
    pthread_t second;
    if (pthread_create(&second, NULL, exit_at_second_signal, NULL) == 0)
        pthread_detach(second);
    stop_workers(h, config_ms(h->config, "drain"));
    return SIGNALLED;
}

/* The whole --------------------------------------------------------------------------------- */

/* What is alive after the ordered end was forgotten by its owner; a debug build says so with its
 * exit code, so that no spec overlooks it. */
static int audit(void)
{
#ifndef LUNACAST_AUDIT
    return 0;
#endif
    size_t exchanges = exchange_alive(), frames = frame_alive(), vms = vm_count();
    if (exchanges + frames + vms == 0)
        return 0;
    log_error("objects are alive at the end", LOG_NUM("exchanges", exchanges),
              LOG_NUM("frames", frames), LOG_NUM("vms", vms));
    return 3;
}

static int open_all(host *h, char *error, size_t size)
{
    if (setup_raise_file_limit(&h->shared, error, size) != 0 ||
        host_load_tls(h, &h->tls, error, size) != 0 || parse_addresses(h, error, size) != 0 ||
        open_addresses(h, error, size) != 0)
        return -1;
    if (setup_proxies(h->config, error, size) != 0 ||
        setup_log_files(&h->shared, error, size) != 0 ||
        setup_open(&h->shared, true, error, size) != 0)
        return -1;
    h->control = control_socket_open(&h->shared);
    return 0;
}

static void close_all(host *h)
{
    control_socket_close(&h->control);
    setup_close(&h->shared);
    close_addresses(h);
    if (h->tls != NULL)
        tls_context_drop(h->tls);
    uv_sem_destroy(&h->booted);
    uv_sem_destroy(&h->may_serve);
    host_close_api(h);
    free(h->seats);
}

/* One server, from open to closed; h says with what and in whose place. */
static outcome live(host *h, const char *folder, uint64_t generation, char *error, size_t size)
{
    sigset_t waited;
    block_signals(&waited);
    setup_limits(&h->shared, h->config, folder);
    access_configure(config_bool(h->config, "log.access"));
    h->control.fd = -1;
    h->seat_count = setup_workers(h->config);
    h->seats = mem_alloc((size_t)h->seat_count * sizeof *h->seats);
    h->shared.script.files = file_set_new();
    host_open_api(h, generation);
    if (h->problem != NULL) {
        h->shared.script.boot = "web.dev.stand_in";
        reload_state_begin(&h->reloads);
        reload_state_end(&h->reloads, h->problem);
    }
    uv_sem_init(&h->booted, 0);
    uv_sem_init(&h->may_serve, 0);
    outcome end = NOT_STARTED;
    if (open_all(h, error, size) == 0) {
        if (start_workers(h, error, size) == 0) {
            print_ready(h);
            end = serve_until_signal(h, &waited);
        }
        join_workers(h);
    }
    close_all(h);
    file_set_drop(h->shared.script.files);
    log_files_close();
    return end;
}

static outcome live_with(const host_settings *settings, config *c, const char *folder,
                         const char *problem, char *error, size_t size)
{
    static uint64_t lives;
    host h = {.settings = settings, .config = config_hold(c), .problem = problem};
    outcome end = live(&h, folder, ++lives, error, size);
    config_drop(h.config);
    return end;
}

/* Shows the problem until the files change, then tries them, and so on. */
static outcome stand_in(const host_settings *settings, config *c, const char *folder, char *problem,
                        size_t size)
{
    config_hold(c);
    outcome end = NOT_STARTED;
    while (end == NOT_STARTED) {
        char error[ERROR_BYTES];
        log_error("the application does not start", LOG_TEXT("error", problem));
        end = live_with(settings, c, folder, problem, error, sizeof error);
        if (end != FILES_CHANGED)
            break;
        end = NOT_STARTED;
        config *next = settings->read(settings->arg, problem, size);
        if (next == NULL)
            continue;
        config_drop(c);
        c = next;
        end = live_with(settings, c, folder, NULL, problem, size);
    }
    config_drop(c);
    return end;
}

int host_run(const host_settings *settings, const char *folder)
{
    char problem[ERROR_BYTES];
    outcome end = NOT_STARTED;
    if (settings->problem != NULL)
        snprintf(problem, sizeof problem, "%s", settings->problem);
    else
        end = live_with(settings, settings->config, folder, NULL, problem, sizeof problem);
    if (end == NOT_STARTED && settings->stand_in)
        end = stand_in(settings, settings->config, folder, problem, sizeof problem);
    if (end == SIGNALLED)
        return audit();
    fprintf(stderr, "lunacast: %.*s\n", (int)script_error_useful(problem), problem);
    return 1;
}
