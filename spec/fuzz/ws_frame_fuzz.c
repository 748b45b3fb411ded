/* Frames of a client: whatever the bytes and wherever they are cut, the same is said of them, and
 * no more than the limit is held, also of what a compressed message becomes. Byte 0: the size of a
 * piece; bit 7: compression is agreed on. The bytes are read as offers of compression, too. */
#include "ws_deflate.h"
#include <stdint.h>
#include <stdlib.h>

enum { LIMIT = 4096 };

typedef struct {
    uint64_t hash;
    int code;
} outcome;

static void mix(outcome *o, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        o->hash = (o->hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
}

static void unpack(slice packed, outcome *o)
{
    buf out = {0};
    const char *why = NULL;
    int code = ws_inflate(packed, LIMIT, 10, &out, &why);
    if (out.len > LIMIT + 1 || out.cap > 4 * LIMIT || (code != 0 && why == NULL))
        abort();
    frame *again = code == 0 ? ws_deflate_frame(WS_BINARY, (slice){out.data, out.len}) : NULL;
    if (again != NULL && again->len > out.len + WS_HEADER_MAX)
        abort();
    mix(o, &code, sizeof code);
    mix(o, out.data, code == 0 ? out.len : 0);
    frame_drop(again);
    buf_free(&out);
}

/* Terms are agreed on only in the words of the RFC. */
static void offer(slice header)
{
    ws_deflate_terms terms = {0};
    ws_deflate_agree(header, &terms);
    if (terms.agreed && memmem(header.p, header.n, "permessage-deflate", 18) == NULL)
        abort();
    if (terms.server_bits != 0 && (terms.server_bits < 8 || terms.server_bits > 15))
        abort();
}

static outcome parse(const uint8_t *data, size_t size, size_t step, bool deflate)
{
    ws_parser p = {.max_message = LIMIT, .deflate = deflate};
    ws_message m;
    outcome o = {0};
    for (size_t at = 0; at < size && o.code == 0; at += step) {
        slice in = {(const char *)data + at, size - at < step ? size - at : step};
        ws_result result;
        while ((result = ws_parse(&p, &in, &m)) == WS_READY) {
            if (m.data.n > LIMIT || (m.opcode == WS_TEXT && !m.compressed && !utf8_valid(m.data)))
                abort();
            mix(&o, &m.opcode, sizeof m.opcode);
            mix(&o, m.data.p, m.data.n);
            if (m.compressed)
                unpack(m.data, &o);
        }
        if (p.message.cap > 2 * LIMIT)
            abort();
        o.code = result == WS_BAD ? p.code : 0;
    }
    ws_parser_free(&p);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool deflate = (data[0] & 0x80) != 0;
    offer((slice){(const char *)data + 1, size - 1});
    outcome whole = parse(data + 1, size - 1, size, deflate);
    outcome cut = parse(data + 1, size - 1, 1 + (data[0] & 0x7F), deflate);
    if (whole.code != cut.code || whole.hash != cut.hash)
        abort();
    return 0;
}
