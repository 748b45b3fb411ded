/* UTF-8, one sequence at a time. */
#pragma once
#include <stddef.h>

/* Length of the valid sequence at the front of p[0..n-1], n > 0; 0: not one. */
size_t utf8_length(const char *p, size_t n);
