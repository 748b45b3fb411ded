/* One step per byte for what is not ASCII, eight bytes per step for what is. The state is the
 * bounds of the next byte, since only the second byte of a character has bounds of its own.
 * Rejected: utf8_length on the gathered text, which says no only when the character is whole. */
#include "utf8_stream.h"

static size_t ascii_run(const unsigned char *at, size_t n)
{
    size_t done = 0;
    for (uint64_t word; n - done >= sizeof word; done += sizeof word) {
        memcpy(&word, at + done, sizeof word);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    while (done < n && at[done] < 0x80)
        done++;
    return done;
}

static bool begin(utf8_stream *s, unsigned char byte)
{
    if (byte < 0xC2 || byte > 0xF4)
        return false;
    s->missing = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    s->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    s->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
}

bool utf8_stream_feed(utf8_stream *s, slice text)
{
    const unsigned char *at = (const unsigned char *)text.p;
    for (size_t i = 0; i < text.n; i++) {
        if (s->missing > 0) {
            if (at[i] < s->low || at[i] > s->high)
                return false;
            s->missing--;
            s->low = 0x80;
            s->high = 0xBF;
            continue;
        }
        i += ascii_run(at + i, text.n - i);
        if (i < text.n && !begin(s, at[i]))
            return false;
    }
    return true;
}

bool utf8_stream_complete(const utf8_stream *s)
{
    return s->missing == 0;
}

bool utf8_valid(slice text)
{
    utf8_stream s = {0};
    return utf8_stream_feed(&s, text) && utf8_stream_complete(&s);
}
