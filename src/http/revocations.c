/* The table of revocations. A key says its kind, so that one map holds all:
 *
 *   j:JTI   u:USER (of any tenant)   v:LENGTH:TENANT USER   t:TENANT
 *
 * When it is full a new one is refused, loudly, rather than an old one forgotten, which would let
 * somebody in again. What must never happen: the lock held while anything else runs. */
#include "revocations.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    map_node node;
    due_node due; /* until, Unix seconds */
    int64_t before;
    char key[];
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static map entries;  /* under the lock */
static due_heap due; /* under the lock */
static size_t most = 100000;
static _Atomic size_t count;
static _Atomic uint64_t epoch = 1, read_epoch;

void revocations_configure(size_t max)
{
    most = max;
}

static slice make_key(char out[REVOCATION_KEY_MAX], const char *kind, slice a, slice b)
{
    if (a.n > REVOCATION_TEXT_MAX || b.n > REVOCATION_TEXT_MAX)
        return (slice){"", 0};
    size_t n = strlen(kind);
    memcpy(out, kind, n);
    memcpy(out + n, a.n > 0 ? a.p : "", a.n);
    memcpy(out + n + a.n, b.n > 0 ? b.p : "", b.n);
    return (slice){out, n + a.n + b.n};
}

static slice key_of_user_and_tenant(char out[REVOCATION_KEY_MAX], slice user, slice tenant)
{
    char kind[32];
    snprintf(kind, sizeof kind, "v:%zu:", tenant.n);
    return make_key(out, kind, tenant, user);
}

slice revocation_key(const revocation *r, char out[REVOCATION_KEY_MAX])
{
    if (r->jti.n > 0)
        return make_key(out, "j:", r->jti, (slice){0});
    if (r->user.n > 0 && r->tenant.n > 0)
        return key_of_user_and_tenant(out, r->user, r->tenant);
    if (r->user.n > 0)
        return make_key(out, "u:", r->user, (slice){0});
    if (r->tenant.n > 0)
        return make_key(out, "t:", r->tenant, (slice){0});
    return (slice){"", 0};
}

/* FAMILY of the jti FAMILY.REST, else "". */
static slice family_of(slice jti)
{
    const char *dot = jti.n > 0 ? memchr(jti.p, '.', jti.n) : NULL;
    return dot != NULL ? (slice){jti.p, (size_t)(dot - jti.p)} : (slice){"", 0};
}

bool revocation_concerns(slice revoked, slice jti)
{
    return slice_eq(revoked, jti) || (revoked.n > 0 && slice_eq(revoked, family_of(jti)));
}

/* Under the lock ---------------------------------------------------------------------------- */

static entry *find(slice key)
{
    map_node *node = key.n > 0 ? map_find(&entries, key) : NULL;
    return node != NULL ? MAP_ENTRY(node, entry, node) : NULL;
}

static void drop(entry *e)
{
    due_set(&due, &e->due, 0);
    map_remove(&entries, &e->node);
    free(e);
    count--;
}

static void sweep(int64_t now)
{
    for (due_node *n = due_first(&due); n != NULL && (int64_t)n->at < now; n = due_first(&due))
        drop(DUE_ENTRY(n, entry, due));
}

static entry *insert(slice key)
{
    if (entries.count >= most)
        return NULL;
    entry *e = mem_alloc(sizeof *e + key.n);
    memcpy(e->key, key.p, key.n);
    e->node.key = (slice){e->key, key.n};
    map_insert(&entries, &e->node);
    count++;
    return e;
}

static bool hits_jti(slice jti)
{
    char key[REVOCATION_KEY_MAX];
    return jti.n > 0 && find(make_key(key, "j:", jti, (slice){0})) != NULL;
}

static bool hits(slice key, int64_t issued)
{
    const entry *e = find(key);
    return e != NULL && issued <= e->before;
}

/* The face ---------------------------------------------------------------------------------- */

bool revocations_add(slice key, int64_t before, int64_t until)
{
    pthread_mutex_lock(&lock);
    sweep(clock_wall_ms() / 1000);
    entry *e = find(key);
    if (e == NULL)
        e = insert(key);
    if (e != NULL && before > e->before)
        e->before = before;
    if (e != NULL && until > (int64_t)e->due.at)
        due_set(&due, &e->due, (uint64_t)until);
    pthread_mutex_unlock(&lock);
    if (e == NULL)
        metrics_add(METRIC_REVOCATIONS_REFUSED, 1);
    return e != NULL;
}

bool revocations_hit(const audience_identity *who)
{
    char key[REVOCATION_KEY_MAX];
    if (count == 0)
        return false;
    pthread_mutex_lock(&lock);
    bool hit = hits_jti(who->jti) || hits_jti(family_of(who->jti));
    if (!hit && who->user.n > 0)
        hit = hits(make_key(key, "u:", who->user, (slice){0}), who->issued) ||
              hits(key_of_user_and_tenant(key, who->user, who->tenant), who->issued);
    if (!hit && who->tenant.n > 0)
        hit = hits(make_key(key, "t:", who->tenant, (slice){0}), who->issued);
    pthread_mutex_unlock(&lock);
    return hit;
}

size_t revocations_count(void)
{
    return count;
}

void revocations_free(void)
{
    size_t slot = 0;
    for (map_node *n = map_next(&entries, &slot, NULL), *next; n != NULL; n = next) {
        next = map_next(&entries, &slot, n);
        free(MAP_ENTRY(n, entry, node));
    }
    map_free(&entries);
    due_free(&due);
    entries = (map){0};
    count = 0;
}

void revocations_break(void)
{
    epoch++;
}

uint64_t revocations_epoch(void)
{
    return epoch;
}

void revocations_read(uint64_t of)
{
    read_epoch = of;
}

bool revocations_fresh(void)
{
    return read_epoch == epoch;
}
