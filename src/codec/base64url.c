/* One encoder and one decoder over a table of 64 characters. The decoder accepts exactly what the
 * encoder writes: two texts for the same bytes would be two tokens with one signature, and caches
 * and block lists keyed by text would miss the second. Rejected: EVP_DecodeBlock, which skips
 * whitespace and ignores unused bits. What must never happen: output after a refusal. */
#include "base64url.h"

#include <stdint.h>

static const char url_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char plain_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode(buf *out, slice data, const char *letters)
{
    const unsigned char *p = (const unsigned char *)data.p;
    char *to = buf_reserve(out, (data.n + 2) / 3 * 4);
    char *start = to;
    size_t n = data.n;
    for (; n >= 3; n -= 3, p += 3) {
        *to++ = letters[p[0] >> 2];
        *to++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
        *to++ = letters[(p[1] & 15) << 2 | p[2] >> 6];
        *to++ = letters[p[2] & 63];
    }
    if (n > 0) {
        unsigned second = n == 2 ? p[1] : 0;
        *to++ = letters[p[0] >> 2];
        *to++ = letters[(p[0] & 3u) << 4 | second >> 4];
        if (n == 2)
            *to++ = letters[(second & 15) << 2];
    }
    out->len += (size_t)(to - start);
}

/* Value + 1 of each character, 0: not a base64 character. 62 and 63 are asked apart. */
#define UPPER(c) [c] = (c) - 'A' + 1, [(c) + 32] = (c) - 'A' + 27
#define DIGIT(c) [c] = (c) - '0' + 53
static const uint8_t common[256] = {
    UPPER('A'), UPPER('B'), UPPER('C'), UPPER('D'), UPPER('E'), UPPER('F'), UPPER('G'), UPPER('H'),
    UPPER('I'), UPPER('J'), UPPER('K'), UPPER('L'), UPPER('M'), UPPER('N'), UPPER('O'), UPPER('P'),
    UPPER('Q'), UPPER('R'), UPPER('S'), UPPER('T'), UPPER('U'), UPPER('V'), UPPER('W'), UPPER('X'),
    UPPER('Y'), UPPER('Z'), DIGIT('0'), DIGIT('1'), DIGIT('2'), DIGIT('3'), DIGIT('4'), DIGIT('5'),
    DIGIT('6'), DIGIT('7'), DIGIT('8'), DIGIT('9')};

/* 64 or more: not a character of this alphabet. */
static inline unsigned value_of(char c, const char *letters)
{
    unsigned v = common[(unsigned char)c];
    if (v != 0)
        return v - 1;
    return c == letters[62] ? 62 : c == letters[63] ? 63 : 64;
}

static bool decode_quads(const char *p, size_t quads, const char *letters, unsigned char *to)
{
    for (; quads > 0; quads--, p += 4, to += 3) {
        unsigned a = value_of(p[0], letters), b = value_of(p[1], letters);
        unsigned c = value_of(p[2], letters), d = value_of(p[3], letters);
        if ((a | b | c | d) >= 64)
            return false;
        to[0] = (unsigned char)(a << 2 | b >> 4);
        to[1] = (unsigned char)(b << 4 | c >> 2);
        to[2] = (unsigned char)(c << 6 | d);
    }
    return true;
}

/* The last two or three characters, whose unused bits must be 0. */
static bool decode_tail(const char *p, size_t n, const char *letters, unsigned char *to)
{
    unsigned a = value_of(p[0], letters), b = value_of(p[1], letters);
    unsigned c = n == 3 ? value_of(p[2], letters) : 0;
    if ((a | b | c) >= 64 || (n == 2 && (b & 15) != 0) || (c & 3) != 0)
        return false;
    to[0] = (unsigned char)(a << 2 | b >> 4);
    if (n == 3)
        to[1] = (unsigned char)(b << 4 | c >> 2);
    return true;
}

static bool decode(buf *out, slice text, const char *letters)
{
    size_t quads = text.n / 4, tail = text.n % 4;
    if (tail == 1)
        return false;
    unsigned char *to = (unsigned char *)buf_reserve(out, quads * 3 + 3);
    if (!decode_quads(text.p, quads, letters, to) ||
        (tail > 0 && !decode_tail(text.p + quads * 4, tail, letters, to + quads * 3)))
        return false;
    out->len += quads * 3 + (tail > 0 ? tail - 1 : 0);
    return true;
}

void base64url_encode(buf *out, slice data)
{
    encode(out, data, url_letters);
}

bool base64url_decode(buf *out, slice text)
{
    return decode(out, text, url_letters);
}

void base64_bare_encode(buf *out, slice data)
{
    encode(out, data, plain_letters);
}

bool base64_bare_decode(buf *out, slice text)
{
    return decode(out, text, plain_letters);
}

void base64_encode(buf *out, slice data)
{
    encode(out, data, plain_letters);
    buf_append(out, "==", (3 - data.n % 3) % 3);
}

bool base64_decode(buf *out, slice text)
{
    if (text.n % 4 != 0)
        return false;
    for (int pad = 0; pad < 2 && text.n > 0 && text.p[text.n - 1] == '='; pad++)
        text.n--;
    return decode(out, text, plain_letters);
}

void hex_encode(buf *out, slice data)
{
    static const char digits[] = "0123456789abcdef";
    char *to = buf_reserve(out, data.n * 2);
    for (size_t i = 0; i < data.n; i++) {
        unsigned char c = (unsigned char)data.p[i];
        *to++ = digits[c >> 4];
        *to++ = digits[c & 15];
    }
    out->len += data.n * 2;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(buf *out, slice text)
{
    if (text.n % 2 != 0)
        return false;
    char *to = buf_reserve(out, text.n / 2);
    for (size_t i = 0; i < text.n; i += 2) {
        int high = hex_digit(text.p[i]), low = hex_digit(text.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        *to++ = (char)(high << 4 | low);
    }
    out->len += text.n / 2;
    return true;
}
