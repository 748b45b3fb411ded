/* Reading: all shards are added up into one table of rows, which is sorted and written. The work is
 * the scraper's, once in some seconds; recording stays cheap. */
#include "metrics_private.h"

#include "clock.h"
#include "mem.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
    map_node node; /* key: as a series' */
    const char *name, *help;
    metrics_type type;
    slice labels;
    double value;
    metrics_histogram histogram;
} row;

typedef struct {
    map rows;
    slice only; /* p == NULL: all; else rows of this name */
} table;

static row *find_row(table *t, const char *name, const char *help, metrics_type type, slice labels)
{
    buf key = {0};
    buf_append(&key, name, strlen(name) + 1);
    buf_append_slice(&key, labels);
    map_node *node = map_find(&t->rows, (slice){key.data, key.len});
    if (node != NULL) {
        buf_free(&key);
        return MAP_ENTRY(node, row, node);
    }
    row *r = mem_alloc(sizeof *r);
    r->name = name;
    r->help = help;
    r->type = type;
    r->node.key = (slice){key.data, key.len};
    r->labels = (slice){key.data + strlen(name) + 1, labels.n};
    map_insert(&t->rows, &r->node);
    return r;
}

static bool wanted(const table *t, const char *name)
{
    return t->only.p == NULL || slice_eq(t->only, slice_of(name));
}

static void add_value(table *t, const char *name, const char *help, metrics_type type, slice labels,
                      double value)
{
    if (wanted(t, name))
        find_row(t, name, help, type, labels)->value += value;
}

static void add_histogram(table *t, const metrics_family *f, slice labels,
                          const metrics_histogram *h)
{
    if (!wanted(t, f->name))
        return;
    row *r = find_row(t, f->name, f->help, METRICS_HISTOGRAM, labels);
    for (size_t i = 0; i <= METRICS_BUCKETS; i++)
        r->histogram.buckets[i] += h->buckets[i];
    r->histogram.count += h->count;
    r->histogram.sum += h->sum;
}

static void add_series(table *t, const metrics_series *s)
{
    const metrics_family *f = s->family;
    if (f->type != METRICS_HISTOGRAM)
        add_value(t, f->name, f->help, f->type, s->labels, s->value);
    else
        add_histogram(t, f, s->labels, s->histogram);
    if (f == &metrics_requests)
        add_histogram(t, &metrics_request_seconds, s->route, s->histogram);
}

static void add_fixed(table *t, metrics_shard *shard)
{
    char worker[32];
    slice label = {worker, (size_t)snprintf(worker, sizeof worker, "worker=\"%d\"", shard->worker)};
    for (int i = 0; i < METRIC_COUNT; i++) {
        const metrics_fixed *f = &metrics_fixed_table[i];
        int64_t value = atomic_load_explicit(&shard->fixed[i], memory_order_relaxed);
        if (f->per_worker && shard->worker < 0)
            continue;
        add_value(t, f->name, f->help, f->type, f->per_worker ? label : (slice){0},
                  (double)value * f->scale);
    }
}

static void on_shard(metrics_shard *shard, void *arg)
{
    table *t = arg;
    size_t slot = 0;
    add_fixed(t, shard);
    for (map_node *n = map_next(&shard->series, &slot, NULL); n != NULL;
         n = map_next(&shard->series, &slot, n))
        add_series(t, MAP_ENTRY(n, metrics_series, node));
}

/* The process ------------------------------------------------------------------------------- */

static double resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
    int count = -3; /* ".", ".." and the folder itself */
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* Unix time at which the process started, to the second. */
static double started_at(void)
{
    static _Atomic int64_t known;
    int64_t at = atomic_load(&known);
    unsigned long long ticks;
    double up;
    if (at != 0)
        return (double)at;
    FILE *stat = fopen("/proc/self/stat", "re"), *uptime = fopen("/proc/uptime", "re");
    if (stat != NULL && uptime != NULL &&
        fscanf(stat,
               "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
               "%*d %*d %*d %llu",
               &ticks) == 1 &&
        fscanf(uptime, "%lf", &up) == 1)
        at = clock_wall_ms() / 1000 - (int64_t)(up - (double)ticks / (double)sysconf(_SC_CLK_TCK));
    if (stat != NULL)
        fclose(stat);
    if (uptime != NULL)
        fclose(uptime);
    atomic_store(&known, at);
    return (double)at;
}

static void add_process(table *t)
{
    static const slice version = {"version=\"" LUNACAST_VERSION "\"",
                                  sizeof "version=\"" LUNACAST_VERSION "\"" - 1};
    const slice none = {0};
    add_value(t, "lunacast_info", "The version that runs.", METRICS_GAUGE, version, 1);
    if (wanted(t, "process_resident_memory_bytes"))
        add_value(t, "process_resident_memory_bytes", "Resident memory.", METRICS_GAUGE, none,
                  resident_bytes());
    if (wanted(t, "process_open_fds"))
        add_value(t, "process_open_fds", "Open descriptors.", METRICS_GAUGE, none,
                  open_descriptors());
    if (wanted(t, "process_start_time_seconds"))
        add_value(t, "process_start_time_seconds", "Start, in Unix time.", METRICS_GAUGE, none,
                  started_at());
    if (wanted(t, "process_cpu_seconds_total"))
        add_value(t, "process_cpu_seconds_total", "CPU time used.", METRICS_COUNTER, none,
                  (double)clock_process_us() / 1e6);
}

/* Writing ----------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const row *x = *(row *const *)a, *y = *(row *const *)b;
    int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    size_t n = x->labels.n < y->labels.n ? x->labels.n : y->labels.n;
    order = n > 0 ? memcmp(x->labels.p, y->labels.p, n) : 0;
    return order != 0 ? order : (x->labels.n > y->labels.n) - (x->labels.n < y->labels.n);
}

static void put_head(buf *out, const row *r)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buf_format(out, "# HELP %s ", r->name);
    for (const char *c = r->help; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\\')
            buf_text(out, *c == '\n' ? "\\n" : "\\\\");
        else
            buf_byte(out, *c);
    }
    buf_format(out, "\n# TYPE %s %s\n", r->name, types[r->type]);
}

static void put_value(buf *out, const row *r)
{
    buf_text(out, r->name);
    if (r->labels.n > 0)
        buf_format(out, "{%.*s}", (int)r->labels.n, r->labels.p);
    buf_format(out, " %.15g\n", r->value);
}

static void put_histogram(buf *out, const row *r)
{
    const char *comma = r->labels.n > 0 ? "," : "";
    uint64_t below = 0;
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        below += r->histogram.buckets[i];
        buf_format(out, "%s_bucket{%.*s%sle=\"%g\"} %llu\n", r->name, (int)r->labels.n, r->labels.p,
                   comma, (double)metrics_bounds[i] / 1e6, (unsigned long long)below);
    }
    buf_format(out, "%s_bucket{%.*s%sle=\"+Inf\"} %llu\n", r->name, (int)r->labels.n, r->labels.p,
               comma, (unsigned long long)r->histogram.count);
    const char *open = r->labels.n > 0 ? "{" : "", *close = r->labels.n > 0 ? "}" : "";
    buf_format(out, "%s_sum%s%.*s%s %.9g\n", r->name, open, (int)r->labels.n, r->labels.p, close,
               r->histogram.sum);
    buf_format(out, "%s_count%s%.*s%s %llu\n", r->name, open, (int)r->labels.n, r->labels.p, close,
               (unsigned long long)r->histogram.count);
}

static void collect(table *t)
{
    metrics_each_shard(on_shard, t);
    add_process(t);
}

/* All rows, sorted; the caller frees the array. */
static row **sorted(const table *t)
{
    row **rows = mem_alloc((t->rows.count + 1) * sizeof(row *));
    size_t slot = 0, n = 0;
    for (map_node *node = map_next(&t->rows, &slot, NULL); node != NULL;
         node = map_next(&t->rows, &slot, node))
        rows[n++] = MAP_ENTRY(node, row, node);
    qsort(rows, n, sizeof(row *), by_name);
    return rows;
}

static void free_rows(table *t, row **rows)
{
    for (size_t i = 0; i < t->rows.count; i++) {
        free((void *)(uintptr_t)rows[i]->node.key.p);
        free(rows[i]);
    }
    free(rows);
    map_free(&t->rows);
}

void metrics_text(buf *out)
{
    table t = {0};
    collect(&t);
    row **rows = sorted(&t);
    for (size_t i = 0; i < t.rows.count; i++) {
        const row *r = rows[i];
        if (i == 0 || strcmp(rows[i - 1]->name, r->name) != 0)
            put_head(out, r);
        if (r->type == METRICS_HISTOGRAM)
            put_histogram(out, r);
        else
            put_value(out, r);
    }
    free_rows(&t, rows);
}

bool metrics_get(slice name, double *value)
{
    table t = {.only = name};
    collect(&t);
    row **rows = sorted(&t);
    bool found = t.rows.count > 0;
    *value = 0;
    for (size_t i = 0; i < t.rows.count; i++)
        *value +=
            rows[i]->type == METRICS_HISTOGRAM ? (double)rows[i]->histogram.count : rows[i]->value;
    free_rows(&t, rows);
    return found;
}
