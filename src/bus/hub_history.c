/* A ring of messages per topic. The entry of a topic outlives its messages for a while, since its
 * epoch and last offset still tell a client that comes back whether it missed anything.
 *
 *   absent --hub_history_get--> empty --append--> kept --too old, or bytes are short--> empty
 *   empty --for EMPTY_MS, or bytes are short--> freed
 *
 * Owner: the hub. An epoch is never used twice, so that a counter that began anew is not taken for
 * the old one. What must never happen: two messages of one epoch with one offset; a ring with a
 * hole. */
#include "hub_history.h"

#include "mem.h"
#include "metrics.h"
#include <stdlib.h>
#include <sys/random.h>

enum {
    EMPTY_MS = 3600 * 1000, /* an entry without messages is remembered so long */
    SWEEP_STEPS = 1000,
    MESSAGE_COST = sizeof(hub_message) + sizeof(frame) + 16
};

static const uint64_t EPOCH_STEP = 0x9e3779b97f4a7c15u; /* odd: runs through all numbers */

void hub_histories_init(hub_histories *all, size_t max_bytes)
{
    *all = (hub_histories){.max_bytes = max_bytes};
    list_init(&all->kept);
    list_init(&all->empty);
    if (getrandom(&all->epochs, sizeof all->epochs, 0) != sizeof all->epochs)
        abort();
}

uint64_t hub_histories_epoch(hub_histories *all)
{
    do
        all->epochs += EPOCH_STEP;
    while (all->epochs == 0);
    return all->epochs;
}

static void count_bytes(hub_histories *all, hub_history *y, size_t more, size_t less)
{
    y->bytes += more - less;
    all->bytes += more - less;
    metrics_add(METRIC_HISTORY_BYTES, (int64_t)more - (int64_t)less);
}

static size_t entry_cost(const hub_history *y)
{
    return sizeof *y + y->node.key.n;
}

/* Forgetting -------------------------------------------------------------------------------- */

static void drop_oldest(hub_histories *all, hub_history *y)
{
    hub_message *m = &y->ring[y->head];
    count_bytes(all, y, 0, m->data->len + MESSAGE_COST);
    frame_drop(m->data);
    y->head = (y->head + 1) % y->cap;
    y->count--;
}

static void rest(hub_histories *all, hub_history *y)
{
    free(y->ring);
    y->ring = NULL;
    y->cap = y->head = 0;
    list_remove(&y->link);
    list_append(&all->empty, &y->link);
}

static void drop_messages(hub_histories *all, hub_history *y)
{
    while (y->count > 0)
        drop_oldest(all, y);
    rest(all, y);
}

void hub_history_move(hub_histories *all, hub_history *y, hub_position at)
{
    if (y->count > 0)
        drop_messages(all, y);
    y->epoch = at.epoch;
    y->last = at.offset;
    y->past = (hub_past){0};
}

static void free_entry(hub_histories *all, hub_history *y)
{
    if (y->count > 0)
        drop_messages(all, y);
    all->bytes -= entry_cost(y);
    metrics_add(METRIC_HISTORY_BYTES, -(int64_t)entry_cost(y));
    map_remove(&all->by_name, &y->node);
    list_remove(&y->link);
    free(y);
}

void hub_histories_free(hub_histories *all)
{
    while (!list_empty(&all->kept))
        free_entry(all, LIST_ENTRY(all->kept.next, hub_history, link));
    while (!list_empty(&all->empty))
        free_entry(all, LIST_ENTRY(all->empty.next, hub_history, link));
    map_free(&all->by_name);
}

static bool is_old(const hub_history *y, int64_t now)
{
    return y->limits.age_ms > 0 && y->count > 0 &&
           now - y->ring[y->head].time_ms >= (int64_t)y->limits.age_ms;
}

/* What y's own rule does not keep. */
static void trim(hub_histories *all, hub_history *y, int64_t now)
{
    const hub_history_limits *l = &y->limits;
    while (y->count > 0 && (y->count > l->messages || is_old(y, now) ||
                            (y->count > 1 && y->bytes - y->count * MESSAGE_COST > l->bytes)))
        drop_oldest(all, y);
    if (y->count == 0 && y->cap > 0)
        rest(all, y);
}

/* `but` stays: it was used just now. */
static void make_room(hub_histories *all, const hub_history *but)
{
    while (all->bytes > all->max_bytes && !list_empty(&all->empty)) {
        hub_history *y = LIST_ENTRY(all->empty.next, hub_history, link);
        if (y == but)
            break;
        free_entry(all, y);
    }
    while (all->bytes > all->max_bytes && !list_empty(&all->kept)) {
        hub_history *y = LIST_ENTRY(all->kept.next, hub_history, link);
        metrics_add(METRIC_HISTORY_EVICTED, 1);
        if (y == but && y->count > 1)
            drop_oldest(all, y);
        else if (y == but)
            break;
        else
            drop_messages(all, y);
    }
}

void hub_histories_sweep(hub_histories *all, int64_t now)
{
    for (int i = 0; i < SWEEP_STEPS && !list_empty(&all->empty); i++) {
        hub_history *y = LIST_ENTRY(all->empty.next, hub_history, link);
        if (now - y->used_ms < EMPTY_MS + (int64_t)y->limits.age_ms)
            break;
        free_entry(all, y);
    }
    int i = 0;
    LIST_FOR_EACH_SAFE (it, &all->kept) {
        if (i++ == SWEEP_STEPS)
            break;
        trim(all, LIST_ENTRY(it, hub_history, link), now);
    }
}

/* Keeping ----------------------------------------------------------------------------------- */

hub_history *hub_history_find(hub_histories *all, slice name)
{
    map_node *node = map_find(&all->by_name, name);
    return node != NULL ? MAP_ENTRY(node, hub_history, node) : NULL;
}

static hub_history *make(hub_histories *all, slice name)
{
    hub_history *y = mem_alloc(sizeof *y + name.n + 1);
    memcpy(y->name, name.p, name.n);
    y->node.key = (slice){y->name, name.n};
    y->epoch = hub_histories_epoch(all);
    map_insert(&all->by_name, &y->node);
    list_append(&all->empty, &y->link);
    all->bytes += entry_cost(y);
    metrics_add(METRIC_HISTORY_BYTES, (int64_t)entry_cost(y));
    return y;
}

static void touch(hub_histories *all, hub_history *y, int64_t now)
{
    y->used_ms = now;
    list_remove(&y->link);
    list_append(y->count > 0 ? &all->kept : &all->empty, &y->link);
}

hub_history *hub_history_get(hub_histories *all, slice name, const hub_history_limits *limits,
                             int64_t now)
{
    hub_history *y = hub_history_find(all, name);
    if (y == NULL)
        y = make(all, name);
    y->limits = *limits;
    touch(all, y, now);
    make_room(all, y);
    return y;
}

static void grow(hub_history *y)
{
    size_t cap = y->cap > 0 ? y->cap * 2 : 8;
    hub_message *ring = mem_alloc(cap * sizeof *ring);
    for (size_t i = 0; i < y->count; i++)
        ring[i] = y->ring[(y->head + i) % y->cap];
    free(y->ring);
    y->ring = ring;
    y->cap = cap;
    y->head = 0;
}

void hub_history_append(hub_histories *all, hub_history *y, frame *data, int64_t now)
{
    if (y->count == y->cap)
        grow(y);
    y->ring[(y->head + y->count++) % y->cap] = (hub_message){frame_hold(data), ++y->last, now};
    count_bytes(all, y, data->len + MESSAGE_COST, 0);
    touch(all, y, now);
    trim(all, y, now);
    make_room(all, y);
}

bool hub_history_has(const hub_history *y, hub_position *p)
{
    return hub_position_carry(p, y->epoch, &y->past) && p->offset <= y->last;
}

uint64_t hub_history_first(hub_histories *all, hub_history *y, int64_t now)
{
    trim(all, y, now);
    return y->last + 1 - y->count;
}

size_t hub_history_read(const hub_history *y, uint64_t after, size_t max, hub_message *out)
{
    uint64_t first = y->last + 1 - y->count;
    uint64_t from = after + 1 > first ? after + 1 : first;
    size_t n = from > y->last ? 0 : (size_t)(y->last - from + 1);
    n = n < max ? n : max;
    for (size_t i = 0; i < n; i++) {
        out[i] = y->ring[(y->head + (size_t)(from - first) + i) % y->cap];
        frame_hold(out[i].data);
    }
    return n;
}
