/* What must never happen: a line break inside a field, which would let data name the next field. */
#include "sse_event.h"

const slice sse_heartbeat = {":\n\n", 3};

static int bad_field(slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0')
            return 1;
    }
    return 0;
}

static void field(buf *out, const char *name, slice value)
{
    buf_text(out, name);
    buf_append_slice(out, value);
    buf_byte(out, '\n');
}

int sse_event(buf *out, slice id, slice event, slice data)
{
    if (bad_field(id) || bad_field(event))
        return -1;
    if (id.n > 0)
        field(out, "id: ", id);
    if (event.n > 0)
        field(out, "event: ", event);
    size_t start = 0;
    for (size_t i = 0; i <= data.n; i++) {
        if (i < data.n && data.p[i] != '\n' && data.p[i] != '\r')
            continue;
        field(out, "data: ", (slice){data.p + start, i - start});
        if (i + 1 < data.n && data.p[i] == '\r' && data.p[i + 1] == '\n')
            i++;
        start = i + 1;
    }
    buf_byte(out, '\n');
    return 0;
}
