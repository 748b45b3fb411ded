/* What a worker keeps between requests, hung on its conn_pool: exchanges with their arenas (so that
 * a request in the steady state allocates nothing), the Date line of the second, request ids, one
 * deflate state of 256 KiB instead of one per answer.
 *
 * Exchanges outlive connections and even the pool while their task ends; so the last of the two,
 * pool or exchange, frees this. What must never happen: use by another thread. */
#include "http_internal.h"

#include "clock.h"
#include "mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <zlib.h>

struct http_worker {
    exchange *spares;
    size_t spare_count;
    size_t live;
    bool detached;
    char prefix[9]; /* of ids: random, so that two processes never make the same */
    uint64_t id_count;
    char date[80];
    size_t date_n;
    uint64_t date_until;
    z_stream deflate;
    bool deflate_ready;
    buf scratch;
};

enum { GZIP_WINDOW = 15 + 16, GZIP_LEVEL = 5, GZIP_MEMORY = 8, KEPT_HEADERS = 4096 };

static http_worker *worker_new(void)
{
    http_worker *w = mem_alloc(sizeof *w);
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = (uint32_t)clock_us();
    snprintf(w->prefix, sizeof w->prefix, "%08x", seed);
    return w;
}

static void worker_free(http_worker *w)
{
    while (w->spares != NULL) {
        exchange *x = w->spares;
        w->spares = x->next_spare;
        arena_free(&x->arena);
        buf_free(&x->out);
        free(x);
    }
    if (w->deflate_ready)
        deflateEnd(&w->deflate);
    buf_free(&w->scratch);
    free(w);
}

static void on_detach(void *data)
{
    http_worker *w = data;
    w->detached = true;
    if (w->live == 0)
        worker_free(w);
}

http_worker *http_worker_of(conn *c)
{
    conn_pool *pool = conn_get_pool(c);
    http_worker *w = conn_pool_attached(pool);
    if (w == NULL) {
        w = worker_new();
        conn_pool_attach(pool, w, on_detach);
    }
    return w;
}

exchange *http_worker_exchange(http_worker *w)
{
    exchange *x = w->spares;
    w->live++;
    if (x == NULL) {
        x = mem_alloc(sizeof *x);
        arena_init(&x->arena);
    } else {
        w->spares = x->next_spare;
        w->spare_count--;
        arena kept = x->arena;
        buf out = x->out;
        *x = (exchange){.arena = kept, .out = out};
        x->out.len = 0;
    }
    x->worker = w;
    return x;
}

void http_worker_recycle(http_worker *w, exchange *x)
{
    if (x->out.cap > KEPT_HEADERS)
        buf_free(&x->out);
    if (w->spare_count < MAX_SPARES && !w->detached) {
        arena_reset(&x->arena);
        x->next_spare = w->spares;
        w->spares = x;
        w->spare_count++;
    } else {
        arena_free(&x->arena);
        buf_free(&x->out);
        free(x);
    }
    w->live--;
    if (w->detached && w->live == 0)
        worker_free(w);
}

slice http_worker_date(http_worker *w, uint64_t now_ms)
{
    if (now_ms >= w->date_until) {
        int64_t wall = clock_wall_ms();
        time_t seconds = (time_t)(wall / 1000);
        struct tm t;
        gmtime_r(&seconds, &t);
        w->date_n = strftime(w->date, sizeof w->date,
                             "Server: lunacast\r\nDate: %a, %d %b %Y %H:%M:%S GMT\r\n", &t);
        w->date_until = now_ms + 1000 - (uint64_t)(wall % 1000);
    }
    return (slice){w->date, w->date_n};
}

slice http_worker_id(http_worker *w, arena *a)
{
    static const char digits[] = "0123456789abcdef";
    char *id = arena_alloc(a, 32), *at = id + 32;
    uint64_t count = ++w->id_count;
    do {
        *--at = digits[count & 15];
        count >>= 4;
    } while (count > 0);
    *--at = '-';
    at -= 8;
    memcpy(at, w->prefix, 8);
    return (slice){at, (size_t)(id + 32 - at)};
}

struct z_stream_s *http_worker_deflate(http_worker *w)
{
    if (w->deflate_ready) {
        deflateReset(&w->deflate);
        return &w->deflate;
    }
    w->deflate_ready = deflateInit2(&w->deflate, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                                    Z_DEFAULT_STRATEGY) == Z_OK;
    return w->deflate_ready ? &w->deflate : NULL;
}

buf *http_worker_scratch(http_worker *w)
{
    return &w->scratch;
}
