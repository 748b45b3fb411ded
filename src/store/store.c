/* The front of the store: limits, the operation, and the port that answers it.
 *
 *   store_set() -> op -> driver->submit -> (writer thread | Redis link | at once)
 *       -> answers of the port, on its loop -> done
 *
 * A port is owned by its loop. It frees itself after store_port_close, once the last op is answered
 * and its handles are closed. What must never happen: an op without its one answer; a caller's
 * pointer kept after its call returned. */
#include "driver.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void close_when_done(void *port)
{
    store_port *p = port;
    if (p->closing && p->answers.pending == 0)
        answers_close(&p->answers, free);
}

static void count(const store_op *op)
{
    static const slice names[STORE_KINDS] = {
        [STORE_GET] = SLICE("get"), [STORE_SET] = SLICE("set"),       [STORE_ADD] = SLICE("add"),
        [STORE_CAS] = SLICE("cas"), [STORE_DELETE] = SLICE("delete"), [STORE_INCR] = SLICE("incr"),
        [STORE_TTL] = SLICE("ttl"), [STORE_LIST] = SLICE("list"),     [STORE_PING] = SLICE("ping"),
    };
    metrics_time(METRIC_STORE_SECONDS, names[op->kind], clock_us() - op->started_us);
    if (op->result.status == STORE_UNAVAILABLE)
        metrics_add(METRIC_STORE_FAILURES, 1);
}

static void answer(store_op *op)
{
    count(op);
    op->done(&op->result, op->arg);
    if (op->release != NULL)
        op->release(op->held);
    answers_count(&op->port->answers, -1);
    free(op);
}

static void answer_link(list *link)
{
    answer(LIST_ENTRY(link, store_op, link));
}

store_port *store_port_new(store *s, uv_loop_t *loop)
{
    store_port *p = mem_alloc(sizeof *p);
    p->store = s;
    p->loop = loop;
    answers_init(&p->answers, loop, p, answer_link, close_when_done);
    if (s->driver->port_open != NULL)
        s->driver->port_open(p);
    return p;
}

void store_port_close(store_port *p)
{
    if (p->closing)
        return;
    p->closing = true;
    if (p->store->driver->port_close != NULL)
        p->store->driver->port_close(p);
    close_when_done(p);
}

void store_close(store *s)
{
    s->driver->close(s);
}

const char *store_port_name(const store_port *p)
{
    return p->store->driver->name;
}

/* Operations ---------------------------------------------------------------------------------- */

size_t store_op_size(const store_op *op)
{
    return sizeof *op + op->key.n + op->value.n + op->version.n;
}

store_status store_op_say(store_op *op, store_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(op->text, sizeof op->text, format, args);
    va_end(args);
    op->result.message = op->text;
    return status;
}

void store_op_set_version(store_op *op, slice version)
{
    size_t n = version.n < sizeof op->version_text ? version.n : sizeof op->version_text;
    memcpy(op->version_text, version.p, n);
    op->result.version = (slice){op->version_text, n};
}

static const char *plain_message(store_status status)
{
    static const char *const messages[] = {
        [STORE_ABSENT] = "there is no such key",
        [STORE_EXISTS] = "the key exists already",
        [STORE_CONFLICT] = "the key was changed meanwhile: read it again, then retry",
        [STORE_TYPE] = "the value is not an integer, or it would overflow",
        [STORE_TOO_LARGE] = "key or value is too large",
        [STORE_UNAVAILABLE] = "the store is not available: try again",
    };
    return messages[status];
}

static void settle(store_op *op, store_status status)
{
    op->result.status = status;
    if (status == STORE_OK)
        op->result.message = NULL;
    else if (op->result.message == NULL)
        op->result.message = plain_message(status);
}

void store_op_finish(store_op *op, store_status status)
{
    settle(op, status);
    answers_add(&op->port->answers, &op->link);
}

void store_op_post(store_op *op, store_status status)
{
    settle(op, status);
    answers_post(&op->port->answers, &op->link);
}

void store_op_answer(store_op *op, store_status status)
{
    store_port *p = op->port;
    settle(op, status);
    answer(op);
    close_when_done(p);
}

static slice put(char **at, slice s)
{
    slice copy = {*at, s.n};
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

/* Too large a key or value is not copied: the op only carries its answer. */
static store_op *alloc_op(size_t *size)
{
    store_op *op = *size > 0 ? malloc(sizeof *op + *size) : NULL;
    if (op == NULL) {
        *size = 0;
        return mem_alloc(sizeof *op);
    }
    memset(op, 0, sizeof *op);
    return op;
}

static store_op *new_noted(store_port *p, store_kind kind, slice key, slice value, slice version,
                           const store_notice *notice, store_done done, void *arg)
{
    if (version.n > STORE_KEY_MAX) /* no version and no cursor is that long: it matches nothing */
        version.n = STORE_KEY_MAX;
    bool fits = key.n <= STORE_KEY_MAX && value.n <= STORE_VALUE_MAX;
    size_t size = fits ? key.n + value.n + version.n : 0;
    if (fits && notice != NULL)
        size += notice->channel.n + notice->message.n;
    store_op *op = alloc_op(&size);
    char *at = op->bytes;
    list_init(&op->link);
    op->port = p;
    op->kind = kind;
    op->done = done;
    op->arg = arg;
    op->started_us = clock_us();
    op->key = size > 0 ? put(&at, key) : (slice){NULL, key.n};
    op->value = size > 0 ? put(&at, value) : (slice){NULL, value.n};
    op->version = size > 0 ? put(&at, version) : (slice){NULL, version.n};
    if (size > 0 && notice != NULL)
        op->notice = (store_notice){put(&at, notice->channel), put(&at, notice->message)};
    answers_count(&p->answers, 1);
    return op;
}

static store_op *new_op(store_port *p, store_kind kind, slice key, slice value, slice version,
                        store_done done, void *arg)
{
    return new_noted(p, kind, key, value, version, NULL, done, arg);
}

static store_status check(store_op *op)
{
    bool keyless = op->kind == STORE_LIST || op->kind == STORE_PING;
    if (op->key.n > STORE_KEY_MAX || (op->key.n == 0 && !keyless))
        return store_op_say(op, STORE_TOO_LARGE, "a key has 1 to %d bytes, this one has %zu",
                            STORE_KEY_MAX, op->key.n);
    if (op->value.n > STORE_VALUE_MAX)
        return store_op_say(op, STORE_TOO_LARGE, "a value has at most %d bytes, this one has %zu",
                            STORE_VALUE_MAX, op->value.n);
    if (op->key.n + op->value.n + op->version.n > 0 && op->key.p == NULL)
        return store_op_say(op, STORE_UNAVAILABLE, "memory is out");
    if (op->port->closing)
        return store_op_say(op, STORE_UNAVAILABLE, "the store is closing");
    return STORE_OK;
}

static void submit(store_op *op)
{
    store_status status = check(op);
    if (status != STORE_OK)
        store_op_finish(op, status);
    else
        op->port->store->driver->submit(op);
}

static const slice nothing = {NULL, 0};

void store_get(store_port *p, slice key, store_done done, void *arg)
{
    submit(new_op(p, STORE_GET, key, nothing, nothing, done, arg));
}

void store_set(store_port *p, slice key, slice value, int64_t ttl_ms, store_done done, void *arg)
{
    store_op *op = new_op(p, STORE_SET, key, value, nothing, done, arg);
    op->ttl_ms = ttl_ms;
    submit(op);
}

void store_add(store_port *p, slice key, slice value, int64_t ttl_ms, const store_notice *notice,
               store_done done, void *arg)
{
    store_op *op = new_noted(p, STORE_ADD, key, value, nothing, notice, done, arg);
    op->ttl_ms = ttl_ms;
    submit(op);
}

void store_cas(store_port *p, slice key, slice value, slice version, int64_t ttl_ms,
               const store_notice *notice, store_done done, void *arg)
{
    store_op *op = new_noted(p, STORE_CAS, key, value, version, notice, done, arg);
    op->ttl_ms = ttl_ms;
    submit(op);
}

void store_delete(store_port *p, slice key, slice version, const store_notice *notice,
                  store_done done, void *arg)
{
    submit(new_noted(p, STORE_DELETE, key, nothing, version, notice, done, arg));
}

void store_incr(store_port *p, slice key, int64_t by, int64_t ttl_ms, store_done done, void *arg)
{
    store_op *op = new_op(p, STORE_INCR, key, nothing, nothing, done, arg);
    op->by = by;
    op->ttl_ms = ttl_ms;
    submit(op);
}

void store_ttl(store_port *p, slice key, store_done done, void *arg)
{
    submit(new_op(p, STORE_TTL, key, nothing, nothing, done, arg));
}

void store_list(store_port *p, slice prefix, slice cursor, unsigned limit, store_done done,
                void *arg)
{
    store_op *op = new_op(p, STORE_LIST, prefix, nothing, cursor, done, arg);
    op->limit = limit < 1 ? 1 : limit > 1000 ? 1000 : limit;
    submit(op);
}

void store_ping(store_port *p, store_done done, void *arg)
{
    submit(new_op(p, STORE_PING, nothing, nothing, nothing, done, arg));
}
