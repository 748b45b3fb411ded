/* A growing run of bytes, owned by whoever holds the struct. Not NUL-terminated unless asked. */
#pragma once
#include "slice.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *data;
    size_t len, cap;
} buf;

/* Room for `more` bytes after len; returns where they go. */
char *buf_reserve(buf *b, size_t more);
void buf_append(buf *b, const void *data, size_t n);
void buf_append_slice(buf *b, slice s);
void buf_text(buf *b, const char *text);
void buf_byte(buf *b, char c);
void buf_uint(buf *b, uint64_t value); /* decimal */
void buf_format(buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops n bytes from the front. */
void buf_consume(buf *b, size_t n);
/* NUL after the bytes (not counted in len); returns data. */
char *buf_cstr(buf *b);
/* Frees the bytes; the struct is empty and usable again. */
void buf_free(buf *b);
