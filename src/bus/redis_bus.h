/* The hub's link to other nodes over Redis' publish/subscribe. Channels: the prefix of the options,
 * "lunacast:", the topic. */
#pragma once
#include "hub.h"
#include "redis_link.h"

typedef struct redis_bus redis_bus;

/* Becomes the hub's remote; before the hub's first port. */
redis_bus *redis_bus_new(hub *h, const redis_options *options);
/* On the worker's loop, right after its hub port is made. The first worker that comes carries the
 * subscribe link. */
void redis_bus_attach(redis_bus *b, hub_port *port, uv_loop_t *loop);
/* On the worker's loop, before its hub port is closed. What is published after fails. */
void redis_bus_detach(redis_bus *b, hub_port *port);
/* After all loops have run dry. */
void redis_bus_free(redis_bus *b);
