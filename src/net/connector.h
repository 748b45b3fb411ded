/* Opens one outgoing connection: name to addresses, each address checked and tried in turn, or a
 * unix socket. What comes out is a descriptor for conn_open_to. */
#pragma once
#include "address_rule.h"
#include "resolver.h"

typedef struct connector connector;

typedef struct {
    slice host;
    uint16_t port;
    const char *path;             /* a unix socket instead; NULL: none */
    bool allow_internal;          /* the target was not named by user input */
    const address_range *allowed; /* internal ranges that are allowed all the same */
    size_t allowed_count;
} connector_target;

typedef enum {
    CONNECTED,
    CONNECT_UNKNOWN, /* the name has no address */
    CONNECT_REFUSED, /* the address may not be used */
    CONNECT_FAILED,
} connect_result;

/* done is called once, later: with a descriptor, or -1 and words for people (static or living
 * during the call). Slices of the target are used during the call only; `allowed` lives on. */
connector *connector_start(resolver *r, uv_loop_t *loop, const connector_target *target,
                           void (*done)(void *arg, connect_result result, int fd, const char *why),
                           void *arg);
/* Before done: it is not called any more. */
void connector_cancel(connector *c);
