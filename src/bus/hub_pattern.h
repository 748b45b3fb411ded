/* Subscriptions to all topics whose names begin alike: "news.*". A pattern is a topic of the hub
 * whose name ends in a star; nothing is published to it, but what is published as a message to a
 * name that fits comes to its subscribers, too, with that name. It keeps no history of its own. */
#pragma once
#include "hub_private.h"

enum { HUB_PATTERNS_MAX = 1000 }; /* per process; more are refused (hub_pattern_room) */

static inline bool hub_is_pattern(slice name)
{
    return name.n > 0 && name.p[name.n - 1] == '*';
}

/* All under the lock. A state that is a pattern came, went. */
void hub_pattern_count(hub *h, const topic_state *s, int by);
/* A message for every pattern that fits its name. */
void hub_pattern_append(hub *h, slice name, frame *data, uint64_t version, hub_position position,
                        hub_port *from);
