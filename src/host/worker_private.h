/* What worker.c, worker_mail.c and worker_stop.c share. */
#pragma once
#include "audience.h"
#include "config.h"
#include "listener.h"
#include "watch.h"
#include "worker.h"
#include <pthread.h>

enum {
    LISTENERS_MAX = CONFIG_ADDRESSES_MAX + 1, /* and the control socket */
    SLOW_TURN_MS = 50,
    DRAIN_LOOK_MS = 20,
    LAST_MS = 1000, /* after the drain time, for the last events of streams */
    TICK_MS = 1000,
    RETIRED_MAX = 16,
    ROUNDS = 16,
    RECYCLE_MS = 60000
};

typedef struct {
    pthread_mutex_t lock;
    bool stop, tls_changed;
    uint64_t drain_ms, advance_ms;
    struct tls_context *tls;
    dispatcher *next;     /* built elsewhere, to be swapped in */
    uv_sem_t *swapped;    /* posted then */
    rehearsal *rehearsal; /* to be begun */
    bool end_rehearsal;
    bool reload_ended;
    reload_outcome outcome;
} mail;

/* A VM that was replaced and still has tasks. */
typedef struct {
    vm *vm;
    uint64_t until;
} retired;

struct worker {
    uv_loop_t loop;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_async_t wake;
    uv_timer_t drain, tick;
    const worker_shared *shared;
    services services;
    audience *audience; /* NULL: nobody can connect */
    conn_pool *conns;
    http_handler handler, control;
    dispatcher *dispatcher;
    vm *vm;
    listener *listeners[LISTENERS_MAX];
    bool listener_tls[LISTENERS_MAX];
    size_t listener_count;
    watch *watch;
    retired retired[RETIRED_MAX];
    size_t retired_count;
    rehearsal *rehearsal;  /* NULL: there is none */
    uint64_t turn_began;   /* ms of the loop's clock */
    uint64_t longest_turn; /* ms, since the last tick */
    bool stopping;
    uint64_t drain_until;
    uint64_t recycle_after; /* ms: scripts that hold too much are not loaded anew before */
    mail mail;
};

/* New scripts take over. */
void worker_take_scripts(worker *w, dispatcher *next);
void worker_begin_stop(worker *w, uint64_t drain_ms);
/* What lies in the mail. */
void worker_on_wake(uv_async_t *async);
