/* The states of a connection, its reading and its deadlines; conn_write.c has the queue.
 *
 *   OPEN --conn_close--> FLUSHING --conn_shut_down--> LINGERING --end, or linger_ms--> CLOSING
 *     \--conn_abort, error, on_cut: conn_destroy---------------------------------------->/
 *   CLOSING --on_closed: owner's on_close, then free
 *
 * Why uv_poll and not uv_tcp: 160 bytes instead of 248, one kind for TCP and unix sockets, reads
 * into one buffer per worker, and writes that are ours to batch. Why lingering: a close with unread
 * bytes in the socket sends RST, which can destroy the answer on its way (a 413, say).
 *
 * A paused or half-closed connection still watches for UV_PRIORITIZED, so that a reset is noticed.
 * Pausing itself costs nothing until bytes come.
 *
 * Owner: the pool's list. conn_destroy is the one grave's door: it closes the descriptor at once,
 * so that nothing can be written or read any more, and the memory goes in on_closed. */
#include "conn_internal.h"

#include "log.h"
#include "mem.h"
#include "metrics.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { COMPLAIN_MS = 1000 };

static metric gauge_of(const conn_pool *pool)
{
    return pool->outgoing ? METRIC_CLIENT_CONNECTIONS : METRIC_CONNECTIONS;
}

static void forget_client(conn *c)
{
    if (c->client != NULL)
        peer_count_drop(&c->pool->clients, c->client);
    c->client = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    conn *c = handle->data;
    list_remove(&c->node);
    c->pool->count--;
    forget_client(c);
    metrics_add(gauge_of(c->pool), -1);
    if (c->ops != NULL && c->ops->on_close != NULL)
        c->ops->on_close(c);
    if (c->tls != NULL)
        tls_session_free(c->tls);
    free(c);
}

void conn_destroy(conn *c, bool reset)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    wheel_remove(&c->pool->wheel, &c->timer);
    conn_drop_queue(c);
    if (c->pool->corked == c)
        c->pool->batch.len = 0;
    uv_close((uv_handle_t *)&c->poll, on_closed);
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(c->fd);
}

/* Deadlines -------------------------------------------------------------------------------- */

static void arm(conn *c)
{
    uint64_t due = c->deadline;
    if (c->cut != 0 && (due == 0 || c->cut < due))
        due = c->cut;
    wheel_set(&c->pool->wheel, &c->timer, due);
}

void conn_touch(conn *c)
{
    uint64_t stall = c->pool->limits.write_stall_ms;
    if (c->handshaking)
        return;
    c->cut = c->head != NULL && stall != 0 ? conn_now(c) + stall : 0;
    arm(c);
}

void conn_deadline(conn *c, uint64_t ms)
{
    if (c->state != CONN_OPEN)
        return;
    c->deadline = ms == 0 ? 0 : conn_now(c) + ms;
    arm(c);
}

void conn_on_due(wheel_entry *e)
{
    conn *c = LIST_ENTRY(e, conn, timer);
    uint64_t now = c->pool->wheel.now;
    bool stalled = c->cut != 0 && c->cut <= now;
    if (stalled || (c->state == CONN_LINGERING && c->deadline <= now)) {
        metrics_add(METRIC_CONNECTIONS_STALLED, stalled);
        conn_destroy(c, c->state != CONN_LINGERING);
        return;
    }
    bool passed = c->deadline != 0 && c->deadline <= now;
    if (passed)
        c->deadline = 0;
    arm(c);
    if (passed && c->ops != NULL && c->ops->on_deadline != NULL)
        c->ops->on_deadline(c);
}

/* Closing ---------------------------------------------------------------------------------- */

void conn_shut_down(conn *c)
{
    if (c->tls != NULL && !c->notified) {
        c->notified = true;
        tls_shutdown(c->tls, &c->pool->cipher);
        conn_send_cipher(c);
        if (c->state != CONN_FLUSHING || c->head != NULL)
            return;
    }
    if (c->peer_ended || shutdown(c->fd, SHUT_WR) != 0) {
        conn_destroy(c, false);
        return;
    }
    c->state = CONN_LINGERING;
    c->cut = 0;
    c->deadline = conn_now(c) + c->pool->limits.linger_ms;
    arm(c);
}

void conn_close(conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    c->state = CONN_FLUSHING;
    c->paused = false;
    c->deadline = 0;
    conn_watch(c);
    if (c->head == NULL && c->pool->corked != c)
        conn_shut_down(c);
}

void conn_abort(conn *c)
{
    conn_destroy(c, true);
}

/* Batching --------------------------------------------------------------------------------- */

bool conn_cork(conn *c)
{
    if (c->pool->corked != NULL)
        return false;
    c->pool->corked = c;
    return true;
}

void conn_uncork(conn *c)
{
    conn_send_batch(c);
    c->pool->corked = NULL;
    if (c->state == CONN_FLUSHING && c->head == NULL)
        conn_shut_down(c);
}

/* Reading ---------------------------------------------------------------------------------- */

static void deliver(conn *c, const char *data, size_t n)
{
    if (c->state != CONN_OPEN || c->ops == NULL || c->ops->on_data == NULL)
        return;
    bool corked = conn_cork(c);
    c->ops->on_data(c, data, n);
    if (corked)
        conn_uncork(c);
}

static void end_of_peer(conn *c)
{
    c->peer_ended = true;
    if (c->state == CONN_LINGERING) {
        conn_destroy(c, false);
        return;
    }
    conn_watch(c);
    deliver(c, NULL, 0);
}

static void handshake_done(conn *c)
{
    c->handshaking = false;
    conn_touch(c);
    if (c->head == NULL && c->ops != NULL && c->ops->on_drain != NULL)
        c->ops->on_drain(c); /* what waited for it has gone */
}

static void decrypt(conn *c, slice bytes)
{
    conn_pool *pool = c->pool;
    tls_result result = tls_feed(c->tls, bytes, &pool->plain, &pool->cipher);
    conn_send_cipher(c);
    if (c->handshaking && tls_ready(c->tls))
        handshake_done(c);
    if (pool->plain.len > 0)
        deliver(c, pool->plain.data, pool->plain.len);
    pool->plain.len = 0;
    if (pool->plain.cap > KEPT_SCRATCH)
        buf_free(&pool->plain);
    if (result == TLS_FAILED)
        conn_destroy(c, false);
    else if (result == TLS_PEER_ENDED && c->state != CONN_CLOSING)
        end_of_peer(c);
}

static void take_in(conn *c, size_t n)
{
    const char *bytes = c->pool->in;
    if (c->state == CONN_LINGERING)
        return;
    if (c->tls != NULL)
        decrypt(c, (slice){bytes, n});
    else
        deliver(c, bytes, n);
}

static void read_some(conn *c)
{
    ssize_t n = recv(c->fd, c->pool->in, READ_SIZE, 0);
    if (n > 0)
        metrics_add(METRIC_BYTES_RECEIVED, n);
    if (n > 0)
        take_in(c, (size_t)n);
    else if (n == 0 && c->tls != NULL && c->state == CONN_OPEN)
        conn_destroy(c, false); /* no close_notify: the stream may have been cut */
    else if (n == 0)
        end_of_peer(c);
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        conn_destroy(c, false);
}

/* What came before the peer's reset. */
static void read_last(conn *c)
{
    ssize_t n;
    while (c->state == CONN_OPEN && !c->paused &&
           (n = recv(c->fd, c->pool->in, READ_SIZE, 0)) > 0) {
        metrics_add(METRIC_BYTES_RECEIVED, n);
        take_in(c, (size_t)n);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    conn *c = poll->data;
    if (status < 0 || events == UV_PRIORITIZED) { /* reset, or urgent data, which HTTP has not */
        if (c->pool->outgoing)
            read_last(c);
        conn_destroy(c, false);
        return;
    }
    if (events & UV_WRITABLE)
        conn_flush_queue(c);
    if (c->state == CONN_CLOSING || !(events & UV_READABLE))
        return;
    if (c->paused)
        conn_watch(c);
    else
        read_some(c);
}

void conn_watch(conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    int events = (c->paused || c->peer_ended ? 0 : UV_READABLE) | (c->head ? UV_WRITABLE : 0);
    if (events == 0)
        events = UV_PRIORITIZED;
    if (events == c->watched)
        return;
    c->watched = (uint8_t)events;
    uv_poll_start(&c->poll, events, on_poll);
}

void conn_pause(conn *c)
{
    if (c->state == CONN_OPEN)
        c->paused = true;
}

void conn_resume(conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    conn_watch(c);
}

/* Opening ---------------------------------------------------------------------------------- */

static void count_client(conn *c, const uint8_t address[ADDRESS_BYTES])
{
    const conn_limits *limits = &c->pool->limits;
    forget_client(c);
    if (limits->per_address != 0 && !limits->is_shared(address))
        c->client = peer_count_hold(&c->pool->clients, address);
}

static void name_peer(conn *c)
{
    struct sockaddr_storage name;
    socklen_t n = sizeof name;
    uint8_t address[ADDRESS_BYTES];
    strcpy(c->peer, "unix");
    if (getpeername(c->fd, (struct sockaddr *)&name, &n) != 0 ||
        !address_bytes((struct sockaddr *)&name, address))
        return;
    address_print(address, c->peer);
    count_client(c, address);
}

static conn *open_conn(conn_pool *pool, int fd)
{
    conn *c = calloc(1, sizeof *c);
    if (c == NULL || pool->closing || uv_poll_init(pool->loop, &c->poll, fd) != 0) {
        free(c);
        close(fd);
        return NULL;
    }
    c->poll.data = c;
    c->pool = pool;
    c->fd = fd;
    wheel_entry_init(&c->timer);
    list_append(&pool->conns, &c->node);
    pool->count++;
    metrics_add(gauge_of(pool), 1);
    name_peer(c);
    return c;
}

static void start_tls(conn *c, tls_session *tls)
{
    c->tls = tls;
    c->handshaking = true;
    c->cut = conn_now(c) + c->pool->limits.handshake_ms;
    arm(c);
}

/* Nothing is said in the clear where TLS is wanted, and no session could be made. */
static conn *open_with(conn_pool *pool, int fd, bool wants_tls, tls_session *session)
{
    if (wants_tls && session == NULL) {
        close(fd);
        return NULL;
    }
    conn *c = open_conn(pool, fd);
    if (c == NULL)
        tls_session_free(session);
    else if (session != NULL)
        start_tls(c, session);
    return c;
}

conn *conn_open(conn_pool *pool, int fd, struct tls_context *tls)
{
    tls_session *session = tls != NULL ? tls_session_new(tls) : NULL;
    conn *c = open_with(pool, fd, tls != NULL, session);
    if (c == NULL)
        return NULL;
    metrics_add(METRIC_CONNECTIONS_ACCEPTED, 1);
    conn_watch(c);
    return c;
}

conn *conn_open_to(conn_pool *pool, int fd, struct tls_context *tls, const char *host)
{
    tls_session *session = tls != NULL ? tls_session_new_client(tls, host) : NULL;
    conn *c = open_with(pool, fd, tls != NULL, session);
    if (c == NULL)
        return NULL;
    metrics_add(METRIC_CLIENT_CONNECTIONS_OPENED, 1);
    if (session != NULL)
        decrypt(c, (slice){"", 0}); /* says hello */
    conn_watch(c);
    return c;
}

bool conn_handshaking(const conn *c)
{
    return c->handshaking;
}

const char *conn_tls_failure(const conn *c)
{
    return c->tls != NULL ? tls_failure(c->tls) : "";
}

void conn_rest(conn *c, bool resting)
{
    if (resting)
        uv_unref((uv_handle_t *)&c->poll);
    else
        uv_ref((uv_handle_t *)&c->poll);
}

void conn_set_owner(conn *c, const conn_ops *ops, void *owner)
{
    c->ops = ops;
    c->owner = owner;
}

void *conn_owner(const conn *c)
{
    return c->owner;
}

const conn_ops *conn_get_ops(const conn *c)
{
    return c->ops;
}

void conn_set_peer(conn *c, slice name)
{
    uint8_t address[ADDRESS_BYTES];
    if (slice_eq(name, slice_of(c->peer)))
        return;
    snprintf(c->peer, sizeof c->peer, "%.*s", (int)name.n, name.p);
    if (address_parse(name, address))
        count_client(c, address);
}

size_t conn_excess(const conn *c)
{
    size_t n = c->client != NULL ? peer_count_get(c->client) : 0,
           most = c->pool->limits.per_address;
    return n > most ? n - most : 0;
}

const char *conn_note_excess(const conn *c)
{
    conn_pool *pool = c->pool;
    metrics_add(METRIC_CONNECTIONS_EXCESS, 1);
    if (pool->complained == 0 || conn_now(c) - pool->complained >= COMPLAIN_MS) {
        pool->complained = conn_now(c);
        log_warn("one client has too many connections; more of it are refused",
                 LOG_TEXT("peer", c->peer),
                 LOG_NUM("limits.per_address", pool->limits.per_address));
    }
    return "there are too many connections of your address; close some, or try again later";
}

const char *conn_peer(const conn *c)
{
    return c->peer;
}

bool conn_is_tls(const conn *c)
{
    return c->tls != NULL;
}

uv_loop_t *conn_loop(const conn *c)
{
    return c->pool->loop;
}

conn_pool *conn_get_pool(const conn *c)
{
    return c->pool;
}

uint64_t conn_now(const conn *c)
{
    return wheel_now(&c->pool->wheel);
}

bool conn_peer_ended(const conn *c)
{
    return c->peer_ended;
}

bool conn_closing(const conn *c)
{
    return c->state != CONN_OPEN;
}
