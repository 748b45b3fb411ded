/* One connection to the server: names resolved, TCP, TLS, the opening handshake, frames, pings. It
 * never comes back: the client makes another. */
#pragma once
#include "slice.h"
#include "tls.h"
#include "url.h"
#include <uv.h>

typedef struct wire wire;

typedef struct {
    int code;    /* of the close frame; 1006: there was none */
    bool opened; /* it was a WebSocket */
    int status;  /* of HTTP, when the server refused; else 0 */
    const char
        *word;    /* why, for programs: "connect", "tls", "refused", "timeout", "lost", "close" */
    slice reason; /* for people: the reason of the close, the refusal's body, or our words */
} wire_end;

typedef struct {
    void (*on_open)(void *owner);
    void (*on_text)(void *owner, slice text);
    void (*on_drain)(void *owner);                    /* what was sent has gone to the system */
    void (*on_end)(void *owner, const wire_end *end); /* the last one; not after wire_abandon */
} wire_events;

/* The URL's text is borrowed for as long as the wire calls its owner; the token is copied. */
typedef struct {
    url_parts url;
    tls_context *tls; /* NULL: in the clear */
    const char *token;
    bool token_in_query;
    size_t max_message;
    unsigned connect_ms, ping_ms, pong_ms;
} wire_options;

wire *wire_open(uv_loop_t *loop, const wire_options *options, const wire_events *events,
                void *owner);
/* One text message. */
void wire_send(wire *w, slice text);
/* Bytes that the system has not taken yet; SIZE_MAX: it is not open. */
size_t wire_waiting(const wire *w);
/* Says good-bye with that code; on_end comes when the server has answered, or soon. */
void wire_close(wire *w, int code);
/* No event comes any more; it frees itself. */
void wire_abandon(wire *w);
