/* Reading an answer, strictly: whoever stands behind us must not be able to make two readers see
 * two answers, nor to slip a second one into a connection that is used again. llhttp checks the
 * grammar of the head; the rules of framing stand here; the body is framed here too, by the code
 * that frames requests.
 *
 * Refused (CLIENT_BAD_RESPONSE, the connection is closed): two lengths, length and coding together,
 * any coding but chunked, a coding in HTTP/1.0, a body with 204, 101 that nobody asked for, more
 * than 16 interim answers, a head over the limit, lines that do not end with CRLF.
 *
 * What must never happen: a byte after an answer taken for the next one. */
#include "client_internal.h"
#include "http_internal.h"

static int on_headers_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_headers_complete = on_headers_complete};

void client_read_start(client_link *l)
{
    l->fed = 0;
    llhttp_init(&l->parser, HTTP_RESPONSE, &settings);
}

static void fail(client_link *l, client_code code, const char *why)
{
    client_request *r = l->r;
    l->r = NULL;
    r->link = NULL;
    r->was_sent = true;
    client_link_close(l, true);
    client_finish(r, code, why);
}

static bool bad(client_link *l, const char *why)
{
    fail(l, CLIENT_BAD_RESPONSE, why);
    return false;
}

/* The whole answer has come. */
static void complete(client_link *l, size_t left_over)
{
    client_request *r = l->r;
    bool sent = !r->has_stream || r->stream_ended;
    l->r = NULL;
    r->link = NULL;
    if (l->keep && sent && left_over == 0 && !l->ended && conn_queued(l->c) == 0)
        client_keep(l);
    else
        client_link_close(l, left_over > 0);
    client_finish(r, CLIENT_OK, NULL);
}

/* The head ------------------------------------------------------------------------------------- */

typedef struct {
    int lengths, codings;
    slice length, coding;
    bool close;
} framing;

static framing find_framing(const client_answer *a)
{
    framing f = {0};
    for (size_t i = 0; i < a->header_count; i++) {
        const http_header *h = &a->headers[i];
        if (slice_ieq(h->name, SLICE("content-length"))) {
            f.lengths++;
            f.length = h->value;
        } else if (slice_ieq(h->name, SLICE("transfer-encoding"))) {
            f.codings++;
            f.coding = h->value;
        } else if (slice_ieq(h->name, SLICE("connection"))) {
            f.close = f.close || head_list_has(h->value, SLICE("close"));
        }
    }
    return f;
}

static bool read_length(slice digits, int64_t *length)
{
    int64_t value = 0;
    if (digits.n == 0 || digits.n > 18)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        value = value * 10 + (digits.p[i] - '0');
    }
    *length = value;
    return true;
}

/* NULL, or what is wrong. */
static const char *check_framing(client_answer *a, const framing *f)
{
    if (f->lengths > 1)
        return "the answer has two lengths";
    if (f->lengths > 0 && f->codings > 0)
        return "the answer has both a length and a transfer coding";
    if (f->codings > 1 || (f->codings == 1 && !slice_ieq(f->coding, SLICE("chunked"))))
        return "the answer has a transfer coding other than chunked";
    if (f->codings > 0 && a->minor == 0)
        return "the answer has a transfer coding in HTTP/1.0";
    if (f->lengths > 0 && !read_length(f->length, &a->length))
        return "the answer's Content-Length is no number";
    if ((a->status < 200 || a->status == 204) && (f->codings > 0 || a->length > 0))
        return "the answer has a body where its status allows none";
    return NULL;
}

/* "HTTP/1.1 200 OK\r"; llhttp has seen it already, which takes more than this. */
static bool read_status_line(slice line, client_answer *a)
{
    if (line.n < 13 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[line.n - 1] != '\r' ||
        line.p[8] != ' ' || (line.p[7] != '0' && line.p[7] != '1'))
        return false;
    a->minor = line.p[7] - '0';
    for (size_t i = 9; i < 12; i++) {
        if (line.p[i] < '0' || line.p[i] > '9')
            return false;
        a->status = a->status * 10 + (line.p[i] - '0');
    }
    return a->status >= 100 && a->status <= 599 && (line.p[12] == ' ' || line.n == 13) &&
           head_is_clean((slice){line.p, line.n - 1});
}

static const char *parse_head(client_link *l, slice head, client_answer *a, framing *f)
{
    const char *why = NULL;
    arena *memory = &l->r->memory;
    const char *copy = arena_copy(memory, head.p, head.n);
    const char *lf = memchr(copy, '\n', head.n);
    http_header *headers;
    *a = (client_answer){.length = -1, .head = {copy, head.n}};
    if (!read_status_line((slice){copy, (size_t)(lf - copy)}, a))
        return "the answer does not begin with a status line of HTTP/1.1";
    if (head_split(memory, lf + 1, copy + head.n, l->origin->cl->options.headers, &headers,
                   &a->header_count, &why) != 0)
        return why;
    a->headers = headers;
    *f = find_framing(a);
    return check_framing(a, f);
}

static bool has_body(const client_link *l, const client_answer *a)
{
    return !l->r->is_head && a->status != 204 && a->status != 304;
}

static void choose_framing(client_link *l, const client_answer *a, const framing *f)
{
    l->keep = a->minor == 1 && !f->close;
    l->left = 0;
    if (!has_body(l, a)) {
        l->state = LINK_LENGTH;
    } else if (f->codings > 0) {
        l->state = LINK_CHUNKED;
        chunked_start(&l->chunk);
    } else if (a->length >= 0) {
        l->state = LINK_LENGTH;
        l->left = (uint64_t)a->length;
    } else {
        l->state = LINK_UNTIL_CLOSE;
        l->keep = false;
    }
}

static bool upgrade(client_link *l, const client_answer *a, slice *in)
{
    client_request *r = l->r;
    conn *c = l->c;
    if (!r->upgrade)
        return bad(l, "the answer is 101, which nobody asked for");
    slice rest = *in;
    *in = (slice){in->p + in->n, 0};
    l->r = NULL;
    r->link = NULL;
    l->state = LINK_HEAD;
    conn_set_owner(c, NULL, NULL);
    r->ops->on_upgrade(r, a, c, rest);
    client_end(r);
    l->taken = true;
    return false;
}

static bool head_complete(client_link *l, slice head, slice *in)
{
    client_answer answer;
    framing f = {0};
    client_request *r = l->r;
    const char *problem = parse_head(l, head, &answer, &f);
    if (problem != NULL)
        return bad(l, problem);
    client_read_start(l);
    if (answer.status == 101)
        return upgrade(l, &answer, in);
    if (answer.status < 200) {
        arena_reset(&r->memory);
        return ++l->interim <= CLIENT_INTERIM_MAX || bad(l, "there is no end of interim answers");
    }
    choose_framing(l, &answer, &f);
    client_arm(r, r->idle_ms);
    r->ops->on_head(r, &answer);
    return true;
}

/* False: more bytes are needed, or it is over. */
static bool read_head(client_link *l, slice *in)
{
    if (in->n == 0)
        return false;
    size_t limit = l->origin->cl->options.header_block;
    llhttp_errno_t code = llhttp_execute(&l->parser, in->p + l->fed, in->n - l->fed);
    if (code == HPE_PAUSED) {
        size_t n = (size_t)(llhttp_get_error_pos(&l->parser) - in->p);
        slice head = {in->p, n};
        *in = (slice){in->p + n, in->n - n};
        return n <= limit ? head_complete(l, head, in) : bad(l, "the answer's head is too large");
    }
    l->fed = in->n;
    if (code != HPE_OK)
        return bad(l, "the answer is not HTTP/1.1");
    return in->n <= limit ? false : bad(l, "the answer's head is too large");
}

/* The body ------------------------------------------------------------------------------------- */

static void give(client_link *l, slice data)
{
    client_request *r = l->r;
    if (r->idle_ms != 0)
        client_arm(r, r->idle_ms);
    r->ops->on_body(r, data);
}

static bool read_length_body(client_link *l, slice *in)
{
    slice data = {in->p, in->n < l->left ? in->n : (size_t)l->left};
    *in = (slice){in->p + data.n, in->n - data.n};
    l->left -= data.n;
    if (data.n > 0)
        give(l, data);
    if (l->r != NULL && l->left == 0 && !l->paused)
        complete(l, in->n);
    return false;
}

static bool read_chunked_body(client_link *l, slice *in)
{
    slice data;
    switch (chunked_feed(&l->chunk, in, &data)) {
    case CHUNKED_DATA:
        give(l, data);
        return true;
    case CHUNKED_DONE:
        complete(l, in->n);
        return false;
    case CHUNKED_BAD:
        return bad(l, "the answer's chunks are malformed");
    default:
        return false;
    }
}

static bool step(client_link *l, slice *in)
{
    switch (l->state) {
    case LINK_HEAD:
        return read_head(l, in);
    case LINK_LENGTH:
        return read_length_body(l, in);
    case LINK_CHUNKED:
        return in->n > 0 && read_chunked_body(l, in);
    default:
        if (in->n > 0)
            give(l, *in);
        *in = (slice){in->p + in->n, 0};
        return false;
    }
}

/* The loop ------------------------------------------------------------------------------------- */

static void peer_ended(client_link *l)
{
    client_request *r = l->r;
    if (l->state == LINK_UNTIL_CLOSE) {
        complete(l, 0);
        return;
    }
    bool silent = l->reused && !l->heard;
    l->r = NULL;
    r->link = NULL;
    r->was_sent = true;
    client_link_close(l, true);
    client_lost(r, silent, CLIENT_RESET,
                "the upstream ended the connection before the answer was whole");
}

static void process(client_link *l, const char *data, size_t n)
{
    buf held = l->saved;
    slice in = {data, n};
    l->saved = (buf){0};
    if (held.len > 0) {
        buf_append(&held, data, n);
        in = (slice){held.data, held.len};
    }
    l->processing = true;
    while (l->r != NULL && !l->paused && step(l, &in))
        ;
    l->processing = false;
    if (l->r != NULL)
        buf_append_slice(&l->saved, in);
    buf_free(&held);
    if (l->taken)
        client_link_taken(l);
    else if (l->r != NULL && l->ended && !l->paused)
        peer_ended(l);
    else if (l->r != NULL && l->r->ops->on_pause != NULL)
        l->r->ops->on_pause(l->r);
}

void client_read(client_link *l, const char *data, size_t n)
{
    if (data == NULL)
        l->ended = true;
    if (l->r == NULL) {
        if (!conn_closing(l->c)) /* idle: its end, or bytes that nobody asked for */
            client_link_close(l, n > 0);
        return;
    }
    if (n > 0)
        l->heard = true;
    if (!l->processing)
        process(l, data, n);
}
