/* A connection that has become a viewer of a topic: live pictures (multipart/x-mixed-replace). */
#pragma once
#include "audience.h"
#include "exchange.h"
#include "hub.h"

typedef struct {
    slice topic;
    slice preamble; /* bytes that readers skip; may be empty */
    bool present;   /* in the topic's room */
} mixed_view;

/* Sends the head that was begun on x, then the preamble, and makes its connection a subscriber of
 * the topic, until the peer goes or the topic ends. */
void mixed_start(exchange *x, hub_port *port, const mixed_view *view,
                 const audience_opening *opening);
