/* A set of bytes, 256 bits: what a class or a set of a Lua pattern takes. Made in a few
 * instructions for each member, asked in one; the pattern's text is asked in many. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t words[4];
} byte_set;

static inline bool byte_set_has(const byte_set *set, char c)
{
    unsigned char byte = (unsigned char)c;
    return (set->words[byte >> 6] >> (byte & 63) & 1) != 0;
}

/* first to last, both in it; none where first > last. */
void byte_set_add(byte_set *set, unsigned char first, unsigned char last);
/* Of %a, %d and so on, by the letter; a capital for all others. A byte that names no class is
 * added itself. */
void byte_set_add_class(byte_set *set, unsigned char class);
void byte_set_invert(byte_set *set);
