/* Lua allocates and frees some ten small blocks per request; with their sizes known at free, a list
 * per size serves them in a few instructions where malloc needs a hundred. Slabs are given back
 * when the state ends, all at once. Rejected: one arena per request, since what Lua makes may
 * outlive it.
 *
 * What a burst of one size has taken stays with that size, so the slabs have a limit of their own:
 * beyond it an allocation fails, and Lua collects its garbage or raises.
 *
 * What a state held goes back to the system when it ends, not only to malloc, which would keep the
 * place of three states after each reload. It takes 0.4 ms.
 *
 * Builds with sanitizers use malloc for all, so that each block is watched. Their malloc is not
 * glibc's, which is then not set up, and must not be trimmed: two threads that were first to ask
 * would crash. */
#include "heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 64 << 10 };

#ifdef LUNACAST_AUDIT
enum { SMALL = 0 };
static void give_to_system(void)
{
}
#else
enum { SMALL = HEAP_SMALL };
static void give_to_system(void)
{
    malloc_trim(0);
}
#endif

struct heap_slab {
    struct heap_slab *next;
    _Alignas(16) char bytes[];
};

struct heap_block {
    struct heap_block *next;
};

static char *cut_from_new_slab(heap *h, size_t size)
{
    if (h->limit > 0 && h->total + SLAB_BYTES > h->limit)
        return NULL;
    struct heap_slab *slab = malloc(SLAB_BYTES);
    if (slab == NULL)
        return NULL;
    slab->next = h->slabs;
    h->slabs = slab;
    h->total += SLAB_BYTES;
    h->next = slab->bytes + size;
    h->end = (char *)slab + SLAB_BYTES;
    return slab->bytes;
}

static void *cut(heap *h, size_t size)
{
    if ((size_t)(h->end - h->next) < size)
        return cut_from_new_slab(h, size);
    char *bytes = h->next;
    h->next += size;
    return bytes;
}

static size_t class_of(size_t size)
{
    return (size - 1) / HEAP_STEP;
}

void *heap_take(heap *h, size_t size)
{
    if (size > SMALL)
        return malloc(size);
    size_t class = class_of(size);
    struct heap_block *block = h->spare[class];
    if (block == NULL)
        return cut(h, (class + 1) * HEAP_STEP);
    h->spare[class] = block->next;
    return block;
}

void heap_give(heap *h, void *p, size_t size)
{
    struct heap_block *block = p;
    if (size > SMALL) {
        free(p);
        return;
    }
    size_t class = class_of(size);
    block->next = h->spare[class];
    h->spare[class] = block;
}

void *heap_resize(heap *h, void *old, size_t old_size, size_t size)
{
    if (old_size > SMALL && size > SMALL)
        return realloc(old, size);
    if (old_size <= SMALL && size <= SMALL && class_of(old_size) == class_of(size))
        return old;
    size_t limit = h->limit;
    if (size < old_size)
        h->limit = 0; /* Lua counts on it that a block can shrink */
    void *p = heap_take(h, size);
    h->limit = limit;
    if (p != NULL) {
        memcpy(p, old, old_size < size ? old_size : size);
        heap_give(h, old, old_size);
    }
    return p;
}

void heap_free(heap *h)
{
    while (h->slabs != NULL) {
        struct heap_slab *slab = h->slabs;
        h->slabs = slab->next;
        free(slab);
    }
    *h = (heap){0};
    give_to_system();
}
