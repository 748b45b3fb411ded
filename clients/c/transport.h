/* Bytes to a server and back: names resolved, TCP, TLS, and one alarm. What the bytes mean is its
 * owner's: a WebSocket (wire.c) or one request (fetch.c). It never comes back. */
#pragma once
#include "slice.h"
#include "tls.h"
#include "url.h"
#include <uv.h>

typedef struct transport transport;

typedef struct {
    void (*on_ready)(void *owner); /* it is connected; TLS may still be on its way */
    void (*on_bytes)(void *owner, slice plain);
    void (*on_drain)(void *owner); /* what was sent has gone to the system */
    void (*on_alarm)(void *owner);
    /* It has failed or ended, and is abandoned. word: "connect", "tls" or "lost". */
    void (*on_end)(void *owner, const char *word, const char *text);
    /* The last of all, after on_end or transport_abandon and never inside them: nothing will call
     * back any more, and the owner may free itself. */
    void (*on_gone)(void *owner);
} transport_events;

/* Begins to connect; the first event comes from the loop, on_alarm after alarm_ms. The URL is not
 * kept, the context is held. tls NULL: in the clear. It frees itself before on_gone. */
transport *transport_open(uv_loop_t *loop, const url_parts *url, tls_context *tls,
                          unsigned alarm_ms, const transport_events *events, void *owner);
/* After on_ready. Bytes written before TLS is ready wait for it. */
void transport_write(transport *t, slice plain);
/* Bytes that the system has not taken yet. */
size_t transport_waiting(const transport *t);
/* on_alarm comes once, after ms; replaces the alarm before. */
void transport_alarm(transport *t, unsigned ms);
/* No event comes any more but on_gone. Harmless when it has ended. */
void transport_abandon(transport *t);
