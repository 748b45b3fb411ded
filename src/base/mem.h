/* Allocation of small, fixed things: running out of memory for them aborts with a message, since no
 * caller could do better. Sizes that a peer chooses are limited first and may fail: malloc. */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t size);              /* zeroed; never NULL */
void *mem_resize(void *old, size_t size);  /* never NULL for size > 0 */
char *mem_dup(const char *data, size_t n); /* n bytes and a NUL; the caller frees */
