/* Requests and the pool they share. A connection belongs to an origin: scheme, host, port, and what
 * may be reached under that name (one that was opened for a trusted caller is not given to one who
 * names addresses from user input). The newest idle connection is taken first, so that the others
 * age; an origin at its limit lets requests wait, in order, bounded.
 *
 *   request:  WAITING -> CONNECTING -> on a link -> ended
 *                \-----limit of time, failure------/
 *
 * One wheel holds the limits of time: a request has one deadline, that of its present phase or of
 * the whole, whichever is first.
 *
 * Owner of a request: the client's list. What must never happen: two last calls, or one inside
 * client_start. */
#include "client_internal.h"

#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "tls.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SWEEP_MS = 1000, SPARES_MAX = 64, KEPT_HEAD = 4096 };

static void acquire(client_request *r);

const char *client_code_word(client_code code)
{
    static const char *const words[] = {"ok",      "dns",   "refused",      "connect",   "tls",
                                        "timeout", "reset", "bad_response", "too_large", "busy"};
    return words[code];
}

/* Held by its connections and requests. */
static void unref_origin(client_origin *o)
{
    if (--o->refs > 0)
        return;
    map_remove(&o->cl->origins, &o->node);
    free(o->host);
    free(o);
}

/* The end of a request ------------------------------------------------------------------------- */

static void leave_wait(client_request *r)
{
    if (!list_empty(&r->wait) && r->code == CLIENT_OK)
        r->origin->waiting_count--;
    list_remove(&r->wait);
}

/* The newest few are used again, so that a request in the steady state allocates nothing. */
static void recycle(client_request *r)
{
    client *cl = r->cl;
    free(r->path);
    if (cl->spare_count >= SPARES_MAX || r->head.cap > KEPT_HEAD) {
        buf_free(&r->head);
        arena_free(&r->memory);
        free(r);
        return;
    }
    arena_reset(&r->memory);
    list_append(&cl->spares, &r->node);
    cl->spare_count++;
}

static client_request *new_record(client *cl)
{
    client_request *r;
    if (list_empty(&cl->spares)) {
        r = mem_alloc(sizeof *r);
        arena_init(&r->memory);
    } else {
        r = LIST_ENTRY(cl->spares.prev, client_request, node);
        list_remove(&r->node);
        cl->spare_count--;
        buf head = {.data = r->head.data, .cap = r->head.cap};
        arena memory = r->memory;
        *r = (client_request){.head = head, .memory = memory};
    }
    r->cl = cl;
    return r;
}

void client_end(client_request *r)
{
    list_remove(&r->node);
    leave_wait(r);
    wheel_remove(&r->cl->wheel, &r->timer);
    if (r->connector != NULL) {
        connector_cancel(r->connector);
        r->connector = NULL;
        client_origin_drop(r->origin);
    }
    r->cl->forgotten -= r->forgotten;
    unref_origin(r->origin);
    recycle(r);
}

void client_finish(client_request *r, client_code code, const char *why)
{
    if (code != CLIENT_OK)
        metrics_add(METRIC_CLIENT_FAILURES, 1);
    r->ops->on_end(r, code, why);
    client_end(r);
}

void client_cancel(client_request *r)
{
    client_link *l = r->link;
    if (l != NULL) {
        l->r = NULL;
        client_link_close(l, true);
    }
    client_end(r);
}

/* Not now: an owner is never called back inside its own call. */
static void fail_soon(client_request *r, client_code code, const char *why)
{
    r->code = code;
    r->why = why;
    list_append(&r->cl->failing, &r->wait);
    soon_arm(&r->cl->run);
}

static void on_run(void *arg)
{
    client *cl = arg;
    list failing;
    list_move(&cl->failing, &failing);
    while (!list_empty(&failing)) {
        client_request *r = LIST_ENTRY(failing.next, client_request, wait);
        list_remove(&r->wait);
        client_finish(r, r->code, r->why);
    }
}

void client_lost(client_request *r, bool may_retry, client_code code, const char *why)
{
    if (!may_retry || r->retried || !r->idempotent || r->sent_body) {
        client_finish(r, code, why);
        return;
    }
    r->retried = true;
    metrics_add(METRIC_CLIENT_RETRIES, 1);
    acquire(r);
}

/* Limits of time ------------------------------------------------------------------------------- */

void client_arm(client_request *r, uint64_t ms)
{
    uint64_t due = ms == 0 ? 0 : wheel_now(&r->cl->wheel) + ms;
    if (r->ends_at != 0 && (due == 0 || r->ends_at < due))
        due = r->ends_at;
    wheel_set(&r->cl->wheel, &r->timer, due);
}

/* It has waited for one of the connections that there may be; the upstream is not at fault. */
static bool waited_in_line(const client_request *r)
{
    return r->link == NULL && r->connector == NULL;
}

static const char *late_words(const client_request *r, uint64_t now)
{
    if (waited_in_line(r))
        return "all connections to that upstream were in use";
    if (r->ends_at != 0 && now >= r->ends_at)
        return "the request was not done in its time";
    if (r->link == NULL)
        return "no connection in time";
    if (conn_handshaking(r->link->c))
        return "the TLS handshake took too long";
    return r->link->state == LINK_HEAD ? "the upstream did not answer in time"
                                       : "the upstream fell silent in the middle of its answer";
}

static void on_due(wheel_entry *e)
{
    client_request *r = LIST_ENTRY(e, client_request, timer);
    const char *why = late_words(r, wheel_now(&r->cl->wheel));
    client_code code = waited_in_line(r) ? CLIENT_BUSY : CLIENT_TIMEOUT;
    client_link *l = r->link;
    if (l != NULL) {
        l->r = NULL;
        r->was_sent = client_was_sent(r);
        r->link = NULL;
        client_link_close(l, true);
    }
    client_finish(r, code, why);
}

/* Origins -------------------------------------------------------------------------------------- */

void client_origin_drop(client_origin *o)
{
    o->count--;
    client_serve_waiting(o);
    unref_origin(o);
}

static void write_key(buf *key, const client_call *call)
{
    buf_byte(key, call->tls ? 's' : 'p');
    buf_byte(key, call->insecure ? 'i' : 'v');
    buf_byte(key, call->allow_internal ? 'a' : 'c');
    if (call->path.n > 0) {
        buf_byte(key, '/');
        buf_append_slice(key, call->path);
        return;
    }
    buf_uint(key, call->port);
    buf_byte(key, ' ');
    buf_append_slice(key, call->host);
}

static client_origin *find_origin(client *cl, const client_call *call)
{
    buf *key = &cl->scratch;
    key->len = 0;
    write_key(key, call);
    map_node *node = map_find(&cl->origins, (slice){key->data, key->len});
    if (node == NULL) {
        client_origin *o = mem_alloc(sizeof *o + key->len);
        memcpy(o->key, key->data, key->len);
        o->node.key = (slice){o->key, key->len};
        o->cl = cl;
        o->tls = call->tls;
        o->insecure = call->insecure;
        slice host = call->path.n > 0 ? SLICE("localhost") : call->host;
        o->host = mem_dup(host.p, host.n);
        list_init(&o->idle);
        list_init(&o->waiting);
        node = &o->node;
        map_insert(&cl->origins, node);
    }
    return MAP_ENTRY(node, client_origin, node);
}

/* Connections ---------------------------------------------------------------------------------- */

/* NULL with a reason; made at the first use, since most servers never need it. */
static struct tls_context *context_of(client *cl, const client_origin *o, const char **why)
{
    struct tls_context **context = o->insecure ? &cl->insecure : &cl->tls;
    if (*context == NULL)
        *context = tls_context_new_client(cl->options.ca_file, !o->insecure, cl->tls_problem,
                                          sizeof cl->tls_problem);
    *why = cl->tls_problem;
    return *context;
}

static void on_connected(void *arg, connect_result result, int fd, const char *why)
{
    static const client_code codes[] = {[CONNECT_UNKNOWN] = CLIENT_DNS,
                                        [CONNECT_REFUSED] = CLIENT_REFUSED,
                                        [CONNECT_FAILED] = CLIENT_CONNECT};
    client_request *r = arg;
    client *cl = r->cl;
    client_origin *o = r->origin;
    r->connector = NULL;
    if (result != CONNECTED) {
        client_finish(r, codes[result], why);
        client_origin_drop(o);
        return;
    }
    struct tls_context *tls = o->tls ? context_of(cl, o, &why) : NULL;
    conn *c = NULL;
    if (o->tls && tls == NULL)
        close(fd);
    else
        c = conn_open_to(cl->conns, fd, tls, o->host);
    if (c == NULL) {
        client_finish(r, CLIENT_TLS, o->tls ? why : "not enough memory");
        client_origin_drop(o);
        return;
    }
    client_link_begin(client_link_new(o, c), r);
}

static void connect_for(client_request *r)
{
    client *cl = r->cl;
    r->origin->count++;
    r->origin->refs++;
    client_arm(r, r->connect_ms);
    slice key = r->origin->node.key;
    connector_target target = {.host = slice_of(r->origin->host),
                               .port = r->port,
                               .allow_internal = key.p[2] == 'a',
                               .allowed = cl->allowed,
                               .allowed_count = cl->allowed_count,
                               .path = key.p[3] == '/' ? r->path : NULL};
    r->connector = connector_start(cl->resolver, cl->loop, &target, on_connected, r);
}

static client_link *take_idle(client_origin *o)
{
    if (list_empty(&o->idle))
        return NULL;
    client_link *l = LIST_ENTRY(o->idle.prev, client_link, node);
    list_remove(&l->node);
    list_remove(&l->age);
    o->cl->idle_count--;
    l->reused = true;
    return l;
}

static void acquire(client_request *r)
{
    client_origin *o = r->origin;
    client_link *l = r->retried ? NULL : take_idle(o);
    if (l != NULL) {
        client_link_begin(l, r);
    } else if (o->count < o->cl->options.connections) {
        connect_for(r);
    } else if (o->waiting_count < o->cl->options.waiting) {
        list_append(&o->waiting, &r->wait);
        o->waiting_count++;
        client_arm(r, r->connect_ms);
    } else {
        fail_soon(r, CLIENT_BUSY, "too many requests wait for that upstream");
    }
}

static client_request *next_waiting(client_origin *o)
{
    if (list_empty(&o->waiting))
        return NULL;
    client_request *r = LIST_ENTRY(o->waiting.next, client_request, wait);
    leave_wait(r);
    return r;
}

void client_serve_waiting(client_origin *o)
{
    client_request *r = o->count < o->cl->options.connections ? next_waiting(o) : NULL;
    if (r != NULL && !o->cl->closing)
        connect_for(r);
}

void client_keep(client_link *l)
{
    client_origin *o = l->origin;
    client *cl = o->cl;
    client_request *r = next_waiting(o);
    l->reused = true;
    if (r != NULL) {
        client_link_begin(l, r);
        return;
    }
    if (cl->idle_count >= cl->options.kept && !list_empty(&cl->idle))
        client_link_close(LIST_ENTRY(cl->idle.next, client_link, age), false);
    l->state = LINK_IDLE;
    list_append(&o->idle, &l->node);
    list_append(&cl->idle, &l->age);
    cl->idle_count++;
    conn_deadline(l->c, cl->options.idle_ms);
    conn_rest(l->c, true);
}

/* Starting ------------------------------------------------------------------------------------- */

static client_request *new_request(client *cl, const client_call *call)
{
    client_request *r = new_record(cl);
    wheel_entry_init(&r->timer);
    list_init(&r->wait);
    list_append(&cl->requests, &r->node);
    if (call->path.n > 0)
        r->path = mem_dup(call->path.p, call->path.n);
    r->port = call->port;
    r->connect_ms = call->connect_ms;
    r->first_byte_ms = call->first_byte_ms;
    r->idle_ms = call->idle_ms;
    r->ends_at = call->total_ms != 0 ? wheel_now(&cl->wheel) + call->total_ms : 0;
    r->stream = call->stream;
    r->has_stream = call->has_stream;
    r->has_body = call->body.n > 0;
    r->upgrade = call->upgrade;
    r->is_head = slice_eq(call->method, SLICE("HEAD"));
    r->idempotent = client_idempotent(call->method);
    client_write_head(&r->head, call);
    return r;
}

client_request *client_start(client *cl, const client_call *call, const client_ops *ops,
                             void *owner)
{
    client_request *r = new_request(cl, call);
    metrics_add(METRIC_CLIENT_REQUESTS, 1);
    r->ops = ops;
    r->owner = owner;
    r->origin = find_origin(cl, call);
    r->origin->refs++;
    acquire(r);
    return r;
}

void *client_owner(const client_request *r)
{
    return r->owner;
}

/* The client ----------------------------------------------------------------------------------- */

static void read_allowed(client *cl)
{
    const char *const *texts = cl->options.allowed;
    size_t count = 0;
    while (texts != NULL && texts[count] != NULL)
        count++;
    cl->allowed = mem_alloc((count + 1) * sizeof *cl->allowed);
    for (size_t i = 0; i < count; i++) {
        if (address_range_parse(slice_of(texts[i]), &cl->allowed[cl->allowed_count]))
            cl->allowed_count++;
        else
            log_warn("client.allow: this is no address range, such as 10.1.0.0/16",
                     LOG_TEXT("given", texts[i]));
    }
}

static void on_sweep(uv_timer_t *timer)
{
    client *cl = timer->data;
    LIST_FOR_EACH_SAFE (it, &cl->requests) {
        client_request *r = LIST_ENTRY(it, client_request, node);
        if (cl->forgotten == 0)
            return;
        if (r->forgotten)
            client_cancel(r);
    }
}

client *client_new(uv_loop_t *loop, const client_options *options)
{
    static const conn_limits limits = {
        .write_stall_ms = 30000, .linger_ms = 1000, .handshake_ms = 10000};
    client *cl = mem_alloc(sizeof *cl);
    cl->loop = loop;
    cl->options = *options;
    cl->conns = conn_pool_new(loop, &limits);
    conn_pool_set_outgoing(cl->conns);
    cl->resolver = resolver_new(loop);
    wheel_init(&cl->wheel, loop, on_due);
    uv_unref((uv_handle_t *)&cl->wheel.timer);
    uv_timer_init(loop, &cl->sweep);
    cl->sweep.data = cl;
    uv_timer_start(&cl->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_unref((uv_handle_t *)&cl->sweep);
    soon_init(&cl->run, loop, on_run, cl);
    list_init(&cl->requests);
    list_init(&cl->failing);
    list_init(&cl->idle);
    list_init(&cl->spares);
    read_allowed(cl);
    return cl;
}

static void on_soon_closed(void *arg)
{
    (void)arg;
}

void client_close(client *cl)
{
    cl->closing = true;
    while (!list_empty(&cl->requests))
        client_cancel(LIST_ENTRY(cl->requests.next, client_request, node));
    conn_pool_close(cl->conns);
    resolver_close(cl->resolver);
    uv_timer_stop(&cl->sweep);
    uv_close((uv_handle_t *)&cl->sweep, NULL);
    wheel_close(&cl->wheel, NULL);
    soon_close(&cl->run, on_soon_closed);
}

void client_free(client *cl)
{
    while (!list_empty(&cl->spares)) {
        client_request *r = LIST_ENTRY(cl->spares.next, client_request, node);
        list_remove(&r->node);
        buf_free(&r->head);
        arena_free(&r->memory);
        free(r);
    }
    buf_free(&cl->scratch);
    conn_pool_free(cl->conns);
    map_free(&cl->origins);
    if (cl->tls != NULL)
        tls_context_drop(cl->tls);
    if (cl->insecure != NULL)
        tls_context_drop(cl->insecure);
    free(cl->allowed);
    free(cl);
}
