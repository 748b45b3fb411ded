/* What recording (metrics.c) and rendering (metrics_text.c) share. */
#pragma once
#include "list.h"
#include "map.h"
#include "metrics.h"

#include <pthread.h>
#include <stdatomic.h>

enum { METRICS_BUCKETS = 16 };

/* Upper bounds in microseconds; one more bucket has none. */
extern const uint64_t metrics_bounds[METRICS_BUCKETS];

struct metrics_family {
    map_node node;
    char *name, *help;
    metrics_type type;
};

typedef struct {
    uint64_t buckets[METRICS_BUCKETS + 1], count;
    double sum; /* seconds */
} metrics_histogram;

/* One labelled series of one shard; the key is the family's name, NUL, the labels as they are
 * rendered: `method="GET",status="200"`. */
typedef struct {
    map_node node;
    const metrics_family *family;
    slice labels, route; /* within the key; route: of a request's series, else empty */
    double value;
    metrics_histogram *histogram; /* NULL: a counter or gauge */
} metrics_series;

/* Most timings are of the same label as the one before. */
typedef struct {
    metrics_series *series;
    size_t n;
    char label[64];
} metrics_last_timing;

typedef struct {
    list link;
    int worker;
    _Atomic int64_t fixed[METRIC_COUNT];
    pthread_mutex_t lock; /* of what follows; its owner holds it for one look-up */
    map series;
    metrics_series *last_request; /* most requests are like the one before */
    int last_status;
    char last_method[16];
    metrics_last_timing last_timing[METRIC_TIMING_COUNT];
} metrics_shard;

typedef struct {
    const char *name, *help;
    metrics_type type;
    bool per_worker;
    double scale; /* of the stored integer: 1e-6 for microseconds */
} metrics_fixed;

extern const metrics_fixed metrics_fixed_table[METRIC_COUNT];
extern const metrics_family metrics_requests, metrics_request_seconds;

/* Calls fn for each shard, its lock held. */
void metrics_each_shard(void (*fn)(metrics_shard *shard, void *arg), void *arg);
