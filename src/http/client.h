/* Requests to other servers, over connections that are kept for the next one. HTTP/1.1, plain, TLS
 * or over a unix socket; one client per loop. Not thread-safe.
 *
 *   client_start --> CONNECTING (pool, wait, name, connect) --> SENT --on_head--> BODY --> on_end
 *                                                                \--101 that was asked for:
 *                                                                    on_upgrade
 *
 * Exactly one of on_end and on_upgrade is called, last, later than client_start returns; the
 * request is freed after it. client_cancel ends it without a call. */
#pragma once
#include "address_rule.h"
#include "buf.h"
#include "conn.h"
#include "exchange.h"

typedef struct client client;
typedef struct client_request client_request;

typedef enum {
    CLIENT_OK,
    CLIENT_DNS,          /* the name has no address */
    CLIENT_REFUSED,      /* the address may not be used */
    CLIENT_CONNECT,      /* nobody answers there */
    CLIENT_TLS,          /* no handshake, or the certificate is wrong */
    CLIENT_TIMEOUT,      /* a limit of time passed */
    CLIENT_RESET,        /* it ended in the middle */
    CLIENT_BAD_RESPONSE, /* what came is no HTTP, or breaks its rules */
    CLIENT_TOO_LARGE,    /* by the caller's limit */
    CLIENT_BUSY,         /* too many requests to that origin wait */
} client_code;
const char *client_code_word(client_code code); /* "dns", "connect", ... */

typedef struct {
    size_t connections;         /* per origin; further requests wait: 500 */
    size_t waiting;             /* such requests per origin; further ones are CLIENT_BUSY: 1,000 */
    size_t kept;                /* idle connections in all: 500 */
    uint64_t idle_ms;           /* an unused connection is kept so long: 60 s */
    const char *ca_file;        /* "": the system's authorities */
    const char *const *allowed; /* internal ranges that user input may name, NULL-terminated */
    size_t header_block;        /* of an answer: 64 KiB */
    size_t headers;             /* 200 */
} client_options;

client *client_new(uv_loop_t *loop, const client_options *options);
/* Ends every request without a call and begins to close the connections. */
void client_close(client *cl);
void client_free(client *cl); /* after the loop has run dry */

typedef struct {
    int status;
    int minor;
    const http_header *headers;
    size_t header_count;
    int64_t length; /* of the body; -1: not known */
    slice head;     /* as it came */
} client_answer;

typedef struct {
    void (*on_head)(client_request *r, const client_answer *answer);
    void (*on_body)(client_request *r, slice data);
    /* CLIENT_OK: the answer is whole. `why` lives during the call. */
    void (*on_end)(client_request *r, client_code code, const char *why);
    /* The request's body may go on: fewer than 64 KiB wait. Maybe inside client_start. NULL: the
     * body is in the call. */
    void (*on_writable)(client_request *r);
    /* The connection is the caller's, who sets an owner at once; `rest` came behind the head. */
    void (*on_upgrade)(client_request *r, const client_answer *answer, conn *c, slice rest);
    /* What was read at once has been given, and the request goes on: the time to send a batch. May
     * be NULL. */
    void (*on_pause)(client_request *r);
} client_ops;

enum { CLIENT_CHUNKED = -1 };

typedef struct {
    slice host; /* without brackets */
    uint16_t port;
    slice path; /* of a unix socket, instead */
    bool tls, insecure;
    bool allow_internal; /* the target was not named by user input */
    slice method;
    slice base, target; /* together: url_valid_target */
    slice host_header;  /* p == NULL: Host is among the headers */
    const buf *headers; /* lines made by client_add_header */
    slice body;         /* copied */
    int64_t stream;     /* 0: `body` is all; else the length of a body to come, or CLIENT_CHUNKED */
    bool has_stream;
    bool upgrade;                                          /* a 101 is an answer */
    uint64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* 0: no limit */
} client_call;

/* False: a control character, no token, or a header of the framing (Content-Length,
 * Transfer-Encoding, Connection, Expect and the like). */
bool client_header_fits(slice name, slice value);
/* -1: it does not fit; nothing is added. */
int client_add_header(buf *headers, slice name, slice value);
/* May a request with this method be sent twice (RFC 9110 9.2.2)? */
bool client_idempotent(slice method);
/* The slices are used during the call. The method must be a token. */
client_request *client_start(client *cl, const client_call *call, const client_ops *ops,
                             void *owner);
void client_cancel(client_request *r);
/* From a collector: cancelled within a second. */
void client_forget(client_request *r);
void *client_owner(const client_request *r);
/* Bytes of it may have reached the upstream. */
bool client_was_sent(const client_request *r);

/* Of a streamed body: only when on_writable was called and client_room still says so. */
bool client_room(const client_request *r);
void client_send(client_request *r, slice data);
void client_send_end(client_request *r);
/* No more on_body until resumed: the upstream is held back by TCP. At most one read (64 KiB) is
 * held meanwhile. */
void client_pause(client_request *r);
void client_resume(client_request *r);
