/* A reader of event streams, straight from the standard (WHATWG HTML, 9.2.6): what a client makes
 * of the bytes of one event, and whether it is what was meant. */
#pragma once
#include "sse_event.h"
#include "utf8.h"
#include <stdlib.h>

typedef struct {
    buf data, event, id, retry;
    unsigned dispatched; /* events with data */
} sse_seen;

static void sse_take_field(sse_seen *s, slice name, slice value)
{
    buf *target = slice_eq(name, SLICE("event"))   ? &s->event
                  : slice_eq(name, SLICE("id"))    ? &s->id
                  : slice_eq(name, SLICE("retry")) ? &s->retry
                                                   : NULL;
    if (slice_eq(name, SLICE("data"))) {
        buf_append_slice(&s->data, value);
        buf_byte(&s->data, '\n');
    } else if (target != NULL) {
        target->len = 0;
        buf_append_slice(target, value);
    }
}

static void sse_take_line(sse_seen *s, slice line)
{
    if (line.n == 0) {
        s->dispatched += s->data.len > 0 ? 1 : 0;
        if (s->data.len > 0)
            s->data.len--;
        return;
    }
    const char *colon = memchr(line.p, ':', line.n);
    slice name = {line.p, colon != NULL ? (size_t)(colon - line.p) : line.n};
    slice value = colon != NULL ? (slice){colon + 1, line.n - name.n - 1} : (slice){line.p, 0};
    if (value.n > 0 && *value.p == ' ')
        value = (slice){value.p + 1, value.n - 1};
    if (name.n > 0)
        sse_take_field(s, name, value);
}

/* Lines end with CRLF, LF or CR. */
static void sse_take_all(sse_seen *s, slice in)
{
    size_t start = 0;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] != '\n' && in.p[i] != '\r')
            continue;
        sse_take_line(s, (slice){in.p + start, i - start});
        if (in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n')
            i++;
        start = i + 1;
    }
}

/* The data as a reader must see it: line ends are LF, what is no UTF-8 is replaced. */
static void sse_normalize(buf *out, slice data)
{
    const char *end = data.p + data.n;
    for (const char *at = data.p; at < end;) {
        size_t n = utf8_length(at, end);
        if (n == 0)
            buf_text(out, "\xef\xbf\xbd");
        else if (*at == '\r')
            buf_byte(out, '\n');
        else
            buf_append(out, at, n);
        at += *at == '\r' && end - at > 1 && at[1] == '\n' ? 2 : n == 0 ? 1 : n;
    }
}

static int sse_is(const buf *seen, slice wanted)
{
    return slice_eq((slice){seen->data, seen->len}, wanted);
}

/* Are these the bytes of exactly one event, and is it this one? */
static int sse_reads_as(const sse_fields *f, slice bytes)
{
    sse_seen s = {0};
    buf wanted = {0}, retry = {0};
    sse_take_all(&s, bytes);
    sse_normalize(&wanted, f->data);
    if (f->retry >= 0)
        buf_uint(&retry, (uint64_t)f->retry);
    int same = s.dispatched == (f->data.p != NULL) && sse_is(&s.id, f->id) &&
               sse_is(&s.event, f->event) && sse_is(&s.retry, (slice){retry.data, retry.len}) &&
               sse_is(&s.data, (slice){wanted.data, wanted.len}) && bytes.n >= 1 &&
               bytes.p[bytes.n - 1] == '\n';
    buf *all[] = {&s.data, &s.event, &s.id, &s.retry, &wanted, &retry};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_free(all[i]);
    return same;
}
