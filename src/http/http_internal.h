/* What the files of HTTP/1.1 share; nobody above includes this. Who does what: http_conn.c the
 * connection's states, http_read.c its reading, head.c the head's rules, target.c its path,
 * forwarded.c what proxies say, body.c the request's body, exchange.c life and accessors,
 * response.c the answer, gzip.c its compression, file.c its file, http_worker.c what a worker keeps
 * between requests. */
#pragma once
#include "chunked.h"
#include "exchange.h"
#include <llhttp.h>

enum {
    PENDING_LIMIT = 16 * 1024,  /* pipelined bytes kept before reading stops */
    ANSWERS_LIMIT = 256 * 1024, /* queued answers before the next request has to wait */
    CHUNKS_WAIT = 64 * 1024,
    CHUNKS_LIMIT = 1024 * 1024, /* of a chunked answer, queued: the connection is reset */
    DRAIN_LIMIT = 64 * 1024,    /* an unread body this small is read away, a larger one closes */
    REFUSED_MS = 1000,          /* for the first byte of one that will get 503 */
    DRAIN_MS = 100,             /* at shutdown, a request that is on its way still counts */
    HALF_CLOSED_MS = 500,       /* after the peer's FIN, an answer may still take so long */
    BODY_IN_ARENA = 2048,
    MAX_SPARES = 64
};

typedef struct http_worker http_worker;

typedef enum { H_HEAD, H_BODY, H_WAIT, H_REFUSED, H_CLOSED } http_state;

struct http_conn {
    conn *c;
    const http_handler *handler;
    http_worker *worker;
    const char *refusal; /* in H_REFUSED */
    exchange *x;         /* unanswered; NULL between requests and while a body is read away */
    llhttp_t parser;     /* of the head */
    buf saved;           /* bytes that came and could not be used yet */
    size_t fed;          /* of saved, those the parser has seen */
    chunked chunk;
    uint64_t body_left; /* by Content-Length */
    uint64_t window_at; /* body rate: start of the window, and bytes since */
    uint64_t window_bytes;
    uint8_t state;
    bool is_chunked, body_done;
    bool processing;
    bool served;   /* one request at least */
    bool in_head;  /* the head's deadline runs */
    bool draining; /* no keep-alive any more */
    bool taken;    /* the connection has a new owner: free this */
    bool deaf;     /* after a fault in a body, whatever comes is no request */
    bool piled;    /* answers wait in the queue: no further request */
};

typedef enum { READ_NOTHING, READ_ALL, READ_SOME } read_mode;

typedef struct default_header default_header;

struct exchange {
    arena arena;
    http_conn *hc; /* NULL: answered, or the peer is gone */
    const http_handler *handler;
    http_worker *worker;
    exchange *next_spare;
    void *data;
    slice method, target, path, query, id, accept_encoding;
    slice route; /* empty: none is known */
    slice peer;  /* p NULL: not asked for yet */
    slice hop;   /* of Forwarded: what a trusted proxy says of the peer */
    http_header *headers;
    size_t header_count;
    uint64_t started_us;
    uint8_t minor;
    bool is_head, keep, expect;
    bool announced; /* on_exchange was called */
    bool released;  /* the task has ended */
    bool begun;     /* head sent */
    bool answered;  /* finish, file, take or the last chunk */
    bool abandoned;
    bool chunking, until_close;
    bool settled;     /* reported upward */
    bool body_done;   /* all of the body has come */
    bool body_inline; /* body lies in the arena */
    /* body of the request */
    buf body, piece;
    size_t body_limit;
    uint64_t body_declared;
    int body_fault; /* 0, or the status that names it: 400, 408, 413 */
    read_mode mode;
    exchange_on_body on_body;
    void *body_arg;
    /* the answer */
    int status;
    buf out;                /* header lines */
    size_t etag_at;         /* of a strong ETag's value in out, 0: none */
    size_t type_at, type_n; /* of Content-Type's value in out */
    bool encoded;           /* the handler set Content-Encoding or Content-Range */
    default_header *defaults;
    uint64_t sent;
    bool sized;         /* a body of known length by pieces: */
    uint64_t size_left; /* what is still to be sent */
    struct file_answer *file;
    void (*on_abandon)(exchange *x, void *arg); /* of its keeper */
    void *keeper_arg;
    void (*on_writable)(exchange *x, void *arg);
    void *writable_arg;
};

/* http_worker.c */
http_worker *http_worker_of(conn *c);
exchange *http_worker_exchange(http_worker *w);
void http_worker_recycle(http_worker *w, exchange *x);
slice http_worker_date(http_worker *w, uint64_t now_ms); /* Server and Date lines */
slice http_worker_id(http_worker *w, arena *a);
struct z_stream_s *http_worker_deflate(http_worker *w); /* reset; NULL: out of memory */
buf *http_worker_scratch(http_worker *w);

/* head.c: 0, or the status that refuses the request */
int head_read(exchange *x, llhttp_t *parser, const char *head, size_t n, const char **why);
int head_check_partial(const http_limits *limits, const char *head, size_t n, const char **why);
bool head_is_token(const char *text, size_t n);
bool head_is_host(slice host);               /* with or without a port */
bool head_list_has(slice value, slice word); /* "a, b"; any case */
bool head_is_clean(slice value);             /* no control character in it */
int head_split(arena *memory, const char *p, const char *end, size_t limit, http_header **headers,
               size_t *header_count, const char **why);

/* target.c */
int target_read(exchange *x, const char **why);

/* http_conn.c */
void http_conn_answered(http_conn *hc, bool keep); /* its exchange is done with the connection */
void http_conn_body_wanted(http_conn *hc);         /* a reader came: go on reading */
bool http_conn_body_small(const http_conn *hc);    /* done, or little enough to read away */
conn *http_conn_take(http_conn *hc);               /* hc is freed, now or when its loop ends */

void http_conn_close(http_conn *hc); /* after what is queued */

/* http_read.c: both eat from *in; false: nothing more can be done now */
bool http_read_head(http_conn *hc, slice *in);
bool http_read_body(http_conn *hc, slice *in);
void http_body_fault(http_conn *hc, int status);
bool http_window_open(const http_conn *hc); /* the body's next bytes are wanted */
void http_refuse(http_conn *hc, int status, const char *why);

/* body.c */
bool body_take(exchange *x, slice data); /* false: too large */
bool body_wants_more(const exchange *x);
void body_progress(exchange *x); /* bytes came, the end came, or a fault: tell the reader */
const char *body_fault_text(int status);
void body_dismiss(exchange *x); /* who waits for the body hears that none comes */
void body_free(exchange *x);

/* exchange.c */
void exchange_born(exchange *x, http_conn *hc);
void exchange_settle(exchange *x, int status); /* report once; free when the task has ended */
void exchange_abandon(exchange *x);            /* the peer is gone */

/* response.c */
void exchange_refuse(exchange *x, int status, const char *why);
typedef enum { LENGTH_KNOWN, LENGTH_CHUNKED, LENGTH_UNTIL_CLOSE, LENGTH_NONE } answer_length;
void response_head(exchange *x, answer_length kind, uint64_t length);
bool response_header_fits(slice name, slice value);
void response_add_defaults(exchange *x); /* response_defaults.c */
void response_body(exchange *x, slice data);
void response_drained(exchange *x);
void response_done(exchange *x); /* hands the connection back */
bool response_has_body(const exchange *x);

/* gzip.c */
/* Replaces *body when the client takes gzip and it pays; adds the headers that say so. */
void gzip_answer(exchange *x, slice *body);

/* file.c */
void file_peer_gone(exchange *x);
void file_drained(exchange *x);
