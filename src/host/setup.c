/* The one place that reads settings for the layers below: each layer gets a struct of its own and
 * knows nothing of names of settings. */
#include "setup.h"

#include "access.h"
#include "buf.h"
#include "config.h"
#include "forwarded.h"
#include "listener.h"
#include "log.h"
#include "log_files.h"
#include "redis_bus.h"
#include "revocations.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Beside connections: a worker's loop and listeners, and what all share (log, store, database). */
enum { SPARE_FDS = 128, SHARED_FDS = 48, WORKER_FDS = 8 };

int setup_workers(const config *c)
{
    int n = (int)config_int(c, "workers");
    return n > 0 ? n : (int)uv_available_parallelism();
}

char *setup_path(const worker_shared *s, const char *key)
{
    const char *path = config_text(s->config, key);
    buf b = {0};
    if (path[0] != '/' && path[0] != '\0')
        buf_format(&b, "%s/", s->folder);
    buf_text(&b, path);
    return buf_cstr(&b);
}

enum { ORIGINS_MAX = 64 };

static ws_limits ws_limits_of(const config *c)
{
    static const char *origins[ORIGINS_MAX + 1];
    for (size_t i = 0; i < ORIGINS_MAX; i++)
        origins[i] = config_item(c, "ws.origins", i);
    return (ws_limits){
        .message = config_size(c, "limits.ws_message"),
        .queue = config_size(c, "limits.ws_queue"),
        .rate = (unsigned)config_int(c, "limits.ws_rate"),
        .ping_ms = config_ms(c, "ws.ping"),
        .pong_ms = config_ms(c, "ws.pong"),
        .origins = origins,
        .deflate = config_bool(c, "ws.deflate"),
        .deflate_min = config_size(c, "ws.deflate_min"),
        .inflate = (unsigned)config_int(c, "ws.inflate"),
    };
}

static void set_http(http_limits *l, const config *c)
{
    *l = (http_limits){
        .request_line = config_size(c, "limits.request_line"),
        .header_block = config_size(c, "limits.header_block"),
        .headers = (size_t)config_int(c, "limits.headers"),
        .body = config_size(c, "limits.body"),
        .header_ms = config_ms(c, "limits.header_time"),
        .body_rate = (uint64_t)config_int(c, "limits.body_rate"),
        .body_grace_ms = config_ms(c, "limits.body_grace"),
        .idle_ms = config_ms(c, "limits.idle"),
        .body_window = 64 << 10,
        .gzip_min = config_size(c, "gzip.min"),
        .ws = ws_limits_of(c),
    };
}

enum { ALLOWED_MAX = 64 };

static void set_client(client_options *o, const config *c)
{
    static const char *allowed[ALLOWED_MAX + 1];
    for (size_t i = 0; i < ALLOWED_MAX; i++)
        allowed[i] = config_item(c, "client.allow", i);
    *o = (client_options){
        .connections = (size_t)config_int(c, "client.connections"),
        .waiting = 1000,
        .kept = (size_t)config_int(c, "client.connections"),
        .idle_ms = config_ms(c, "client.idle"),
        .ca_file = config_text(c, "client.ca"),
        .allowed = allowed,
        .header_block = 64 << 10,
        .headers = 200,
    };
}

void setup_limits(worker_shared *s, config *c, const char *folder)
{
    s->config = c;
    s->folder = folder;
    set_http(&s->http, c);
    set_client(&s->client, c);
    s->conns = (conn_limits){
        .write_stall_ms = config_ms(c, "limits.write_stall"),
        .linger_ms = 1000,
        .handshake_ms = 10000,
        .max_conns = (size_t)config_int(c, "limits.connections"),
        .per_address = (size_t)config_int(c, "limits.per_address"),
        .is_shared = forwarded_is_shared,
    };
    s->script = (vm_options){
        .config = c,
        .memory_limit = config_size(c, "lua.memory"),
        .warn_us = (uint64_t)config_int(c, "lua.warn_ms") * 1000u,
        .limit_us = (uint64_t)config_int(c, "lua.time_ms") * 1000u,
        .folder = folder,
        .dev = config_bool(c, "dev"),
    };
}

int setup_raise_file_limit(worker_shared *s, char *error, size_t error_size)
{
    struct rlimit limit;
    size_t workers = (size_t)setup_workers(s->config);
    rlim_t needed = (rlim_t)(s->conns.max_conns * workers + SPARE_FDS);
    rlim_t least = (rlim_t)(SHARED_FDS + workers * WORKER_FDS);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
    if (limit.rlim_cur < least) {
        snprintf(error, error_size,
                 "this process may open %ju files, and with %zu workers it needs %ju at least: "
                 "raise `ulimit -n`, or lower the setting workers",
                 (uintmax_t)limit.rlim_cur, workers, (uintmax_t)least);
        return -1;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return 0;
    size_t possible = (size_t)limit.rlim_cur <= 2 * SPARE_FDS
                          ? (size_t)limit.rlim_cur / 2 / workers
                          : ((size_t)limit.rlim_cur - SPARE_FDS) / workers;
    log_info("fewer descriptors than limits.connections needs; raise `ulimit -n`",
             LOG_NUM("allowed", limit.rlim_cur), LOG_NUM("needed", needed),
             LOG_NUM("connections_per_worker", possible));
    s->conns.max_conns = possible;
    return 0;
}

int setup_log_files(const worker_shared *s, char *error, size_t size)
{
    const config *c = s->config;
    char *folder = setup_path(s, "log.folder");
    log_files_options options = {
        .folder = folder,
        .rotate = config_size(c, "log.rotate"),
        .keep = (int)config_int(c, "log.keep"),
    };
    int rc = folder[0] != '\0' ? log_files_open(&options, error, size) : 0;
    free(folder);
    return rc;
}

enum { PROXIES_MAX = 128 };

int setup_proxies(const config *c, char *error, size_t size)
{
    const char *items[PROXIES_MAX + 1];
    for (size_t i = 0; i <= PROXIES_MAX; i++)
        items[i] = i < PROXIES_MAX ? config_item(c, "proxy.trusted", i) : NULL;
    return forwarded_trust(items, error, size);
}

static bool wants_redis(const config *c)
{
    return config_text(c, "redis.url")[0] != '\0';
}

static redis_options *read_redis(const config *c, char *error, size_t size)
{
    return redis_options_parse(config_text(c, "redis.url"), config_text(c, "redis.prefix"), error,
                               size);
}

int setup_check(const config *c, char *error, size_t size)
{
    listen_address address;
    for (size_t i = 0; i < config_count(c, "listen"); i++) {
        if (listen_parse(config_item(c, "listen", i), &address, error, size) != 0)
            return -1;
    }
    redis_options *redis = wants_redis(c) ? read_redis(c, error, size) : NULL;
    if (wants_redis(c) && redis == NULL)
        return -1;
    if (redis != NULL)
        redis_options_free(redis);
    return setup_proxies(c, error, size);
}

static int open_redis(worker_shared *s, char *error, size_t size)
{
    s->redis = read_redis(s->config, error, size);
    if (s->redis == NULL)
        return -1;
    s->store = store_redis_open(s->redis);
    s->bus = redis_bus_new(s->hub, s->redis);
    return 0;
}

static int open_embedded(worker_shared *s, char *error, size_t size)
{
    const config *c = s->config;
    char *folder = setup_path(s, "data");
    store_embedded_options options = {
        .folder = folder,
        .full = strcmp(config_text(c, "store.durability"), "full") == 0,
        .max_bytes = config_size(c, "store.max_bytes"),
    };
    s->store = store_embedded_open(&options, error, size);
    free(folder);
    return s->store != NULL ? 0 : -1;
}

static int open_sql(worker_shared *s, char *error, size_t size)
{
    const config *c = s->config;
    char *folder = setup_path(s, "data");
    sql_options options = {
        .url = config_text(c, "sql.url"),
        .folder = folder,
        .full = strcmp(config_text(c, "store.durability"), "full") == 0,
        .readers = (unsigned)config_int(c, "sql.readers"),
        .pool = (unsigned)config_int(c, "sql.pool"),
        .timeout_ms = config_ms(c, "sql.timeout"),
        .transaction_ms = config_ms(c, "sql.transaction"),
        .wait_ms = config_ms(c, "sql.wait"),
        .slow_ms = config_ms(c, "sql.slow"),
        .rows = (size_t)config_int(c, "sql.rows"),
        .bytes = config_size(c, "sql.bytes"),
        .queue = (size_t)config_int(c, "sql.queue"),
    };
    s->sql = sql_open(&options, error, size);
    free(folder);
    return s->sql != NULL ? 0 : -1;
}

int setup_open_store(worker_shared *s, char *error, size_t size)
{
    return wants_redis(s->config) ? open_redis(s, error, size) : open_embedded(s, error, size);
}

int setup_open(worker_shared *s, bool with_store, char *error, size_t size)
{
    hub_options options = {
        .max_fps = (uint32_t)config_int(s->config, "max_fps"),
        .keep_alive_ms = config_ms(s->config, "keepalive"),
        .history_bytes = config_size(s->config, "history.max_bytes"),
    };
    s->hub = hub_new(&options);
    revocations_configure((size_t)config_int(s->config, "token.revocations"));
    if (open_sql(s, error, size) != 0)
        return -1;
    return with_store ? setup_open_store(s, error, size) : 0;
}

void setup_adopt(worker_shared *s, config *c)
{
    log_level level;
    s->config = c;
    s->script.config = c;
    hub_set_pace(s->hub, (uint32_t)config_int(c, "max_fps"), config_ms(c, "keepalive"));
    access_configure(config_bool(c, "log.access"));
    if (log_parse_level(config_text(c, "log.level"), &level))
        log_set_level(level);
}

void setup_close(worker_shared *s)
{
    revocations_free();
    if (s->store != NULL)
        store_close(s->store);
    if (s->sql != NULL)
        sql_close(s->sql);
    if (s->bus != NULL)
        redis_bus_free(s->bus);
    if (s->hub != NULL)
        hub_free(s->hub);
    if (s->redis != NULL)
        redis_options_free(s->redis);
}
