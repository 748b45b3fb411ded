/* Why a count and not an owner: a frame lies in the hub's history, in mailboxes and in the write
 * queues of many connections on several threads at once. What must never happen: a write to data
 * after frame_new returned. */
#include "frame.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic size_t alive;

frame *frame_join(const char *data, size_t n, const char *tail, size_t tail_n)
{
    frame *f = malloc(sizeof *f + n + tail_n);
    if (f == NULL)
        return NULL;
    atomic_init(&f->refs, 1);
    f->len = n + tail_n;
    if (n > 0)
        memcpy(f->data, data, n);
    if (tail_n > 0)
        memcpy(f->data + n, tail, tail_n);
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return f;
}

frame *frame_new(const char *data, size_t n)
{
    return frame_join(data, n, NULL, 0);
}

frame *frame_hold(frame *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void frame_drop(frame *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    free(f);
}

size_t frame_alive(void)
{
    return atomic_load_explicit(&alive, memory_order_relaxed);
}
