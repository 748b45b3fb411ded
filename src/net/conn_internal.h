/* What conn.c (states, reading) and conn_write.c (the queue) share; nobody else includes this. */
#pragma once
#include "buf.h"
#include "conn.h"
#include "peer_count.h"
#include "tls.h"
#include "wheel.h"

enum {
    READ_SIZE = 64 * 1024,    /* one buffer per worker: what lives longer is copied by the owner */
    BATCH_LIMIT = 64 * 1024,  /* a batch this long is sent before the callback ends */
    DIRECT_SIZE = 16 * 1024,  /* a piece this long is sent from where it lies */
    KEPT_SCRATCH = 256 * 1024 /* a larger scratch buffer is given back after use */
};

typedef enum { CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSING } conn_state;

/* A piece of the write queue: a shared frame, or bytes of its own behind the struct. */
typedef struct piece {
    struct piece *next;
    frame *shared; /* NULL: bytes */
    bool clear;    /* TLS: still to be encrypted */
    size_t at, len, cap;
    char bytes[];
} piece;

/* The first cache line is what a delivery touches: one of ten thousand, and not in the cache. */
struct conn {
    conn_pool *pool;
    tls_session *tls; /* NULL: plain */
    piece *head, *tail;
    size_t queued; /* bytes in the pieces */
    int fd;
    uint8_t state;
    uint8_t watched;      /* UV_READABLE and so on */
    bool paused : 1;      /* no on_data */
    bool peer_ended : 1;  /* the peer's FIN or close_notify was seen */
    bool notified : 1;    /* our close_notify is in the queue */
    bool handshaking : 1; /* TLS is not ready */
    bool mute : 1;        /* outgoing: the peer takes nothing more, but may have answered */
    const conn_ops *ops;
    void *owner;
    wheel_entry timer;
    uint64_t deadline; /* the owner's; ms on the clock, 0: none */
    uint64_t cut;      /* no progress of writing or of the handshake until then: abort */
    list node;         /* pool->conns */
    uv_poll_t poll;
    peer_count *client; /* NULL: not counted */
    char peer[ADDRESS_TEXT];
};

struct conn_pool {
    uv_loop_t *loop;
    conn_limits limits;
    list conns;
    size_t count;
    map clients;         /* peer_count */
    uint64_t complained; /* of a client with too many */
    wheel wheel;
    bool closing, outgoing;
    conn *corked; /* its bytes go to batch */
    buf batch;
    buf spare;  /* conn_reserve of another one */
    buf plain;  /* TLS: decrypted */
    buf cipher; /* TLS: encrypted */
    void *attached;
    void (*detach)(void *attached);
    char in[READ_SIZE];
};

void conn_on_due(wheel_entry *e); /* its deadline has come */
void conn_destroy(conn *c, bool reset);
void conn_watch(conn *c);       /* asks the loop for what c needs now */
void conn_touch(conn *c);       /* progress: the cut moves */
void conn_flush_queue(conn *c); /* the socket takes bytes again */
void conn_drop_queue(conn *c);
void conn_send_cipher(conn *c); /* pool->cipher into the socket or the queue */
void conn_send_batch(conn *c);
void conn_shut_down(conn *c); /* FLUSHING and nothing queued: end our side */
