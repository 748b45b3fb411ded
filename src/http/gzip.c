/* gzip for whole textual answers: one deflate state per worker, reset for each. Streams are never
 * compressed: their first bytes would wait in the compressor. Nor are long answers, which would
 * hold the worker: a megabyte takes up to 50 ms. A strong ETag becomes a weak one, since the bytes
 * are others.
 *
 * What must never happen: an answer that is compressed for a client that did not ask. */
#include "http_internal.h"

#include <stdlib.h>
#include <zlib.h>

static slice next_part(slice *rest, char separator)
{
    const char *end = memchr(rest->p, separator, rest->n);
    slice part = {rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n};
    size_t used = part.n + (end != NULL ? 1 : 0);
    *rest = (slice){rest->p + used, rest->n - used};
    while (part.n > 0 && (*part.p == ' ' || *part.p == '\t'))
        part = (slice){part.p + 1, part.n - 1};
    while (part.n > 0 && (part.p[part.n - 1] == ' ' || part.p[part.n - 1] == '\t'))
        part.n--;
    return part;
}

/* "q=0", "q=0.0", "q=0.000" */
static bool is_zero_weight(slice part)
{
    if (part.n < 3 || (*part.p | 0x20) != 'q' || part.p[1] != '=' || part.p[2] != '0')
        return false;
    for (size_t i = 3; i < part.n; i++)
        if (part.p[i] != '.' && part.p[i] != '0')
            return false;
    return true;
}

static bool accepted(slice header)
{
    bool any = false;
    for (int parts = 0; header.n > 0 && parts < 32; parts++) {
        slice item = next_part(&header, ',');
        slice name = next_part(&item, ';');
        bool zero = is_zero_weight(next_part(&item, ';'));
        if (slice_ieq(name, SLICE("gzip")) || slice_ieq(name, SLICE("x-gzip")))
            return !zero;
        if (slice_eq(name, SLICE("*")))
            any = !zero;
    }
    return any;
}

static bool ends_with(slice text, slice end)
{
    return text.n >= end.n && slice_ieq((slice){text.p + text.n - end.n, end.n}, end);
}

static bool textual(slice type)
{
    slice name = next_part(&type, ';');
    return (name.n > 5 && slice_ieq((slice){name.p, 5}, SLICE("text/"))) ||
           ends_with(name, SLICE("/json")) || ends_with(name, SLICE("+json")) ||
           ends_with(name, SLICE("/javascript")) || ends_with(name, SLICE("/xml")) ||
           ends_with(name, SLICE("+xml"));
}

static bool pack(http_worker *w, slice body, buf *out)
{
    z_stream *z = http_worker_deflate(w);
    if (z == NULL)
        return false;
    out->len = 0;
    size_t room = body.n - body.n / 16; /* saves less: not worth it */
    z->next_in = (Bytef *)(uintptr_t)body.p;
    z->avail_in = (uInt)body.n;
    z->next_out = (Bytef *)buf_reserve(out, room);
    z->avail_out = (uInt)room;
    if (deflate(z, Z_FINISH) != Z_STREAM_END)
        return false;
    out->len = room - z->avail_out;
    return true;
}

static void weaken_etag(exchange *x)
{
    if (x->etag_at == 0)
        return;
    buf_reserve(&x->out, 2);
    memmove(x->out.data + x->etag_at + 2, x->out.data + x->etag_at, x->out.len - x->etag_at);
    memcpy(x->out.data + x->etag_at, "W/", 2);
    x->out.len += 2;
    x->etag_at = 0;
}

void gzip_answer(exchange *x, slice *body)
{
    enum { LARGEST = 2 * 1024 * 1024 };
    size_t least = x->handler->limits->gzip_min;
    if (least == 0 || body->n < least || body->n > LARGEST || x->encoded || x->type_n == 0 ||
        x->status == 204 || x->status == 206 || x->status == 304 ||
        !textual((slice){x->out.data + x->type_at, x->type_n}))
        return;
    exchange_add_header(x, SLICE("Vary"), SLICE("Accept-Encoding"));
    buf *scratch = http_worker_scratch(x->worker);
    if (!accepted(x->accept_encoding) || !pack(x->worker, *body, scratch))
        return;
    exchange_add_header(x, SLICE("Content-Encoding"), SLICE("gzip"));
    weaken_etag(x);
    *body = (slice){scratch->data, scratch->len};
}
