/* What the files of the client share; nobody above includes this. client.c: a request's life and
 * the pool of connections; client_head.c: what is sent; client_link.c: one connection, sending and
 * its end; client_read.c: the answer's head and body. */
#pragma once
#include "chunked.h"
#include "client.h"
#include "connector.h"
#include "map.h"
#include "soon.h"
#include "wheel.h"
#include <llhttp.h>

enum {
    CLIENT_WAITS = 64 * 1024, /* bytes queued for an upstream before its body has to wait */
    CLIENT_INTERIM_MAX = 16,  /* 1xx answers before the real one */
};

typedef enum { LINK_HEAD, LINK_LENGTH, LINK_CHUNKED, LINK_UNTIL_CLOSE, LINK_IDLE } link_state;

typedef struct client_origin {
    map_node node;
    client *cl;
    list idle;    /* links, the newest last */
    list waiting; /* requests */
    size_t count; /* connections, also those that are being opened */
    size_t waiting_count;
    size_t refs; /* connections and requests */
    bool tls, insecure;
    char *host; /* as the certificate names it */
    char key[];
} client_origin;

typedef struct client_link {
    conn *c;
    client_origin *origin;
    list node;         /* origin->idle */
    list age;          /* cl->idle */
    client_request *r; /* NULL: idle or closing */
    llhttp_t parser;
    buf saved;  /* bytes that could not be used yet */
    size_t fed; /* of saved, those the parser has seen */
    chunked chunk;
    uint64_t left;
    uint8_t state, interim;
    bool reused; /* it has answered before */
    bool heard;  /* a byte of this answer has come */
    bool keep;   /* the answer lets it live */
    bool paused, processing, ended;
    bool taken; /* its conn has a new owner */
} client_link;

struct client_request {
    list node; /* cl->requests */
    list wait; /* origin->waiting or cl->failing */
    wheel_entry timer;
    client *cl;
    const client_ops *ops;
    void *owner;
    client_origin *origin;
    connector *connector;
    client_link *link;
    buf head;     /* and body, as it goes out; kept for a second try */
    arena memory; /* of the answer's head */
    uint64_t connect_ms, first_byte_ms, idle_ms;
    uint64_t ends_at; /* 0: never */
    int64_t stream;   /* left to send, or CLIENT_CHUNKED */
    client_code code; /* why it is in cl->failing */
    const char *why;
    bool has_stream, stream_ended, sent_body, upgrade, is_head, idempotent, retried, forgotten;
    bool has_body; /* behind the head */
    bool was_sent; /* on a connection that is gone */
    uint16_t port;
    char *path; /* of a unix socket */
};

struct client {
    uv_loop_t *loop;
    client_options options;
    conn_pool *conns;
    resolver *resolver;
    wheel wheel;
    soon run;
    map origins;
    list requests, failing, idle, spares;
    size_t idle_count, forgotten, spare_count;
    buf scratch;
    bool closing;
    uv_timer_t sweep; /* of forgotten requests */
    struct tls_context *tls, *insecure;
    char tls_problem[300];
    address_range *allowed;
    size_t allowed_count;
};

/* client.c */
void client_serve_waiting(client_origin *o);
void client_keep(client_link *l); /* its answer is whole: to the next request, or into the pool */
void client_lost(client_request *r, bool may_retry, client_code code, const char *why);
void client_finish(client_request *r, client_code code, const char *why);
void client_end(client_request *r);              /* without a call */
void client_arm(client_request *r, uint64_t ms); /* the present phase's limit; 0: none */
void client_origin_drop(client_origin *o);       /* one connection fewer */

/* client_head.c */
void client_write_head(buf *head, const client_call *call);

/* client_link.c */
client_link *client_link_new(client_origin *o, conn *c);
void client_link_begin(client_link *l, client_request *r);
void client_link_close(client_link *l, bool abort); /* l->r is NULL */
void client_link_taken(client_link *l);

/* client_read.c */
void client_read(client_link *l, const char *data, size_t n);
void client_read_start(client_link *l);
