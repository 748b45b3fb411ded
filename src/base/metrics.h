/* What the process counts, as Prometheus text. Each thread counts into a shard of its own: fixed
 * counters and gauges are relaxed atomics there, labelled series lie in a table under the shard's
 * own mutex, which only a scrape ever contends for. A scrape adds the shards up.
 *
 * The number of labelled series is bounded; what comes after is dropped and counted
 * (lunacast_metrics_dropped_total). */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    METRIC_CONNECTIONS, /* gauge */
    METRIC_CONNECTIONS_ACCEPTED,
    METRIC_CONNECTIONS_REFUSED,
    METRIC_CONNECTIONS_EXCESS,  /* refused: too many of one client */
    METRIC_CONNECTIONS_STALLED, /* cut: the peer took nothing for too long */
    METRIC_ANSWERS_CUT,         /* chunked answers whose peer did not keep up */
    METRIC_ACCEPT_PAUSES,       /* full, or no descriptor left */
    METRIC_BYTES_RECEIVED,
    METRIC_BYTES_SENT,
    METRIC_CLIENT_CONNECTIONS, /* gauge: to upstreams, idle ones included */
    METRIC_CLIENT_CONNECTIONS_OPENED,
    METRIC_CLIENT_REQUESTS,
    METRIC_CLIENT_FAILURES, /* without a whole answer */
    METRIC_CLIENT_RETRIES,
    METRIC_UPSTREAM_FAILURES, /* requests that a proxied server did not answer well */
    METRIC_UPSTREAMS_OUT,     /* gauge: servers that get no requests for now */
    METRIC_TUNNELS,           /* gauge: WebSockets that are passed through */
    METRIC_VIEWERS,           /* gauge: open picture streams */
    METRIC_PICTURES_RENDERED,
    METRIC_PICTURES_SENT,
    METRIC_PICTURES_FORGED,     /* not shown: they could forge a part of the stream */
    METRIC_PICTURES_SKIPPED,    /* replaced by a newer one before they could be sent */
    METRIC_WEBSOCKETS,          /* gauge: open WebSockets */
    METRIC_WS_RECEIVED,         /* messages from clients */
    METRIC_WS_SENT,             /* messages to clients */
    METRIC_REVOCATIONS_REFUSED, /* the table was full */
    METRIC_SLOW,                /* times that a client took too slowly what was sent to it */
    METRIC_NEWS_LOST,           /* what hooks and presence did not hear of */
    METRIC_EVENTS_SENT,         /* server-sent events */
    METRIC_SSE_SLOW,            /* streams of events closed since the peer read too slowly */
    METRIC_WS_SLOW,             /* WebSockets closed since the peer read too slowly */
    METRIC_SUBSCRIBERS_PAUSED,  /* subscriptions that wait in their topic's history */
    METRIC_MESSAGES_DROPPED,    /* messages that waited for a slow client and were dropped */
    METRIC_MESSAGES_LOST,       /* dropped since a worker was too slow */
    METRIC_MESSAGES_LATE,       /* left out on a worker that has more to write than it can */
    METRIC_HISTORY_BYTES,       /* gauge: of all topics' histories */
    METRIC_HISTORY_EVICTED,     /* histories shortened since all together were too large */
    METRIC_SCRIPT_ERRORS,       /* handlers that raised */
    METRIC_VM_RECYCLED,         /* scripts loaded anew since they held too much memory */
    METRIC_SCRIPTS_STOPPED,     /* over their time budget */
    METRIC_RELOADS,             /* new scripts went live */
    METRIC_RELOADS_FAILED,
    METRIC_STORE_FAILURES,  /* operations answered "unavailable" */
    METRIC_STORE_KEYS,      /* gauge: of the embedded store, expired ones until they are swept */
    METRIC_STORE_BYTES,     /* gauge */
    METRIC_REDIS_CONNECTED, /* gauge: links that are up */
    METRIC_REDIS_RECONNECTS,
    METRIC_REDIS_UNANSWERED, /* commands given up */
    METRIC_SQL_FAILURES,     /* statements answered unavailable, busy, timeout or full */
    METRIC_SQL_REFUSED,      /* no connection was free in time */
    METRIC_SQL_ABANDONED,    /* transactions that we had to roll back */
    METRIC_SQL_CONNECTIONS,  /* gauge: to PostgreSQL */
    METRIC_TOKENS_ISSUED,
    METRIC_TOKEN_CACHE_HITS,
    METRIC_TOKEN_CACHE_MISSES,
    METRIC_TOKEN_CACHE_ENTRIES, /* gauge */
    METRIC_LUA_MEMORY,          /* gauge per worker, bytes */
    METRIC_TASKS,               /* gauge per worker */
    METRIC_LOOP_LAG,            /* gauge per worker, microseconds */
    METRIC_LOG_AUTH,            /* lines of that kind */
    METRIC_LOG_API,
    METRIC_LOG_ERROR,
    METRIC_LOG_PERFORMANCE,
    METRIC_LOG_LOST, /* lines that the disk did not take */
    METRIC_SERIES_DROPPED,
    METRIC_COUNT
} metric;

/* Histograms with one label. */
typedef enum {
    METRIC_STORE_SECONDS,    /* {operation} */
    METRIC_REDIS_SECONDS,    /* {command} */
    METRIC_SQL_SECONDS,      /* {operation} */
    METRIC_UPSTREAM_SECONDS, /* {upstream}, until the answer's head */
    METRIC_TIMING_COUNT
} metric_timing;

/* Before threads start. */
void metrics_configure(size_t max_series);
/* The calling thread is worker N: its per-worker gauges carry that label. */
void metrics_set_worker(int index);

/* On the calling thread's shard: counters and gauges that are added up. */
void metrics_add(metric m, int64_t by);
/* A gauge that only this thread sets (the per-worker ones). */
void metrics_set(metric m, int64_t value);

/* route and method as labels, "" where there is none. */
void metrics_request(slice route, slice method, int status, uint64_t us);
void metrics_time(metric_timing t, slice label, uint64_t us);

/* Scripts' own ------------------------------------------------------------------------------- */
typedef enum { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM } metrics_type;
typedef struct metrics_family metrics_family; /* lives as long as the process */

typedef struct {
    slice name, value;
} metrics_label;

enum { METRICS_LABELS_MAX = 8 };

/* Finds or makes it. NULL with a reason: a bad name, one of the host's, of another type, or too
 * many. */
metrics_family *metrics_declare(slice name, slice help, metrics_type type, const char **reason);
/* Counter: adds. Gauge: sets this thread's part (workers are added up). Histogram: observes, in
 * seconds. Labels are sorted by name by the caller, names are valid (metrics_valid_name). */
void metrics_record(metrics_family *f, const metrics_label *labels, size_t count, double value);
bool metrics_valid_name(slice name);
/* One of the host's own counters, so that the framework's Lua can count what only it knows. */
bool metrics_find_counter(slice name, metric *m);

/* Reading ----------------------------------------------------------------------------------- */
/* Prometheus text of all shards, sorted. */
void metrics_text(buf *out);
/* The sum over all threads and labels of a counter, a gauge, or a histogram's number of
 * observations. False: nothing has that name. */
bool metrics_get(slice name, double *value);
