/* A connection that has become a stream of server-sent events: of topics, whose events the hub
 * encodes once for all streams of a worker, and of a script that sends its own.
 *
 *   sse_start -> OPEN --sse_end, its topics' end, revoked, slow client--> CLOSING --> ended
 *                  \--the client goes-------------------------------------------->/
 *
 * The connection owns it; the owner above, where there is one, forgets its pointer in on_close. */
#pragma once
#include "exchange.h"
#include "subscriptions.h"

typedef struct sse sse;

typedef struct {
    void (*on_writable)(sse *s); /* the client has taken what was sent, or takes no more */
    void (*on_close)(sse *s);    /* once, the last call; the client is gone or the stream ended */
} sse_ops;

/* Sends the head that was begun on x, then `first`, and takes its connection over. ops may be NULL.
 * NULL: the peer is gone or wanted the head only, and nothing is called. */
sse *sse_start(exchange *x, hub_port *port, slice first, const audience_opening *opening,
               const sse_ops *ops, void *owner);
void *sse_owner(const sse *s);

typedef enum {
    SSE_ALONE,    /* the message is the data; the id is its position, or its version */
    SSE_ENVELOPE, /* data tells the topic; no id, since a client has one and topics have many */
    SSE_READY     /* messages are events without id that sse_ready has made */
} sse_form;

/* False: too many topics. */
bool sse_subscribe(sse *s, slice topic, sse_form form, const subscribing *how);
/* Bytes of events. False: the stream is closing. */
bool sse_send(sse *s, slice bytes);
bool sse_is_open(const sse *s);
bool sse_must_wait(const sse *s); /* enough is queued: on_writable tells when to go on */
/* The last event, `end` with {"code":CODE} (none when the code is empty), and the end. */
void sse_end(sse *s, slice code);

/* A message for topics that are subscribed to as SSE_READY. With `last` streams end after it. Like
 * sse_event else. */
const char *sse_ready(buf *out, slice event, slice data, int64_t retry, bool last);
bool sse_is_last(slice bytes); /* of such a message */
