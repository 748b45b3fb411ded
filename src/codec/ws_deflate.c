/* permessage-deflate. The server always answers with both no_context_takeovers: with them a message
 * stands for itself, one zlib state per thread serves all connections, and a frame can be shared.
 * Rejected: a context per connection, which would compress a chat better and cost 300 KiB each.
 *
 * A client that wants a smaller window than zlib's 32 KiB from us (server_max_window_bits) is
 * agreed with and sent everything uncompressed, which any window can read: sharing matters more
 * than the few that ask.
 *
 * What must never happen: more than `max` bytes (and one) held of what a bomb inflates to. */
#include "ws_deflate.h"

#include <zlib.h>

enum {
    WINDOW = -15, /* raw deflate */
    LEVEL = 4,
    MEMORY = 8,
    WINDOW_LEAST = 8,
    WINDOW_MOST = 15,
    ALWAYS = 4096,   /* a message may inflate to so much, whatever the ratio */
    AT_BLOCK = 128,  /* of z_stream.data_type: nothing of a block is open */
    FIRST_ROOM = 512 /* of the output */
};

static const char sync_end[] = {0, 0, (char)0xff, (char)0xff}; /* left away on the wire */

static _Thread_local struct {
    z_stream in, out;
    bool has_in, has_out;
} own;

/* Agreeing ----------------------------------------------------------------------------------- */

static void skip_space(slice *s)
{
    while (s->n > 0 && (*s->p == ' ' || *s->p == '\t'))
        *s = (slice){s->p + 1, s->n - 1};
}

static bool take(slice *s, char c)
{
    skip_space(s);
    if (s->n == 0 || *s->p != c)
        return false;
    *s = (slice){s->p + 1, s->n - 1};
    return true;
}

static slice take_token(slice *s)
{
    skip_space(s);
    size_t n = 0;
    while (n < s->n && strchr(" \t,;=\"", s->p[n]) == NULL)
        n++;
    slice token = {s->p, n};
    *s = (slice){s->p + n, s->n - n};
    return token;
}

/* A token, or one in quotes; n == 0: there is none. */
static slice take_value(slice *s)
{
    bool quoted = take(s, '"');
    slice value = take_token(s);
    if (quoted && (s->n == 0 || !take(s, '"')))
        value.n = 0;
    return value;
}

/* 8 to 15 in their only form; 0: it is none of them. */
static uint8_t window_bits(slice value)
{
    unsigned bits = 0;
    for (size_t i = 0; i < value.n && i < 3; i++)
        bits = value.p[i] >= '0' && value.p[i] <= '9' ? bits * 10 + (unsigned)(value.p[i] - '0')
                                                      : 1000;
    bool plain = value.n > 0 && value.n <= 2 && *value.p != '0';
    return plain && bits >= WINDOW_LEAST && bits <= WINDOW_MOST ? (uint8_t)bits : 0;
}

enum { NO_TAKEOVER_SERVER = 1, NO_TAKEOVER_CLIENT = 2, BITS_SERVER = 4, BITS_CLIENT = 8 };

static unsigned kind_of(slice name)
{
    if (slice_eq(name, SLICE("server_no_context_takeover")))
        return NO_TAKEOVER_SERVER;
    if (slice_eq(name, SLICE("client_no_context_takeover")))
        return NO_TAKEOVER_CLIENT;
    if (slice_eq(name, SLICE("server_max_window_bits")))
        return BITS_SERVER;
    return slice_eq(name, SLICE("client_max_window_bits")) ? BITS_CLIENT : 0;
}

/* One parameter of an offer; false: no server may accept the offer. */
static bool read_parameter(slice *s, unsigned *seen, ws_deflate_terms *terms)
{
    unsigned kind = kind_of(take_token(s));
    bool has_value = take(s, '=');
    slice value = has_value ? take_value(s) : (slice){0};
    if (kind == 0 || (*seen & kind) != 0)
        return false;
    *seen |= kind;
    if (kind == NO_TAKEOVER_SERVER || kind == NO_TAKEOVER_CLIENT)
        return !has_value;
    if (kind == BITS_CLIENT)
        return !has_value || window_bits(value) != 0;
    terms->server_bits = window_bits(value);
    return terms->server_bits != 0;
}

/* Leaves *s behind the offer. */
static bool read_offer(slice *s, ws_deflate_terms *terms)
{
    unsigned seen = 0;
    bool good = slice_eq(take_token(s), SLICE("permessage-deflate"));
    while (take(s, ';'))
        good = read_parameter(s, &seen, terms) && good;
    return good;
}

void ws_deflate_agree(slice header, ws_deflate_terms *terms)
{
    do {
        ws_deflate_terms offered = {.agreed = true};
        bool good = read_offer(&header, &offered);
        skip_space(&header);
        if (header.n > 0 && *header.p != ',')
            return; /* not a list of offers: nothing behind it means anything */
        if (good && !terms->agreed)
            *terms = offered;
    } while (take(&header, ','));
}

void ws_deflate_answer(const ws_deflate_terms *terms, buf *out)
{
    buf_text(out, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    if (terms->server_bits != 0)
        buf_format(out, "; server_max_window_bits=%d", terms->server_bits);
}

bool ws_deflate_may_send(const ws_deflate_terms *terms)
{
    return terms->agreed && (terms->server_bits == 0 || terms->server_bits == WINDOW_MOST);
}

/* In ----------------------------------------------------------------------------------------- */

static bool ready_to_inflate(void)
{
    if (own.has_in)
        return inflateReset(&own.in) == Z_OK;
    own.has_in = inflateInit2(&own.in, WINDOW) == Z_OK;
    return own.has_in;
}

/* Inflates until the input is used up or `max` bytes and one have come out. Z_OK: so far so good.
 */
static int inflate_piece(z_stream *z, slice in, size_t max, buf *out)
{
    int status = Z_OK;
    z->next_in = (Bytef *)(uintptr_t)in.p;
    z->avail_in = (uInt)in.n;
    do {
        size_t room = out->cap - out->len;
        if (room < FIRST_ROOM)
            room = out->len + FIRST_ROOM;
        if (room > max + 1 - out->len)
            room = max + 1 - out->len;
        z->next_out = (Bytef *)buf_reserve(out, room);
        z->avail_out = (uInt)room;
        status = inflate(z, Z_SYNC_FLUSH);
        out->len += room - z->avail_out;
        /* The last block of a stream may be followed by another stream (RFC 7692, 7.2.3.4). */
        if (status == Z_STREAM_END)
            status = inflateReset(z);
    } while (status == Z_OK && out->len <= max && (z->avail_in > 0 || z->avail_out == 0));
    return status == Z_BUF_ERROR ? Z_OK : status;
}

static size_t bound(size_t n, size_t max, unsigned times)
{
    size_t most = times == 0 || n > max / times ? max : n * times;
    if (most < ALWAYS)
        most = ALWAYS;
    return most < max ? most : max;
}

int ws_inflate(slice in, size_t max, unsigned times, buf *out, const char **why)
{
    size_t most = bound(in.n, max, times);
    *why = "the compressed data is broken";
    if (!ready_to_inflate())
        return WS_INTERNAL;
    int status = inflate_piece(&own.in, in, most, out);
    if (status == Z_OK && out->len <= most)
        status = inflate_piece(&own.in, (slice){sync_end, sizeof sync_end}, most, out);
    if (out->len > most) {
        *why = most < max ? "the message is compressed more than is allowed here"
                          : "the message is too large";
        return WS_TOO_LARGE;
    }
    if (status != Z_OK)
        return WS_BAD_DATA;
    bool whole = own.in.total_in == 0 || (own.in.data_type & AT_BLOCK) != 0;
    return whole ? 0 : WS_BAD_DATA;
}

/* Out ---------------------------------------------------------------------------------------- */

static bool ready_to_deflate(void)
{
    if (own.has_out)
        return deflateReset(&own.out) == Z_OK;
    own.has_out =
        deflateInit2(&own.out, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
    return own.has_out;
}

frame *ws_deflate_frame(ws_opcode opcode, slice data)
{
    if (data.n > UINT32_MAX / 2 || data.n <= sizeof sync_end || !ready_to_deflate())
        return NULL;
    buf packed = {0};
    z_stream *z = &own.out;
    z->next_in = (Bytef *)(uintptr_t)data.p;
    z->avail_in = (uInt)data.n;
    z->next_out = (Bytef *)buf_reserve(&packed, data.n);
    z->avail_out = (uInt)data.n;
    int status = deflate(z, Z_SYNC_FLUSH);
    frame *f = NULL;
    if (status == Z_OK && z->avail_in == 0 && z->avail_out > 0)
        f = ws_frame_new(opcode, true,
                         (slice){packed.data, data.n - z->avail_out - sizeof sync_end});
    buf_free(&packed);
    return f;
}

void ws_deflate_thread_exit(void)
{
    if (own.has_in)
        inflateEnd(&own.in);
    if (own.has_out)
        deflateEnd(&own.out);
    own.has_in = own.has_out = false;
}
