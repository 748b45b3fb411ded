/* Regular expressions on PCRE2, bounded in steps, depth, memory and time, and a cache of compiled
 * patterns. */
#pragma once
#include "slice.h"
#include <stdint.h>

#define REGEX_MAX_PATTERN 16384
#define REGEX_GROWTH 2
#define REGEX_MAX_SUBJECT (1024 * 1024)

enum {                   /* flags of regex_get */
       REGEX_LINEAR = 1, /* only what a matcher without backtracking can do (Rust, Go, RE2) */
       REGEX_IGNORE_CASE = 2,
       REGEX_MULTILINE = 4,
       REGEX_DOTALL = 8,
       REGEX_EXTENDED = 16,
};

enum { REGEX_NONE = 0, REGEX_LIMIT = -1, REGEX_FAILED = -2 }; /* results of regex_next */

typedef struct regex_cache regex_cache;
typedef struct regex regex;

typedef struct {
    size_t entries, hits, misses, evicted;
} regex_stats;

/* NULL: no memory. */
regex_cache *regex_cache_new(size_t capacity);
void regex_cache_free(regex_cache *cache);
regex_stats regex_cache_stats(const regex_cache *cache);

/* The compiled pattern, from the cache or new; valid until the next regex_get. NULL: it does not
 * compile, and error says why. */
const regex *regex_get(regex_cache *cache, slice pattern, unsigned flags, char *error, size_t size);

/* One walk over the matches in a subject (UTF-8, at most REGEX_MAX_SUBJECT bytes, both checked by
 * the caller), which share one budget. */
typedef struct {
    regex_cache *cache;
    const regex *pattern;
    slice subject;
    size_t at;            /* where the next search begins */
    size_t previous;      /* end of the last match: no empty match there */
    bool any;             /* there was a match */
    uint64_t steps, most; /* of matching */
    size_t last;          /* position of the last step */
    uint64_t started_us, started_cpu_us;
    bool (*over)(void);   /* looked at now and then; true: the caller's time is used up */
    const size_t *groups; /* of the match: start and end of each, SIZE_MAX: not part of it */
    size_t count;         /* groups, the whole match included */
} regex_walk;

void regex_start(regex_walk *w, regex_cache *cache, const regex *pattern, slice subject, size_t at,
                 bool (*over)(void));
/* The next match: its number of groups; or REGEX_NONE, or a failure. */
int regex_next(regex_walk *w);

/* Names of groups: the index-th name and its group. */
size_t regex_name_count(const regex *pattern);
slice regex_name(const regex *pattern, size_t index, size_t *group);

/* regex_dialect.c: whether the pattern keeps to REGEX_LINEAR. Writes it, as PCRE2 spells it, to out
 * (room for REGEX_GROWTH times its length); false: error says what it must not contain. */
bool regex_translate(slice pattern, bool extended, char *out, size_t *length, char *error,
                     size_t size);
