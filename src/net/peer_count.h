/* How many connections each client has of one worker's. A client is an IPv4 address or a /64 of
 * IPv6: who has one address of it has them all. One entry per client that is connected, so the
 * connections bound the table. */
#pragma once
#include "address_rule.h"
#include "map.h"

typedef struct peer_count peer_count;

/* Counts one more, which the caller drops again. */
peer_count *peer_count_hold(map *peers, const uint8_t address[ADDRESS_BYTES]);
void peer_count_drop(map *peers, peer_count *p);
size_t peer_count_get(const peer_count *p);
