/* Frames of RFC 6455. Own code and not libwslay: a broadcast is one frame that all subscribers
 * share, and text is refused at its first bad byte, which wslay offers neither of.
 *
 *   HEADER --2 bytes: flags, length--> HEADER (more length, mask) --whole--> PAYLOAD
 *      ^--------------------- the frame's last byte -------------------------'
 *   anywhere --a rule is broken--> BAD, for good
 *
 * Each check is made at the earliest byte that allows it, and every length before a byte of it is
 * stored: a message grows by what has come, never by what was announced.
 *
 * Owner: whoever holds the parser. What must never happen: more than max_message bytes held. */
#include "ws_frame.h"

#include "base64url.h"
#include "utf8.h"
#include <openssl/evp.h>
#include <openssl/sha.h>

enum { FIN = 0x80, RSV1 = 0x40, RSV23 = 0x30, MASKED = 0x80, CONTROL = 0x08 };
enum { KEY_BYTES = 16 };

static ws_result bad(ws_parser *p, int code, const char *why)
{
    p->code = code;
    p->why = why;
    buf_free(&p->message);
    return WS_BAD;
}

/* The header -------------------------------------------------------------------------------- */

static ws_result read_flags(ws_parser *p)
{
    uint8_t byte = p->header[0];
    p->opcode = byte & 0x0F;
    p->fin = (byte & FIN) != 0;
    bool control = (p->opcode & CONTROL) != 0;
    if ((byte & RSV23) != 0)
        return bad(p, WS_PROTOCOL_ERROR, "a reserved bit is set");
    if (p->opcode > WS_PONG || (p->opcode > WS_BINARY && !control))
        return bad(p, WS_PROTOCOL_ERROR, "the opcode is reserved");
    if ((byte & RSV1) != 0 && (!p->deflate || control || p->opcode == WS_CONTINUATION))
        return bad(p, WS_PROTOCOL_ERROR, "the bit of compression is set where it must not be");
    if (control && !p->fin)
        return bad(p, WS_PROTOCOL_ERROR, "a control frame is fragmented");
    if (p->opcode == WS_CONTINUATION && p->message_opcode == 0)
        return bad(p, WS_PROTOCOL_ERROR, "a continuation without a message");
    if (!control && p->opcode != WS_CONTINUATION && p->message_opcode != 0)
        return bad(p, WS_PROTOCOL_ERROR, "a new message begins inside another");
    return WS_MORE;
}

static uint8_t mask_bytes(const ws_parser *p)
{
    return p->from_server ? 0 : WS_MASK_BYTES;
}

static ws_result read_short_length(ws_parser *p)
{
    uint8_t byte = p->header[1], length = byte & 0x7F;
    if (((byte & MASKED) != 0) == p->from_server)
        return bad(p, WS_PROTOCOL_ERROR,
                   p->from_server ? "the server's frame is masked" : "the frame is not masked");
    if ((p->opcode & CONTROL) != 0 && length > WS_CONTROL_MAX)
        return bad(p, WS_PROTOCOL_ERROR, "a control frame is longer than 125 bytes");
    p->need = (uint8_t)(2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + mask_bytes(p));
    return WS_MORE;
}

static ws_result begin_data(ws_parser *p)
{
    if (p->left > p->max_message - p->message.len)
        return bad(p, WS_TOO_LARGE, "the message is too large");
    if (p->opcode != WS_CONTINUATION) {
        p->message_opcode = p->opcode;
        p->compressed = (p->header[0] & RSV1) != 0;
        p->fragments = 0;
        p->utf8 = (utf8_stream){0};
    }
    if (++p->fragments > WS_FRAGMENTS_MAX)
        return bad(p, WS_POLICY, "the message has more than 1024 fragments");
    return WS_MORE;
}

static ws_result read_length(ws_parser *p)
{
    uint8_t length = p->header[1] & 0x7F;
    size_t bytes = p->need - mask_bytes(p) - 2u;
    p->left = bytes == 0 ? length : 0;
    for (size_t i = 0; i < bytes; i++)
        p->left = p->left << 8 | p->header[2 + i];
    if (p->left >> 63 != 0)
        return bad(p, WS_PROTOCOL_ERROR, "the top bit of a length is set");
    if ((bytes == 2 && p->left < 126) || (bytes == 8 && p->left <= UINT16_MAX))
        return bad(p, WS_PROTOCOL_ERROR, "a length is not in its shortest form");
    if ((p->opcode & CONTROL) == 0)
        return begin_data(p);
    p->control_len = 0;
    return WS_MORE;
}

/* One byte of the header, checked as soon as it can be. */
static ws_result read_header_byte(ws_parser *p, uint8_t byte)
{
    ws_result result = WS_MORE;
    p->header[p->have++] = byte;
    if (p->have == 1)
        return read_flags(p);
    if (p->have == 2)
        result = read_short_length(p);
    if (result == WS_MORE && p->have == p->need - mask_bytes(p))
        result = read_length(p);
    if (p->have == p->need) {
        p->in_payload = true;
        p->mask_at = 0;
    }
    return result;
}

/* The payload ------------------------------------------------------------------------------- */

/* Eight bytes at a time, from an offset in the mask that goes on from piece to piece. */
static void unmask(ws_parser *p, char *to, const char *from, size_t n)
{
    if (p->from_server) {
        memcpy(to, from, n);
        return;
    }
    const uint8_t *mask = p->header + p->need - WS_MASK_BYTES;
    uint8_t turned[8];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(p->mask_at + i) % WS_MASK_BYTES];
    uint64_t key, word;
    memcpy(&key, turned, sizeof key);
    size_t i = 0;
    for (; n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        word ^= key;
        memcpy(to + i, &word, sizeof word);
    }
    for (; i < n; i++)
        to[i] = (char)(from[i] ^ turned[i % 8]);
    p->mask_at = (uint8_t)((p->mask_at + n) % WS_MASK_BYTES);
}

static ws_result take_data(ws_parser *p, slice piece)
{
    char *room = buf_reserve(&p->message, piece.n);
    unmask(p, room, piece.p, piece.n);
    p->message.len += piece.n;
    if (p->message_opcode == WS_TEXT && !p->compressed &&
        !utf8_stream_feed(&p->utf8, (slice){room, piece.n}))
        return bad(p, WS_BAD_DATA, "the text is not UTF-8");
    return WS_MORE;
}

static ws_result take_payload(ws_parser *p, slice *in)
{
    slice piece = {in->p, in->n < p->left ? in->n : (size_t)p->left};
    *in = (slice){in->p + piece.n, in->n - piece.n};
    p->left -= piece.n;
    if (piece.n == 0)
        return WS_MORE;
    if ((p->opcode & CONTROL) == 0)
        return take_data(p, piece);
    unmask(p, p->control + p->control_len, piece.p, piece.n);
    p->control_len = (uint8_t)(p->control_len + piece.n);
    return WS_MORE;
}

/* The end of a frame ------------------------------------------------------------------------ */

bool ws_close_code_valid(int code)
{
    if (code >= 3000 && code <= 4999)
        return true;
    return code >= 1000 && code <= 1014 && code != 1004 && code != WS_NO_CODE &&
           code != WS_ABNORMAL;
}

static ws_result finish_close(ws_parser *p, ws_message *out)
{
    out->code = WS_NO_CODE;
    if (p->control_len == 0)
        return WS_READY;
    if (p->control_len == 1)
        return bad(p, WS_PROTOCOL_ERROR, "a close frame has half a code");
    out->code = (uint8_t)p->control[0] << 8 | (uint8_t)p->control[1];
    out->data = (slice){p->control + 2, p->control_len - 2u};
    if (!ws_close_code_valid(out->code))
        return bad(p, WS_PROTOCOL_ERROR, "a close code that must not be sent");
    if (!utf8_valid(out->data))
        return bad(p, WS_BAD_DATA, "the reason of a close is not UTF-8");
    return WS_READY;
}

static ws_result finish_frame(ws_parser *p, ws_message *out)
{
    p->in_payload = false;
    p->have = p->need = 0;
    *out = (ws_message){.opcode = p->opcode, .data = {p->control, p->control_len}};
    if (p->opcode == WS_CLOSE)
        out->data.n = 0;
    if ((p->opcode & CONTROL) != 0)
        return p->opcode == WS_CLOSE ? finish_close(p, out) : WS_READY;
    if (!p->fin)
        return WS_MORE;
    if (p->message_opcode == WS_TEXT && !p->compressed && !utf8_stream_complete(&p->utf8))
        return bad(p, WS_BAD_DATA, "the text ends inside a character");
    out->opcode = p->message_opcode;
    out->compressed = p->compressed;
    out->data = (slice){p->message.len > 0 ? p->message.data : "", p->message.len};
    p->delivered = true;
    return WS_READY;
}

/* The message that was given out is the caller's no more. */
static void forget_delivered(ws_parser *p)
{
    if (!p->delivered)
        return;
    p->delivered = false;
    p->message.len = 0;
    p->message_opcode = 0;
}

ws_result ws_parse(ws_parser *p, slice *in, ws_message *out)
{
    forget_delivered(p);
    ws_result result = p->code != 0 ? WS_BAD : WS_MORE;
    while (result == WS_MORE && (in->n > 0 || (p->in_payload && p->left == 0))) {
        if (!p->in_payload) {
            result = read_header_byte(p, (uint8_t)*in->p);
            *in = (slice){in->p + 1, in->n - 1};
            continue;
        }
        result = take_payload(p, in);
        if (result == WS_MORE && p->left == 0)
            result = finish_frame(p, out);
    }
    if (result == WS_MORE && p->message_opcode == 0)
        buf_free(&p->message); /* an idle connection holds nothing */
    return result;
}

void ws_parser_free(ws_parser *p)
{
    buf_free(&p->message);
}

/* Writing ----------------------------------------------------------------------------------- */

size_t ws_put_header(char out[WS_HEADER_MAX], ws_opcode opcode, bool compressed, uint64_t n)
{
    size_t bytes = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;
    out[0] = (char)(FIN | (compressed ? RSV1 : 0) | (int)opcode);
    out[1] = (char)(bytes == 0 ? n : bytes == 2 ? 126 : 127);
    for (size_t i = 0; i < bytes; i++)
        out[2 + i] = (char)(n >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

frame *ws_frame_new(ws_opcode opcode, bool compressed, slice data)
{
    char header[WS_HEADER_MAX];
    size_t n = ws_put_header(header, opcode, compressed, data.n);
    return frame_join(header, n, data.p, data.n);
}

void ws_put_masked(buf *out, ws_opcode opcode, const uint8_t mask[WS_MASK_BYTES], slice data)
{
    char *head = buf_reserve(out, WS_HEADER_MAX + WS_MASK_BYTES + data.n);
    size_t n = ws_put_header(head, opcode, false, data.n);
    head[1] = (char)(head[1] | MASKED);
    memcpy(head + n, mask, WS_MASK_BYTES);
    char *to = head + n + WS_MASK_BYTES;
    for (size_t i = 0; i < data.n; i++)
        to[i] = (char)(data.p[i] ^ mask[i % WS_MASK_BYTES]);
    out->len += n + WS_MASK_BYTES + data.n;
}

slice ws_frame_data(const frame *f)
{
    unsigned length = (unsigned char)f->data[1];
    size_t header = length < 126 ? 2 : length == 126 ? 4 : WS_HEADER_MAX;
    return (slice){f->data + header, f->len - header};
}

/* As much of the reason as fits, in whole characters. */
static size_t fitting(slice reason)
{
    size_t n = 0, max = WS_CONTROL_MAX - 2;
    while (n < reason.n) {
        size_t step = utf8_length(reason.p + n, reason.p + reason.n);
        if (step == 0 || n + step > max)
            break;
        n += step;
    }
    return n;
}

size_t ws_put_close(char out[WS_CONTROL_MAX + 2], int code, slice reason)
{
    size_t n = code == WS_NO_CODE ? 0 : fitting(reason);
    size_t payload = code == WS_NO_CODE ? 0 : n + 2;
    ws_put_header(out, WS_CLOSE, false, payload);
    if (payload > 0) {
        out[2] = (char)(code >> 8);
        out[3] = (char)code;
    }
    if (n > 0)
        memcpy(out + 4, reason.p, n);
    return payload + 2;
}

/* Opening ----------------------------------------------------------------------------------- */

bool ws_key_valid(slice key)
{
    buf bytes = {0};
    bool valid = key.n <= 64 && base64_decode(&bytes, key) && bytes.len == KEY_BYTES;
    buf_free(&bytes);
    return valid;
}

void ws_accept(slice key, char out[WS_ACCEPT_SIZE])
{
    static const slice magic = SLICE_INIT("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    unsigned char sum[SHA_DIGEST_LENGTH];
    buf text = {0}, encoded = {0};
    buf_append_slice(&text, key);
    buf_append_slice(&text, magic);
    EVP_Digest(text.data, text.len, sum, NULL, EVP_sha1(), NULL);
    base64_encode(&encoded, (slice){(const char *)sum, sizeof sum});
    memcpy(out, encoded.data, WS_ACCEPT_SIZE);
    buf_free(&text);
    buf_free(&encoded);
}
