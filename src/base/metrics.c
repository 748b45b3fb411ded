/* Recording. A shard is made when its thread counts for the first time and stays when the thread
 * ends, since its counts still belong to the totals; threads are few and do not come and go.
 * Rejected: one table with atomics for all threads, whose cache lines would travel between cores
 * for each request.
 *
 * What must never happen: a shard's lock held while another lock is taken; a series made for each
 * distinct input of a peer (the bound is the last line of defence, not the plan). */
#include "metrics_private.h"

#include "mem.h"
#include "utf8.h"
#include <stdio.h>
#include <stdlib.h>

enum { FAMILIES_MAX = 1000, LABEL_VALUE_MAX = 128 };

const uint64_t metrics_bounds[METRICS_BUCKETS] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

#define COUNTER(name, help)                   \
    {                                         \
        name, help, METRICS_COUNTER, false, 1 \
    }
#define GAUGE(name, help)                   \
    {                                       \
        name, help, METRICS_GAUGE, false, 1 \
    }
#define WORKER_GAUGE(name, help, scale)        \
    {                                          \
        name, help, METRICS_GAUGE, true, scale \
    }

/* clang-format off */
const metrics_fixed metrics_fixed_table[METRIC_COUNT] = {
    [METRIC_CONNECTIONS] = GAUGE("lunacast_connections", "Open connections."),
    [METRIC_CONNECTIONS_ACCEPTED] = COUNTER("lunacast_connections_total", "Accepted connections."),
    [METRIC_CONNECTIONS_REFUSED] = COUNTER("lunacast_connections_refused_total",
        "Connections over the limit, answered 503."),
    [METRIC_CONNECTIONS_EXCESS] = COUNTER("lunacast_connections_excess_total",
        "Connections refused since their client has too many (limits.per_address)."),
    [METRIC_CONNECTIONS_STALLED] = COUNTER("lunacast_connections_stalled_total",
        "Connections cut since the peer took nothing for too long."),
    [METRIC_ANSWERS_CUT] = COUNTER("lunacast_answers_cut_total",
        "Chunked answers cut since the peer did not keep up."),
    [METRIC_ACCEPT_PAUSES] = COUNTER("lunacast_accept_pauses_total",
        "Times that new connections had to wait: the worker was full or out of descriptors."),
    [METRIC_BYTES_RECEIVED] = COUNTER("lunacast_bytes_received_total", "Bytes read from peers."),
    [METRIC_BYTES_SENT] = COUNTER("lunacast_bytes_sent_total", "Bytes written to peers."),
    [METRIC_CLIENT_CONNECTIONS] = GAUGE("lunacast_client_connections",
        "Connections to upstreams, idle ones included."),
    [METRIC_CLIENT_CONNECTIONS_OPENED] = COUNTER("lunacast_client_connections_total",
        "Connections opened to upstreams."),
    [METRIC_CLIENT_REQUESTS] = COUNTER("lunacast_client_requests_total", "Requests to upstreams."),
    [METRIC_CLIENT_FAILURES] = COUNTER("lunacast_client_failures_total",
        "Requests to upstreams that got no whole answer."),
    [METRIC_CLIENT_RETRIES] = COUNTER("lunacast_client_retries_total",
        "Requests sent again on a new connection, since a kept one had gone."),
    [METRIC_UPSTREAM_FAILURES] = COUNTER("lunacast_upstream_failures_total",
        "Proxied requests that their server did not answer well."),
    [METRIC_UPSTREAMS_OUT] = GAUGE("lunacast_upstreams_out",
        "Servers behind proxies that get no requests for now."),
    [METRIC_TUNNELS] = GAUGE("lunacast_tunnels", "WebSockets that are passed through."),
    [METRIC_VIEWERS] = GAUGE("lunacast_viewers", "Open picture streams."),
    [METRIC_PICTURES_RENDERED] = COUNTER("lunacast_pictures_rendered_total", "Pictures rendered."),
    [METRIC_PICTURES_SENT] = COUNTER("lunacast_pictures_sent_total", "Pictures sent to viewers."),
    [METRIC_PICTURES_FORGED] = COUNTER("lunacast_pictures_forged_total",
        "Pictures not shown to a viewer, since a line of them begins with the stream's boundary."),
    [METRIC_PICTURES_SKIPPED] = COUNTER("lunacast_pictures_skipped_total",
        "Pictures that a slow viewer did not get, since a newer one came."),
    [METRIC_WEBSOCKETS] = GAUGE("lunacast_websockets", "Open WebSockets."),
    [METRIC_WS_RECEIVED] = COUNTER("lunacast_websocket_messages_received_total",
        "Messages from WebSocket clients."),
    [METRIC_WS_SENT] = COUNTER("lunacast_websocket_messages_sent_total",
        "Messages to WebSocket clients."),
    [METRIC_REVOCATIONS_REFUSED] = COUNTER("lunacast_revocations_refused_total",
        "Revocations not entered since the table was full (token.revocations)."),
    [METRIC_SLOW] = COUNTER("lunacast_slow_clients_total",
        "Times that a client took too slowly what was sent to it."),
    [METRIC_NEWS_LOST] = COUNTER("lunacast_audience_news_lost_total",
        "Comings and goings that hooks and presence did not hear of: there were too many."),
    [METRIC_EVENTS_SENT] = COUNTER("lunacast_events_sent_total", "Server-sent events sent."),
    [METRIC_SSE_SLOW] = COUNTER("lunacast_event_streams_slow_total",
        "Streams of events closed since the client read too slowly."),
    [METRIC_WS_SLOW] = COUNTER("lunacast_websockets_slow_total",
        "WebSockets closed since the client read too slowly."),
    [METRIC_SUBSCRIBERS_PAUSED] = COUNTER("lunacast_subscriber_pauses_total",
        "Times that a slow client's subscription was paused, to go on from the topic's history."),
    [METRIC_MESSAGES_DROPPED] = COUNTER("lunacast_messages_dropped_total",
        "Messages dropped that waited for a slow client; it was told."),
    [METRIC_MESSAGES_LOST] = COUNTER("lunacast_messages_lost_total",
        "Messages that subscribers did not get; they were told."),
    [METRIC_MESSAGES_LATE] = COUNTER("lunacast_messages_late_total",
        "Messages left out on a worker since they had waited for the rule's max_wait."),
    [METRIC_HISTORY_BYTES] = GAUGE("lunacast_history_bytes",
        "Memory of the topics' histories; history.max_bytes is its limit."),
    [METRIC_HISTORY_EVICTED] = COUNTER("lunacast_history_evicted_total",
        "Times that a topic lost history since all histories together were too large."),
    [METRIC_SCRIPT_ERRORS] = COUNTER("lunacast_script_errors_total", "Handlers that raised."),
    [METRIC_VM_RECYCLED] = COUNTER("lunacast_vm_recycled_total",
                                   "Scripts loaded anew since they held too much memory."),
    [METRIC_RELOADS] = COUNTER("lunacast_reloads_total", "New scripts that went live."),
    [METRIC_RELOADS_FAILED] =
        COUNTER("lunacast_reloads_failed_total", "New scripts that were wrong; the old ones served on."),
    [METRIC_SCRIPTS_STOPPED] = COUNTER("lunacast_scripts_stopped_total",
        "Scripts ended for their use of time or memory."),
    [METRIC_STORE_FAILURES] = COUNTER("lunacast_store_failures_total",
        "Store operations that could not be done."),
    [METRIC_STORE_KEYS] = GAUGE("lunacast_store_keys", "Keys of the embedded store."),
    [METRIC_STORE_BYTES] = GAUGE("lunacast_store_bytes",
        "Memory of the embedded store's keys and values; store.max_bytes is its limit."),
    [METRIC_REDIS_CONNECTED] = GAUGE("lunacast_redis_connected", "Links to Redis that are up."),
    [METRIC_REDIS_RECONNECTS] = COUNTER("lunacast_redis_reconnects_total",
        "Times that a link to Redis was made again."),
    [METRIC_REDIS_UNANSWERED] = COUNTER("lunacast_redis_unanswered_total",
        "Commands given up: too many waited, their time was over, or the link was lost."),
    [METRIC_SQL_FAILURES] = COUNTER("lunacast_sql_failures_total",
        "Statements that the database could not do: unavailable, busy, timeout or full."),
    [METRIC_SQL_REFUSED] = COUNTER("lunacast_sql_refused_total",
        "Statements given up since no connection was free in time."),
    [METRIC_SQL_ABANDONED] = COUNTER("lunacast_sql_abandoned_total",
        "Transactions rolled back since they took too long or nobody waited for them any more."),
    [METRIC_SQL_CONNECTIONS] = GAUGE("lunacast_sql_connections", "Connections to PostgreSQL."),
    [METRIC_TOKENS_ISSUED] = COUNTER("lunacast_tokens_issued_total", "Tokens signed."),
    [METRIC_TOKEN_CACHE_HITS] = COUNTER("lunacast_token_cache_hits_total",
        "Tokens known from an earlier check."),
    [METRIC_TOKEN_CACHE_MISSES] = COUNTER("lunacast_token_cache_misses_total",
        "Tokens whose signature was checked."),
    [METRIC_TOKEN_CACHE_ENTRIES] = GAUGE("lunacast_token_cache_entries", "Tokens remembered."),
    [METRIC_LUA_MEMORY] = WORKER_GAUGE("lunacast_lua_memory_bytes", "Memory of a worker's Lua.", 1),
    [METRIC_TASKS] = WORKER_GAUGE("lunacast_tasks", "Tasks that run or wait.", 1),
    [METRIC_LOOP_LAG] = WORKER_GAUGE("lunacast_loop_lag_seconds",
        "How late a worker's loop runs.", 1e-6),
    [METRIC_LOG_AUTH] = COUNTER("lunacast_log_auth_lines_total", "Lines of the log of kind auth."),
    [METRIC_LOG_API] = COUNTER("lunacast_log_api_lines_total", "Lines of the log of kind api."),
    [METRIC_LOG_ERROR] = COUNTER("lunacast_log_error_lines_total", "Errors in the log."),
    [METRIC_LOG_PERFORMANCE] = COUNTER("lunacast_log_performance_lines_total",
        "Lines of the log of kind performance."),
    [METRIC_LOG_LOST] = COUNTER("lunacast_log_lines_lost_total",
        "Lines that the files of log.folder did not take."),
    [METRIC_SERIES_DROPPED] = COUNTER("lunacast_metrics_dropped_total",
        "Values not counted since there are too many series."),
};
/* clang-format on */

const metrics_family metrics_requests = {
    .name = (char *)(uintptr_t) "lunacast_requests_total",
    .help = (char *)(uintptr_t) "Requests answered.",
    .type = METRICS_COUNTER,
};
const metrics_family metrics_request_seconds = {
    .name = (char *)(uintptr_t) "lunacast_request_seconds",
    .help = (char *)(uintptr_t) "Time from a request's head to its answer.",
    .type = METRICS_HISTOGRAM,
};
static const metrics_family timings[METRIC_TIMING_COUNT] = {
    [METRIC_STORE_SECONDS] = {.name = (char *)(uintptr_t) "lunacast_store_seconds",
                              .help = (char *)(uintptr_t) "Time of store operations.",
                              .type = METRICS_HISTOGRAM},
    [METRIC_REDIS_SECONDS] = {.name = (char *)(uintptr_t) "lunacast_redis_seconds",
                              .help = (char *)(uintptr_t) "Time of Redis commands.",
                              .type = METRICS_HISTOGRAM},
    [METRIC_SQL_SECONDS] = {.name = (char *)(uintptr_t) "lunacast_sql_seconds",
                            .help = (char *)(uintptr_t) "Time of statements, with their wait.",
                            .type = METRICS_HISTOGRAM},
    [METRIC_UPSTREAM_SECONDS] = {.name = (char *)(uintptr_t) "lunacast_upstream_seconds",
                                 .help = (char *)(uintptr_t) "Time to the head of an upstream's "
                                                             "answer.",
                                 .type = METRICS_HISTOGRAM},
};
static const char *const timing_labels[METRIC_TIMING_COUNT] = {
    [METRIC_STORE_SECONDS] = "operation",
    [METRIC_REDIS_SECONDS] = "command",
    [METRIC_SQL_SECONDS] = "operation",
    [METRIC_UPSTREAM_SECONDS] = "upstream",
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static list shards = {&shards, &shards};
static map families;
static _Atomic size_t series_left = 10000;
static _Thread_local metrics_shard *mine;

static metrics_shard *new_shard(void)
{
    metrics_shard *s = mem_alloc(sizeof *s);
    s->worker = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_lock(&registry_lock);
    list_append(&shards, &s->link);
    pthread_mutex_unlock(&registry_lock);
    mine = s;
    return s;
}

static inline metrics_shard *shard(void)
{
    return mine != NULL ? mine : new_shard();
}

void metrics_configure(size_t max_series)
{
    atomic_store(&series_left, max_series);
}

void metrics_set_worker(int index)
{
    metrics_shard *s = shard();
    pthread_mutex_lock(&s->lock);
    s->worker = index;
    pthread_mutex_unlock(&s->lock);
}

void metrics_add(metric m, int64_t by)
{
    /* The only writer is this thread: a plain load and store do, without a locked instruction. */
    _Atomic int64_t *at = &shard()->fixed[m];
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

void metrics_set(metric m, int64_t value)
{
    atomic_store_explicit(&shard()->fixed[m], value, memory_order_relaxed);
}

/* Series ------------------------------------------------------------------------------------ */

/* `name="value"` with the value escaped; a comma first when out is not empty. Prometheus reads
 * UTF-8 only, and one bad byte would cost it the whole scrape. */
static void put_label(buf *out, slice name, slice value)
{
    if (value.n > LABEL_VALUE_MAX)
        value.n = LABEL_VALUE_MAX;
    if (out->len > 0)
        buf_byte(out, ',');
    buf_append_slice(out, name);
    buf_text(out, "=\"");
    for (size_t i = 0; i < value.n;) {
        size_t n = utf8_length(value.p + i, value.p + value.n);
        char c = value.p[i];
        if (n == 0)
            buf_byte(out, '?');
        else if (c == '\n')
            buf_text(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_append(out, (char[]){'\\', c}, 2);
        else
            buf_append(out, value.p + i, n);
        i += n ? n : 1;
    }
    buf_byte(out, '"');
}

static bool take_room(void)
{
    size_t left = atomic_load_explicit(&series_left, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&series_left, &left, left - 1))
            return true;
    }
    metrics_add(METRIC_SERIES_DROPPED, 1);
    return false;
}

static metrics_series *new_series(metrics_shard *s, const metrics_family *f, slice key)
{
    metrics_series *series = mem_alloc(sizeof *series);
    size_t name = strlen(f->name) + 1;
    series->family = f;
    series->node.key = (slice){mem_dup(key.p, key.n), key.n};
    series->labels = (slice){series->node.key.p + name, key.n - name};
    if (f->type == METRICS_HISTOGRAM || f == &metrics_requests)
        series->histogram = mem_alloc(sizeof *series->histogram);
    map_insert(&s->series, &series->node);
    return series;
}

/* NULL: there are too many. */
static metrics_series *find_series(metrics_shard *s, const metrics_family *f, slice labels)
{
    char bytes[2048];
    size_t name = strlen(f->name) + 1;
    if (name + labels.n > sizeof bytes)
        return NULL;
    memcpy(bytes, f->name, name);
    if (labels.n > 0)
        memcpy(bytes + name, labels.p, labels.n);
    slice key = {bytes, name + labels.n};
    map_node *node = map_find(&s->series, key);
    if (node != NULL)
        return MAP_ENTRY(node, metrics_series, node);
    return take_room() ? new_series(s, f, key) : NULL;
}

static void observe(metrics_histogram *h, uint64_t us)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && us > metrics_bounds[i])
        i++;
    h->buckets[i]++;
    h->count++;
    h->sum += (double)us / 1e6;
}

/* The label route comes first, so that the histogram per route finds it at the front. */
static metrics_series *find_request(metrics_shard *s, slice route, slice method, int status)
{
    char code[16];
    buf labels = {0};
    put_label(&labels, SLICE("route"), route);
    size_t route_len = labels.len;
    put_label(&labels, SLICE("method"), method);
    slice number = {code, (size_t)snprintf(code, sizeof code, "%d", status)};
    put_label(&labels, SLICE("status"), number);
    metrics_series *series = find_series(s, &metrics_requests, (slice){labels.data, labels.len});
    if (series != NULL)
        series->route = (slice){series->labels.p, route_len};
    buf_free(&labels);
    return series;
}

static bool like_the_last(const metrics_shard *s, slice route, slice method, int status)
{
    enum { BEFORE = sizeof "route=\"" - 1 };
    const metrics_series *last = s->last_request;
    return last != NULL && s->last_status == status && slice_eq(slice_of(s->last_method), method) &&
           last->route.n == route.n + BEFORE + 1 &&
           memcmp(last->route.p + BEFORE, route.p, route.n) == 0;
}

void metrics_request(slice route, slice method, int status, uint64_t us)
{
    metrics_shard *s = shard();
    if (route.p == NULL)
        route = SLICE("");
    pthread_mutex_lock(&s->lock);
    if (!like_the_last(s, route, method, status)) {
        s->last_request = find_request(s, route, method, status);
        s->last_status = status;
        snprintf(s->last_method, sizeof s->last_method, "%.*s", (int)method.n, method.p);
    }
    if (s->last_request != NULL) {
        s->last_request->value++;
        observe(s->last_request->histogram, us);
    }
    pthread_mutex_unlock(&s->lock);
}

static metrics_series *find_timing(metrics_shard *s, metric_timing t, slice label)
{
    metrics_last_timing *last = &s->last_timing[t];
    if (last->series != NULL && slice_eq((slice){last->label, last->n}, label))
        return last->series;
    buf labels = {0};
    put_label(&labels, slice_of(timing_labels[t]), label);
    metrics_series *series = find_series(s, &timings[t], (slice){labels.data, labels.len});
    buf_free(&labels);
    if (label.n <= sizeof last->label) {
        last->series = series;
        last->n = label.n;
        memcpy(last->label, label.p, label.n);
    }
    return series;
}

void metrics_time(metric_timing t, slice label, uint64_t us)
{
    metrics_shard *s = shard();
    pthread_mutex_lock(&s->lock);
    metrics_series *series = find_timing(s, t, label);
    if (series != NULL)
        observe(series->histogram, us);
    pthread_mutex_unlock(&s->lock);
}

/* Scripts' own ------------------------------------------------------------------------------- */

bool metrics_valid_name(slice name)
{
    if (name.n == 0 || name.n > 100 || (name.p[0] >= '0' && name.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

bool metrics_find_counter(slice name, metric *m)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const metrics_fixed *f = &metrics_fixed_table[i];
        if (f->type == METRICS_COUNTER && slice_eq(slice_of(f->name), name)) {
            *m = (metric)i;
            return true;
        }
    }
    return false;
}

static metrics_family *declare(slice name, slice help, metrics_type type, const char **reason)
{
    map_node *node = map_find(&families, name);
    if (node != NULL) {
        metrics_family *f = MAP_ENTRY(node, metrics_family, node);
        *reason = "it is declared as another type already";
        return f->type == type ? f : NULL;
    }
    *reason = "there are too many";
    if (families.count >= FAMILIES_MAX)
        return NULL;
    metrics_family *f = mem_alloc(sizeof *f);
    f->name = mem_dup(name.p, name.n);
    f->help = mem_dup(help.p, help.n);
    f->type = type;
    f->node.key = slice_of(f->name);
    map_insert(&families, &f->node);
    return f;
}

metrics_family *metrics_declare(slice name, slice help, metrics_type type, const char **reason)
{
    if (!metrics_valid_name(name)) {
        *reason = "a name is letters, digits and _, and does not begin with a digit";
        return NULL;
    }
    if ((name.n >= 9 && memcmp(name.p, "lunacast_", 9) == 0) ||
        (name.n >= 8 && memcmp(name.p, "process_", 8) == 0)) {
        *reason = "names with lunacast_ and process_ are the host's own";
        return NULL;
    }
    pthread_mutex_lock(&registry_lock);
    metrics_family *f = declare(name, help, type, reason);
    pthread_mutex_unlock(&registry_lock);
    return f;
}

void metrics_record(metrics_family *f, const metrics_label *labels, size_t count, double value)
{
    metrics_shard *s = shard();
    buf text = {0};
    for (size_t i = 0; i < count; i++)
        put_label(&text, labels[i].name, labels[i].value);
    pthread_mutex_lock(&s->lock);
    metrics_series *series = find_series(s, f, (slice){text.data, text.len});
    if (series != NULL && f->type == METRICS_HISTOGRAM)
        observe(series->histogram, value > 0 ? (uint64_t)(value * 1e6) : 0);
    else if (series != NULL && f->type == METRICS_COUNTER)
        series->value += value;
    else if (series != NULL)
        series->value = value;
    pthread_mutex_unlock(&s->lock);
    buf_free(&text);
}

void metrics_each_shard(void (*fn)(metrics_shard *shard, void *arg), void *arg)
{
    /* Shards are only ever added, at the end: the list's lock is not needed while one is read. */
    pthread_mutex_lock(&registry_lock);
    list *it = shards.next;
    pthread_mutex_unlock(&registry_lock);
    while (it != &shards) {
        metrics_shard *s = LIST_ENTRY(it, metrics_shard, link);
        pthread_mutex_lock(&s->lock);
        fn(s, arg);
        pthread_mutex_unlock(&s->lock);
        pthread_mutex_lock(&registry_lock);
        it = it->next;
        pthread_mutex_unlock(&registry_lock);
    }
}
