/* One worker: a thread's loop, its VM, its ends of store and hub, its listeners and connections. */
#pragma once
#include "client.h"
#include "conn.h"
#include "dispatch.h"
#include "exchange.h"
#include "hub.h"
#include "script.h"
#include "sql.h"
#include "store.h"
#include <pthread.h>

struct config;
struct tls_context;
typedef struct worker worker;

/* What other threads may know of a worker. */
typedef struct {
    pthread_mutex_t lock;
    host_worker facts; /* of its last tick */
} worker_board;

/* What the process gives to each of its workers; outlives them. */
typedef struct {
    struct config *config; /* the host's thread, and at the start; a VM has its own (vm_config) */
    const char *folder;
    store *store;
    sql_db *sql;
    hub *hub;
    struct redis_options *redis; /* NULL: embedded, one node */
    struct redis_bus *bus;
    const host_api *host;
    worker_board *boards; /* one per worker; NULL: nobody looks */
    conn_limits conns;
    http_limits http;
    client_options client;
    vm_options script;
} worker_shared;

/* On the calling thread, without listeners: for `lunacast lua` and commands. NULL: it was said on
 * stderr. */
worker *worker_new_bare(const worker_shared *shared);
/* For a worker without listeners: the store of `shared` has been opened since. */
void worker_open_store(worker *w);

/* Everything but the listeners: loop, VM, boot. On the worker's own thread. NULL with a message. */
worker *worker_new(const worker_shared *shared, int index, char *error, size_t error_size);
/* boot.prepare, on one worker of the process, before anybody serves. -1 with a message: there is
 * nothing to serve. */
int worker_prepare(worker *w, char *error, size_t error_size);
/* Serves fd (an address of the process), which it takes over, with tls or without. */
void worker_listen(worker *w, int fd, struct tls_context *tls);
/* The same for the control socket: boot.control answers, and a full worker still takes it. */
void worker_listen_control(worker *w, int fd);
/* boot.start. on_change, which worker 0 calls: files of the application have changed. */
void worker_start_application(worker *w, void (*on_change)(void *arg), void *arg);
/* Runs until worker_stop and the ordered end that follows. */
void worker_run(worker *w);

/* From any thread ---------------------------------------------------------------------------- */
/* Ends in order: no new connections, answers finished, streams ended, for at most drain_ms. */
void worker_stop(worker *w, uint64_t drain_ms);
/* New connections of the TLS listeners use this context. The worker takes its own reference. */
void worker_set_tls(worker *w, struct tls_context *tls);

/* Builds a VM for this worker from the scripts as they are now, on the calling thread (not a
 * worker's). NULL with a message: the scripts are wrong, and nothing has changed. */
dispatcher *worker_build(worker *w, char *error, size_t error_size);
/* Scripts that are to serve next run boot.prepare on this worker, beside those that serve. */
typedef struct {
    dispatcher *next;
    char *error; /* where the worker says what went wrong */
    size_t error_size;
    bool ended;
    int result;    /* 0, or -1 */
    uv_sem_t done; /* posted when all of this is the caller's again */
} rehearsal;
void worker_rehearse(worker *w, rehearsal *r);
/* Gives it up: done is posted soon. */
void worker_end_rehearsal(worker *w);

/* The worker serves new requests with it from its next turn on, and posts `done`; takes the
 * reference. */
void worker_swap(worker *w, dispatcher *next, uv_sem_t *done);
/* The clock has been moved (clock_advance): its timers come so much earlier. */
void worker_advance(worker *w, uint64_t ms);
/* Who waits for a reload goes on; unless there will be no more, scripts are told how it ended. */
typedef enum { RELOADS_STOPPED, RELOAD_GOOD, RELOAD_REFUSED } reload_outcome;
void worker_reloaded(worker *w, reload_outcome outcome);

uv_loop_t *worker_loop(worker *w);
vm *worker_vm(worker *w);
/* Ends tasks, closes what the worker owns, runs the loop dry, frees it. */
void worker_free(worker *w);
