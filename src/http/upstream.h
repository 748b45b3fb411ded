/* A set of servers that stand for each other behind a route, shared by all workers of the process:
 * who is next, who is ill, who may be tried again. A set is known by its definition, so that every
 * worker and every generation of scripts that names the same servers shares what was learned about
 * them. Thread-safe. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UPSTREAM_PEERS_MAX = 32 };

typedef struct upstream upstream;

typedef struct {
    slice url; /* http(s)://host[:port][/base] or unix:/path.sock */
    bool tls;
    slice host, authority, path, base; /* path: of a unix socket; base: put before each path */
    uint16_t port;
} upstream_peer;

typedef struct {
    bool least;       /* fewest running requests first; else in turn */
    unsigned fails;   /* so many in fail_ms put a peer out: 3; 0: never */
    uint64_t fail_ms; /* 10 s */
    uint64_t out_ms;  /* for so long, doubled up to 8 times while its trials fail: 10 s */
} upstream_rules;

/* `urls`: the peers. NULL with words for people. The caller holds one reference. */
upstream *upstream_open(const slice *urls, size_t count, const upstream_rules *rules,
                        const char **why);
void upstream_drop(upstream *u);
size_t upstream_count(const upstream *u);
const upstream_peer *upstream_get(const upstream *u, size_t peer);
slice upstream_name(const upstream *u);

typedef struct {
    int peer;          /* -1: none is fit */
    bool trial;        /* an ill one, that may prove itself */
    uint64_t retry_ms; /* without a peer: when there may be one */
} upstream_choice;

/* The peer for a request: not among `tried` (bits), in health or due for a trial. */
upstream_choice upstream_pick(upstream *u, uint32_t tried);
typedef enum { UPSTREAM_GOOD, UPSTREAM_BAD, UPSTREAM_UNKNOWN } upstream_verdict;
/* What the request met; UPSTREAM_UNKNOWN: the client left, which says nothing. A trial ends here.
 */
void upstream_judge(upstream *u, upstream_choice *choice, upstream_verdict verdict);
/* Once for each choice of a peer: the request is over. */
void upstream_done(upstream *u, const upstream_choice *choice);
/* An active check's finding. */
void upstream_check(upstream *u, size_t peer, bool good);
/* There are no checks any more: what the last ones found is forgotten. */
void upstream_uncheck(upstream *u);

typedef struct {
    slice url;
    const char *state; /* "up", "out" (the breaker is open), "trial", "down" (by a check) */
    size_t running;
    uint64_t requests, failures;
    uint64_t out_ms; /* left */
} upstream_status;
void upstream_look(upstream *u, size_t peer, upstream_status *status);
/* Every set of the process, each held during its call. */
void upstream_each(void (*fn)(upstream *u, void *arg), void *arg);
