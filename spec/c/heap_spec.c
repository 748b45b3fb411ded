/* Small blocks by size: contents survive every change of size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 500, STEPS = 200000 };

static struct {
    unsigned char *bytes, mark;
    size_t size;
} blocks[BLOCKS];

static void check(int i)
{
    for (size_t k = 0; k < blocks[i].size; k++)
        assert_int_equal(blocks[i].bytes[k], blocks[i].mark);
}

static void *resize(heap *h, void *old, size_t old_size, size_t size)
{
    if (old != NULL && size > 0)
        return heap_resize(h, old, old_size, size);
    if (old != NULL)
        heap_give(h, old, old_size);
    return size > 0 ? heap_take(h, size) : NULL;
}

static void contents_survive_every_change_of_size(void **state)
{
    (void)state;
    heap h = {0};
    uint32_t random = 1;
    for (int step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        int i = (int)(random >> 8) % BLOCKS;
        size_t size = (random >> 20) % (random & 64 ? 300 : 3000);
        size_t kept = size < blocks[i].size ? size : blocks[i].size;
        check(i);
        blocks[i].bytes = resize(&h, blocks[i].bytes, blocks[i].size, size);
        blocks[i].size = kept;
        check(i);
        blocks[i].size = size;
        blocks[i].mark = (unsigned char)step;
        assert_true((uintptr_t)blocks[i].bytes % 16 == 0);
        if (size > 0)
            memset(blocks[i].bytes, blocks[i].mark, size);
    }
    for (int i = 0; i < BLOCKS; i++) {
        check(i);
        resize(&h, blocks[i].bytes, blocks[i].size, 0);
    }
    heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents_survive_every_change_of_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
