/* The face of the script layer to the host, free of Lua's headers: a VM is made, driven, drained
 * and dropped; what happens inside is for src/script/ alone. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { HOST_ERROR_BYTES = 4096 };

/* How the server's scripts are doing. */
typedef struct {
    uint64_t generation;         /* from 1, one more with each reload that went well */
    int64_t since_ms, failed_ms; /* Unix time; failed 0: the files are what is served */
    uint64_t attempts;           /* to reload, that have ended */
    bool stopping;
    char error[HOST_ERROR_BYTES]; /* of the failed load */
} host_facts;

typedef struct {
    size_t lua_memory, tasks, connections, websockets;
    size_t draining_vms, draining_tasks; /* of scripts that were replaced */
    uint64_t longest_turn_us;            /* of the loop, in the last second */
} host_worker;

/* What a script may ask of the process; a function that is NULL is not possible there. */
typedef struct {
    void *arg;
    /* Opens the store for a command: 0, or -1 with a message. */
    int (*open_store)(void *arg, char *error, size_t error_size);
    /* A script asks for the store, and there is none yet: it may be opened now. */
    void (*lend_store)(void *arg);
    /* For a command: could a server start with these settings? 0, or -1 with a message. */
    int (*check_settings)(void *arg, char *error, size_t error_size);
    /* Begins a reload; the number of the attempt, 0: the server is stopping. */
    uint64_t (*reload)(void *arg);
    void (*look)(void *arg, host_facts *out);
    bool (*worker)(void *arg, int index, host_worker *out); /* false: there is none */
    /* Specs only (the setting test.clock): all clocks and timers of the process go forward. */
    void (*advance)(void *arg, uint64_t ms);
} host_api;

/* What a VM's modules work with; all of it belongs to the worker and outlives every VM. */
typedef struct services {
    uv_loop_t *loop;
    int worker;               /* index; 0 for `lunacast lua` */
    struct store_port *store; /* this worker's end of the store; NULL: none */
    struct hub_port *hub;     /* this worker's end of the hub */
    struct redis_link *redis; /* NULL: not configured */
    struct client *client;    /* requests to other servers */
    struct sql_port *sql;     /* this worker's end of the relational store; NULL: none */
    const host_api *host;     /* upward calls; NULL: none */
} services;

typedef struct vm vm;

typedef struct {
    struct config *config; /* the settings that this VM sees; it holds them */
    struct file_set
        *files;          /* and the application's files; NULL: as the disk has them at the time */
    size_t memory_limit; /* bytes, 0: none */
    uint64_t warn_us;    /* a resume longer than this is logged */
    uint64_t limit_us;   /* CPU time after which a resume is ended with an error */
    const char *folder;  /* the application's folder; its lua/ is searched first */
    const char *boot;    /* the module that answers requests; NULL: "boot" */
    bool dev;
    bool trusted; /* a command line script: all of Lua's libraries, and its own globals */
} vm_options;

/* Opens the libraries and `host.*`, sets up require for `web.*` and the application's lua/. NULL:
 * out of memory. The caller holds one reference. */
vm *vm_new(const services *s, const vm_options *options);
vm *vm_hold(vm *v);
/* The last drop closes the Lua state: not from inside a task. */
void vm_drop(vm *v);
/* The scripts are loaded: from now on the budgets of the options hold. */
void vm_booted(vm *v);
/* The calling thread, a worker's, takes over a VM that was built on another. */
void vm_adopt(vm *v);
/* Once a second, on its worker's thread. */
void vm_tick(vm *v);
const struct config *vm_config(const vm *v);
size_t vm_memory(const vm *v); /* bytes in use */
void vm_collect(vm *v);        /* frees what nothing holds; not from inside Lua */
size_t vm_count(void);         /* VMs alive in the process, for the audit */

/* Resumes the tasks of the calling worker that are ready now, for about 10 ms; false: time was up.
 * Called by the worker after each batch of events, never from inside Lua. */
bool task_run_ready(void);
/* Has a task been woken that did not run yet? */
bool task_any_ready(void);
size_t task_count(const vm *v);
/* Ends every task of the calling worker from outside. */
void task_cancel_all(void);
/* Ends the tasks of one VM: all, or those that are resident (task.h). */
void task_cancel_vm(vm *v, bool resident_only);
/* Closes the sockets and processes that scripts of the calling thread have left open; the loop must
 * still run. */
void activity_thread_exit(void);
/* Frees the calling thread's token table; after its last VM. */
void task_thread_exit(void);

/* Runs a file (NULL: the command line, lua/cli/) as a task; on_end(arg, code) once, maybe before
 * this returns: 0, the integer that the file returned, or 1 when it raised (the message is on
 * stderr). */
void script_start(vm *v, const char *file, int argc, char **argv,
                  void (*on_end)(void *arg, int code), void *arg);
/* How much of an error's message and calls a person needs: all where one of the calls is in the
 * application, or the framework itself has failed; else the message, which says what and where. */
size_t script_error_useful(const char *text);
