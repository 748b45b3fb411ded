/* Strict UTF-8 (RFC 3629) of a text that comes in pieces: says no at the first byte that can't be
 * right, wherever the text was cut. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

/* All zero: between two characters. */
typedef struct {
    uint8_t missing;   /* bytes of the character that has begun */
    uint8_t low, high; /* bounds of the next of them */
} utf8_stream;

/* False: a byte of `text` is wrong; the stream must not be fed again. */
bool utf8_stream_feed(utf8_stream *s, slice text);
/* May the text end here? */
bool utf8_stream_complete(const utf8_stream *s);
/* A whole text. */
bool utf8_valid(slice text);
