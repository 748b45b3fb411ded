/* "Did you mean": the candidate closest to a mistyped word by edit distance. */
#pragma once
#include "slice.h"

typedef struct {
    slice word;
    const char *best; /* not copied */
    size_t distance;
} nearest;

nearest nearest_to(slice word);
void nearest_try(nearest *n, const char *candidate);
/* NULL when nothing is close enough to be what was meant. */
const char *nearest_found(const nearest *n);
