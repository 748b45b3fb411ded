/* A connection that has become a viewer of a topic: live pictures (mixed) or events (sse). */
#pragma once
#include "audience.h"
#include "exchange.h"
#include "hub.h"

struct stream_transport;

/* "mixed" or "sse"; NULL: no such transport. */
const struct stream_transport *stream_transport_find(slice name);
/* What the head must say. */
const char *stream_content_type(const struct stream_transport *t);

/* Sends the head that was begun on x, then the preamble (bytes that the transport's readers skip or
 * obey; may be empty), and makes its connection a subscriber of the topic, until the peer goes or
 * the topic ends. */
void stream_start(exchange *x, const struct stream_transport *t, hub_port *port, slice topic,
                  slice preamble, const audience_opening *opening);
