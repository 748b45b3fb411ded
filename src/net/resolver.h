/* Host names to addresses for one loop: looked up on the thread pool, remembered for a short while.
 * Not thread-safe: one per loop. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

enum {
    RESOLVER_HOST_MAX = 253, /* longer names are refused: libuv once cut them */
    RESOLVER_ADDRESSES = 8,  /* kept per name */
    RESOLVER_ENTRIES = 256,
    RESOLVER_KEEP_MS = 30000,
    RESOLVER_KEEP_FAILED_MS = 1000,
    RESOLVER_AT_ONCE = 2, /* a dead name server must not fill the thread pool */
};

typedef struct resolver resolver;

typedef struct {
    struct sockaddr_storage list[RESOLVER_ADDRESSES]; /* without a port */
    size_t count;
    const char *problem; /* why there is none; NULL: there is */
} resolver_addresses;

/* One look-up of one caller; embedded by it. */
typedef struct resolver_wait {
    struct resolver_wait *next, **at; /* at NULL: not waiting */
    void (*on_found)(struct resolver_wait *w, const resolver_addresses *addresses);
} resolver_wait;

resolver *resolver_new(uv_loop_t *loop);
/* No waits are left. Frees it when the last running look-up has ended. */
void resolver_close(resolver *r);

/* A letter, digit, '-', '.' or '_' each, 253 bytes at most; or an IP address. */
bool resolver_valid_host(slice host);
/* Addresses known at once (a literal, or remembered), else NULL: on_found is called once, mostly
 * later. What is returned or given lives during the call. */
const resolver_addresses *resolver_find(resolver *r, slice host, resolver_wait *w);
/* Before the caller goes. */
void resolver_cancel(resolver_wait *w);
