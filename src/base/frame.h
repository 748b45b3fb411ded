/* Immutable bytes with an atomic reference count: one encoded message, shared by every subscriber
 * on every worker. Nobody copies it, nobody changes it; the last drop frees it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct frame {
    _Atomic uint32_t refs;
    size_t len;
    char data[];
} frame;

/* One reference, the caller's. `tail` may be empty. NULL when memory is out. */
frame *frame_new(const char *data, size_t n);
frame *frame_join(const char *data, size_t n, const char *tail, size_t tail_n);
frame *frame_hold(frame *f); /* returns f */
void frame_drop(frame *f);   /* NULL is allowed */
size_t frame_alive(void);    /* for the audit at shutdown */
