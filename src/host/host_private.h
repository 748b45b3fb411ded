/* What host.c and host_reload.c share. */
#pragma once
#include "config.h"
#include "control_socket.h"
#include "host.h"
#include "listener.h"
#include "reload_state.h"
#include "worker.h"
#include <pthread.h>

struct tls_context;

enum { ERROR_BYTES = 4096 };

typedef struct host host;

typedef struct {
    host *host;
    int index;
    pthread_t thread;
    worker *worker; /* set before `booted` */
    bool started;
    int *fds; /* one per address */
    char error[ERROR_BYTES];
} seat;

struct host {
    const host_settings *settings;
    config *config; /* the current ones; the host holds them */
    worker_shared shared;
    listen_address *addresses;
    size_t address_count;
    struct tls_context *tls;
    host_api api;
    reload_state reloads;
    control_socket control;
    seat *seats;
    int seat_count;
    uv_sem_t booted;    /* posted by each worker */
    uv_sem_t may_serve; /* posted by the main thread for each worker */
    bool go;            /* under may_serve: serve, or leave */
    const char
        *problem; /* why the application does not start: this server shows it; NULL: it does */
};

/* The certificate of the settings; *tls NULL: none is set. -1 with a message. */
int host_load_tls(host *h, struct tls_context **tls, char *error, size_t size);
/* Reads it again; the old one stays where the new one is wrong. */
void host_reload_tls(host *h);
/* On the main thread. */
void host_reload(host *h);
/* What scripts may ask of the process; before the workers start, and after their end. */
void host_open_api(host *h, uint64_t generation);
void host_close_api(host *h);
