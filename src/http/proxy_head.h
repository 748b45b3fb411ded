/* The heads that a proxy writes: the request's for the upstream, the answer's for the client. */
#pragma once
#include "proxy.h"

/* Nothing is wrong, or the status and code to refuse the request with. */
typedef struct {
    int status; /* 0: none */
    const char *code, *why;
} proxy_refusal;

/* Header lines for client_call, all but Host. */
proxy_refusal proxy_write_headers(exchange *x, const proxy_call *call, buf *lines);
/* Path and query: encoded anew, `strip` segments shorter. */
void proxy_write_path(const exchange *x, const proxy_call *call, buf *path);
/* Begins the answer with status and headers. `own`: header lines that stand above the upstream's.
 * True: it is a stream of events. */
bool proxy_begin_answer(exchange *x, const client_answer *answer, slice own);
/* Appends header lines that were checked before. */
void proxy_add_lines(exchange *x, slice lines);
