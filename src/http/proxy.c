/* One exchange and one client request, back to back.
 *
 *   proxy_start --refused: 400, 413, 503, 508--> OVER
 *        \--> ASKING --on_head--> ANSWERING --on_end--> OVER
 *               ^  \--failed, may be tried elsewhere--/   \--broken: the answer is cut-> OVER
 *               \----------------------------------------/
 *   any --the client is gone: the upstream's request is cancelled at once--> OVER
 *   ASKING --101--> a tunnel has both connections: OVER
 *
 * Back-pressure: a piece of the request's body is read when fewer than 64 KiB wait for the
 * upstream; the upstream is paused while more than 64 KiB wait for the client. Nothing else is
 * held.
 *
 * A request goes to another server once, when the first was not reached, or when it may be repeated
 * and has no body. Once the answer has begun there is no way back: it is cut
 * so that the client sees it.
 *
 * What is read from the upstream at once leaves to the client in one write: its connection is
 * corked from the first byte to on_pause or on_end.
 *
 * Owner: the exchange, which is kept until `over`; this struct lies in its arena. What must never
 * happen: a broken answer that looks whole; a request sent twice after a byte of its body. */
#include "proxy.h"

#include "clock.h"
#include "http_internal.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "proxy_head.h"
#include "tunnel.h"
#include "ws.h"
#include <stdlib.h>

typedef struct {
    list link; /* in `all` */
    exchange *x;
    conn *c; /* the client's, while corked */
    client *cl;
    proxy_plan *plan;
    proxy_call call;   /* of the plan; what it points to lies in the arena */
    client_request *r; /* NULL: none is running */
    upstream_choice choice;
    uint32_t tried;
    slice own;      /* header lines of the answer, given by the script */
    int64_t stream; /* of the request's body: its length, CLIENT_CHUNKED, or 0 */
    slice whole;    /* all of it, where it came with the head */
    uint64_t taken; /* bytes of it that were read */
    uint64_t asked_us;
    bool body_ended, started_body, upgrade, begun, events, corked;
} proxy;

static _Thread_local list all;
static _Thread_local buf lines, path; /* of the request that is being asked for */

enum { KEPT_BUF = 4096 };

static void ask(proxy *p);

/* The plan ------------------------------------------------------------------------------------- */

proxy_plan *proxy_plan_new(void)
{
    proxy_plan *plan = mem_alloc(sizeof *plan);
    plan->refs = 1;
    return plan;
}

proxy_plan *proxy_plan_hold(proxy_plan *plan)
{
    plan->refs++;
    return plan;
}

void proxy_plan_drop(proxy_plan *plan)
{
    if (--plan->refs > 0)
        return;
    if (plan->to != NULL)
        upstream_drop(plan->to);
    buf_free(&plan->set);
    buf_free(&plan->trust);
    free(plan);
}

/* The end -------------------------------------------------------------------------------------- */

static void uncork(proxy *p)
{
    if (p->corked)
        conn_uncork(p->c);
    p->corked = false;
}

static void release_upstream(proxy *p, upstream_verdict verdict)
{
    if (p->choice.peer < 0)
        return;
    upstream_judge(p->plan->to, &p->choice, verdict);
    upstream_done(p->plan->to, &p->choice);
    p->choice.peer = -1;
}

/* The last act; p is gone after it. */
static void over(proxy *p)
{
    conn *c = p->c;
    proxy_plan *plan = p->plan;
    bool corked = p->corked;
    release_upstream(p, UPSTREAM_UNKNOWN);
    if (p->r != NULL)
        client_cancel(p->r);
    exchange_read_cancel(p->x);
    exchange_chunk_cancel(p->x);
    list_remove(&p->link);
    proxy_plan_drop(plan);
    exchange_let_go(p->x);
    if (corked)
        conn_uncork(c);
}

static void on_abandon(exchange *x, void *arg)
{
    (void)x;
    over(arg);
}

/* Words are ours: no quote or backslash in them. */
static void refuse(proxy *p, int status, const char *code, const char *why)
{
    exchange *x = p->x;
    buf body = {0};
    buf_format(&body, "{\"error\":\"%s\",\"code\":\"%s\"}", why, code);
    x->body_fault = 0;
    exchange_status(x, status);
    exchange_add_header(x, SLICE("Content-Type"), SLICE("application/json"));
    if (status == 503)
        exchange_add_header(x, SLICE("Retry-After"), SLICE("1"));
    proxy_add_lines(x, p->own);
    exchange_finish(x, (slice){body.data, body.len});
    buf_free(&body);
    over(p);
}

/* What failed, and how it is answered -----------------------------------------------------------
 */

typedef struct {
    int status;
    const char *code, *why;
} failure;

static const failure failures[] = {
    [CLIENT_DNS] = {502, "upstream_dns", "the upstream's name has no address"},
    [CLIENT_REFUSED] = {502, "upstream_refused", "the upstream's address may not be used"},
    [CLIENT_CONNECT] = {502, "upstream_connect", "the upstream can't be reached"},
    [CLIENT_TLS] = {502, "upstream_tls", "there is no safe connection to the upstream"},
    [CLIENT_TIMEOUT] = {504, "upstream_timeout", "the upstream did not answer in time"},
    [CLIENT_RESET] = {502, "upstream_reset", "the upstream ended the connection"},
    [CLIENT_BAD_RESPONSE] = {502, "upstream_bad_response", "the upstream's answer is no HTTP"},
    [CLIENT_TOO_LARGE] = {502, "upstream_bad_response", "the upstream's answer is too large"},
    [CLIENT_BUSY] = {503, "upstream_busy", "too many requests wait for the upstream"},
};

static void log_failure(const proxy *p, client_code code, const char *why)
{
    slice url = upstream_get(p->plan->to, (size_t)p->choice.peer)->url;
    log_warn("an upstream failed", LOG_SLICE("upstream", url), LOG_TEXT("why", why),
             LOG_TEXT("code", client_code_word(code)), LOG_SLICE("request_id", exchange_id(p->x)));
}

static bool may_try_another(const proxy *p, bool was_sent)
{
    bool first = (p->tried & (p->tried - 1)) == 0;
    return first && !p->started_body && upstream_count(p->plan->to) > 1 &&
           (!was_sent || (p->stream == 0 && client_idempotent(exchange_method(p->x))));
}

/* A server without a stand-in is put out only when it can't be reached: a client who knows one slow
 * address of it must not be able to take it away from all others. */
static upstream_verdict verdict_of(const proxy *p, client_code code, bool was_sent)
{
    bool ours = code == CLIENT_BUSY || code == CLIENT_REFUSED;
    bool alone = upstream_count(p->plan->to) == 1;
    return ours || (alone && was_sent) ? UPSTREAM_UNKNOWN : UPSTREAM_BAD;
}

static void on_end(client_request *r, client_code code, const char *why)
{
    proxy *p = client_owner(r);
    bool was_sent = client_was_sent(r);
    p->r = NULL;
    if (code == CLIENT_OK) {
        release_upstream(p, UPSTREAM_GOOD);
        exchange_chunks_end(p->x);
        over(p);
        return;
    }
    log_failure(p, code, why);
    release_upstream(p, verdict_of(p, code, was_sent));
    if (p->begun) {
        exchange_cut(p->x);
        over(p);
    } else if (may_try_another(p, was_sent)) {
        metrics_add(METRIC_CLIENT_RETRIES, 1);
        ask(p);
    } else {
        refuse(p, failures[code].status, failures[code].code, failures[code].why);
    }
}

/* The answer ----------------------------------------------------------------------------------- */

static void cork(proxy *p)
{
    p->c = exchange_conn(p->x);
    if (!p->corked && p->c != NULL)
        p->corked = conn_cork(p->c);
}

static void on_head(client_request *r, const client_answer *a)
{
    proxy *p = client_owner(r);
    exchange *x = p->x;
    upstream_judge(p->plan->to, &p->choice, UPSTREAM_GOOD);
    metrics_time(METRIC_UPSTREAM_SECONDS, upstream_get(p->plan->to, (size_t)p->choice.peer)->url,
                 clock_us() - p->asked_us);
    cork(p);
    p->events = proxy_begin_answer(x, a, p->own);
    p->begun = true;
    if (a->length >= 0)
        exchange_sized_begin(x, (uint64_t)a->length);
    else
        exchange_chunks_begin(x);
    if (exchange_answered(x)) /* the request turned out broken meanwhile */
        over(p);
}

static void on_writable_client(exchange *x, void *arg)
{
    (void)x;
    proxy *p = arg;
    if (p->r != NULL)
        client_resume(p->r);
}

static void on_body(client_request *r, slice data)
{
    proxy *p = client_owner(r);
    cork(p);
    exchange_chunk(p->x, data);
}

/* Only now, with the batch gone, the queue tells whether the client keeps up. */
static void on_pause(client_request *r)
{
    proxy *p = client_owner(r);
    uncork(p);
    if (p->begun && exchange_chunk_wait(p->x, on_writable_client, p))
        client_pause(r);
}

static void on_upgrade(client_request *r, const client_answer *a, conn *c, slice rest)
{
    proxy *p = client_owner(r);
    exchange *x = p->x;
    p->r = NULL;
    proxy_begin_answer(x, a, p->own);
    exchange_add_header(x, SLICE("Upgrade"), SLICE("websocket"));
    buf early = exchange_take_rest(x);
    conn *near = exchange_take(x, rest);
    if (near != NULL) {
        tunnel_start(near, c, p->plan->idle_ms);
        conn_write(c, early.data, early.len);
    } else {
        conn_abort(c);
    }
    buf_free(&early);
    release_upstream(p, UPSTREAM_GOOD);
    over(p);
}

/* The request's body --------------------------------------------------------------------------- */

static void pump(proxy *p);

/* False: over. */
static bool take_piece(proxy *p, body_status status, slice data)
{
    uint64_t limit = p->plan->body_limit;
    if (status == BODY_WHOLE) {
        p->taken += data.n;
        if (limit != 0 && p->taken > limit)
            status = BODY_LARGE;
    }
    switch (status) {
    case BODY_WHOLE:
        p->started_body = true;
        client_send(p->r, data);
        return true;
    case BODY_END:
        p->body_ended = true;
        client_send_end(p->r);
        return true;
    case BODY_LARGE:
    case BODY_SLOW:
    case BODY_ABORTED:
        break;
    default:
        return true;
    }
    if (p->begun) {
        exchange_cut(p->x);
        over(p);
    } else {
        int answer = status == BODY_LARGE ? 413 : status == BODY_SLOW ? 408 : 400;
        refuse(p, answer, "bad_body", body_fault_text(answer));
    }
    return false;
}

static void on_request_body(exchange *x, body_status status, slice data, void *arg)
{
    (void)x;
    proxy *p = arg;
    if (p->r != NULL && take_piece(p, status, data))
        pump(p);
}

static void pump(proxy *p)
{
    while (p->r != NULL && !p->body_ended && client_room(p->r)) {
        slice data;
        body_status status = exchange_read_some(p->x, &data, on_request_body, p);
        if (status == BODY_WAIT || !take_piece(p, status, data))
            return;
    }
}

static void on_writable(client_request *r)
{
    proxy *p = client_owner(r);
    if (p->r == NULL)
        return; /* inside client_start */
    exchange_read_cancel(p->x);
    pump(p);
}

/* Asking --------------------------------------------------------------------------------------- */

static const client_ops ops = {on_head, on_body, on_end, on_writable, on_upgrade, on_pause};

static void fill_call(const proxy *p, const upstream_peer *peer, client_call *call)
{
    const proxy_plan *plan = p->plan;
    *call = (client_call){.host = peer->host,
                          .port = peer->port,
                          .path = peer->path,
                          .tls = peer->tls,
                          .insecure = plan->insecure,
                          .allow_internal = plan->allow_internal,
                          .method = exchange_method(p->x),
                          .body = p->whole,
                          .stream = p->whole.n > 0 ? 0 : p->stream,
                          .has_stream = p->whole.n == 0 && p->stream != 0,
                          .upgrade = p->upgrade,
                          .connect_ms = plan->connect_ms,
                          .first_byte_ms = plan->first_byte_ms,
                          .idle_ms = plan->idle_ms};
}

static slice host_for(const proxy *p, const upstream_peer *peer)
{
    slice host = exchange_header(p->x, SLICE("host"));
    return p->plan->keep_host && host.p != NULL ? host : peer->authority;
}

static void empty(buf *b)
{
    b->len = 0;
    if (b->cap > KEPT_BUF)
        buf_free(b);
}

static void start(proxy *p, const upstream_peer *peer)
{
    client_call call;
    p->tried |= 1u << p->choice.peer;
    p->asked_us = clock_us();
    fill_call(p, peer, &call);
    call.host_header = host_for(p, peer);
    call.base = peer->base;
    call.target = (slice){path.data, path.len};
    call.headers = &lines;
    p->r = client_start(p->cl, &call, &ops, p);
}

static void ask(proxy *p)
{
    empty(&lines);
    empty(&path);
    proxy_refusal refusal = proxy_write_headers(p->x, &p->call, &lines);
    if (refusal.status != 0) {
        refuse(p, refusal.status, refusal.code, refusal.why);
        return;
    }
    p->choice = upstream_pick(p->plan->to, p->tried);
    if (p->choice.peer < 0) {
        refuse(p, 503, "upstream_out", "no server behind this address is fit: try again soon");
        return;
    }
    proxy_write_path(p->x, &p->call, &path);
    start(p, upstream_get(p->plan->to, (size_t)p->choice.peer));
    pump(p);
}

static int64_t body_length(const exchange *x)
{
    if (x->body_done)
        return (int64_t)x->body.len;
    return x->hc->is_chunked ? CLIENT_CHUNKED : (int64_t)x->body_declared;
}

static bool body_too_large(const proxy *p)
{
    uint64_t limit = p->plan->body_limit;
    return limit != 0 && p->stream > 0 && (uint64_t)p->stream > limit;
}

static slice keep(exchange *x, slice text)
{
    return text.p == NULL ? text : (slice){arena_copy(&x->arena, text.p, text.n), text.n};
}

static proxy *new_proxy(exchange *x, client *cl, const proxy_call *call)
{
    proxy *p = arena_alloc(&x->arena, sizeof *p);
    *p = (proxy){.x = x,
                 .cl = cl,
                 .plan = proxy_plan_hold((proxy_plan *)call->plan),
                 .call = {call->plan, keep(x, call->set), keep(x, call->path)},
                 .choice = {.peer = -1},
                 .own = keep(x, (slice){x->out.data, x->out.len}),
                 .stream = body_length(x)};
    if (x->body_done && x->body.len > 0)
        p->whole = (slice){x->body.data, x->body.len};
    p->upgrade = p->stream == 0 && x->minor == 1 && ws_wanted(x) &&
                 slice_eq(exchange_method(x), SLICE("GET"));
    return p;
}

void proxy_start(exchange *x, client *cl, const proxy_call *call)
{
    if (x->hc == NULL)
        return;
    proxy *p = new_proxy(x, cl, call);
    if (all.next == NULL)
        list_init(&all);
    list_append(&all, &p->link);
    exchange_keep(x, on_abandon, p);
    if (body_too_large(p))
        refuse(p, 413, "body_too_large", "the body is larger than this address takes");
    else
        ask(p);
}

void proxy_thread_exit(void)
{
    buf_free(&lines);
    buf_free(&path);
}

void proxy_end_all(void)
{
    tunnel_end_all();
    list ending;
    if (all.next == NULL)
        return;
    list_move(&all, &ending);
    while (!list_empty(&ending)) {
        proxy *p = LIST_ENTRY(ending.next, proxy, link);
        list_remove(&p->link);
        list_append(&all, &p->link);
        if (!p->events)
            continue;
        exchange_chunks_end(p->x);
        over(p);
    }
}
