/* Tokens whose signature was good, by digest, so that a repeated one costs no signature check. The
 * claims' own checks (jwt_check) are made each time. One per VM; not thread-safe. */
#pragma once
#include "jwt.h"
#include <stddef.h>
#include <stdint.h>

typedef struct token_cache token_cache;

typedef struct {
    size_t slot; /* 1 .. limit; what the owner keeps beside the entry is found by it */
    const jwt_claims *claims;
} token_hit;

typedef struct {
    uint64_t hits, misses, evictions;
    size_t entries, limit;
} token_stats;

token_cache *token_cache_new(size_t limit);
void token_cache_free(token_cache *c);
/* False: not seen yet, or under another set of keys (its stamp is part of the name). Remembers the
 * digest for token_cache_put. */
bool token_cache_find(token_cache *c, slice token, slice stamp, token_hit *hit);
/* Adds the token of the last token_cache_find, which was not there; the one that was used least
 * recently makes room. Returns its slot. */
size_t token_cache_put(token_cache *c, const jwt_claims *claims);
/* Forgets one (it has expired); its slot will be used again. */
void token_cache_forget(token_cache *c, size_t slot);
token_stats token_cache_stats(const token_cache *c);
