/* Writing: tried at once, and only what the kernel does not take is queued. While a connection is
 * corked (during on_data), bytes gather in the worker's one batch buffer and leave in one write.
 * Rejected: uv_write, whose request is allocated per write and whose queue cannot say how old it
 * is; here a frame that fits costs one send(2) and no allocation.
 *
 * A connection that is behind holds frames by reference, so that thousands of slow ones cost
 * thousands of small pieces and one copy of the bytes. Under TLS, too: what waits is encrypted when
 * the socket takes bytes again, so its queue is ciphertext, then what is still in the clear.
 *
 * A write never calls the owner back: a failure closes the connection, and on_close comes from the
 * loop. So a caller may write to many connections in a walk over its own list.
 *
 * Owner of a piece: its connection. What must never happen: bytes overtaking the batch or the
 * queue; a piece in the clear on the wire of TLS. */
#include "conn_internal.h"

#include "mem.h"
#include "metrics.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { PIECE_SIZE = 4096, IOV_COUNT = 64, SEAL_SIZE = 16 * 1024 };

static const slice none = {"", 0};

static bool sendable(const conn *c)
{
    return !c->mute && (c->state == CONN_OPEN || c->state == CONN_FLUSHING);
}

static void free_piece(piece *p)
{
    frame_drop(p->shared);
    free(p);
}

static char *bytes_of(piece *p)
{
    return p->shared != NULL ? p->shared->data : p->bytes;
}

void conn_drop_queue(conn *c)
{
    while (c->head != NULL) {
        piece *p = c->head;
        c->head = p->next;
        free_piece(p);
    }
    c->tail = NULL;
    c->queued = 0;
}

/* A server may answer and close before it has read the whole request: its answer is still there to
 * be read (on_poll), when nothing more can be written. */
static void write_failed(conn *c)
{
    if (!c->pool->outgoing || c->state != CONN_OPEN) {
        conn_destroy(c, false);
        return;
    }
    c->mute = true;
    conn_drop_queue(c);
    conn_watch(c);
}

/* Bytes taken by the kernel; 0 when it is full or the connection has just died. */
static size_t give(conn *c, struct iovec *iov, size_t count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t n;
    do {
        n = count == 1 ? send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                       : sendmsg(c->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        metrics_add(METRIC_BYTES_SENT, n);
        return (size_t)n;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        write_failed(c);
    return 0;
}

/* Behind `before`; NULL: in front of all. */
static void insert(conn *c, piece *p, piece *before)
{
    bool first = c->head == NULL;
    piece **link = before != NULL ? &before->next : &c->head;
    p->next = *link;
    *link = p;
    if (c->tail == before)
        c->tail = p;
    c->queued += p->len - p->at;
    if (!first)
        return;
    conn_touch(c);
    conn_watch(c);
}

/* The last piece of those that may go as they are. */
static piece *last_ready(const conn *c)
{
    piece *last = NULL;
    for (piece *p = c->head; p != NULL && !p->clear; p = p->next)
        last = p;
    return last;
}

static piece *new_piece(const char *data, size_t n)
{
    piece *p;
    size_t cap = n < PIECE_SIZE - sizeof *p ? PIECE_SIZE - sizeof *p : n;
    p = mem_resize(NULL, sizeof *p + cap);
    *p = (piece){.len = n, .cap = cap};
    memcpy(p->bytes, data, n);
    return p;
}

static void enqueue_copy(conn *c, const char *data, size_t n, bool clear)
{
    piece *p = c->tail;
    if (n == 0)
        return;
    if (p != NULL && p->shared == NULL && p->clear == clear && p->cap - p->len >= n) {
        memcpy(p->bytes + p->len, data, n);
        p->len += n;
        c->queued += n;
        return;
    }
    p = new_piece(data, n);
    p->clear = clear;
    insert(c, p, c->tail);
}

/* A reference takes as much memory as a very small frame. */
static void enqueue_frame(conn *c, frame *f, size_t at)
{
    bool clear = c->tls != NULL;
    if (f->len - at <= sizeof(piece)) {
        enqueue_copy(c, f->data + at, f->len - at, clear);
        return;
    }
    piece *p = mem_resize(NULL, sizeof *p);
    *p = (piece){.shared = frame_hold(f), .at = at, .len = f->len, .clear = clear};
    insert(c, p, c->tail);
}

/* Is it behind? What is written then waits as it is, and is encrypted later. */
static bool waits(const conn *c)
{
    return c->head != NULL && !c->handshaking;
}

/* `first` may be empty. What does not go is copied. */
static void send_two(conn *c, slice first, slice second)
{
    if (c->head == NULL) {
        struct iovec iov[2] = {{(void *)(uintptr_t)first.p, first.n},
                               {(void *)(uintptr_t)second.p, second.n}};
        size_t skip = first.n == 0 ? 1 : 0;
        size_t sent = give(c, iov + skip, second.n == 0 ? 1 : 2 - skip);
        size_t of_first = sent < first.n ? sent : first.n;
        first = (slice){first.p + of_first, first.n - of_first};
        second = (slice){second.p + (sent - of_first), second.n - (sent - of_first)};
    }
    if (!sendable(c))
        return;
    enqueue_copy(c, first.p, first.n, false);
    enqueue_copy(c, second.p, second.n, false);
}

static void give_back(buf *b)
{
    b->len = 0;
    if (b->cap > KEPT_SCRATCH)
        buf_free(b);
}

/* What was encrypted later stands behind it, whatever waits in the clear. */
void conn_send_cipher(conn *c)
{
    buf *cipher = &c->pool->cipher;
    piece *before = last_ready(c);
    size_t sent = 0;
    if (cipher->len > 0 && before == NULL && sendable(c))
        sent = give(c, &(struct iovec){cipher->data, cipher->len}, 1);
    if (cipher->len > sent && sendable(c))
        insert(c, new_piece(cipher->data + sent, cipher->len - sent), before);
    give_back(cipher);
}

static void encrypt(conn *c, slice plain)
{
    if (plain.n > 0 && tls_write(c->tls, plain, &c->pool->cipher) != TLS_OK)
        conn_destroy(c, true);
}

static void send_out(conn *c, slice first, slice second)
{
    if (c->tls == NULL) {
        send_two(c, first, second);
        return;
    }
    if (waits(c)) {
        enqueue_copy(c, first.p, first.n, true);
        enqueue_copy(c, second.p, second.n, true);
        return;
    }
    encrypt(c, first);
    if (sendable(c))
        encrypt(c, second);
    conn_send_cipher(c);
}

static slice take_batch(conn *c)
{
    buf *batch = &c->pool->batch;
    if (c->pool->corked != c)
        return none;
    slice bytes = {batch->data, batch->len};
    batch->len = 0;
    return bytes;
}

void conn_send_batch(conn *c)
{
    slice bytes = take_batch(c);
    if (bytes.n > 0 && sendable(c))
        send_out(c, bytes, none);
    if (c->pool->batch.cap > KEPT_SCRATCH)
        buf_free(&c->pool->batch);
}

void conn_flush(conn *c)
{
    conn_send_batch(c);
}

void conn_write(conn *c, const char *data, size_t n)
{
    if (c->state != CONN_OPEN || n == 0 || c->mute)
        return;
    if (c->pool->corked != c || n >= DIRECT_SIZE) {
        send_out(c, take_batch(c), (slice){data, n});
        return;
    }
    buf_append(&c->pool->batch, data, n);
    if (c->pool->batch.len >= BATCH_LIMIT)
        conn_send_batch(c);
}

char *conn_reserve(conn *c, size_t n)
{
    return buf_reserve(c->pool->corked == c ? &c->pool->batch : &c->pool->spare, n);
}

void conn_commit(conn *c, size_t n)
{
    conn_pool *pool = c->pool;
    if (pool->corked == c) {
        pool->batch.len += n;
        if (pool->batch.len >= BATCH_LIMIT)
            conn_send_batch(c);
        return;
    }
    if (c->state == CONN_OPEN && n > 0)
        send_out(c, none, (slice){pool->spare.data, n});
    give_back(&pool->spare);
}

static void send_frame(conn *c, slice before, frame *f)
{
    size_t sent = 0, skip = before.n == 0 ? 1 : 0;
    struct iovec iov[2] = {{(void *)(uintptr_t)before.p, before.n}, {f->data, f->len}};
    if (c->head == NULL)
        sent = give(c, iov + skip, 2 - skip);
    size_t of_before = sent < before.n ? sent : before.n;
    if (!sendable(c))
        return;
    enqueue_copy(c, before.p + of_before, before.n - of_before, c->tls != NULL);
    if (sent - of_before < f->len)
        enqueue_frame(c, f, sent - of_before);
}

void conn_write_frame(conn *c, frame *f)
{
    if (c->state != CONN_OPEN || f->len == 0)
        return;
    bool corked = c->pool->corked == c;
    if (!waits(c) && (c->tls != NULL || (corked && f->len < DIRECT_SIZE))) {
        conn_write(c, f->data, f->len);
        return;
    }
    send_frame(c, take_batch(c), f);
}

size_t conn_queued(const conn *c)
{
    size_t waiting = c->handshaking ? tls_waiting(c->tls) : 0;
    return c->queued + waiting + (c->pool->corked == c ? c->pool->batch.len : 0);
}

static size_t fill_iov(const conn *c, struct iovec *iov)
{
    size_t count = 0;
    for (piece *p = c->head; p != NULL && !p->clear && count < IOV_COUNT; p = p->next) {
        iov[count++] = (struct iovec){bytes_of(p) + p->at, p->len - p->at};
    }
    return count;
}

static void advance(conn *c, size_t sent)
{
    c->queued -= sent;
    while (c->head != NULL && sent >= c->head->len - c->head->at) {
        piece *p = c->head;
        sent -= p->len - p->at;
        c->head = p->next;
        free_piece(p);
    }
    if (c->head == NULL)
        c->tail = NULL;
    else
        c->head->at += sent;
}

static size_t send_ready(conn *c)
{
    struct iovec iov[IOV_COUNT];
    size_t sent = give(c, iov, fill_iov(c, iov));
    if (sendable(c) && sent > 0)
        advance(c, sent);
    return sent;
}

/* Some of what waits in the clear; what the socket does not take of it stands in front. */
static size_t send_clear(conn *c)
{
    size_t sealed = 0;
    while (c->head != NULL && c->head->clear && sealed < SEAL_SIZE) {
        piece *p = c->head;
        size_t n = p->len - p->at < SEAL_SIZE ? p->len - p->at : SEAL_SIZE;
        encrypt(c, (slice){bytes_of(p) + p->at, n});
        if (!sendable(c))
            break;
        advance(c, n);
        sealed += n;
    }
    conn_send_cipher(c);
    return sealed;
}

void conn_flush_queue(conn *c)
{
    if (c->head == NULL)
        return;
    size_t sent = c->head->clear ? send_clear(c) : send_ready(c);
    while (sent > 0 && sendable(c) && c->head != NULL && c->head->clear)
        sent = send_clear(c);
    if (!sendable(c) || sent == 0)
        return;
    conn_touch(c);
    if (c->head != NULL)
        return;
    conn_watch(c);
    if (c->state == CONN_FLUSHING)
        conn_shut_down(c);
    else if (c->ops != NULL && c->ops->on_drain != NULL)
        c->ops->on_drain(c);
}
