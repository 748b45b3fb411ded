/* The table lies in the worker's pool of connections (conn_pool.c); nobody else's thread sees it.
 * Rejected: one table for all workers, which each accept and each close would lock. What must never
 * happen: an entry without a connection. */
#include "peer_count.h"

#include "mem.h"
#include <stdlib.h>
#include <string.h>

struct peer_count {
    map_node node;
    uint8_t network[ADDRESS_BYTES];
    size_t n;
};

peer_count *peer_count_hold(map *peers, const uint8_t address[ADDRESS_BYTES])
{
    uint8_t network[ADDRESS_BYTES];
    memcpy(network, address, sizeof network);
    address_network(network);
    map_node *found = map_find(peers, (slice){(const char *)network, sizeof network});
    peer_count *p = found != NULL ? MAP_ENTRY(found, peer_count, node) : NULL;
    if (p == NULL) {
        p = mem_alloc(sizeof *p);
        memcpy(p->network, network, sizeof network);
        p->node.key = (slice){(const char *)p->network, sizeof p->network};
        map_insert(peers, &p->node);
    }
    p->n++;
    return p;
}

void peer_count_drop(map *peers, peer_count *p)
{
    if (--p->n > 0)
        return;
    map_remove(peers, &p->node);
    free(p);
}

size_t peer_count_get(const peer_count *p)
{
    return p->n;
}
