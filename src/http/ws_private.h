/* What ws.c (the connection) and ws_topics.c (what it is subscribed to) share. */
#pragma once
#include "ws.h"

#include "bucket.h"
#include "list.h"

typedef enum { WS_IS_OPEN, WS_IS_CLOSING, WS_IS_ENDED } ws_state;

struct ws {
    audience_member member;
    conn *c;
    hub_port *port;
    const ws_ops *ops;
    void *owner;
    const ws_limits *limits;
    ws_parser parser;
    buf rest;
    subscriptions topics;
    uint8_t state;
    bool told, paused, feeding, pinged;
    bool packs;   /* what is sent may be compressed */
    uint64_t due; /* of the next ping, or of the end of patience; conn_now */
    bucket rate;
    seal_channel *keys; /* NULL: messages leave as they are */
};

/* Closes the client when this, of a topic or of none, is too much for it; a single message over the
 * bound may go when nothing waits. */
bool ws_has_room(ws *w, slice topic, size_t n);
/* A topic's message to the wire; whoever is sealed gets frames that are not packed. False: it is
 * closing, and its subscriptions are gone. */
bool ws_write_frame(ws *w, frame *f);
void ws_topics_init(ws *w);
