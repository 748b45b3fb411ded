/* What is due when: a binary heap of times, intrusive, so that setting a time allocates nothing but
 * the heap's own array. For one thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t at;
    size_t place; /* in the heap, from 1; 0: in none */
} due_node;

typedef struct {
    due_node **nodes; /* nodes[1] is the first */
    size_t count, room;
} due_heap;

/* Sets or changes a node's time; at == 0 takes it out. */
void due_set(due_heap *h, due_node *node, uint64_t at);
due_node *due_first(const due_heap *h); /* NULL: nothing is due ever */
void due_free(due_heap *h);             /* the array, not the nodes */

#define DUE_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
