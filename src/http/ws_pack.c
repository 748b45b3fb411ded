/* permessage-deflate: the settings' side of ws_deflate. */
#include "ws_pack.h"

enum { PACK_MOST = 1024 * 1024 }; /* some 20 ms of the loop */

/* ws_limits.deflate_min of the calling worker, for the hub's encoder, which knows no connection. */
static _Thread_local size_t packed_from;

ws_deflate_terms ws_pack_agree(exchange *x)
{
    const ws_limits *limits = &exchange_limits(x)->ws;
    ws_deflate_terms terms = {0};
    size_t count;
    const http_header *headers = exchange_headers(x, &count);
    packed_from = limits->deflate_min;
    for (size_t i = 0; limits->deflate && i < count; i++) {
        if (slice_ieq(headers[i].name, SLICE("sec-websocket-extensions")))
            ws_deflate_agree(headers[i].value, &terms);
    }
    if (!terms.agreed)
        return terms;
    buf text = {0};
    ws_deflate_answer(&terms, &text);
    exchange_add_header(x, SLICE("Sec-WebSocket-Extensions"), (slice){text.data, text.len});
    buf_free(&text);
    return terms;
}

frame *ws_pack(ws_opcode opcode, slice data)
{
    return data.n >= packed_from && data.n <= PACK_MOST ? ws_deflate_frame(opcode, data) : NULL;
}

int ws_unpack(const ws_message *m, const ws_limits *limits, buf *out, const char **why)
{
    int code = ws_inflate(m->data, limits->message, limits->inflate, out, why);
    if (code != 0 || m->opcode != WS_TEXT || utf8_valid((slice){out->data, out->len}))
        return code;
    *why = "the text is not UTF-8";
    return WS_BAD_DATA;
}
