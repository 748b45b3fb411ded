/* What was said last in each topic that keeps messages. Lives as long as the process and outlives a
 * topic's listeners; bounded per topic by its rule, and in all by bytes, where the topic that was
 * used least recently loses its messages first. Not thread-safe: the hub's lock guards it. */
#pragma once
#include "hub_position.h"
#include "hub_rules.h"
#include "list.h"
#include "map.h"

typedef struct hub_history {
    map_node node;
    list link;            /* in histories.kept or .empty: the least recently used first */
    uint64_t epoch, last; /* last: offset of the newest message that there was */
    hub_past past;        /* of the epoch */
    hub_message *ring;
    size_t head, count, cap, bytes;
    hub_history_limits limits;
    int64_t used_ms;
    char name[];
} hub_history;

typedef struct {
    map by_name;
    list kept, empty;
    size_t bytes, max_bytes;
    uint64_t epochs; /* what the next one is made of */
} hub_histories;

void hub_histories_init(hub_histories *all, size_t max_bytes);
void hub_histories_free(hub_histories *all);
/* Some steps of forgetting what is too old; now is clock_wall_ms. */
void hub_histories_sweep(hub_histories *all, int64_t now);

hub_history *hub_history_find(hub_histories *all, slice name); /* NULL: none */
/* Finds it, or makes an empty one with an epoch of its own. It stays valid until something is
 * appended to any. */
hub_history *hub_history_get(hub_histories *all, slice name, const hub_history_limits *limits,
                             int64_t now);
uint64_t hub_histories_epoch(hub_histories *all); /* one that was never used */
/* What there was is something else: the next message follows on this position. */
void hub_history_move(hub_histories *all, hub_history *y, hub_position at);
/* The next message, at offset last + 1. Holds its own reference. */
void hub_history_append(hub_histories *all, hub_history *y, frame *data, int64_t now);
/* Is p of this counter, so that it can be told what followed on it? It is carried into its epoch.
 */
bool hub_history_has(const hub_history *y, hub_position *p);
/* Offset of the oldest message that is there; last + 1 when there is none. */
uint64_t hub_history_first(hub_histories *all, hub_history *y, int64_t now);
/* Up to max of the messages after that offset, with a reference on each for the caller. */
size_t hub_history_read(const hub_history *y, uint64_t after, size_t max, hub_message *out);
