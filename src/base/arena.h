/* Memory of one exchange: allocated piece by piece, freed at once. Undo actions of things that are
 * not memory stand beside them (arena_defer) and run in reverse when the arena ends. */
#pragma once
#include "slice.h"
#include <stddef.h>

typedef struct arena {
    struct arena_block *blocks;
    struct arena_undo *undos;
    char *next, *end;
} arena;

void arena_init(arena *a);
/* 16-byte aligned, not zeroed; never NULL. The caller has limited `size`. */
void *arena_alloc(arena *a, size_t size);
/* A NUL-terminated copy. */
char *arena_copy(arena *a, const char *data, size_t n);
/* `undo(arg)` runs when the arena is freed, last registered first. */
void arena_defer(arena *a, void (*undo)(void *arg), void *arg);
/* Runs the undo actions, frees everything but one first block; usable again at once. */
void arena_reset(arena *a);
/* As reset, and keeps nothing. */
void arena_free(arena *a);
