/* A bucket of tokens: so many things a second, and one second's worth at once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t level; /* thousandths of a thing */
    uint64_t at_ms;
} bucket;

static inline bucket bucket_full(uint64_t rate, uint64_t now_ms)
{
    return (bucket){rate * 1000, now_ms};
}

/* True: there was one left. rate 0: there always is. */
static inline bool bucket_take(bucket *b, uint64_t rate, uint64_t now_ms)
{
    if (rate == 0)
        return true;
    b->level += (now_ms - b->at_ms) * rate;
    b->at_ms = now_ms;
    if (b->level > rate * 1000)
        b->level = rate * 1000;
    if (b->level < 1000)
        return false;
    b->level -= 1000;
    return true;
}
