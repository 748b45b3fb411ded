/* From a host name to addresses, one after the other. Embedded in the link. */
#pragma once
#include "redis_options.h"
#include <uv.h>

typedef struct redis_address {
    struct redis_look_up *look_up; /* running */
    struct addrinfo *found, *next;
    struct sockaddr_storage literal;
    bool use_literal;
} redis_address;

/* on_found(arg, NULL) when redis_address_next has something to give, or with a problem; maybe
 * before this returns. */
void redis_address_find(redis_address *a, const redis_options *options, uv_loop_t *loop,
                        void (*on_found)(void *arg, const char *problem), void *arg);
const struct sockaddr *redis_address_next(redis_address *a); /* NULL: that was all */
/* Forgets what was found; a running look-up ends without on_found. */
void redis_address_clear(redis_address *a);
