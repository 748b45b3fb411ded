/* The embedded driver's parts: embedded.c opens, reads and queues; embedded_writer.c is the thread
 * that changes; embedded_record.c holds what is in memory. Private to this folder. */
#pragma once
#include "driver.h"
#include "embedded_db.h"
#include "map.h"
#include <stdatomic.h>

/* A key and its value at one version. Immutable: a change replaces the whole record, so a reader
 * holds the one it found without a lock. */
typedef struct record {
    map_node node;
    _Atomic uint32_t refs;
    uint64_t version;
    int64_t expires; /* Unix milliseconds; 0: never */
    slice value;
    char bytes[]; /* key, value */
} record;

record *record_new(const embedded_row *row); /* NULL: memory is out */
record *record_hold(record *r);
void record_drop(void *r); /* NULL is allowed */
size_t record_size(const record *r);
bool record_alive(const record *r, int64_t now);

enum {
    EMBEDDED_QUEUE_MAX = 10000,
    EMBEDDED_QUEUE_BYTES = 64 << 20,
    EMBEDDED_VERSION_BLOCK = 1000000,
};

typedef struct embedded {
    store base;
    char *folder;
    int lock_fd;
    size_t max_bytes;
    /* What readers see. Only the writer changes it, under the write lock. */
    pthread_rwlock_t lock;
    map records;
    size_t bytes; /* writer only */
    /* From the ports to the writer. */
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_filled;
    list queue;
    size_t queued, queued_bytes;
    bool stopping;
    _Atomic uint64_t busy_since; /* clock_ms of the running batch; 0: idle */
    pthread_t writer;
    /* Writer only, once it runs. */
    embedded_db *db;
    uint64_t version, reserved; /* the last one given; the last one that the file has set aside */
    int64_t next_sweep;         /* Unix milliseconds; 0: nothing expires */
    bool shrinking;             /* the file may have free pages to give back */
    bool broken;                /* the last commit failed */
} embedded;

void *embedded_write_loop(void *e);
/* The gauges follow what is in memory: by how much it has changed. */
void record_account(size_t keys_before, size_t keys, size_t bytes_before, size_t bytes);
