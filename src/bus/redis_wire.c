/* A connection to Redis: a libuv stream, and hiredis' reader for what comes back.
 *
 *   CONNECTING --on_connect--> OPEN --error, end, garbage--> on_lost --> CLOSED --> freed
 *            \-----------------------redis_wire_close---------------------->/
 *
 * Why hiredis' reader and not its async contexts: version 0.14 frees a context inside its own
 * callbacks, asserts when a reply comes that nobody asked for, and gives a subscribe link no ping.
 * The parser is the part that is worth having.
 *
 * A wire belongs to its link until on_lost or redis_wire_close; from then on it belongs to the loop
 * and frees itself when its handle is closed and its write has ended. One write is in flight at a
 * time; what is written meanwhile collects in `out` and leaves together. Replies are bounded in
 * bytes and in elements: a hostile or broken peer costs a connection, not the memory.
 * What must never happen: an event after on_lost; a reply handed out after a close within the same
 * read. */
#include "redis_wire.h"

#include "clock.h"
#include "mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPLY_BYTES_MAX = 64 << 20, REPLY_ELEMENTS_MAX = 1000000 };

struct redis_wire {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_connect_t connect;
    uv_write_t write;
    const redis_wire_events *events;
    void *arg;
    redisReader *reader;
    size_t elements; /* of the reply that is being read */
    uint64_t last_read;
    buf out, sending;
    bool open, writing, closed;
    char input[16384];
};

/* Replies ------------------------------------------------------------------------------------- */

static redisReplyObjectFunctions bounded;
static void *(*create_array)(const redisReadTask *task, int elements);
static uv_once_t bounded_once = UV_ONCE_INIT;

static void *create_bounded_array(const redisReadTask *task, int elements)
{
    redis_wire *w = task->privdata;
    w->elements += (size_t)elements;
    return w->elements <= REPLY_ELEMENTS_MAX ? create_array(task, elements) : NULL;
}

/* hiredis' own functions, with a bound on arrays: it allocates them by the length that the peer
 * announces. */
static void make_bounded(void)
{
    redisReader *model = redisReaderCreate();
    if (model == NULL)
        abort();
    bounded = *model->fn;
    create_array = bounded.createArray;
    bounded.createArray = create_bounded_array;
    redisReaderFree(model);
}

static redisReader *new_reader(redis_wire *w)
{
    uv_once(&bounded_once, make_bounded);
    redisReader *reader = redisReaderCreateWithFunctions(&bounded);
    if (reader == NULL)
        abort();
    redisReaderSetPrivdata(reader, w);
    return reader;
}

/* Life ---------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    redis_wire *w = handle->data;
    redisReaderFree(w->reader);
    buf_free(&w->out);
    buf_free(&w->sending);
    free(w);
}

void redis_wire_close(redis_wire *w)
{
    if (w->closed)
        return;
    w->closed = true;
    uv_close(&w->handle, on_closed);
}

static void lose(redis_wire *w, const char *why)
{
    if (w->closed)
        return;
    redis_wire_close(w);
    w->events->on_lost(w->arg, why);
}

static const char *reader_problem(const redisReader *reader)
{
    return reader->err == REDIS_ERR_OOM ? "a reply with too many elements"
                                        : "what came is no reply of Redis";
}

/* The reader is freed in on_closed, so a callback may close the wire while we stand here. */
static void take_replies(redis_wire *w)
{
    while (!w->closed) {
        void *reply = NULL;
        if (redisReaderGetReply(w->reader, &reply) != REDIS_OK) {
            lose(w, reader_problem(w->reader));
            return;
        }
        if (reply == NULL)
            return;
        w->elements = 0;
        w->events->on_reply(w->arg, reply);
        freeReplyObject(reply);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *into)
{
    redis_wire *w = handle->data;
    (void)suggested;
    *into = uv_buf_init(w->input, sizeof w->input);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    redis_wire *w = stream->data;
    if (n < 0) {
        lose(w, n == UV_EOF ? "Redis closed the connection" : uv_strerror((int)n));
        return;
    }
    if (n == 0)
        return;
    w->last_read = clock_ms();
    if (redisReaderFeed(w->reader, bytes->base, (size_t)n) != REDIS_OK ||
        w->reader->len - w->reader->pos > REPLY_BYTES_MAX)
        lose(w, "a reply over 64 MiB");
    else
        take_replies(w);
}

static void on_connect(uv_connect_t *request, int status)
{
    redis_wire *w = request->data;
    if (w->closed)
        return;
    if (status == 0)
        status = uv_read_start(&w->stream, on_alloc, on_read);
    if (status != 0) {
        lose(w, uv_strerror(status));
        return;
    }
    w->open = true;
    w->last_read = clock_ms();
    w->events->on_open(w->arg);
}

static redis_wire *new_wire(const redis_wire_events *events, void *arg)
{
    redis_wire *w = mem_alloc(sizeof *w);
    w->events = events;
    w->arg = arg;
    w->reader = new_reader(w);
    w->connect.data = w->write.data = w;
    return w;
}

redis_wire *redis_wire_open(uv_loop_t *loop, const char *path, const struct sockaddr *address,
                            const redis_wire_events *events, void *arg, const char **why)
{
    redis_wire *w = new_wire(events, arg);
    int rc = 0;
    if (address == NULL) {
        uv_pipe_init(loop, &w->pipe, 0);
        uv_pipe_connect(&w->connect, &w->pipe, path, on_connect);
    } else {
        uv_tcp_init(loop, &w->tcp);
        rc = uv_tcp_connect(&w->connect, &w->tcp, address, on_connect);
        uv_tcp_nodelay(&w->tcp, 1);
    }
    w->handle.data = w;
    uv_unref(&w->handle); /* who waits for an answer keeps the loop alive, not the connection */
    if (rc == 0)
        return w;
    *why = uv_strerror(rc);
    redis_wire_close(w);
    return NULL;
}

/* Writing ------------------------------------------------------------------------------------- */

void redis_wire_append(redis_wire *w, slice bytes)
{
    buf_append_slice(&w->out, bytes);
}

void redis_command_write(buf *to, size_t argc, const slice *argv)
{
    buf_format(to, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        buf_byte(to, '$');
        buf_uint(to, argv[i].n);
        buf_text(to, "\r\n");
        buf_append_slice(to, argv[i]);
        buf_text(to, "\r\n");
    }
}

size_t redis_command_size(size_t argc, const slice *argv)
{
    size_t size = 16;
    for (size_t i = 0; i < argc; i++)
        size += argv[i].n + 16;
    return size;
}

void redis_wire_command(redis_wire *w, size_t argc, const slice *argv)
{
    redis_command_write(&w->out, argc, argv);
}

uint64_t redis_wire_last_read(const redis_wire *w)
{
    return w->last_read;
}

static void on_written(uv_write_t *request, int status)
{
    redis_wire *w = request->data;
    w->writing = false;
    w->sending.len = 0;
    if (status != 0)
        lose(w, uv_strerror(status));
    else
        redis_wire_flush(w);
}

/* One big value must not stay allocated for ever. */
static void recycle(buf *b)
{
    if (b->cap > 1 << 20)
        buf_free(b);
    b->len = 0;
}

static size_t write_at_once(redis_wire *w)
{
    uv_buf_t bytes = uv_buf_init(w->out.data, (unsigned)w->out.len);
    int n = uv_try_write(&w->stream, &bytes, 1);
    return n > 0 ? (size_t)n : 0; /* an error comes again, to the callback, from uv_write */
}

void redis_wire_flush(redis_wire *w)
{
    if (w->closed || !w->open || w->writing || w->out.len == 0)
        return;
    size_t written = write_at_once(w);
    if (written == w->out.len) {
        recycle(&w->out);
        return;
    }
    buf_consume(&w->out, written);
    buf swap = w->sending;
    w->sending = w->out;
    w->out = swap;
    recycle(&w->out);
    w->writing = true;
    uv_buf_t bytes = uv_buf_init(w->sending.data, (unsigned)w->sending.len);
    int rc = uv_write(&w->write, &w->stream, &bytes, 1, on_written);
    if (rc != 0) {
        w->writing = false;
        lose(w, uv_strerror(rc));
    }
}
