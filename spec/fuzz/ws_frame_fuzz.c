/* Frames of a client: whatever the bytes and wherever they are cut, the same is said of them, and
 * no more than the limit is held. Byte 0: the size of a piece; bit 7: compression is agreed on. */
#include "ws_frame.h"
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
    outcome whole = parse(data + 1, size - 1, size, deflate);
    outcome cut = parse(data + 1, size - 1, 1 + (data[0] & 0x7F), deflate);
    if (whole.code != cut.code || whole.hash != cut.hash)
        abort();
    return 0;
}
