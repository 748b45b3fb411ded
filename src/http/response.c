/* The answer. Header lines gather in x->out as the handler adds them, checked byte by byte; the
 * head is rendered in one piece into the connection's batch when its length is known. Rejected:
 * writing the head as it comes, which would commit to a length and a status too early.
 *
 * What must never happen: a CR, LF or NUL of a script on the wire outside a body; two framings. */
#include "http_internal.h"

#include "forwarded.h"
#include "metrics.h"
#include "status.h"

/* Building the head ---------------------------------------------------------------------------- */

void exchange_status(exchange *x, int status)
{
    x->status = status >= 100 && status <= 999 ? status : 500;
    x->out.len = 0;
    x->etag_at = x->type_n = 0;
    x->encoded = false;
}

static bool of_host(slice name)
{
    static const slice names[] = {
        {"date", 4},          {"server", 6},          {"connection", 10},       {"keep-alive", 10},
        {"x-request-id", 12}, {"content-length", 14}, {"transfer-encoding", 17}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_ieq(name, names[i]))
            return true;
    return false;
}

static void note_type(exchange *x, slice type, size_t at)
{
    x->type_at = at;
    x->type_n = type.n;
}

static void note(exchange *x, slice name, slice value, size_t at)
{
    if (name.n == 12 && slice_ieq(name, SLICE("content-type"))) {
        note_type(x, value, at);
    } else if (name.n == 4 && slice_ieq(name, SLICE("etag"))) {
        x->etag_at = value.n > 0 && *value.p == '"' ? at : 0;
    } else if (slice_ieq(name, SLICE("content-encoding")) ||
               slice_ieq(name, SLICE("content-range"))) {
        x->encoded = true;
    }
}

bool response_header_fits(slice name, slice value)
{
    return head_is_token(name.p, name.n) && head_is_clean(value) && !of_host(name);
}

static void put_header(exchange *x, slice name, slice value)
{
    char *room = buf_reserve(&x->out, name.n + value.n + 4);
    memcpy(room, name.p, name.n);
    memcpy(room + name.n, ": ", 2);
    if (value.n > 0)
        memcpy(room + name.n + 2, value.p, value.n);
    memcpy(room + name.n + 2 + value.n, "\r\n", 2);
    x->out.len += name.n + value.n + 4;
}

int exchange_add_header(exchange *x, slice name, slice value)
{
    if (!response_header_fits(name, value))
        return -1;
    note(x, name, value, x->out.len + name.n + 2);
    put_header(x, name, value);
    return 0;
}

int exchange_add_type(exchange *x, slice type)
{
    if (!head_is_clean(type))
        return -1;
    note_type(x, type, x->out.len + sizeof "Content-Type: " - 1);
    put_header(x, SLICE("Content-Type"), type);
    return 0;
}

static char *put(char *at, slice s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_uint(char *at, uint64_t value)
{
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(at, (slice){digits + n, sizeof digits - n});
}

static bool status_has_body(const exchange *x)
{
    return x->status >= 200 && x->status != 204 && x->status != 304;
}

static char *put_framing(const exchange *x, char *at, answer_length kind, uint64_t length)
{
    if (kind == LENGTH_CHUNKED && status_has_body(x))
        return put(at, SLICE("Transfer-Encoding: chunked\r\n"));
    if (kind != LENGTH_KNOWN || !status_has_body(x))
        return at;
    at = put_uint(put(at, SLICE("Content-Length: ")), length);
    return put(at, SLICE("\r\n"));
}

static char *put_connection(const exchange *x, char *at)
{
    if (x->status == 101)
        return put(at, SLICE("Connection: Upgrade\r\n"));
    if (!x->keep)
        return put(at, SLICE("Connection: close\r\n"));
    return x->minor == 0 ? put(at, SLICE("Connection: keep-alive\r\n")) : at;
}

static void decide_keep(exchange *x, answer_length kind)
{
    const http_conn *hc = x->hc;
    bool unread = x->expect && !hc->body_done; /* nobody said 100 Continue: will it come or not? */
    x->keep = x->keep && !hc->draining && !hc->deaf && !unread && http_conn_body_small(hc) &&
              kind != LENGTH_UNTIL_CLOSE && (kind != LENGTH_NONE || x->is_head);
}

void response_head(exchange *x, answer_length kind, uint64_t length)
{
    conn *c = x->hc->c;
    decide_keep(x, kind);
    if (x->defaults != NULL)
        response_add_defaults(x);
    if (x->id.p == NULL)
        x->id = http_worker_id(x->worker, &x->arena);
    char *start = conn_reserve(c, 512 + x->out.len + x->id.n), *at = start;
    at = put(at, SLICE("HTTP/1.1 ")); /* our version, whatever the request's (RFC 9110 6.2) */
    at = put_uint(at, (uint64_t)x->status);
    at = put(at, SLICE(" "));
    at = put(at, status_reason(x->status));
    at = put(at, SLICE("\r\n"));
    at = put(at, http_worker_date(x->worker, conn_now(c)));
    at = put(at, (slice){x->out.data, x->out.len});
    at = put_framing(x, at, kind, length);
    at = put_connection(x, at);
    at = put(put(at, SLICE("X-Request-ID: ")), x->id);
    at = put(at, SLICE("\r\n\r\n"));
    x->begun = true;
    x->sent += (uint64_t)(at - start);
    conn_commit(c, (size_t)(at - start));
}

/* Sending -------------------------------------------------------------------------------------- */

bool response_has_body(const exchange *x)
{
    return !x->is_head && status_has_body(x);
}

void response_body(exchange *x, slice data)
{
    x->sent += data.n;
    conn_write(x->hc->c, data.p, data.n);
}

void response_done(exchange *x)
{
    http_conn *hc = x->hc;
    bool keep = x->keep;
    exchange_settle(x, x->status);
    http_conn_answered(hc, keep);
}

/* True: there is nobody to answer, or an answer was given already. */
static bool too_late(exchange *x)
{
    bool late = x->answered || x->hc == NULL;
    x->answered = true;
    return late;
}

/* True: a head is on the wire already, and this answer would be a second one. What the peer has got
 * must not look whole. */
static bool begun_already(exchange *x)
{
    if (!x->begun || x->answered || x->hc == NULL)
        return false;
    conn_abort(x->hc->c);
    return true;
}

/* True: the request turned out broken, and that is the answer instead of a success. */
static bool broken(exchange *x)
{
    if (x->hc == NULL || x->answered || x->body_fault == 0 || x->status >= 400)
        return false;
    exchange_refuse(x, x->body_fault, body_fault_text(x->body_fault));
    return true;
}

void exchange_finish(exchange *x, slice body)
{
    if (begun_already(x) || broken(x) || too_late(x))
        return;
    conn *c = x->hc->c;
    bool corked = conn_cork(c);
    gzip_answer(x, &body);
    response_head(x, LENGTH_KNOWN, body.n);
    if (response_has_body(x) && body.n > 0)
        response_body(x, body);
    response_done(x);
    if (corked)
        conn_uncork(c);
}

void exchange_chunks_begin(exchange *x)
{
    if (x->hc == NULL || x->answered || begun_already(x) || broken(x))
        return;
    x->chunking = x->minor > 0 && response_has_body(x);
    response_head(x, x->minor > 0 ? LENGTH_CHUNKED : LENGTH_UNTIL_CLOSE, 0);
}

void exchange_sized_begin(exchange *x, uint64_t length)
{
    if (x->hc == NULL || x->answered || begun_already(x) || broken(x))
        return;
    x->sized = response_has_body(x);
    x->size_left = length;
    response_head(x, LENGTH_KNOWN, length);
}

static slice chunk_line(char line[20], size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *at = line + 18;
    memcpy(at, "\r\n", 2);
    do {
        *--at = digits[n & 15];
        n >>= 4;
    } while (n > 0);
    return (slice){at, (size_t)(line + 20 - at)};
}

void exchange_chunk(exchange *x, slice data)
{
    if (x->hc == NULL || !x->begun || x->answered || data.n == 0 || !response_has_body(x))
        return;
    conn *c = x->hc->c;
    if (conn_queued(c) > CHUNKS_LIMIT) { /* the peer does not read: it is told by a reset */
        metrics_add(METRIC_ANSWERS_CUT, 1);
        conn_abort(c);
        return;
    }
    if (x->sized && data.n > x->size_left) {
        conn_abort(c);
        return;
    }
    x->size_left -= x->sized ? data.n : 0;
    char line[20];
    bool corked = conn_cork(c);
    if (x->chunking)
        response_body(x, chunk_line(line, data.n));
    response_body(x, data);
    if (x->chunking)
        response_body(x, SLICE("\r\n"));
    if (corked)
        conn_uncork(c);
}

bool exchange_chunk_wait(exchange *x, void (*on_writable)(exchange *x, void *arg), void *arg)
{
    if (x->hc == NULL || x->answered || conn_queued(x->hc->c) <= CHUNKS_WAIT)
        return false;
    if (x->writable_arg != arg)
        response_drained(x); /* there is one writer that waits */
    x->on_writable = on_writable;
    x->writable_arg = arg;
    return true;
}

void exchange_chunk_cancel(exchange *x)
{
    x->on_writable = NULL;
}

void response_drained(exchange *x)
{
    void (*on_writable)(exchange *, void *) = x->on_writable;
    x->on_writable = NULL;
    if (on_writable != NULL)
        on_writable(x, x->writable_arg);
}

void exchange_chunks_end(exchange *x)
{
    if (!x->begun || too_late(x))
        return;
    conn *c = x->hc->c;
    if (x->sized && x->size_left > 0) {
        conn_abort(c);
        return;
    }
    bool corked = conn_cork(c);
    if (x->chunking)
        response_body(x, SLICE("0\r\n\r\n"));
    response_done(x);
    if (corked)
        conn_uncork(c);
}

void exchange_cut(exchange *x)
{
    http_conn *hc = x->hc;
    if (!x->begun || too_late(x))
        return;
    metrics_add(METRIC_ANSWERS_CUT, 1);
    if (!x->chunking && !x->sized) { /* its end is the connection's: only a reset can say it */
        conn_abort(hc->c);
        return;
    }
    exchange_settle(x, x->status);
    http_conn_answered(hc, false);
}

/* Of a proxy's connections, those that become streams are their clients' own. */
static bool gives_excess(exchange *x)
{
    if (x->hc == NULL || x->answered || x->is_head)
        return false;
    slice peer = forwarded_peer(x);
    conn *c = x->hc->c;
    if (slice_eq(peer, slice_of(conn_peer(c))))
        return false; /* looked at when it was accepted */
    conn_set_peer(c, peer);
    if (conn_excess(c) == 0)
        return false;
    exchange_refuse(x, 503, conn_note_excess(c));
    return true;
}

/* False: answered otherwise, or nobody is there. */
static bool may_take(exchange *x)
{
    if (begun_already(x) || broken(x))
        return false;
    if (x->hc != NULL && x->status == 101 && !x->hc->body_done) {
        exchange_refuse(x, 400, "an upgrade has no body");
        return false;
    }
    if (gives_excess(x) || too_late(x))
        return false;
    if (x->is_head) {
        x->keep = false; /* as after the GET: its end is the connection's */
        response_head(x, LENGTH_NONE, 0);
        response_done(x);
        return false;
    }
    if (conn_peer_ended(x->hc->c))
        conn_abort(x->hc->c);
    return !conn_closing(x->hc->c);
}

buf exchange_take_rest(exchange *x)
{
    buf rest = {0};
    if (x->hc == NULL)
        return rest;
    rest = x->hc->saved;
    x->hc->saved = (buf){0};
    return rest;
}

conn *exchange_take(exchange *x, slice first)
{
    if (!may_take(x))
        return NULL;
    http_conn *hc = x->hc;
    bool corked = conn_cork(hc->c);
    response_head(x, LENGTH_NONE, 0);
    if (first.n > 0)
        response_body(x, first);
    conn *c = http_conn_take(hc);
    exchange_settle(x, x->status);
    if (corked)
        conn_uncork(c);
    return c;
}

/* Errors of the host --------------------------------------------------------------------------- */

static void put_json(buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            buf_byte(b, '\\');
        if (byte < 0x20)
            buf_format(b, "\\u%04x", byte);
        else
            buf_byte(b, (char)byte);
    }
}

void exchange_fail(exchange *x, int status, const char *code, const char *message, bool close)
{
    if (begun_already(x))
        return;
    if (x->hc == NULL || x->answered) {
        x->answered = true;
        return;
    }
    buf body = {0};
    buf_text(&body, "{\"error\":\"");
    put_json(&body, message);
    buf_text(&body, "\",\"code\":\"");
    put_json(&body, code);
    buf_text(&body, "\"}");
    x->body_fault = 0;
    x->keep = x->keep && !close;
    exchange_status(x, status);
    exchange_add_type(x, SLICE("application/json"));
    if (status == 503)
        exchange_add_header(x, SLICE("Retry-After"), SLICE("1"));
    exchange_finish(x, (slice){body.data, body.len});
    buf_free(&body);
}

static const char *code_of(int status)
{
    switch (status) {
    case 408:
        return "request_timeout";
    case 413:
        return "body_too_large";
    case 414:
        return "uri_too_long";
    case 417:
        return "expectation_failed";
    case 431:
        return "headers_too_large";
    case 501:
        return "not_implemented";
    case 503:
        return "full";
    case 505:
        return "version_not_supported";
    default:
        return "bad_request";
    }
}

void exchange_refuse(exchange *x, int status, const char *why)
{
    exchange_fail(x, status, code_of(status), why, true);
}
