/* Allocation that can't fail, for objects whose size we choose. What must never happen: a size that
 * came from the network reaching these without a limit applied before. */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t size)
{
    if (p == NULL && size > 0) {
        fprintf(stderr, "lunacast: out of memory allocating %zu bytes\n", size);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    return checked(calloc(1, size), size);
}

void *mem_resize(void *old, size_t size)
{
    return checked(realloc(old, size), size);
}

char *mem_dup(const char *data, size_t n)
{
    char *copy = checked(malloc(n + 1), n + 1);
    if (n > 0)
        memcpy(copy, data, n);
    copy[n] = '\0';
    return copy;
}
