/* Growth doubles, so appending n bytes is O(n). What must never happen: a buffer fed by a peer
 * without its owner checking len against a limit before appending. */
#include "buf.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

char *buf_reserve(buf *b, size_t more)
{
    if (b->cap - b->len < more) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        while (cap - b->len < more)
            cap *= 2;
        b->data = mem_resize(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_append(buf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), data, n);
    b->len += n;
}

void buf_append_slice(buf *b, slice s)
{
    buf_append(b, s.p, s.n);
}

void buf_text(buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_byte(buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}

void buf_uint(buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_append(b, digits + at, sizeof digits - at);
}

void buf_format(buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        char *room = buf_reserve(b, (size_t)n + 1);
        vsnprintf(room, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_consume(buf *b, size_t n)
{
    b->len -= n;
    if (b->len > 0)
        memmove(b->data, b->data + n, b->len);
}

char *buf_cstr(buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return b->data;
}

void buf_free(buf *b)
{
    free(b->data);
    *b = (buf){0};
}
