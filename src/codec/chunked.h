/* The chunked transfer coding, decoded as the bytes come: RFC 9112 section 7.1, strictly. */
#pragma once
#include "slice.h"
#include <stdint.h>

typedef struct {
    uint64_t left;  /* of the chunk's data */
    uint32_t extra; /* bytes of extensions and trailers so far */
    uint8_t state, digits;
    bool empty; /* the trailer line has no byte yet */
} chunked;

typedef enum {
    CHUNKED_MORE, /* all bytes used up */
    CHUNKED_DATA, /* *data is a run of the body; call again */
    CHUNKED_DONE, /* the message ends here; the rest of the bytes belongs to the next */
    CHUNKED_BAD,
} chunked_result;

void chunked_start(chunked *c);
/* Eats from *in. Extensions and trailers are dropped; more than 4 KiB of them are CHUNKED_BAD. */
chunked_result chunked_feed(chunked *c, slice *in, slice *data);
