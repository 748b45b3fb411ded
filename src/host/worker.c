/* A worker: the thread that serves. It drives its loop; before and after each poll it delivers what
 * lies in the hub's mailbox and resumes the tasks that became ready, so a chain of event, task and
 * message ends in the turn in which it began.
 *
 *   new --worker_run--> SERVING --worker_stop--> DRAINING
 *                                       \--no connection left, or drain over--> free
 *
 * Ordered end: what worker_stop.c says, then tasks, VM, hub, store, loop.
 *
 * What must never happen: another thread touching anything here but through `mail`. */
#include "worker_private.h"

#include "access.h"
#include "audience.h"
#include "clock.h"
#include "config.h"
#include "dispatch.h"
#include "listener.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "proxy.h"
#include "redis_bus.h"
#include "tls.h"
#include "watch.h"
#include "ws_session.h"
#include <pthread.h>
#include <stdlib.h>

/* Turns ------------------------------------------------------------------------------------- */

static void run_hub(worker *w)
{
    if (w->services.hub != NULL)
        hub_port_run(w->services.hub);
}

/* What the hub delivers may wake tasks, and what tasks publish is delivered: until there is nothing
 * left, or for so many rounds and so long, so that scripts which talk to each other or start each
 * other without end don't keep sockets waiting. */
static void turn(worker *w)
{
    run_hub(w);
    for (int i = 0; i < ROUNDS; i++) {
        bool in_time = task_run_ready();
        run_hub(w);
        if (!task_any_ready())
            return;
        if (!in_time)
            break;
    }
    uv_async_send(&w->wake);
}

static void on_before_poll(uv_prepare_t *handle)
{
    worker *w = handle->data;
    turn(w);
    uv_update_time(&w->loop);
    uint64_t took = uv_now(&w->loop) - w->turn_began;
    if (took > w->longest_turn)
        w->longest_turn = took;
    if (took > SLOW_TURN_MS && w->conns != NULL)
        log_warn("a turn of the loop was slow", LOG_NUM("ms", took));
}

/* The loop's clock stands where the poll found something, before anybody was called. */
static void on_after_poll(uv_check_t *handle)
{
    worker *w = handle->data;
    w->turn_began = uv_now(&w->loop);
    turn(w);
}

/* What was between two runs of the loop is no turn. */
static void run_loop(worker *w, uv_run_mode mode)
{
    uv_update_time(&w->loop);
    w->turn_began = uv_now(&w->loop);
    uv_run(&w->loop, mode);
}

/* VMs that were replaced -------------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* An old VM's requests may finish, for as long as a shutdown would wait; then they are cancelled.
 */
static void retire(worker *w, vm *old)
{
    task_cancel_vm(old, true);
    if (w->retired_count == RETIRED_MAX) {
        task_cancel_vm(w->retired[0].vm, false);
        vm_drop(w->retired[0].vm);
        memmove(w->retired, w->retired + 1, (RETIRED_MAX - 1) * sizeof *w->retired);
        w->retired_count--;
    }
    uint64_t until = clock_ms() + config_ms(vm_config(w->vm), "drain");
    w->retired[w->retired_count++] = (retired){old, until};
}

static void look_after_retired(worker *w)
{
    size_t kept = 0;
    bool any = w->retired_count > 0;
    for (size_t i = 0; i < w->retired_count; i++) {
        retired *r = &w->retired[i];
        if (clock_ms() >= r->until)
            task_cancel_vm(r->vm, false);
        if (task_count(r->vm) == 0)
            vm_drop(r->vm);
        else
            w->retired[kept++] = *r;
    }
    w->retired_count = kept;
    if (any)
        ws_sessions_follow();
}

static void note_facts(worker *w)
{
    if (w->shared->boards == NULL)
        return;
    host_worker facts = {
        .lua_memory = vm_memory(w->vm),
        .tasks = task_count(w->vm),
        .connections = w->conns != NULL ? conn_pool_count(w->conns) : 0,
        .websockets = ws_sessions_count(),
        .draining_vms = w->retired_count,
        .longest_turn_us = w->longest_turn * 1000,
    };
    for (size_t i = 0; i < w->retired_count; i++)
        facts.draining_tasks += task_count(w->retired[i].vm);
    worker_board *board = &w->shared->boards[w->services.worker];
    pthread_mutex_lock(&board->lock);
    board->facts = facts;
    pthread_mutex_unlock(&board->lock);
}

/* A script that keeps a little of each request would end in requests that fail for want of memory.
 * Before that its VM is replaced by a fresh one, by a reload like any other. */
static void look_after_memory(worker *w)
{
    size_t limit = w->shared->script.memory_limit, most = limit / 5 * 4;
    uint64_t now = clock_ms();
    if (limit == 0 || w->stopping || now < w->recycle_after || vm_memory(w->vm) < most)
        return;
    vm_collect(w->vm);
    if (vm_memory(w->vm) < most)
        return;
    w->recycle_after = now + RECYCLE_MS;
    log_warn(
        "scripts hold almost all of lua.memory and are loaded anew; raise it, or look for what "
        "they keep",
        LOG_NUM("bytes", vm_memory(w->vm)), LOG_NUM("limit", limit));
    metrics_add(METRIC_VM_RECYCLED, 1);
    w->shared->host->reload(w->shared->host->arg);
}

static void on_tick(uv_timer_t *timer)
{
    worker *w = timer->data;
    look_after_retired(w);
    if (w->vm == NULL)
        return;
    vm_tick(w->vm);
    if (w->dispatcher != NULL)
        look_after_memory(w);
    note_facts(w);
    metrics_set(METRIC_LUA_MEMORY, (int64_t)vm_memory(w->vm));
    metrics_set(METRIC_TASKS, (int64_t)task_count(w->vm));
    metrics_set(METRIC_LOOP_LAG, (int64_t)w->longest_turn * 1000);
    w->longest_turn = 0;
}

/* New scripts: requests that run stay with the old VM, which goes with the last of them. */
void worker_take_scripts(worker *w, dispatcher *next)
{
    dispatcher *old = w->dispatcher;
    vm *old_vm = w->vm;
    w->dispatcher = next;
    w->vm = vm_hold(dispatcher_vm(next));
    vm_adopt(w->vm);
    w->handler.arg = w->control.arg = next;
    dispatcher_move(old, next);
    ws_sessions_use(next);
    audience_announce(w->audience, false);
    audience_tell(w->audience);
    dispatcher_drop(old);
    retire(w, old_vm);
    note_facts(w);
    dispatcher_start(next);
}

dispatcher *worker_build(worker *w, char *error, size_t error_size)
{
    vm *v = vm_new(&w->services, &w->shared->script);
    if (v == NULL) {
        snprintf(error, error_size, "not enough memory for a Lua VM (lua.memory)");
        return NULL;
    }
    dispatcher *d = dispatcher_new(v, w->services.worker == 0, error, error_size);
    vm_drop(v);
    return d;
}

/* Serving ----------------------------------------------------------------------------------- */

static void on_conn(conn *c, const char *refusal, void *arg)
{
    worker *w = arg;
    http_conn_start(c, &w->handler, refusal);
}

static void on_control_conn(conn *c, const char *refusal, void *arg)
{
    worker *w = arg;
    (void)refusal; /* a server in trouble is when people ask */
    http_conn_start(c, &w->control, NULL);
}

static void listen_with(worker *w, int fd, struct tls_context *tls,
                        void (*on)(conn *c, const char *refusal, void *arg))
{
    w->listener_tls[w->listener_count] = tls != NULL;
    w->listeners[w->listener_count++] = listener_start(w->conns, fd, tls, on, w);
}

void worker_listen(worker *w, int fd, struct tls_context *tls)
{
    listen_with(w, fd, tls, on_conn);
}

void worker_listen_control(worker *w, int fd)
{
    listen_with(w, fd, NULL, on_control_conn);
}

static void on_told(void *arg)
{
    audience_told(((worker *)arg)->audience);
}

/* Somebody has come or gone: for the scripts that are current now. */
static void on_news(void *arg)
{
    worker *w = arg;
    if (!dispatcher_news(w->dispatcher, on_told, w))
        audience_on_news(w->audience, NULL, NULL);
}

static void on_refresh(slice topic, void *arg)
{
    worker *w = arg;
    dispatcher_refresh(w->dispatcher, topic);
}

void worker_start_application(worker *w, void (*on_change)(void *arg), void *arg)
{
    const config *c = w->shared->config;
    dispatcher_start(w->dispatcher);
    if (w->services.worker != 0)
        return;
    if (config_bool(c, "watch"))
        w->watch = watch_new(&w->loop, w->shared->folder, config_bool(c, "dev"), on_change, arg);
    hub_on_refresh(w->services.hub, on_refresh, w);
}

typedef struct {
    char *error;
    size_t error_size;
    int result;
    bool ended;
} preparing;

static void on_prepared(void *arg, const char *problem)
{
    preparing *p = arg;
    p->ended = true;
    p->result = problem != NULL ? -1 : 0;
    if (problem != NULL)
        snprintf(p->error, p->error_size, "%s", problem);
}

int worker_prepare(worker *w, char *error, size_t error_size)
{
    preparing p = {.error = error, .error_size = error_size};
    dispatcher_prepare(w->dispatcher, on_prepared, &p);
    while (!p.ended) {
        task_run_ready();
        if (!p.ended)
            run_loop(w, UV_RUN_ONCE);
    }
    return p.result;
}

void worker_run(worker *w)
{
    while (!w->stopping || uv_is_active((uv_handle_t *)&w->drain))
        run_loop(w, UV_RUN_DEFAULT);
}

/* From birth to death ----------------------------------------------------------------------- */

static worker *new_worker(const worker_shared *shared, int index)
{
    worker *w = mem_alloc(sizeof *w);
    w->shared = shared;
    uv_loop_init(&w->loop);
    uv_prepare_init(&w->loop, &w->before_poll);
    uv_check_init(&w->loop, &w->after_poll);
    uv_async_init(&w->loop, &w->wake, worker_on_wake);
    uv_timer_init(&w->loop, &w->drain);
    uv_timer_init(&w->loop, &w->tick);
    w->before_poll.data = w->after_poll.data = w->wake.data = w->drain.data = w;
    w->tick.data = w;
    uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&w->tick);
    uv_prepare_start(&w->before_poll, on_before_poll);
    uv_check_start(&w->after_poll, on_after_poll);
    pthread_mutex_init(&w->mail.lock, NULL);
    w->services = (services){.loop = &w->loop, .worker = index, .host = shared->host};
    return w;
}

static void open_services(worker *w)
{
    const worker_shared *s = w->shared;
    w->services.client = client_new(&w->loop, &s->client);
    if (s->hub != NULL)
        w->services.hub = hub_port_new(s->hub, &w->loop);
    if (s->sql != NULL)
        w->services.sql = sql_port_new(s->sql, &w->loop);
    worker_open_store(w);
}

void worker_open_store(worker *w)
{
    const worker_shared *s = w->shared;
    if (s->store != NULL)
        w->services.store = store_port_new(s->store, &w->loop);
    if (s->redis == NULL)
        return;
    redis_bus_attach(s->bus, w->services.hub, &w->loop);
    w->services.redis = redis_link_open(s->redis, &w->loop);
}

static void close_services(worker *w)
{
    client_close(w->services.client);
    if (w->services.redis != NULL) {
        redis_link_close(w->services.redis);
        redis_bus_detach(w->shared->bus, w->services.hub);
    }
    if (w->audience != NULL)
        audience_close(w->audience);
    if (w->services.hub != NULL)
        hub_port_close(w->services.hub);
    if (w->services.store != NULL)
        store_port_close(w->services.store);
    if (w->services.sql != NULL)
        sql_port_close(w->services.sql);
    w->services.hub = NULL;
}

worker *worker_new_bare(const worker_shared *shared)
{
    worker *w = new_worker(shared, 0);
    /* A script that waits for nothing more is over: these alone keep no loop alive. */
    uv_unref((uv_handle_t *)&w->before_poll);
    uv_unref((uv_handle_t *)&w->after_poll);
    uv_unref((uv_handle_t *)&w->wake);
    open_services(w);
    w->vm = vm_new(&w->services, &shared->script);
    if (w->vm == NULL) {
        worker_free(w);
        return NULL;
    }
    return w;
}

worker *worker_new(const worker_shared *shared, int index, char *error, size_t error_size)
{
    worker *w = new_worker(shared, index);
    w->conns = conn_pool_new(&w->loop, &shared->conns);
    open_services(w);
    w->audience = audience_open(&w->loop, w->services.hub, index, shared->redis != NULL);
    w->dispatcher = worker_build(w, error, error_size);
    if (w->dispatcher == NULL) {
        worker_free(w);
        return NULL;
    }
    w->vm = vm_hold(dispatcher_vm(w->dispatcher));
    ws_sessions_use(w->dispatcher);
    audience_on_news(w->audience, on_news, w);
    w->handler = (http_handler){.on_exchange = dispatcher_on_exchange,
                                .on_abandon = dispatcher_on_abandon,
                                .on_done = access_on_done,
                                .arg = w->dispatcher,
                                .limits = &shared->http};
    w->control = w->handler;
    w->control.on_exchange = dispatcher_on_control;
    w->control.on_done = NULL;
    note_facts(w);
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
    if (w->audience != NULL)
        audience_on_news(w->audience, NULL, NULL);
    if (w->conns != NULL)
        conn_pool_close(w->conns);
    if (w->vm != NULL)
        task_cancel_all();
    /* Connections leave the hub, and exchanges their tasks, before those are gone. */
    while (w->conns != NULL && conn_pool_count(w->conns) > 0)
        run_loop(w, UV_RUN_ONCE);
    ws_sessions_use(NULL);
    if (w->vm != NULL)
        task_cancel_all(); /* of the WebSockets that have just been closed */
    if (w->dispatcher != NULL)
        dispatcher_drop(w->dispatcher);
    if (w->mail.next != NULL)
        dispatcher_drop(w->mail.next);
    for (size_t i = 0; i < w->retired_count; i++)
        vm_drop(w->retired[i].vm);
    if (w->vm != NULL)
        vm_drop(w->vm);
    w->vm = NULL;
    activity_thread_exit();
    close_services(w);
    if (w->watch != NULL)
        watch_close(w->watch);
    close_handle((uv_handle_t *)&w->before_poll);
    close_handle((uv_handle_t *)&w->after_poll);
    close_handle((uv_handle_t *)&w->wake);
    close_handle((uv_handle_t *)&w->drain);
    close_handle((uv_handle_t *)&w->tick);
    while (uv_loop_alive(&w->loop))
        run_loop(w, UV_RUN_DEFAULT);
    if (uv_loop_close(&w->loop) != 0)
        log_error("handles are open at the end", LOG_NUM("worker", w->services.worker));
    if (w->conns != NULL)
        conn_pool_free(w->conns);
    client_free(w->services.client);
    if (w->mail.tls != NULL)
        tls_context_drop(w->mail.tls);
    pthread_mutex_destroy(&w->mail.lock);
    task_thread_exit();
    proxy_thread_exit();
    ws_thread_exit();
    free(w);
}
