/* Levenshtein distance with adjacent swaps at cost one, on words of at most 64 bytes: this runs
 * once before an error message, on input that a person typed. */
#include "nearest.h"

#include <stdint.h>

enum { WORD_MAX = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t distance(slice a, slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            row[j] = least(change, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b.n];
}

nearest nearest_to(slice word)
{
    return (nearest){word, NULL, SIZE_MAX};
}

static void consider(nearest *n, slice candidate, const char *whole, size_t penalty)
{
    if (candidate.n > WORD_MAX || n->word.n > WORD_MAX)
        return;
    size_t d = distance(n->word, candidate) + penalty;
    if (d < n->distance) {
        n->distance = d;
        n->best = whole;
    }
}

/* A dotted name is also found by its last part alone: "max_bytes" means "store.max_bytes". */
void nearest_try(nearest *n, const char *candidate)
{
    consider(n, slice_of(candidate), candidate, 0);
    const char *dot = strrchr(candidate, '.');
    if (dot != NULL && memchr(n->word.p, '.', n->word.n) == NULL)
        consider(n, slice_of(dot + 1), candidate, 1);
}

const char *nearest_found(const nearest *n)
{
    size_t allowed = n->word.n < 6 ? 2 : n->word.n / 3 + 1;
    return n->distance <= allowed && n->distance < n->word.n ? n->best : NULL;
}
