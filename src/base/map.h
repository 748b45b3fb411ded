/* A hash table from byte strings to objects, intrusive: the node lies inside the object and points
 * to the key that the object owns. Keys are hashed with SipHash-1-3 under a random seed, since
 * peers choose them. Not thread-safe: the owner locks where threads share it. */
#pragma once
#include "slice.h"
#include <stddef.h>
#include <stdint.h>

typedef struct map_node {
    struct map_node *next;
    uint64_t hash;
    slice key; /* the object's bytes; must outlive its stay in the map */
} map_node;

typedef struct {
    map_node **slots;
    size_t mask, count;
} map;

map_node *map_find(const map *m, slice key); /* NULL: absent */
void map_insert(map *m, map_node *node);     /* node->key set, key not present */
void map_remove(map *m, map_node *node);     /* node is in m */
void map_free(map *m);                       /* the table only, not the objects */
/* Walks all nodes; fetch the next before removing one. Start with *slot = 0, node = NULL. */
map_node *map_next(const map *m, size_t *slot, map_node *after);

#define MAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
