/* Events as bytes. An event without data is not dispatched by clients, but its id is remembered and
 * its retry obeyed (9.2.6), which is how a stream sets the place from which to go on before
 * anything has happened.
 *
 * What must never happen: a line break inside a field, which would let data name the next field. */
#include "sse_event.h"

#include "utf8.h"

const slice sse_heartbeat = {":\n\n", 3};

static const slice replacement = {"\xef\xbf\xbd", 3};

static bool is_plain(slice s)
{
    const char *at = s.p, *end = s.n > 0 ? s.p + s.n : s.p;
    while (at < end) {
        size_t n = utf8_length(at, end);
        if (n == 0 || *at == '\r' || *at == '\n' || *at == '\0')
            return false;
        at += n;
    }
    return true;
}

static void field(buf *out, const char *name, slice value)
{
    buf_text(out, name);
    buf_append_slice(out, value);
    buf_byte(out, '\n');
}

/* The end of the run of good characters, up to a line's end, that begins at `at`. */
static const char *run_end(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r') {
        size_t n = utf8_length(at, end);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

/* Returns where the next line begins; NULL: this was the last. */
static const char *data_line(buf *out, const char *at, const char *end)
{
    buf_text(out, "data: ");
    for (;;) {
        const char *stop = run_end(at, end);
        buf_append(out, at, (size_t)(stop - at));
        at = stop;
        if (at == end || *at == '\n' || *at == '\r')
            break;
        buf_append_slice(out, replacement);
        at++;
    }
    buf_byte(out, '\n');
    if (at == end)
        return NULL;
    return at + (at[0] == '\r' && end - at > 1 && at[1] == '\n' ? 2 : 1);
}

const char *sse_event(buf *out, const sse_fields *f)
{
    if (!is_plain(f->id))
        return "an event's id must be UTF-8 text without line breaks and NUL";
    if (!is_plain(f->event))
        return "an event's name must be UTF-8 text without line breaks and NUL";
    if (f->id.n > 0)
        field(out, "id: ", f->id);
    if (f->retry >= 0)
        buf_format(out, "retry: %lld\n", (long long)f->retry);
    if (f->event.n > 0)
        field(out, "event: ", f->event);
    for (const char *at = f->data.p; at != NULL;)
        at = data_line(out, at, f->data.p + f->data.n);
    buf_byte(out, '\n');
    return NULL;
}
