/* The key-value contract; two drivers pass the same specs: embedded (memory, made durable by
 * SQLite) and redis. Keys: 1 to 1,024 bytes; values: up to 8 MiB of any bytes. Every call is
 * asynchronous: `done` is called exactly once, on the calling worker's loop, never before the call
 * returns, also at shutdown. A write that was answered STORE_OK survives kill -9.
 *
 * A version is an opaque string that differs whenever the value differs. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct store store;           /* one per process */
typedef struct store_port store_port; /* one per worker */

typedef enum {
    STORE_OK,
    STORE_ABSENT,      /* get, delete, cas, ttl: no such key */
    STORE_EXISTS,      /* add */
    STORE_CONFLICT,    /* cas, delete: another version is there */
    STORE_TYPE,        /* incr: not an integer, or it would overflow */
    STORE_TOO_LARGE,   /* key or value over the limits */
    STORE_UNAVAILABLE, /* Redis away, disk full, queue full: nothing was written for sure, unless
                          `unsure` below */
} store_status;

enum { STORE_KEY_MAX = 1024, STORE_VALUE_MAX = 8 << 20, STORE_VERSION_MAX = 48 };

typedef struct {
    store_status status;
    const char *message; /* for people, when it failed; else NULL */
    bool unsure;       /* UNAVAILABLE, and the write may have happened (link lost while waiting) */
    slice value;       /* get; lives during done */
    slice version;     /* get, set, add, cas */
    int64_t number;    /* incr: the new value; ttl: milliseconds left, -1 when it never expires */
    const slice *keys; /* list: sorted within the embedded driver, in any order with redis */
    size_t key_count;
    slice cursor; /* list: empty when there is no more */
} store_result;

typedef void (*store_done)(const store_result *r, void *arg);

/* ttl in milliseconds: > 0, or one of these. */
enum { STORE_FOREVER = 0, STORE_KEEP_TTL = -1 };

/* With the Redis driver a message goes out on a channel of that Redis in the same step as the
 * write, so that nobody who listens there misses what was written. The embedded driver, which has
 * no channels, leaves it alone. No channel, or NULL in place of the notice: none. */
typedef struct {
    slice channel, message;
} store_notice;

void store_get(store_port *p, slice key, store_done done, void *arg);
void store_set(store_port *p, slice key, slice value, int64_t ttl_ms, store_done done, void *arg);
/* Set if absent. */
void store_add(store_port *p, slice key, slice value, int64_t ttl_ms, const store_notice *notice,
               store_done done, void *arg);
/* Set if the key's version is `version`. */
void store_cas(store_port *p, slice key, slice value, slice version, int64_t ttl_ms,
               const store_notice *notice, store_done done, void *arg);
/* version.n == 0: whatever version. */
void store_delete(store_port *p, slice key, slice version, const store_notice *notice,
                  store_done done, void *arg);
/* An absent key counts as 0; ttl applies when the key is made. */
void store_incr(store_port *p, slice key, int64_t by, int64_t ttl_ms, store_done done, void *arg);
void store_ttl(store_port *p, slice key, store_done done, void *arg);
/* Keys with that prefix, in pages of about `limit` (1 to 1,000); cursor empty at first. A key that
 * is there all the while is listed at least once. */
void store_list(store_port *p, slice prefix, slice cursor, unsigned limit, store_done done,
                void *arg);
/* Can it write now? STORE_OK or STORE_UNAVAILABLE with a message, within 2 s. */
void store_ping(store_port *p, store_done done, void *arg);

/* Drivers ----------------------------------------------------------------------------------- */
typedef struct {
    const char *folder; /* data folder, made if absent */
    bool full;          /* survive a power cut: fsync each group commit */
    size_t max_bytes;   /* memory for keys and values; 0: no limit. Over it: STORE_UNAVAILABLE */
} store_embedded_options;

/* NULL with a message: folder not writable, file damaged, or another process holds the folder (the
 * message names its pid). */
store *store_embedded_open(const store_embedded_options *options, char *error, size_t error_size);

struct redis_options;
/* Always opens; connects in the background and for ever. */
store *store_redis_open(const struct redis_options *options);

const char *store_port_name(const store_port *p); /* "embedded" or "redis" */
store_port *store_port_new(store *s, uv_loop_t *loop);
/* Answers what is pending with UNAVAILABLE on the coming turns of the loop, then frees itself. */
void store_port_close(store_port *p);
/* After all ports have closed; writes out what is queued. */
void store_close(store *s);
