/* Which headers pass, and which do not.
 *
 * Never passed: those of the connection (RFC 9110 7.6.1) and those that Connection lists, except
 * the ones that a client must not be able to make disappear (authorization, cookies, identity).
 * Written by us: framing, Host, Via, X-Forwarded-*, X-Real-IP, X-Request-ID. Not trusted from a
 * client: X-User-*, X-Tenant-* (who speaks is for us to say) and names with '_' (many servers can't
 * tell X_A from X-A); they are dropped or refused unless the plan trusts them.
 *
 * A request that has passed this process before is a loop: each process has a name of its own in
 * Via.
 *
 * What must never happen: a header of the client's that frames the upstream's request. */
#include "proxy_head.h"

#include "clock.h"
#include "forwarded.h"
#include "http_internal.h"
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

enum { VIA_MAX = 10, VIA_NAME = 24 };

static char via_name[VIA_NAME]; /* "lunacast-1f2e3d4c" */
static pthread_once_t via_once = PTHREAD_ONCE_INIT;

static uint64_t seed(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, 0) != sizeof value)
        value = clock_us();
    return value;
}

static void make_via_name(void)
{
    snprintf(via_name, sizeof via_name, "lunacast-%08x", (unsigned)(seed() & 0xffffffff));
}

static bool is_one_of(slice name, const slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_ieq(name, names[i]))
            return true;
    return false;
}

static bool begins(slice name, slice with)
{
    return name.n >= with.n && slice_ieq((slice){name.p, with.n}, with);
}

static bool of_connection(slice name)
{
    static const slice names[] = {SLICE_INIT("connection"),       SLICE_INIT("keep-alive"),
                                  SLICE_INIT("proxy-connection"), SLICE_INIT("te"),
                                  SLICE_INIT("trailer"),          SLICE_INIT("transfer-encoding"),
                                  SLICE_INIT("upgrade"),          SLICE_INIT("content-length"),
                                  SLICE_INIT("expect"),           SLICE_INIT("http2-settings")};
    return is_one_of(name, names, sizeof names / sizeof *names);
}

static bool written_by_us(slice name)
{
    static const slice names[] = {SLICE_INIT("host"),         SLICE_INIT("via"),
                                  SLICE_INIT("forwarded"),    SLICE_INIT("x-real-ip"),
                                  SLICE_INIT("x-request-id"), SLICE_INIT("proxy-authorization")};
    return is_one_of(name, names, sizeof names / sizeof *names) ||
           begins(name, SLICE("x-forwarded-"));
}

static bool untrusted(slice name)
{
    return memchr(name.p, '_', name.n) != NULL || begins(name, SLICE("x-user-")) ||
           begins(name, SLICE("x-tenant-"));
}

/* Named by a header Connection, and not one of those that it can't take away. */
static bool listed_away(const http_header *headers, size_t count, slice name)
{
    static const slice kept[] = {SLICE_INIT("authorization"), SLICE_INIT("cookie"),
                                 SLICE_INIT("content-type"), SLICE_INIT("set-cookie"),
                                 SLICE_INIT("content-encoding")};
    if (is_one_of(name, kept, sizeof kept / sizeof *kept) || untrusted(name))
        return false;
    for (size_t i = 0; i < count; i++)
        if (headers[i].name.n == 10 && slice_ieq(headers[i].name, SLICE("connection")) &&
            head_list_has(headers[i].value, name))
            return true;
    return false;
}

/* Our own request headers: NAME NUL ('=' VALUE | '-') NUL ... ------------------------------------
 */

static bool next_own(slice *rest, slice *name, slice *value)
{
    if (rest->n == 0)
        return false;
    *name = slice_of(rest->p);
    *value = slice_of(name->p + name->n + 1);
    size_t used = name->n + value->n + 2;
    *rest = (slice){rest->p + used, rest->n - used};
    return true;
}

static bool is_own(slice own, slice wanted)
{
    slice name, value;
    while (next_own(&own, &name, &value))
        if (slice_ieq(name, wanted))
            return true;
    return false;
}

static void write_own(buf *lines, slice own, slice above)
{
    slice name, value;
    while (next_own(&own, &name, &value))
        if (*value.p == '=' && !is_own(above, name))
            client_add_header(lines, name, (slice){value.p + 1, value.n - 1});
}

/* Tracing -------------------------------------------------------------------------------------- */

static bool hex_run(slice text, size_t at, size_t n)
{
    bool any = false;
    for (size_t i = at; i < at + n; i++) {
        char c = text.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        any = any || c != '0';
    }
    return any;
}

/* 00-TRACE-SPAN-FLAGS */
static bool valid_trace(slice t)
{
    return t.n == 55 && memcmp(t.p, "00-", 3) == 0 && hex_run(t, 3, 32) && t.p[35] == '-' &&
           hex_run(t, 36, 16) && t.p[52] == '-' &&
           (hex_run(t, 53, 2) || memcmp(t.p + 53, "00", 2) == 0);
}

/* splitmix64: ids must differ, not be secret. */
static uint64_t next_random(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        state = seed() | 1;
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void put_hex(buf *out, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    char *at = buf_reserve(out, 16);
    for (int i = 15; i >= 0; i--, value >>= 4)
        at[i] = digits[value & 15];
    out->len += 16;
}

static void write_new_trace(buf *lines)
{
    buf_append_slice(lines, SLICE("traceparent: 00-"));
    put_hex(lines, next_random() | 1);
    put_hex(lines, next_random());
    buf_byte(lines, '-');
    put_hex(lines, next_random() | 1);
    buf_append_slice(lines, SLICE("-01\r\n"));
}

/* The request ---------------------------------------------------------------------------------- */

static bool is_trace(slice name)
{
    return slice_ieq(name, SLICE("traceparent")) || slice_ieq(name, SLICE("tracestate"));
}

/* The number of proxies before us; -1: we are among them. */
static int count_via(slice via)
{
    int count = via.n > 0;
    for (size_t i = 0; i < via.n; i++)
        count += via.p[i] == ',';
    return via.n > 0 && memmem(via.p, via.n, via_name, strlen(via_name)) != NULL ? -1 : count;
}

static proxy_refusal check_loop(const exchange *x)
{
    int count = 0;
    for (size_t i = 0; i < x->header_count; i++) {
        if (!slice_ieq(x->headers[i].name, SLICE("via")))
            continue;
        int more = count_via(x->headers[i].value);
        if (more < 0 || (count += more) > VIA_MAX)
            return (proxy_refusal){508, "loop", "the request has come round to this gateway again"};
    }
    return (proxy_refusal){0};
}

static void write_via(const exchange *x, buf *lines)
{
    buf_text(lines, "Via: ");
    for (size_t i = 0; i < x->header_count; i++) {
        if (!slice_ieq(x->headers[i].name, SLICE("via")) || x->headers[i].value.n == 0)
            continue;
        buf_append_slice(lines, x->headers[i].value);
        buf_text(lines, ", ");
    }
    buf_append_slice(lines, x->minor == 0 ? SLICE("1.0 ") : SLICE("1.1 "));
    buf_text(lines, via_name);
    buf_append_slice(lines, SLICE("\r\n"));
}

/* The next server believes us, and we believe our trusted proxies. */
static void write_forwarded(exchange *x, buf *lines)
{
    slice from = forwarded_peer(x), host = forwarded_host(x);
    slice peer = x->hc != NULL ? slice_of(conn_peer(x->hc->c)) : from;
    buf_append_slice(lines, SLICE("X-Forwarded-For: "));
    buf_append_slice(lines, from);
    if (!slice_eq(from, peer)) {
        buf_append_slice(lines, SLICE(", "));
        buf_append_slice(lines, peer);
    }
    buf_append_slice(lines, SLICE("\r\nX-Real-IP: "));
    buf_append_slice(lines, from);
    buf_append_slice(lines, forwarded_is_tls(x) ? SLICE("\r\nX-Forwarded-Proto: https\r\n")
                                                : SLICE("\r\nX-Forwarded-Proto: http\r\n"));
    if (host.p != NULL)
        client_add_header(lines, SLICE("X-Forwarded-Host"), host);
    client_add_header(lines, SLICE("X-Request-ID"), x->id);
}

static bool passes(const exchange *x, const proxy_call *call, slice name, bool keep_trace)
{
    slice plan_own = {call->plan->set.data, call->plan->set.len};
    if (of_connection(name) || written_by_us(name) || (is_trace(name) && !keep_trace) ||
        is_own(plan_own, name) || is_own(call->set, name))
        return false;
    return !listed_away(x->headers, x->header_count, name);
}

/* Of a header that was read as one; so it needs no check as a header to be sent. */
static void add_line(buf *lines, const http_header *h)
{
    char *at = buf_reserve(lines, h->name.n + h->value.n + 4);
    memcpy(at, h->name.p, h->name.n);
    memcpy(at + h->name.n, ": ", 2);
    memcpy(at + h->name.n + 2, h->value.p, h->value.n);
    memcpy(at + h->name.n + 2 + h->value.n, "\r\n", 2);
    lines->len += h->name.n + h->value.n + 4;
}

static bool trusted(const proxy_plan *plan, slice name)
{
    return !untrusted(name) || head_list_has((slice){plan->trust.data, plan->trust.len}, name);
}

proxy_refusal proxy_write_headers(exchange *x, const proxy_call *call, buf *lines)
{
    const proxy_plan *plan = call->plan;
    pthread_once(&via_once, make_via_name);
    proxy_refusal loop = check_loop(x);
    if (loop.status != 0)
        return loop;
    bool keep_trace = valid_trace(exchange_header(x, SLICE("traceparent")));
    for (size_t i = 0; i < x->header_count; i++) {
        const http_header *h = &x->headers[i];
        if (!passes(x, call, h->name, keep_trace))
            continue;
        if (trusted(plan, h->name))
            add_line(lines, h);
        else if (plan->refuse_untrusted)
            return (proxy_refusal){400, "untrusted_header",
                                   "a header of the request is for the gateway alone to set: "
                                   "X-User-*, X-Tenant-* or a name with _"};
    }
    if (!keep_trace)
        write_new_trace(lines);
    write_forwarded(x, lines);
    write_via(x, lines);
    slice plan_own = {plan->set.data, plan->set.len};
    write_own(lines, plan_own, call->set);
    write_own(lines, call->set, (slice){0});
    return (proxy_refusal){0};
}

/* The path ------------------------------------------------------------------------------------- */

static bool stays(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

static void encode(buf *out, slice path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (stays(path.p[i]))
            buf_byte(out, path.p[i]);
        else
            buf_format(out, "%%%02X", (unsigned char)path.p[i]);
    }
}

static slice strip_segments(slice path, unsigned count)
{
    for (; count > 0 && path.n > 0; count--) {
        const char *slash = memchr(path.p + 1, '/', path.n - 1);
        size_t n = slash != NULL ? (size_t)(slash - path.p) : path.n;
        path = (slice){path.p + n, path.n - n};
    }
    return path;
}

void proxy_write_path(const exchange *x, const proxy_call *call, buf *path)
{
    slice decoded = call->path.p != NULL ? call->path : strip_segments(x->path, call->plan->strip);
    if (decoded.n == 0 || *decoded.p != '/')
        buf_byte(path, '/');
    encode(path, decoded);
    if (x->query.n == 0)
        return;
    buf_byte(path, '?');
    buf_append_slice(path, x->query);
}

/* The answer ----------------------------------------------------------------------------------- */

static bool of_our_answer(slice name)
{
    static const slice names[] = {SLICE_INIT("date"), SLICE_INIT("server"),
                                  SLICE_INIT("x-request-id"), SLICE_INIT("x-accel-redirect")};
    return is_one_of(name, names, sizeof names / sizeof *names);
}

/* Does one of the header lines have this name? */
static bool has_line(slice lines, slice name)
{
    while (lines.n > 0) {
        const char *lf = memchr(lines.p, '\n', lines.n);
        size_t n = lf != NULL ? (size_t)(lf - lines.p) + 1 : lines.n;
        if (n > name.n && lines.p[name.n] == ':' && slice_ieq((slice){lines.p, name.n}, name))
            return true;
        lines = (slice){lines.p + n, lines.n - n};
    }
    return false;
}

void proxy_add_lines(exchange *x, slice lines)
{
    buf_append_slice(&x->out, lines);
}

static void add_unless(exchange *x, slice name, slice value)
{
    if (!has_line((slice){x->out.data, x->out.len}, name))
        exchange_add_header(x, name, value);
}

bool proxy_begin_answer(exchange *x, const client_answer *a, slice own)
{
    bool events = false;
    exchange_status(x, a->status);
    for (size_t i = 0; i < a->header_count; i++) {
        const http_header *h = &a->headers[i];
        if (of_connection(h->name) || of_our_answer(h->name) || has_line(own, h->name) ||
            listed_away(a->headers, a->header_count, h->name))
            continue;
        exchange_add_header(x, h->name, h->value);
        if (slice_ieq(h->name, SLICE("content-type")))
            events = begins(h->value, SLICE("text/event-stream"));
    }
    proxy_add_lines(x, own);
    if (events) {
        add_unless(x, SLICE("Cache-Control"), SLICE("no-cache"));
        add_unless(x, SLICE("X-Accel-Buffering"), SLICE("no"));
    }
    return events;
}
