/* A binary heap from index 1; every node knows its place, so that a time in the middle can change.
 * What must never happen: a node freed while its place is not 0. */
#include "due.h"

#include "mem.h"
#include <stdlib.h>

static void put(due_heap *h, size_t place, due_node *node)
{
    h->nodes[place] = node;
    node->place = place;
}

static void rise(due_heap *h, due_node *node)
{
    size_t place = node->place;
    for (; place > 1 && h->nodes[place / 2]->at > node->at; place /= 2)
        put(h, place, h->nodes[place / 2]);
    put(h, place, node);
}

static void sink(due_heap *h, due_node *node)
{
    size_t place = node->place;
    for (;;) {
        size_t child = place * 2;
        if (child > h->count)
            break;
        if (child < h->count && h->nodes[child + 1]->at < h->nodes[child]->at)
            child++;
        if (h->nodes[child]->at >= node->at)
            break;
        put(h, place, h->nodes[child]);
        place = child;
    }
    put(h, place, node);
}

static void insert(due_heap *h, due_node *node)
{
    if (h->count + 1 >= h->room) {
        h->room = h->room == 0 ? 16 : h->room * 2;
        h->nodes = mem_resize(h->nodes, h->room * sizeof(due_node *));
    }
    put(h, ++h->count, node);
}

static void take_out(due_heap *h, due_node *node)
{
    due_node *last = h->nodes[h->count--];
    size_t place = node->place;
    node->place = 0;
    if (last == node)
        return;
    put(h, place, last);
    rise(h, last);
    sink(h, last);
}

void due_set(due_heap *h, due_node *node, uint64_t at)
{
    if (at == 0) {
        if (node->place != 0)
            take_out(h, node);
        return;
    }
    node->at = at;
    if (node->place == 0)
        insert(h, node);
    rise(h, node);
    sink(h, node);
}

due_node *due_first(const due_heap *h)
{
    return h->count > 0 ? h->nodes[1] : NULL;
}

void due_free(due_heap *h)
{
    free(h->nodes);
    *h = (due_heap){0};
}
