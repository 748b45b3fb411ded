/* Memory of one Lua state: blocks of up to 256 bytes from slabs, by size, larger ones from malloc.
 * For one thread at a time. */
#pragma once
#include <stddef.h>

enum { HEAP_STEP = 16, HEAP_SMALL = 256, HEAP_CLASSES = HEAP_SMALL / HEAP_STEP };

typedef struct {
    struct heap_slab *slabs;
    char *next, *end; /* what is left of the newest slab */
    struct heap_block *spare[HEAP_CLASSES];
    size_t total, limit; /* bytes in slabs; no more than limit, 0: any */
} heap;

/* The caller keeps the sizes, none of which is 0. NULL: no memory; an old block then stays. */
void *heap_take(heap *h, size_t size);
void heap_give(heap *h, void *p, size_t size);
void *heap_resize(heap *h, void *old, size_t old_size, size_t size);
/* Frees the slabs; blocks from malloc have been freed one by one. All of it goes back to the
 * system. */
void heap_free(heap *h);
