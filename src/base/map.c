/* Chains in a table of 2^n slots that doubles at load 1. SipHash-1-3 costs about 20 ns for a short
 * key and makes collisions unpredictable (hash flooding). */
#include "map.h"

#include "mem.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t seed[2];
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
    if (getrandom(seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        abort();
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_of(slice key)
{
    pthread_once(&seeded, make_seed);
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    const char *p = key.p;
    size_t left = key.n;
    uint64_t word;
    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.n << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)(unsigned char)p[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

map_node *map_find(const map *m, slice key)
{
    if (m->slots == NULL)
        return NULL;
    uint64_t hash = hash_of(key);
    map_node *node = m->slots[hash & m->mask];
    while (node != NULL && !(node->hash == hash && slice_eq(node->key, key)))
        node = node->next;
    return node;
}

static void grow(map *m)
{
    size_t mask = m->slots ? m->mask * 2 + 1 : 7;
    map_node **slots = mem_alloc((mask + 1) * sizeof *slots);
    for (size_t i = 0; m->slots != NULL && i <= m->mask; i++) {
        map_node *node = m->slots[i];
        while (node != NULL) {
            map_node *next = node->next;
            node->next = slots[node->hash & mask];
            slots[node->hash & mask] = node;
            node = next;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->mask = mask;
}

void map_insert(map *m, map_node *node)
{
    if (m->slots == NULL || m->count > m->mask)
        grow(m);
    node->hash = hash_of(node->key);
    node->next = m->slots[node->hash & m->mask];
    m->slots[node->hash & m->mask] = node;
    m->count++;
}

void map_remove(map *m, map_node *node)
{
    map_node **at = &m->slots[node->hash & m->mask];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    m->count--;
}

map_node *map_next(const map *m, size_t *slot, map_node *after)
{
    if (after != NULL && after->next != NULL)
        return after->next;
    if (after != NULL)
        (*slot)++;
    while (m->slots != NULL && *slot <= m->mask) {
        if (m->slots[*slot] != NULL)
            return m->slots[*slot];
        (*slot)++;
    }
    return NULL;
}

void map_free(map *m)
{
    free(m->slots);
    *m = (map){0};
}
