/* Reading one request from the bytes of its connection: the head by llhttp, which stops at its end;
 * the body by its length or by chunks, framed here. http_conn.c has the loop that calls these and
 * the states.
 *
 * llhttp sees each byte of a head once; the head's own rules (head.c) are applied to what has come
 * so far after each read, so that a bad request is refused as early, and with the same status,
 * however the network split it.
 *
 * What must never happen: a byte of a request body taken for a request. */
#include "http_internal.h"

static int on_headers_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED; /* bodies are framed here, not there */
}

static const llhttp_settings_t settings = {.on_headers_complete = on_headers_complete};

/* The head ---------------------------------------------------------------------------------- */

static exchange *new_exchange(http_conn *hc)
{
    exchange *x = http_worker_exchange(hc->worker);
    exchange_born(x, hc);
    hc->x = x;
    return x;
}

/* An answer of the host itself; the connection ends with it. */
void http_refuse(http_conn *hc, int status, const char *why)
{
    exchange *x = hc->x != NULL ? hc->x : new_exchange(hc);
    if (!x->announced)
        x->released = true;
    hc->body_done = true;
    exchange_refuse(x, status, why);
}

static int status_of_fault(const llhttp_t *parser, const char **why)
{
    int code = (int)llhttp_get_errno(parser);
    *why = parser->reason != NULL && *parser->reason != '\0' ? parser->reason : "malformed request";
    if (code != HPE_PAUSED_H2_UPGRADE && code != HPE_INVALID_VERSION)
        return 400;
    *why = "this server speaks HTTP/1.1 and HTTP/1.0";
    return 505;
}

static void start_body(http_conn *hc)
{
    exchange *x = hc->x;
    hc->is_chunked = (hc->parser.flags & F_CHUNKED) != 0;
    hc->body_left = hc->is_chunked ? 0 : hc->parser.content_length;
    x->body_declared = hc->body_left;
    hc->body_done = !hc->is_chunked && hc->body_left == 0;
    hc->state = H_BODY;
    if (hc->is_chunked)
        chunked_start(&hc->chunk);
    hc->window_at = conn_now(hc->c);
    hc->window_bytes = 0;
}

static void head_complete(http_conn *hc, const char *head, size_t n)
{
    const char *why = NULL;
    exchange *x = new_exchange(hc);
    hc->in_head = false;
    hc->served = true;
    int status = head_read(x, &hc->parser, head, n, &why);
    if (status != 0)
        http_refuse(hc, status, why);
    else
        start_body(hc);
}

/* Empty lines before a request are skipped (RFC 9112 2.2). */
static size_t leading_lines(slice in)
{
    size_t n = 0;
    while (in.n - n >= 2 && in.p[n] == '\r' && in.p[n + 1] == '\n')
        n += 2;
    return n;
}

/* Reads a head at the start of `in`; false: more bytes are needed. */
bool http_read_head(http_conn *hc, slice *in)
{
    const char *why = NULL;
    if (hc->fed == 0) {
        size_t skip = leading_lines(*in);
        *in = (slice){in->p + skip, in->n - skip};
        if (in->n == 0 || (in->n == 1 && *in->p == '\r'))
            return false;
        llhttp_init(&hc->parser, HTTP_REQUEST, &settings);
    }
    llhttp_errno_t code = llhttp_execute(&hc->parser, in->p + hc->fed, in->n - hc->fed);
    if (code == HPE_PAUSED) {
        size_t n = (size_t)(llhttp_get_error_pos(&hc->parser) - in->p);
        const char *head = in->p;
        *in = (slice){head + n, in->n - n};
        hc->fed = 0;
        head_complete(hc, head, n);
        return true;
    }
    size_t good = code == HPE_OK ? in->n : (size_t)(llhttp_get_error_pos(&hc->parser) - in->p);
    int status = head_check_partial(hc->handler->limits, in->p, good, &why);
    if (status == 0 && code != HPE_OK)
        status = status_of_fault(&hc->parser, &why);
    hc->fed = in->n;
    if (status == 0)
        return false;
    http_refuse(hc, status, why);
    return true;
}

/* The body ---------------------------------------------------------------------------------- */

void http_body_fault(http_conn *hc, int status)
{
    exchange *x = hc->x;
    hc->body_done = true;
    hc->deaf = true;
    if (x == NULL) {
        http_conn_close(hc);
        return;
    }
    x->body_fault = status;
    if (!x->announced)
        http_refuse(hc, status, body_fault_text(status));
    else
        body_progress(x);
}

static void take_body(http_conn *hc, slice data)
{
    hc->window_bytes += data.n;
    if (hc->x != NULL && !body_take(hc->x, data))
        http_body_fault(hc, 413);
}

static void read_plain(http_conn *hc, slice *in)
{
    slice data = {in->p, in->n < hc->body_left ? in->n : (size_t)hc->body_left};
    *in = (slice){in->p + data.n, in->n - data.n};
    hc->body_left -= data.n;
    hc->body_done = hc->body_left == 0;
    take_body(hc, data);
}

static void read_chunked(http_conn *hc, slice *in)
{
    slice data;
    switch (chunked_feed(&hc->chunk, in, &data)) {
    case CHUNKED_DATA:
        take_body(hc, data);
        break;
    case CHUNKED_DONE:
        hc->body_done = true;
        break;
    case CHUNKED_BAD:
        http_body_fault(hc, 400);
        break;
    default:
        break;
    }
}

static void answer_options(exchange *x)
{
    x->released = true;
    exchange_status(x, 204);
    exchange_add_header(x, SLICE("Allow"), SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    exchange_finish(x, SLICE(""));
}

static void announce(http_conn *hc)
{
    exchange *x = hc->x;
    x->announced = true;
    x->body_done = hc->body_done;
    if (x->id.p == NULL)
        x->id = http_worker_id(hc->worker, &x->arena);
    if (*x->path.p == '*')
        answer_options(x);
    else
        hc->handler->on_exchange(x, hc->handler->arg);
}

bool http_window_open(const http_conn *hc)
{
    return hc->x == NULL || !hc->x->announced || body_wants_more(hc->x);
}

/* False: nothing more can be done now. */
bool http_read_body(http_conn *hc, slice *in)
{
    while (!hc->body_done && in->n > 0 && hc->state == H_BODY && http_window_open(hc)) {
        if (hc->is_chunked)
            read_chunked(hc, in);
        else
            read_plain(hc, in);
    }
    exchange *x = hc->x;
    if (hc->deaf)
        in->n = 0;
    if (hc->state != H_BODY || hc->taken)
        return true;
    if (x == NULL) {
        if (hc->body_done)
            hc->state = H_HEAD;
        return hc->body_done;
    }
    if (hc->body_done)
        hc->state = H_WAIT;
    if (!x->announced)
        announce(hc);
    else
        body_progress(x);
    return hc->state != H_BODY || (in->n > 0 && !hc->taken && http_window_open(hc));
}
