/* Why not llhttp's decoder: it takes sizes of any number of digits and a bare LF after the last
 * chunk, and calls back per piece; a body's framing is where requests get smuggled, so the rules
 * are spelled out here. Trailers must be fields (NAME: value) and are then dropped, whatever they
 * name.
 *
 *   SIZE -> (EXTENSION ->) SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                             \--size 0--> TRAILER (-> VALUE) -> TRAILER_LF -> TRAILER ...
 *                                              empty line: DONE
 *
 * What must never happen: a size that wraps, a CR or LF accepted alone. */
#include "chunked.h"

#include <string.h>

enum { MAX_DIGITS = 16, MAX_EXTRA = 4096 };
enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, VALUE, TRAILER_LF };

void chunked_start(chunked *c)
{
    *c = (chunked){.state = SIZE};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool text_byte(chunked *c, char byte)
{
    unsigned char u = (unsigned char)byte;
    return ++c->extra <= MAX_EXTRA && (u == '\t' || (u >= 0x20 && u != 0x7f));
}

static bool size_byte(chunked *c, char byte)
{
    int value = hex_value(byte);
    if (value >= 0) {
        c->left = c->left << 4 | (uint64_t)value;
        return ++c->digits <= MAX_DIGITS && c->left <= INT64_MAX;
    }
    c->state = byte == '\r' ? SIZE_LF : EXTENSION;
    return c->digits > 0 && (byte == '\r' || byte == ';');
}

static bool extension_byte(chunked *c, char byte)
{
    if (byte != '\r')
        return text_byte(c, byte);
    c->state = SIZE_LF;
    return true;
}

static bool size_end(chunked *c, char byte)
{
    c->state = c->left > 0 ? DATA : TRAILER;
    c->empty = true;
    return byte == '\n';
}

static bool data_end(chunked *c, char byte)
{
    c->state = SIZE;
    c->left = 0;
    c->digits = 0;
    return byte == '\n';
}

static bool is_name_byte(char byte)
{
    char lower = (char)(byte | 0x20);
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static bool trailer_byte(chunked *c, char byte)
{
    if (byte == '\r' || byte == ':') {
        c->state = byte == ':' ? VALUE : TRAILER_LF;
        return c->empty == (byte == '\r');
    }
    c->empty = false;
    return is_name_byte(byte) && text_byte(c, byte);
}

static bool value_byte(chunked *c, char byte)
{
    if (byte != '\r')
        return text_byte(c, byte);
    c->state = TRAILER_LF;
    return true;
}

/* One byte of framing; false: refused. */
static bool step(chunked *c, char byte)
{
    switch (c->state) {
    case SIZE:
        return size_byte(c, byte);
    case EXTENSION:
        return extension_byte(c, byte);
    case SIZE_LF:
        return size_end(c, byte);
    case DATA_CR:
        c->state = DATA_LF;
        return byte == '\r';
    case DATA_LF:
        return data_end(c, byte);
    case VALUE:
        return value_byte(c, byte);
    default:
        return trailer_byte(c, byte);
    }
}

static slice take_data(chunked *c, slice *in)
{
    slice data = {in->p, in->n < c->left ? in->n : (size_t)c->left};
    in->p += data.n;
    in->n -= data.n;
    c->left -= data.n;
    if (c->left == 0)
        c->state = DATA_CR;
    return data;
}

chunked_result chunked_feed(chunked *c, slice *in, slice *data)
{
    while (in->n > 0) {
        if (c->state == DATA) {
            *data = take_data(c, in);
            return CHUNKED_DATA;
        }
        char byte = *in->p++;
        in->n--;
        if (c->state == TRAILER_LF) {
            if (byte != '\n')
                return CHUNKED_BAD;
            if (c->empty)
                return CHUNKED_DONE;
            c->state = TRAILER;
            c->empty = true;
        } else if (!step(c, byte)) {
            return CHUNKED_BAD;
        }
    }
    return CHUNKED_MORE;
}
