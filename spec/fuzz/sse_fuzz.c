/* Whatever a script or a topic gives an event, a client reads exactly that, as one event, or the
 * encoder refuses it. Bytes 0 and 1: lengths of id and name; bit 7 of 0: retry is there, of 1: data
 * is absent. */
#include "../c/sse_decoder.h"
#include <stdint.h>

static slice take(slice *in, size_t n)
{
    slice part = {in->p, n < in->n ? n : in->n};
    *in = (slice){in->p + part.n, in->n - part.n};
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    slice in = {(const char *)data + 2, size - 2};
    sse_fields f = {.retry = (data[0] & 0x80) != 0 ? (int64_t)size : -1};
    f.id = take(&in, data[0] & 0x7F);
    f.event = take(&in, data[1] & 0x7F);
    f.data = (data[1] & 0x80) == 0 ? in : (slice){0};
    buf out = {0};
    const char *why = sse_event(&out, &f);
    if (why != NULL ? out.len != 0 : !sse_reads_as(&f, (slice){out.data, out.len}))
        abort();
    buf_free(&out);
    return 0;
}
