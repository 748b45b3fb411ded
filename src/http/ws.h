/* A connection that has become a WebSocket. Subscribed topics go from the hub to the wire as
 * frames that all subscribers share; what the client sends goes up to the owner, message by
 * message.
 *
 *   ws_check, ws_start -> OPEN --ws_close, expiry, slow client--> CLOSING --peer's close, or 1 s-->
 *       ended    \--peer's close, a broken rule, lost connection---------------------------------->
 *
 * The connection owns it; the owner above forgets its pointer in on_close, which comes once. */
#pragma once
#include "audience.h"
#include "exchange.h"
#include "hub.h"
#include "seal.h"
#include "subscriptions.h"
#include "ws_frame.h"

typedef struct ws ws;

typedef struct {
    void (*on_message)(ws *w, bool binary, slice data);
    /* Messages of a topic (hub_subscribe_log) were lost; 0: nobody knows how many. */
    void (*on_gap)(ws *w, slice topic, uint64_t lost);
    /* The last call, also after ws_close; the code is the one that ended it, ours or the peer's. */
    void (*on_close)(ws *w, int code, slice reason);
} ws_ops;

/* Opening ----------------------------------------------------------------------------------- */

typedef struct {
    int status;
    const char *code, *message;
} ws_refusal;

/* Does the client ask for a WebSocket at all? */
bool ws_wanted(const exchange *x);
/* NULL: it may have one. Else the answer that it should get; with 426 comes the header
 * Sec-WebSocket-Version: 13. */
const ws_refusal *ws_check(exchange *x);
/* Sends the head that was begun on x with status 101 (its other headers are set) and takes its
 * connection over. NULL: the peer is gone, and nothing is called. */
ws *ws_start(exchange *x, hub_port *port, const ws_ops *ops, void *owner,
             const audience_opening *opening);
/* Once, when the owner is ready: reads what the client has sent before it was answered. */
void ws_begin(ws *w);
void *ws_owner(const ws *w);

/* While it is open -------------------------------------------------------------------------- */

/* False: it is closing (maybe because of this message, which the client is too slow for). */
bool ws_send(ws *w, ws_opcode opcode, slice data);
/* Has it no keys yet, and no subscriptions? */
bool ws_can_seal(const ws *w);
/* From now on every message leaves sealed, as text; takes the keys over. */
void ws_seal(ws *w, seal_channel *keys);
/* Opens a sealed message from the client and appends what it holds; SEAL_BROKEN when there are no
 * keys. */
seal_result ws_unseal(ws *w, slice text, buf *out);
typedef struct {
    subscribing how;
    bool envelope; /* {"channel","position","data"} */
} ws_subscribing;
/* Once per topic; again in another way changes it. False: too many. */
bool ws_subscribe(ws *w, slice topic, const ws_subscribing *how, subscribed *got);
bool ws_unsubscribe(ws *w, slice topic); /* false: it was not subscribed */
/* No more on_message until resumed; the peer is held back by TCP. */
void ws_pause(ws *w);
void ws_resume(ws *w);
/* Whose it is, and until when. */
audience_member *ws_member(ws *w);
void ws_close(ws *w, int code, slice reason);

/* Frees what the calling thread keeps for all of them; after the last. */
void ws_thread_exit(void);
