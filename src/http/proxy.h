/* Passes a request on to an upstream and its answer back, as it comes, with back-pressure both
 * ways. What goes out is built anew from the parsed request: its method, its decoded path, its
 * headers one by one. */
#pragma once
#include "client.h"
#include "exchange.h"
#include "upstream.h"

/* What is the same for every request of a route. Belongs to one worker at a time; counted. */
typedef struct proxy_plan {
    size_t refs;
    upstream *to;
    unsigned strip; /* segments taken off the front of the path */
    bool keep_host; /* the client's Host goes on; else the upstream's name */
    bool allow_internal, insecure;
    bool refuse_untrusted; /* 400 for headers that are not trusted; else they are dropped */
    uint64_t connect_ms, first_byte_ms, idle_ms;
    uint64_t body_limit; /* 0: none */
    buf set;             /* request headers of ours: NAME NUL VALUE NUL ...; no value: dropped */
    buf trust;           /* names of otherwise untrusted headers that may pass: "a, b" */
} proxy_plan;

proxy_plan *proxy_plan_new(void);
proxy_plan *proxy_plan_hold(proxy_plan *p);
void proxy_plan_drop(proxy_plan *p);

typedef struct {
    const proxy_plan *plan;
    slice set;  /* as proxy_plan.set, of this request alone */
    slice path; /* instead of the request's, undecoded; p == NULL: none */
} proxy_call;

/* Answers x, now or later; what exchange_add_header has added so far joins the answer, whichever it
 * will be. The exchange is kept beyond its task. */
void proxy_start(exchange *x, client *cl, const proxy_call *call);
/* Ends the event streams and tunnels that the calling worker passes on (shutdown). */
void proxy_end_all(void);
/* Frees what the calling thread keeps between requests; after its last one. */
void proxy_thread_exit(void);
