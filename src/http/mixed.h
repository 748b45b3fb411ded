/* A connection that has become a viewer of a topic: live pictures (multipart/x-mixed-replace). */
#pragma once
#include "audience.h"
#include "exchange.h"
#include "hub.h"

/* Sends the head that was begun on x, then the preamble (bytes that readers skip; may be empty),
 * and makes its connection a subscriber of the topic, until the peer goes or the topic ends. */
void mixed_start(exchange *x, hub_port *port, slice topic, slice preamble,
                 const audience_opening *opening);
