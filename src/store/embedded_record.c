/* Records: what the embedded driver keeps in memory per key. One allocation each, counted, because
 * a reader on another thread may still copy out of a record that the writer has replaced. */
#include "embedded.h"

#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

record *record_new(const embedded_row *row)
{
    record *r = malloc(sizeof *r + row->key.n + row->value.n);
    if (r == NULL)
        return NULL;
    *r = (record){.version = row->version, .expires = row->expires};
    atomic_init(&r->refs, 1);
    memcpy(r->bytes, row->key.p, row->key.n);
    if (row->value.n > 0)
        memcpy(r->bytes + row->key.n, row->value.p, row->value.n);
    r->node.key = (slice){r->bytes, row->key.n};
    r->value = (slice){r->bytes + row->key.n, row->value.n};
    return r;
}

record *record_hold(record *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void record_drop(void *held)
{
    record *r = held;
    if (r != NULL && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        free(r);
}

size_t record_size(const record *r)
{
    return sizeof *r + r->node.key.n + r->value.n;
}

void record_account(size_t keys_before, size_t keys, size_t bytes_before, size_t bytes)
{
    metrics_add(METRIC_STORE_KEYS, (int64_t)keys - (int64_t)keys_before);
    metrics_add(METRIC_STORE_BYTES, (int64_t)bytes - (int64_t)bytes_before);
}

bool record_alive(const record *r, int64_t now)
{
    return r->expires == 0 || r->expires > now;
}
