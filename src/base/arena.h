/* Memory of one exchange: allocated piece by piece, freed at once. */
#pragma once
#include "slice.h"
#include <stddef.h>

typedef struct arena {
    struct arena_block *blocks;
    char *next, *end;
} arena;

void arena_init(arena *a);
/* 16-byte aligned, not zeroed; never NULL. The caller has limited `size`. */
void *arena_alloc(arena *a, size_t size);
/* A NUL-terminated copy. */
char *arena_copy(arena *a, const char *data, size_t n);
/* Frees everything but one first block; usable again at once. */
void arena_reset(arena *a);
/* As reset, and keeps nothing. */
void arena_free(arena *a);
