/* The request is written by hand, the answer is read by llhttp: it may come through a proxy, in
 * chunks, or end with the connection. No redirects, since a password would follow them to wherever
 * they point; no connection is used twice.
 *
 *   WAITING --answer, failure, deadline (finish)--> DONE       any --fetch_abandon--> DONE
 *
 * Owner: the caller, until on_answer or fetch_abandon; then itself, until its transport is gone.
 * What must never happen: on_answer twice or after fetch_abandon; a request left in memory that is
 * not wiped, since it may hold a password. */
#include "fetch.h"

#include "buf.h"
#include "mem.h"
#include "transport.h"
#include <llhttp.h>
#include <openssl/crypto.h>
#include <stdlib.h>

struct fetch {
    transport *transport;
    bool done, complete;
    size_t come; /* bytes of the answer */
    llhttp_t parser;
    buf request, body;
    void (*on_answer)(void *owner, const fetch_answer *answer);
    void *owner;
};

static void wipe(buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->len);
    buf_free(b);
}

static void on_gone(void *owner)
{
    fetch *f = owner;
    wipe(&f->request);
    wipe(&f->body);
    free(f);
}

void fetch_abandon(fetch *f)
{
    f->done = true;
    transport_abandon(f->transport);
}

static void finish(fetch *f, const fetch_answer *answer)
{
    if (f->done)
        return;
    fetch_abandon(f);
    f->on_answer(f->owner, answer);
}

static void fail(fetch *f, const char *word, const char *text)
{
    finish(f, &(fetch_answer){.word = word, .body = slice_of(text)});
}

/* The answer -------------------------------------------------------------------------------- */

static int on_body(llhttp_t *parser, const char *data, size_t n)
{
    fetch *f = parser->data;
    buf_append(&f->body, data, n);
    return 0;
}

/* What announces another answer (1xx) is not it. */
static int on_complete(llhttp_t *parser)
{
    fetch *f = parser->data;
    f->complete = parser->status_code >= 200;
    return f->complete ? HPE_PAUSED : 0;
}

static const llhttp_settings_t settings = {.on_body = on_body, .on_message_complete = on_complete};

static void take(fetch *f, llhttp_errno_t code)
{
    if (f->complete)
        finish(f, &(fetch_answer){.status = f->parser.status_code,
                                  .body = {f->body.data ? f->body.data : "", f->body.len}});
    else if (code != HPE_OK)
        fail(f, "bad_answer", "that is no answer of an HTTP server");
}

static void on_bytes(void *owner, slice plain)
{
    fetch *f = owner;
    if (f->done)
        return;
    f->come += plain.n;
    if (f->come > FETCH_MAX)
        fail(f, "bad_answer", "the server's answer is too large");
    else
        take(f, llhttp_execute(&f->parser, plain.p, plain.n));
}

/* A body without a length ends with the connection. */
static void on_end(void *owner, const char *word, const char *text)
{
    fetch *f = owner;
    if (strcmp(word, "lost") == 0)
        llhttp_finish(&f->parser);
    if (f->complete)
        take(f, HPE_OK);
    fail(f, word, text);
}

static void on_alarm(void *owner)
{
    fail(owner, "timeout", "the server has not answered in time");
}

static void on_drain(void *owner)
{
    (void)owner;
}

/* The request ------------------------------------------------------------------------------- */

static void on_ready(void *owner)
{
    fetch *f = owner;
    transport_write(f->transport, (slice){f->request.data, f->request.len});
    wipe(&f->request);
}

static void put_request(fetch *f, const url_parts *url, const char *target, slice body)
{
    buf *out = &f->request;
    buf_reserve(out, body.n + url->authority.n + strlen(target) + 256); /* no copy left behind */
    buf_text(out, "POST ");
    buf_text(out, target);
    buf_text(out, " HTTP/1.1\r\nHost: ");
    buf_append_slice(out, url->authority);
    buf_text(out, "\r\nContent-Type: application/json\r\nAccept: application/json"
                  "\r\nConnection: close\r\nContent-Length: ");
    buf_uint(out, body.n);
    buf_text(out, "\r\n\r\n");
    buf_append_slice(out, body);
}

fetch *fetch_post(uv_loop_t *loop, const url_parts *url, tls_context *tls, const char *target,
                  slice body, unsigned ms,
                  void (*on_answer)(void *owner, const fetch_answer *answer), void *owner)
{
    static const transport_events ours = {on_ready, on_bytes, on_drain, on_alarm, on_end, on_gone};
    fetch *f = mem_alloc(sizeof *f);
    f->on_answer = on_answer;
    f->owner = owner;
    llhttp_init(&f->parser, HTTP_RESPONSE, &settings);
    f->parser.data = f;
    put_request(f, url, target, body);
    f->transport = transport_open(loop, url, tls, ms, &ours, f);
    return f;
}
