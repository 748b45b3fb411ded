/* A loop, a pool and a small C handler behind real sockets, for the specs of HTTP and its fuzzer.
 * One thread: the client's side of a connection is a non-blocking descriptor that rig_talk pumps
 * while the loop turns. */
#pragma once
#include "conn.h"
#include "exchange.h"
#include "mem.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

typedef struct {
    uv_loop_t loop;
    conn_pool *pool;
    http_limits limits;
    http_handler handler;
    char file[64]; /* what /file sends */
    size_t file_size;
    conn *streams[64];
    size_t stream_count, stream_bytes;
    size_t requests, abandoned, done;
    size_t written, most_queued; /* of /writer */
    int last_status;
    uint64_t last_bytes;
    body_status last_body;
    size_t last_body_size;
    exchange *last_exchange; /* of /never */
    char last_path[256], last_query[256], last_id[160];
} rig;

static rig *rig_now;

typedef struct {
    uv_timer_t timer;
    exchange *x;
    int left;
} rig_timer;

static void rig_freed(uv_handle_t *handle)
{
    free(handle->data);
}

static void rig_stop_timer(exchange *x)
{
    rig_timer *t = exchange_data(x);
    if (t == NULL)
        return;
    uv_close((uv_handle_t *)&t->timer, rig_freed);
    exchange_set_data(x, NULL);
}

static void rig_text(exchange *x, int status, slice body)
{
    exchange_status(x, status);
    exchange_add_header(x, SLICE("Content-Type"), SLICE("text/plain"));
    exchange_finish(x, body);
    exchange_release(x);
}

static void rig_on_body(exchange *x, body_status status, slice data, void *arg)
{
    (void)arg;
    rig_now->last_body = status;
    rig_now->last_body_size = data.n;
    if (exchange_conn(x) == NULL)
        return; /* it is told of the request's end; rig_on_abandon lets it go */
    if (status == BODY_WHOLE)
        rig_text(x, 200, data);
    else
        rig_text(x, status == BODY_LARGE ? 413 : 200, SLICE("no body"));
}

static void rig_on_piece(exchange *x, body_status status, slice data, void *arg);

static void rig_pieces(exchange *x)
{
    slice data;
    body_status status = BODY_WHOLE;
    while (status == BODY_WHOLE) {
        status = exchange_read_some(x, &data, rig_on_piece, NULL);
        if (status == BODY_WHOLE)
            rig_now->last_body_size += data.n;
    }
    if (status == BODY_WAIT)
        return;
    rig_now->last_body = status;
    char text[32];
    int n = snprintf(text, sizeof text, "%zu", rig_now->last_body_size);
    rig_text(x, 200, (slice){text, (size_t)n});
}

static void rig_on_piece(exchange *x, body_status status, slice data, void *arg)
{
    (void)arg;
    if (exchange_conn(x) == NULL)
        return;
    if (status == BODY_WHOLE)
        rig_now->last_body_size += data.n;
    rig_pieces(x);
}

static void rig_on_timer(uv_timer_t *timer)
{
    rig_timer *t = timer->data;
    exchange *x = t->x;
    if (t->left > 0) {
        t->left--;
        exchange_chunk(x, SLICE("piece\n"));
        return;
    }
    bool chunks = slice_eq(exchange_path(x), SLICE("/chunks"));
    rig_stop_timer(x);
    if (chunks) {
        exchange_chunks_end(x);
        exchange_release(x);
    } else {
        rig_text(x, 200, SLICE("later"));
    }
}

static void rig_start_timer(exchange *x, uint64_t ms, int pieces)
{
    rig_timer *t = mem_alloc(sizeof *t);
    uv_timer_init(&rig_now->loop, &t->timer);
    t->timer.data = t;
    t->x = x;
    t->left = pieces;
    exchange_set_data(x, t);
    uv_timer_start(&t->timer, rig_on_timer, ms, ms);
}

static void rig_stream_data(conn *c, const char *data, size_t n)
{
    (void)data;
    rig_now->stream_bytes += n;
    if (n == 0)
        conn_close(c);
}

static void rig_stream_closed(conn *c)
{
    for (size_t i = 0; i < rig_now->stream_count; i++)
        if (rig_now->streams[i] == c)
            rig_now->streams[i] = NULL;
}

static const conn_ops rig_stream_ops = {.on_data = rig_stream_data, .on_close = rig_stream_closed};

static void rig_stream(exchange *x)
{
    exchange_status(x, 200);
    exchange_add_header(x, SLICE("Content-Type"), SLICE("text/event-stream"));
    conn *c = exchange_take(x, SLICE("first\n"));
    if (c != NULL) {
        conn_set_owner(c, &rig_stream_ops, NULL);
        if (rig_now->stream_count < 64)
            rig_now->streams[rig_now->stream_count++] = c;
    }
    exchange_release(x);
}

static void rig_big(exchange *x)
{
    enum { BIG = 2 * 1024 * 1024 };
    char *bytes = arena_alloc(exchange_arena(x), BIG);
    memset(bytes, 'b', BIG);
    rig_text(x, 200, (slice){bytes, BIG});
}

/* Five thousand bytes of text with a strong ETag. */
static void rig_page(exchange *x)
{
    char *bytes = arena_alloc(exchange_arena(x), 5000);
    memset(bytes, 't', 5000);
    exchange_status(x, 200);
    exchange_add_header(x, SLICE("Content-Type"), exchange_query(x));
    exchange_add_header(x, SLICE("ETag"), SLICE("\"abc\""));
    exchange_finish(x, (slice){bytes, 5000});
    exchange_release(x);
}

static void rig_on_writable(exchange *x, void *arg);

/* A writer that waits when it should, and writes ten megabytes. */
static void rig_write_on(exchange *x)
{
    static const char bytes[50000];
    while (rig_now->written < 200) {
        rig_now->written++;
        exchange_chunk(x, (slice){bytes, sizeof bytes});
        if (conn_queued(exchange_conn(x)) > rig_now->most_queued)
            rig_now->most_queued = conn_queued(exchange_conn(x));
        if (exchange_chunk_wait(x, rig_on_writable, NULL))
            return;
    }
    exchange_chunks_end(x);
    exchange_release(x);
}

static void rig_on_writable(exchange *x, void *arg)
{
    (void)arg;
    if (exchange_conn(x) != NULL) /* it is told of the request's end, too */
        rig_write_on(x);
}

static void rig_on_exchange(exchange *x, void *arg)
{
    rig *r = arg;
    slice path = exchange_path(x), query = exchange_query(x), id = exchange_id(x), data;
    r->requests++;
    snprintf(r->last_path, sizeof r->last_path, "%.*s", (int)path.n, path.p);
    snprintf(r->last_query, sizeof r->last_query, "%.*s", (int)query.n, query.p);
    snprintf(r->last_id, sizeof r->last_id, "%.*s", (int)id.n, id.p);
    if (slice_eq(path, SLICE("/echo"))) {
        body_status status = exchange_read_all(x, 0, &data, rig_on_body, NULL);
        if (status != BODY_WAIT)
            rig_on_body(x, status, data, NULL);
    } else if (slice_eq(path, SLICE("/pieces"))) {
        r->last_body_size = 0;
        rig_pieces(x);
    } else if (slice_eq(path, SLICE("/later"))) {
        rig_start_timer(x, 5, 0);
    } else if (slice_eq(path, SLICE("/never"))) {
        r->last_exchange = x;
    } else if (slice_eq(path, SLICE("/chunks"))) {
        exchange_status(x, 200);
        exchange_chunks_begin(x);
        rig_start_timer(x, 1, 3);
    } else if (slice_eq(path, SLICE("/file"))) {
        exchange_status(x, 200);
        exchange_finish_file(x, open(r->file, O_RDONLY | O_CLOEXEC), 0, r->file_size);
        exchange_release(x);
    } else if (slice_eq(path, SLICE("/stream"))) {
        rig_stream(x);
    } else if (slice_eq(path, SLICE("/big"))) {
        rig_big(x);
    } else if (slice_eq(path, SLICE("/page"))) {
        rig_page(x);
    } else if (slice_eq(path, SLICE("/writer"))) {
        exchange_status(x, 200);
        exchange_chunks_begin(x);
        rig_write_on(x);
    } else if (slice_eq(path, SLICE("/broken"))) {
        exchange_status(x, 200);
        exchange_chunks_begin(x);
        exchange_chunk(x, SLICE("half"));
        exchange_fail(x, 500, "internal", "too late", false);
        exchange_release(x);
    } else if (slice_eq(path, SLICE("/twice"))) {
        exchange_status(x, 200);
        exchange_chunks_begin(x);
        exchange_finish(x, SLICE("again"));
        exchange_release(x);
    } else if (slice_eq(path, SLICE("/silent"))) {
        exchange_release(x);
    } else {
        rig_text(x, 200, SLICE("hello"));
    }
}

static void rig_on_abandon(exchange *x, void *arg)
{
    rig *r = arg;
    r->abandoned++;
    rig_stop_timer(x);
    exchange_release(x);
}

static void rig_on_done(exchange *x, int status, uint64_t us, uint64_t bytes, void *arg)
{
    rig *r = arg;
    (void)x, (void)us;
    r->done++;
    r->last_status = status;
    r->last_bytes = bytes;
}

static const http_limits rig_limits = {.request_line = 8192,
                                       .header_block = 16384,
                                       .headers = 100,
                                       .body = 1024 * 1024,
                                       .header_ms = 10000,
                                       .body_rate = 240,
                                       .body_grace_ms = 5000,
                                       .idle_ms = 75000,
                                       .body_window = 65536,
                                       .gzip_min = 1024};

static const conn_limits rig_conn_limits = {
    .write_stall_ms = 30000, .linger_ms = 1000, .handshake_ms = 10000, .max_conns = 1000};

static inline void rig_start(rig *r)
{
    *r = (rig){.limits = rig_limits};
    signal(SIGPIPE, SIG_IGN);
    rig_now = r;
    uv_loop_init(&r->loop);
    r->pool = conn_pool_new(&r->loop, &rig_conn_limits);
    r->handler = (http_handler){rig_on_exchange, rig_on_abandon, rig_on_done, r, &r->limits};
}

/* What must be left over: nothing. Returns how much is. */
static inline size_t rig_stop(rig *r)
{
    conn_pool_close(r->pool);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    size_t left = conn_pool_count(r->pool);
    conn_pool_free(r->pool);
    return left + exchange_alive() + frame_alive() + (uv_loop_close(&r->loop) != 0);
}

/* The client's end of a new connection. */
static inline int rig_connect_as(rig *r, const char *refusal)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    conn *c = conn_open(r->pool, pair[0], NULL);
    http_conn_start(c, &r->handler, refusal);
    return pair[1];
}

static inline int rig_connect(rig *r)
{
    return rig_connect_as(r, NULL);
}

typedef struct {
    char *data;
    size_t len, cap;
    bool closed, reset;
} rig_answer;

static inline bool rig_receive(int fd, rig_answer *a)
{
    if (a->cap - a->len < 65536) {
        a->cap = a->cap ? a->cap * 2 : 131072;
        a->data = mem_resize(a->data, a->cap);
    }
    ssize_t n = recv(fd, a->data + a->len, a->cap - a->len - 1, 0);
    if (n > 0)
        a->len += (size_t)n;
    a->data[a->len] = '\0';
    a->closed = a->closed || n == 0;
    if (n < 0 && errno != EAGAIN)
        a->closed = a->reset = true;
    return n > 0;
}

/* Turns the loop and reads until `quiet` turns brought nothing, or the server closed. */
static inline void rig_pump(rig *r, int fd, rig_answer *a, int quiet)
{
    for (int idle = 0; idle < quiet && !a->closed;) {
        uv_run(&r->loop, UV_RUN_NOWAIT);
        idle = rig_receive(fd, a) ? 0 : idle + 1;
    }
}

/* Pumps until `text` has come, the server closed, or 30 s. */
static inline bool rig_wait(rig *r, int fd, rig_answer *a, const char *text)
{
    uint64_t end = uv_hrtime() + 30000000000u;
    while (uv_hrtime() < end) {
        rig_pump(r, fd, a, 2);
        if (a->data != NULL && strstr(a->data, text) != NULL)
            return true;
        if (a->closed)
            return false;
        usleep(200);
    }
    return false;
}

/* Turns the loop for so many real milliseconds. */
static inline void rig_turn(rig *r, int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000u;
    do {
        uv_run(&r->loop, UV_RUN_NOWAIT);
        usleep(500);
    } while (uv_hrtime() < end);
}

/* Sends in pieces of `step` bytes (0: random ones), pumping in between. */
static inline void rig_send(rig *r, int fd, rig_answer *a, const char *data, size_t n, size_t step)
{
    while (n > 0) {
        size_t piece = step != 0 ? step : (size_t)(1 + rand() % 40);
        if (piece > n)
            piece = n;
        ssize_t sent = send(fd, data, piece, MSG_NOSIGNAL);
        if (sent < 0 && (errno != EAGAIN || a->closed))
            return;
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
        }
        rig_pump(r, fd, a, 1);
    }
}

static inline int rig_status(const rig_answer *a)
{
    return a->len > 12 ? atoi(a->data + 9) : 0;
}

static inline int rig_count(const rig_answer *a, const char *text)
{
    int n = 0;
    for (const char *p = a->data; p != NULL && (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static inline void rig_say(rig *r, int fd, rig_answer *a, const char *text)
{
    rig_send(r, fd, a, text, strlen(text), strlen(text));
}

/* One connection, one request, its answer. */
static inline rig_answer rig_ask(rig *r, const char *data, size_t n, size_t step)
{
    rig_answer a = {0};
    int fd = rig_connect(r);
    rig_send(r, fd, &a, data, n, step);
    rig_pump(r, fd, &a, 4);
    close(fd);
    rig_turn(r, 1);
    return a;
}

static inline rig_answer rig_ask_text(rig *r, const char *text)
{
    return rig_ask(r, text, strlen(text), strlen(text));
}

/* The line in the answer's head, or NULL. */
static inline const char *rig_header(const rig_answer *a, const char *line)
{
    const char *end = strstr(a->data, "\r\n\r\n"), *at = strstr(a->data, line);
    return at != NULL && at < end ? at : NULL;
}
