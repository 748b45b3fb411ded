/* A bump allocator over a chain of blocks. One block survives a reset, so that a keep-alive
 * connection's second request allocates nothing. Rejected: a free list per size, since nothing here
 * is freed alone.
 *
 * Owner: the exchange. What must never happen: a pointer into the arena kept past arena_reset. */
#include "arena.h"

#include "mem.h"
#include <stdint.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 4096, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(ALIGN) char bytes[];
};

void arena_init(arena *a)
{
    *a = (arena){0};
}

static void use_block(arena *a, struct arena_block *block)
{
    a->next = block->bytes;
    a->end = block->bytes + block->size;
}

static void add_block(arena *a, size_t need)
{
    size_t size = BLOCK_SIZE - sizeof(struct arena_block);
    if (need > size)
        size = need;
    struct arena_block *block = mem_resize(NULL, sizeof *block + size);
    block->size = size;
    block->next = a->blocks;
    a->blocks = block;
    use_block(a, block);
}

void *arena_alloc(arena *a, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (size == 0)
        size = ALIGN;
    if (a->next == NULL || (size_t)(a->end - a->next) < size)
        add_block(a, size);
    void *p = a->next;
    a->next += size;
    return p;
}

char *arena_copy(arena *a, const char *data, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    if (n > 0)
        memcpy(copy, data, n);
    copy[n] = '\0';
    return copy;
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_reset(arena *a)
{
    struct arena_block *keep = a->blocks;
    if (keep == NULL)
        return;
    free_blocks(keep->next);
    keep->next = NULL;
    if (keep->size > BLOCK_SIZE) {
        free(keep);
        arena_init(a);
        return;
    }
    use_block(a, keep);
}

void arena_free(arena *a)
{
    free_blocks(a->blocks);
    arena_init(a);
}
