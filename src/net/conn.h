/* A connection as a stream of bytes: a socket (TCP or unix), plain or under TLS, with one write
 * queue and one deadline. It knows nothing of HTTP. One worker's loop owns it from accept to the
 * close callback; everybody else gets a pointer that is nulled in on_close. Not thread-safe: only
 * the owning worker's thread calls these.
 *
 *   OPEN --conn_close--> FLUSHING --all written--> LINGERING --peer ended or 1 s--> CLOSING
 *     \--conn_abort, error, stall--------------------------------------------------->/   \--> freed
 *
 * What must never happen: a callback after on_close; a byte written after conn_close; an unbounded
 * queue: every writer looks at conn_queued() and has a named policy. */
#pragma once
#include "address_rule.h"
#include "frame.h"
#include "list.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct conn conn;
typedef struct conn_pool conn_pool; /* all connections of one worker */
struct tls_context;

typedef struct {
    /* Bytes from the peer, valid during the call; n == 0: the peer ended its side (a TLS stream cut
     * without close_notify gives on_close instead). Everything written meanwhile leaves in one
     * write(2) after the call returns. */
    void (*on_data)(conn *c, const char *data, size_t n);
    /* The queue has run empty after having been non-empty. */
    void (*on_drain)(conn *c);
    /* conn_deadline passed. */
    void (*on_deadline)(conn *c);
    /* The last call: the peer is gone, or we closed. The owner forgets c here. */
    void (*on_close)(conn *c);
} conn_ops;

typedef struct {
    uint64_t write_stall_ms; /* no write progress for this long: abort (30,000) */
    uint64_t linger_ms;      /* after our last byte, wait so long for the peer's end (1,000) */
    uint64_t handshake_ms;   /* TLS (10,000) */
    size_t max_conns;        /* further ones are given to on_conn with a refusal */
    size_t per_address;      /* so many of one address, or /64 of IPv6; 0: any */
    /* Behind this address may be many clients: it is not counted. */
    bool (*is_shared)(const uint8_t address[ADDRESS_BYTES]);
} conn_limits;

conn_pool *conn_pool_new(uv_loop_t *loop, const conn_limits *limits);
/* Of connections that we open: counted apart, and its timer keeps no loop alive. */
void conn_pool_set_outgoing(conn_pool *pool);
/* Aborts what is open and closes the pool's timer; the loop must run until conn_pool_count is 0. */
void conn_pool_close(conn_pool *pool);
void conn_pool_free(conn_pool *pool); /* after the loop has run dry */
size_t conn_pool_count(const conn_pool *pool);
/* Visits every open connection; fn may close it. */
void conn_pool_each(conn_pool *pool, void (*fn)(conn *c, void *arg), void *arg);

/* One thing that a layer above keeps per worker; detach(data) is called by conn_pool_free. */
void conn_pool_attach(conn_pool *pool, void *data, void (*detach)(void *data));
void *conn_pool_attached(const conn_pool *pool); /* NULL: nothing yet */
const conn_limits *conn_pool_limits(const conn_pool *pool);
uv_loop_t *conn_pool_loop(const conn_pool *pool);

/* Takes over an accepted stream socket. `tls` may be NULL; a reference is held while the connection
 * lives. NULL: out of memory or a bad descriptor, which is closed. */
conn *conn_open(conn_pool *pool, int fd, struct tls_context *tls);

/* The same for a socket that we have connected; with `tls` as the client, which checks that the
 * peer is `host`. */
conn *conn_open_to(conn_pool *pool, int fd, struct tls_context *tls, const char *host);
bool conn_handshaking(const conn *c); /* TLS is not ready */
/* Why TLS failed, also during on_close; "": it did not. */
const char *conn_tls_failure(const conn *c);
/* A resting connection keeps no loop alive. */
void conn_rest(conn *c, bool resting);

/* The owner above. Replaced at an upgrade; the new owner gets the events from then on. */
void conn_set_owner(conn *c, const conn_ops *ops, void *owner);
void *conn_owner(const conn *c);
const conn_ops *conn_get_ops(const conn *c); /* whose owner it is */
/* "127.0.0.1", "::1", or "unix"; valid as long as the connection. */
const char *conn_peer(const conn *c);
/* Who is really behind it, where a proxy has told; it counts as that client's from now on. */
void conn_set_peer(conn *c, slice name);
/* By how many connections its client is over per_address; 0: by none. */
size_t conn_excess(const conn *c);
/* One that is refused for its client's excess, for log and metrics; returns what to tell it. */
const char *conn_note_excess(const conn *c);
bool conn_is_tls(const conn *c);
uv_loop_t *conn_loop(const conn *c);
conn_pool *conn_get_pool(const conn *c);
/* The pool's clock: milliseconds, monotonic, read at most once per turn of the loop. */
uint64_t conn_now(const conn *c);

/* Queues a copy. Inside on_data the bytes join the batch; else they are tried at once. */
void conn_write(conn *c, const char *data, size_t n);
/* Room for n bytes at the end of the batch, to be filled by the caller at once and then committed
 * with the number of bytes used; saves the copy when an answer is rendered in place. */
char *conn_reserve(conn *c, size_t n);
void conn_commit(conn *c, size_t n);
/* Queues a shared frame without copying: tried at once; what does not fit is kept by reference.
 * (Under TLS the bytes are encrypted, hence copied.) */
void conn_write_frame(conn *c, frame *f);
/* Bytes accepted from the caller and not yet taken by the kernel. 0: a frame would go out at once.
 */
size_t conn_queued(const conn *c);

/* No more on_data until resumed: the peer is held back by TCP. */
void conn_pause(conn *c);
void conn_resume(conn *c);

/* Until conn_uncork, what is written gathers and leaves in one write. One connection of a pool at a
 * time: false when another one (or this one already) is corked; then do not uncork. on_data comes
 * corked. */
bool conn_cork(conn *c);
void conn_uncork(conn *c);
void conn_flush(conn *c); /* sends what is batched so far */

/* One deadline per connection, relative, precise to about 250 ms; 0 takes it away. */
void conn_deadline(conn *c, uint64_t ms);

/* Writes what is queued, sends FIN (and close_notify), lingers, closes. Reading stops counting. */
void conn_close(conn *c);
/* Closes at once with RST: the peer must not take what it got for a clean end. */
void conn_abort(conn *c);
/* The peer ended its side (on_data with n == 0 has come or is about to). */
bool conn_peer_ended(const conn *c);
bool conn_closing(const conn *c);
