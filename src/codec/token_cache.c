/* A table by SHA-256 of the token and the key set's stamp, and a list in the order of use. Digests
 * and not tokens, so that a dump of this memory lets nobody in, and so that a look-up's time says
 * nothing about a token's bytes. A changed set has a new stamp: its old entries are never found
 * again and leave at the end of the list.
 *
 * Owner: the VM's jwt module, which keeps the decoded claims by slot in a Lua table. What must
 * never happen: more entries than the limit; a hit for claims whose signature was not checked
 * against keys of that stamp. */
#include "token_cache.h"

#include "digest.h"
#include "list.h"
#include "map.h"
#include "mem.h"
#include <stdlib.h>

typedef struct {
    unsigned char digest[32];
    unsigned char stamp[32];
} name;

typedef struct {
    map_node node;
    list link; /* the last one was used last */
    size_t slot;
    name name;
    jwt_claims *claims;
} entry;

struct token_cache {
    map table;
    list order;
    entry **slots; /* by slot - 1; NULL: free */
    size_t *spare; /* slots given back */
    size_t spare_n, used, room, limit;
    EVP_MD_CTX *scratch;
    name last;
    uint64_t hits, misses, evictions;
};

token_cache *token_cache_new(size_t limit)
{
    token_cache *c = mem_alloc(sizeof *c);
    c->limit = limit > 0 ? limit : 1;
    c->scratch = EVP_MD_CTX_new();
    list_init(&c->order);
    return c;
}

static void end_entry(token_cache *c, entry *e)
{
    map_remove(&c->table, &e->node);
    list_remove(&e->link);
    c->slots[e->slot - 1] = NULL;
    free(e->claims);
    free(e);
}

void token_cache_free(token_cache *c)
{
    if (c == NULL)
        return;
    LIST_FOR_EACH_SAFE (it, &c->order)
        end_entry(c, LIST_ENTRY(it, entry, link));
    map_free(&c->table);
    EVP_MD_CTX_free(c->scratch);
    free(c->slots);
    free(c->spare);
    free(c);
}

bool token_cache_find(token_cache *c, slice token, slice stamp, token_hit *hit)
{
    digest_make(DIGEST_SHA256, token, c->last.digest, c->scratch);
    memcpy(c->last.stamp, stamp.p, sizeof c->last.stamp);
    map_node *node = map_find(&c->table, (slice){(const char *)&c->last, sizeof c->last});
    if (node == NULL) {
        c->misses++;
        return false;
    }
    entry *e = MAP_ENTRY(node, entry, node);
    list_remove(&e->link);
    list_append(&c->order, &e->link);
    *hit = (token_hit){e->slot, e->claims};
    c->hits++;
    return true;
}

static size_t new_slot(token_cache *c)
{
    if (c->used == c->room) {
        c->room = c->room > 0 ? c->room * 2 : 64;
        c->slots = mem_resize(c->slots, c->room * sizeof *c->slots);
        c->spare = mem_resize(c->spare, c->room * sizeof *c->spare);
    }
    return ++c->used;
}

static size_t free_slot(token_cache *c)
{
    if (c->spare_n > 0)
        return c->spare[--c->spare_n];
    if (c->used < c->limit)
        return new_slot(c);
    entry *oldest = LIST_ENTRY(c->order.next, entry, link);
    size_t slot = oldest->slot;
    end_entry(c, oldest);
    c->evictions++;
    return slot;
}

size_t token_cache_put(token_cache *c, const jwt_claims *claims)
{
    entry *e = mem_alloc(sizeof *e);
    e->slot = free_slot(c);
    e->name = c->last;
    e->claims = jwt_claims_copy(claims);
    e->node.key = (slice){(const char *)&e->name, sizeof e->name};
    c->slots[e->slot - 1] = e;
    map_insert(&c->table, &e->node);
    list_append(&c->order, &e->link);
    return e->slot;
}

void token_cache_forget(token_cache *c, size_t slot)
{
    end_entry(c, c->slots[slot - 1]);
    c->spare[c->spare_n++] = slot;
}

token_stats token_cache_stats(const token_cache *c)
{
    return (token_stats){c->hits, c->misses, c->evictions, c->table.count, c->limit};
}
