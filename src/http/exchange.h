/* One request and its answer. The http_conn owns it, the task that answers it has a box that is
 * nulled at its death. It dies when the response is finished and its task has ended; its arena is
 * freed at once.
 *
 *   HEAD --headers parsed--> OPEN
 *     OPEN --exchange_finish, stream, file--> ANSWERED --task ended--> freed
 *     OPEN --peer gone--> ABANDONED --task cancelled and ended--> freed
 *
 * Upward: http_conn calls handler->on_exchange once, when the head is parsed and the body is whole
 * or the bytes at hand are used up. */
#pragma once
#include "arena.h"
#include "buf.h"
#include "conn.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct exchange exchange;
typedef struct http_conn http_conn;

typedef struct {
    slice name, value;
} http_header;

/* Of WebSockets (ws.h). */
typedef struct {
    size_t message;             /* bytes of one message of a client: 64 KiB */
    size_t queue;               /* bytes that may wait for a slow client: 1 MiB */
    unsigned rate;              /* messages of a client per second, as many at once; 0: any */
    uint64_t ping_ms, pong_ms;  /* a ping after 25 s, its answer within 10 s */
    const char *const *origins; /* other than the same host; NULL-terminated; "*": any */
    bool deflate;               /* permessage-deflate is agreed to */
    size_t deflate_min;         /* messages from this size are compressed */
    unsigned inflate;           /* a client's message may be so many times its compressed size */
} ws_limits;

typedef struct {
    size_t request_line, header_block, headers, body; /* 8 KiB, 16 KiB, 100, 1 MiB */
    uint64_t header_ms;                               /* whole head: 10 s */
    uint64_t body_rate, body_grace_ms;                /* 240 B/s after 5 s */
    uint64_t idle_ms;                                 /* keep-alive: 75 s */
    size_t body_window;                               /* held before the handler asks: 64 KiB */
    size_t gzip_min;                                  /* 1 KiB; 0: never */
    ws_limits ws;
} http_limits;

typedef struct http_handler {
    /* Answer x, now or later. */
    void (*on_exchange)(exchange *x, void *arg);
    /* The peer is gone before the answer was finished: cancel the task. Called once, not after the
     * answer is finished. */
    void (*on_abandon)(exchange *x, void *arg);
    /* For logs and metrics, once per exchange, also for those that the host itself refused (their
     * path may be empty) and abandoned ones (status 499): microseconds since the head came, bytes
     * sent. A taken connection is reported when it is taken. May be NULL. */
    void (*on_done)(exchange *x, int status, uint64_t us, uint64_t bytes, void *arg);
    void *arg;
    const http_limits *limits;
} http_handler;

/* Serves HTTP/1.1 on a connection; on_conn of a listener. `refusal`: answers 503 with this text,
 * which lives on, and closes. */
void http_conn_start(conn *c, const http_handler *handler, const char *refusal);
/* Ends keep-alive (shutdown): busy connections close after their answer, idle ones within half a
 * second, so that a request that was on its way is not lost. Connections with another owner than
 * HTTP are left alone. */
void http_conn_drain(conn *c);

/* The request; all slices live as long as the exchange -------------------------------------- */
slice exchange_method(const exchange *x);
slice exchange_path(const exchange *x); /* decoded once, normalised, begins with '/' */
/* "GET /path" in one piece, as it was sent; empty where the path had to be decoded. */
slice exchange_method_path(const exchange *x);
slice exchange_query(const exchange *x);  /* raw, without '?' */
slice exchange_target(const exchange *x); /* as sent */
int exchange_minor(const exchange *x);    /* HTTP/1.x */
slice exchange_id(const exchange *x);     /* X-Request-ID, the client's if sane, else ours */
/* The first header of that name (any case); p == NULL: absent. */
slice exchange_header(const exchange *x, slice name);
const http_header *exchange_headers(const exchange *x, size_t *count);
const http_limits *exchange_limits(const exchange *x);
conn *exchange_conn(const exchange *x); /* NULL after the peer is gone */
arena *exchange_arena(exchange *x);
/* The handler's own pointer (the task's box). */
void exchange_set_data(exchange *x, void *data);
void *exchange_data(const exchange *x);
/* Route pattern for logs and metrics, "/hello/{name}"; must outlive the exchange. */
void exchange_set_route(exchange *x, slice route);
slice exchange_route(const exchange *x); /* empty: none */

/* The request's body ------------------------------------------------------------------------ */
typedef enum {
    BODY_WHOLE,   /* *data is the whole body (or the next piece, when reading by pieces) */
    BODY_END,     /* by pieces: there is no more */
    BODY_WAIT,    /* on_body will be called */
    BODY_LARGE,   /* over the limit: answer 413 */
    BODY_SLOW,    /* below limits.body_rate: answer 408 */
    BODY_ABORTED, /* the peer left or sent rubbish in the middle */
} body_status;
typedef void (*exchange_on_body)(exchange *x, body_status status, slice data, void *arg);
/* Asks for the whole body, `limit` bytes at most (0: the configured limit). Sends 100 Continue
 * where it is wanted. The answer is returned at once, or BODY_WAIT and on_body is called once,
 * later: with BODY_ABORTED when somebody else asks meanwhile, or the exchange is released. */
body_status exchange_read_all(exchange *x, size_t limit, slice *data, exchange_on_body on_body,
                              void *arg);
/* Asks for the next piece, as it comes; the piece lives until the next call. */
body_status exchange_read_some(exchange *x, slice *data, exchange_on_body on_body, void *arg);
/* Takes on_body away (the waiting task was cancelled). */
void exchange_read_cancel(exchange *x);

/* The answer -------------------------------------------------------------------------------- */
/* Begins the head. Content-Length, Date, Connection, X-Request-ID and Server are the host's.
 * `type` may be empty. */
void exchange_status(exchange *x, int status);
/* -1: CR, LF, NUL or a bad token in name or value, or a header that is the host's; nothing is added
 * and the caller answers 500. Repeats are kept (Set-Cookie). */
int exchange_add_header(exchange *x, slice name, slice value);
/* The same for Content-Type. */
int exchange_add_type(exchange *x, slice type);
/* Every answer to this request carries the header, an error too, unless it has one of that name;
 * Vary and Set-Cookie are added. The same name again: replaces. -1: as above, or there are too
 * many. */
int exchange_default_header(exchange *x, slice name, slice value);
/* Head and body; gzip where the client takes it, the type is textual and it pays. HEAD, 204 and 304
 * leave the body out. */
void exchange_finish(exchange *x, slice body);
/* The body is length bytes of fd from offset; fd is closed by the exchange. Read on the thread pool
 * in pieces, never more than 256 KiB ahead of the peer. */
void exchange_finish_file(exchange *x, int fd, uint64_t offset, uint64_t length);
/* A body by pieces (chunked; until close for HTTP/1.0): begin, then write, then end. */
void exchange_chunks_begin(exchange *x);
void exchange_chunk(exchange *x, slice data);
/* A writer that comes too fast: true when over 64 KiB wait for the peer; then on_writable is called
 * once, when they have gone, when somebody else waits in its place, or when the exchange is
 * released. Who does not ask and lets over 1 MiB wait has its connection reset. */
bool exchange_chunk_wait(exchange *x, void (*on_writable)(exchange *x, void *arg), void *arg);
void exchange_chunk_cancel(exchange *x);
void exchange_chunks_end(exchange *x);
/* A body of known length by pieces: exchange_chunk and the rest as above; an end before or behind
 * the length resets the connection. */
void exchange_sized_begin(exchange *x, uint64_t length);
/* Ends an answer that can't be completed, so that the peer sees that it is not whole. */
void exchange_cut(exchange *x);
/* Sends the head of an endless answer (no length, Connection: close) and hands the connection over:
 * the caller conn_set_owner()s it in the same call stack. The http_conn is freed, the exchange dies
 * when its task ends. `first` is sent with the head. Returns the connection, or NULL when the peer
 * is gone or the request was HEAD (then it is finished). */
conn *exchange_take(exchange *x, slice first);
/* Before exchange_take: what came behind the request while its handler was waiting. The caller owns
 * it. (What comes in the same call stack goes to the new owner's on_data by itself.) */
buf exchange_take_rest(exchange *x);
/* A short error answer of the host itself: {"error","code"}; closes the connection if `close`. */
void exchange_fail(exchange *x, int status, const char *code, const char *message, bool close);
/* The task has ended: the exchange may die. After this call x is gone or will go by itself. An
 * answer that was begun and not ended resets the connection. */
void exchange_release(exchange *x);
/* Keeps x beyond its task: the exchange is now also the keeper's, who is told instead of the
 * handler when the peer is gone, and who calls exchange_let_go last. One keeper at a time. */
void exchange_keep(exchange *x, void (*on_abandon)(exchange *x, void *arg), void *arg);
void exchange_let_go(exchange *x);
bool exchange_answered(const exchange *x);
size_t exchange_alive(void); /* in the process, for the audit */
