/* The writer thread of the embedded driver: the only one that changes memory and the file.
 *
 *   queue -> take a batch -> decide each op against memory + the batch's own changes
 *         -> BEGIN, rows, COMMIT -> install the changes in memory -> answer
 *                          \ failed: ROLLBACK, forget the changes, answer UNAVAILABLE
 *
 * The changes of a batch lie in an overlay until the commit. Rejected: changing memory at once with
 * an undo log (readers would see values that a full disk then takes back). Group commit: the batch
 * is whatever came in while the last one was written, so a lone write waits for nobody and a
 * hundred share one transaction. A key that is written many times in a batch is one row.
 *
 * Between batches, when due: expired keys are removed, some hundred at a time, and free pages are
 * given back. A failed commit is logged once, and once again when writing works again.
 *
 * Ops belong to this thread from the queue to store_op_post. What must never happen: memory that
 * differs from the file after a batch; an answer before the commit. */
#include "embedded.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH_OPS = 2000, BATCH_BYTES = 16 << 20, SWEEP_KEYS = 500, CLEAN_PAUSE_MS = 1000 };

/* What the batch makes of a key: a record, or nothing. */
typedef struct change {
    map_node node;
    struct change *next;
    record *record;
    char key[];
} change;

typedef struct {
    embedded *e;
    list ops;
    map overlay;
    change *changes;
    int64_t now;
    size_t bytes; /* memory after the batch */
    bool must_write;
} batch;

/* Deciding ------------------------------------------------------------------------------------ */

static record *current(const batch *b, slice key)
{
    map_node *node = map_find(&b->overlay, key);
    record *r = NULL;
    if (node != NULL)
        r = MAP_ENTRY(node, change, node)->record;
    else if ((node = map_find(&b->e->records, key)) != NULL)
        r = MAP_ENTRY(node, record, node);
    return r != NULL && record_alive(r, b->now) ? r : NULL;
}

/* What will be in memory for the key, expired or not. */
static size_t size_now(const batch *b, slice key)
{
    map_node *node = map_find(&b->overlay, key);
    if (node != NULL) {
        const record *r = MAP_ENTRY(node, change, node)->record;
        return r != NULL ? record_size(r) : 0;
    }
    node = map_find(&b->e->records, key);
    return node != NULL ? record_size(MAP_ENTRY(node, record, node)) : 0;
}

/* Takes over r; NULL: the key goes. */
static void stage(batch *b, slice key, record *r)
{
    b->bytes = b->bytes - size_now(b, key) + (r != NULL ? record_size(r) : 0);
    map_node *node = map_find(&b->overlay, key);
    if (node != NULL) {
        change *c = MAP_ENTRY(node, change, node);
        record_drop(c->record);
        c->record = r;
        return;
    }
    change *c = mem_alloc(sizeof *c + key.n);
    memcpy(c->key, key.p, key.n);
    c->node.key = (slice){c->key, key.n};
    c->record = r;
    c->next = b->changes;
    b->changes = c;
    map_insert(&b->overlay, &c->node);
}

static int64_t expiry_of(const batch *b, const store_op *op, const record *old)
{
    if (op->ttl_ms == STORE_KEEP_TTL)
        return old != NULL ? old->expires : 0;
    if (op->ttl_ms <= 0)
        return 0;
    return op->ttl_ms < INT64_MAX - b->now ? b->now + op->ttl_ms : 0;
}

static store_status write_value(batch *b, store_op *op, slice value, int64_t expires)
{
    embedded *e = b->e;
    size_t old_size = size_now(b, op->key);
    size_t size = sizeof(record) + op->key.n + value.n;
    if (e->max_bytes > 0 && size > old_size && b->bytes - old_size + size > e->max_bytes)
        return store_op_say(op, STORE_UNAVAILABLE,
                            "the store is full (%zu bytes): delete keys, or raise its memory limit",
                            e->max_bytes);
    embedded_row row = {op->key, value, e->version + 1, expires};
    record *r = record_new(&row);
    if (r == NULL)
        return store_op_say(op, STORE_UNAVAILABLE, "memory is out");
    e->version++;
    stage(b, op->key, r);
    char version[24];
    int n = snprintf(version, sizeof version, "%" PRIx64, r->version);
    store_op_set_version(op, (slice){version, (size_t)n});
    return STORE_OK;
}

static bool is_version(const record *r, slice version)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIx64, r->version);
    return slice_eq((slice){text, (size_t)n}, version);
}

/* Strict decimal: what Redis takes for a number, too. */
static bool parse_integer(slice s, int64_t *value)
{
    char text[24], *end, again[24];
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    errno = 0;
    *value = strtoll(text, &end, 10);
    int n = snprintf(again, sizeof again, "%" PRId64, *value);
    return errno == 0 && end == text + s.n && slice_eq(s, (slice){again, (size_t)n});
}

static store_status increment(batch *b, store_op *op, const record *old)
{
    int64_t value = 0;
    if (old != NULL && !parse_integer(old->value, &value))
        return STORE_TYPE;
    if (__builtin_add_overflow(value, op->by, &value))
        return STORE_TYPE;
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, value);
    int64_t expires = old != NULL ? old->expires : expiry_of(b, op, NULL);
    op->result.number = value;
    return write_value(b, op, (slice){text, (size_t)n}, expires);
}

static store_status compare_and_set(batch *b, store_op *op, const record *old)
{
    if (old == NULL)
        return STORE_ABSENT;
    if (!is_version(old, op->version))
        return STORE_CONFLICT;
    return write_value(b, op, op->value, expiry_of(b, op, old));
}

static store_status delete_key(batch *b, store_op *op, const record *old)
{
    if (old == NULL)
        return STORE_ABSENT;
    if (op->version.n > 0 && !is_version(old, op->version))
        return STORE_CONFLICT;
    stage(b, op->key, NULL);
    return STORE_OK;
}

static store_status decide(batch *b, store_op *op)
{
    const record *old = op->key.n > 0 ? current(b, op->key) : NULL;
    switch (op->kind) {
    case STORE_SET:
        return write_value(b, op, op->value, expiry_of(b, op, old));
    case STORE_ADD:
        return old != NULL ? STORE_EXISTS : write_value(b, op, op->value, expiry_of(b, op, NULL));
    case STORE_CAS:
        return compare_and_set(b, op, old);
    case STORE_DELETE:
        return delete_key(b, op, old);
    case STORE_INCR:
        return increment(b, op, old);
    case STORE_PING:
        b->must_write = true;
        return STORE_OK;
    default: /* a list reads the file after the commit */
        return STORE_OK;
    }
}

/* Writing ------------------------------------------------------------------------------------- */

static int write_changes(batch *b)
{
    embedded_db *db = b->e->db;
    for (change *c = b->changes; c != NULL; c = c->next) {
        const record *r = c->record;
        int rc = r == NULL ? embedded_db_delete(db, c->node.key)
                           : embedded_db_put(db, &(embedded_row){r->node.key, r->value, r->version,
                                                                 r->expires});
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* Versions are set aside in blocks, so that one given to a key that is deleted later is not given
 * again after a restart. */
static int reserve_versions(embedded *e, uint64_t *reserved)
{
    *reserved = e->reserved;
    if (e->version <= e->reserved)
        return 0;
    *reserved = e->version + EMBEDDED_VERSION_BLOCK;
    return embedded_db_set_number(e->db, "version", (int64_t)*reserved);
}

static int commit(batch *b)
{
    embedded *e = b->e;
    uint64_t reserved;
    if (b->changes == NULL && !b->must_write)
        return 0;
    if (embedded_db_begin(e->db) == 0 && write_changes(b) == 0 &&
        reserve_versions(e, &reserved) == 0 &&
        (!b->must_write || embedded_db_set_number(e->db, "ping", b->now) == 0) &&
        embedded_db_commit(e->db) == 0) {
        e->reserved = reserved;
        return 0;
    }
    embedded_db_rollback(e->db);
    return -1;
}

static void note_health(embedded *e, bool works)
{
    if (works == !e->broken)
        return;
    e->broken = !works;
    if (works)
        log_info("the store writes again", LOG_TEXT("folder", e->folder));
    else
        log_error("the store can't write; it tries again with each write",
                  LOG_TEXT("error", embedded_db_error(e->db)));
}

static void note_expiry(embedded *e, const record *r)
{
    if (r->expires != 0 && (e->next_sweep == 0 || r->expires < e->next_sweep))
        e->next_sweep = r->expires;
}

/* The old records are dropped outside of the lock: readers wait for pointers only. */
static void install(batch *b)
{
    embedded *e = b->e;
    size_t keys_before = e->records.count;
    pthread_rwlock_wrlock(&e->lock);
    for (change *c = b->changes; c != NULL; c = c->next) {
        record *new = c->record;
        map_node *old = map_find(&e->records, c->node.key);
        c->record = old != NULL ? MAP_ENTRY(old, record, node) : NULL;
        if (old != NULL)
            map_remove(&e->records, old);
        if (new == NULL)
            e->shrinking = true;
        if (new != NULL) {
            map_insert(&e->records, &new->node);
            note_expiry(e, new);
        }
    }
    pthread_rwlock_unlock(&e->lock);
    record_account(keys_before, e->records.count, e->bytes, b->bytes);
    e->bytes = b->bytes;
}

static void forget(batch *b)
{
    while (b->changes != NULL) {
        change *c = b->changes;
        b->changes = c->next;
        record_drop(c->record);
        free(c);
    }
    map_free(&b->overlay);
}

/* Listing ------------------------------------------------------------------------------------- */

typedef struct {
    size_t count, used, room;
    slice *keys;
    char *bytes;
} page;

static void free_page(void *held)
{
    page *p = held;
    free(p->keys);
    free(p->bytes);
    free(p);
}

static void add_key(slice key, void *arg)
{
    page *p = arg;
    if (p->used + key.n > p->room) {
        p->room = (p->used + key.n) * 2;
        p->bytes = mem_resize(p->bytes, p->room);
    }
    memcpy(p->bytes + p->used, key.p, key.n);
    p->used += key.n;
    p->keys[p->count++].n = key.n;
}

static store_status list_keys(embedded *e, store_op *op)
{
    page *p = mem_alloc(sizeof *p);
    p->keys = mem_alloc(op->limit * sizeof *p->keys);
    op->held = p;
    op->release = free_page;
    if (embedded_db_list(e->db, op->key, op->version, op->limit, clock_wall_ms(), add_key, p) != 0)
        return store_op_say(op, STORE_UNAVAILABLE, "%s", embedded_db_error(e->db));
    const char *at = p->bytes;
    for (size_t i = 0; i < p->count; at += p->keys[i++].n)
        p->keys[i].p = at;
    op->result.keys = p->keys;
    op->result.key_count = p->count;
    if (p->count == op->limit)
        op->result.cursor = p->keys[p->count - 1];
    return STORE_OK;
}

/* Batches ------------------------------------------------------------------------------------- */

static store_status say_broken(embedded *e, store_op *op)
{
    const char *advice = embedded_db_full(e->db) ? "free some disk space" : "check the disk";
    return store_op_say(op, STORE_UNAVAILABLE, "nothing was written (%.180s): %s, then try again",
                        embedded_db_error(e->db), advice);
}

static void answer_all(batch *b, bool committed)
{
    while (!list_empty(&b->ops)) {
        store_op *op = LIST_ENTRY(b->ops.next, store_op, link);
        store_status status = op->result.status;
        list_remove(&op->link);
        if (op->kind == STORE_LIST)
            status = list_keys(b->e, op);
        else if (!committed)
            status = say_broken(b->e, op);
        store_op_post(op, status);
    }
}

static void run_batch(embedded *e, list *ops)
{
    batch b = {.e = e, .now = clock_wall_ms(), .bytes = e->bytes};
    list_move(ops, &b.ops);
    LIST_FOR_EACH (node, &b.ops) {
        store_op *op = LIST_ENTRY(node, store_op, link);
        op->result.status = decide(&b, op);
    }
    bool wanted = b.changes != NULL || b.must_write;
    bool committed = commit(&b) == 0;
    if (committed)
        install(&b);
    if (wanted)
        note_health(e, committed);
    answer_all(&b, committed);
    forget(&b);
}

/* Sweeping ------------------------------------------------------------------------------------ */

typedef struct {
    batch batch;
    unsigned count;
} sweeping;

static void expire_key(slice key, void *arg)
{
    sweeping *s = arg;
    stage(&s->batch, key, NULL);
    s->count++;
}

/* One round of expired keys; true: there may be more of them. */
static bool sweep(embedded *e)
{
    sweeping s = {.batch = {.e = e, .now = clock_wall_ms(), .bytes = e->bytes}};
    bool done = embedded_db_expired(e->db, s.batch.now, SWEEP_KEYS, expire_key, &s) == 0 &&
                commit(&s.batch) == 0;
    if (done)
        install(&s.batch);
    forget(&s.batch);
    if (done && s.count < SWEEP_KEYS)
        done = embedded_db_next_expiry(e->db, &e->next_sweep) == 0;
    return done && s.count == SWEEP_KEYS;
}

/* True: there is more to do at once. */
static bool keep_house(embedded *e)
{
    if (e->next_sweep != 0 && e->next_sweep <= clock_wall_ms() && sweep(e))
        return true;
    e->shrinking = embedded_db_shrink(e->db);
    return e->shrinking;
}

/* The thread ---------------------------------------------------------------------------------- */

static void wait_for_work(embedded *e)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLEAN_PAUSE_MS / 1000;
    if (e->next_sweep == 0 && !e->shrinking)
        pthread_cond_wait(&e->queue_filled, &e->queue_lock);
    else
        pthread_cond_timedwait(&e->queue_filled, &e->queue_lock, &until);
}

/* With the queue's lock held. */
static void take_batch(embedded *e, list *ops)
{
    size_t bytes = 0;
    list_init(ops);
    for (int i = 0; i < BATCH_OPS && bytes < BATCH_BYTES && !list_empty(&e->queue); i++) {
        store_op *op = LIST_ENTRY(e->queue.next, store_op, link);
        list_remove(&op->link);
        list_append(ops, &op->link);
        bytes += store_op_size(op);
        e->queued--;
    }
    e->queued_bytes -= bytes;
}

void *embedded_write_loop(void *arg)
{
    embedded *e = arg;
    uint64_t cleaned = 0;
    bool more = false; /* to clean up at once */
    pthread_mutex_lock(&e->queue_lock);
    while (!e->stopping || !list_empty(&e->queue)) {
        if (list_empty(&e->queue) && !more)
            wait_for_work(e);
        list ops;
        take_batch(e, &ops);
        pthread_mutex_unlock(&e->queue_lock);
        atomic_store(&e->busy_since, clock_ms());
        if (!list_empty(&ops))
            run_batch(e, &ops);
        if (more || clock_ms() >= cleaned + CLEAN_PAUSE_MS) {
            more = keep_house(e);
            cleaned = clock_ms();
        }
        atomic_store(&e->busy_since, 0);
        pthread_mutex_lock(&e->queue_lock);
    }
    pthread_mutex_unlock(&e->queue_lock);
    return NULL;
}
