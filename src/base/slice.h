/* A borrowed run of bytes: pointer and length, not NUL-terminated, never freed through this. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

typedef struct {
    const char *p;
    size_t n;
} slice;

#define SLICE(literal) ((slice)SLICE_INIT(literal))
#define SLICE_INIT(literal)            \
    {                                  \
        (literal), sizeof(literal) - 1 \
    } /* for static initialisers */

static inline slice slice_of(const char *text)
{
    return (slice){text, strlen(text)};
}

static inline bool slice_eq(slice a, slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case is ignored, as header names want it. */
static inline bool slice_ieq(slice a, slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}
