/* permessage-deflate (RFC 7692), as a server speaks it: agreeing on it, and whole messages in and
 * out. No I/O. Neither side keeps a context from message to message, so that a broadcast is
 * compressed once for all who take it, and a connection costs no memory. */
#pragma once
#include "buf.h"
#include "ws_frame.h"

typedef struct {
    bool agreed;
    uint8_t server_bits; /* the client's bound on our window, 8 to 15; 0: it named none */
} ws_deflate_terms;

/* Looks through one Sec-WebSocket-Extensions header for an offer that can be met. */
void ws_deflate_agree(slice header, ws_deflate_terms *terms);
/* What the answer's header says. */
void ws_deflate_answer(const ws_deflate_terms *terms, buf *out);
/* May the server compress what it sends? (It may always leave a message as it is.) */
bool ws_deflate_may_send(const ws_deflate_terms *terms);

/* A message that was compressed. At most `max` bytes, and at most `times` as many as came (0: any
 * number of times; a message that stays under 4 KiB always may). Returns 0, or the close code for
 * it: WS_TOO_LARGE or WS_BAD_DATA; *why says it in words. */
int ws_inflate(slice in, size_t max, unsigned times, buf *out, const char **why);

/* A whole message as one compressed frame. NULL: it would not get smaller. */
frame *ws_deflate_frame(ws_opcode opcode, slice data);

/* Frees what the calling thread keeps for the two above: one zlib state for each, made at the first
 * use. */
void ws_deflate_thread_exit(void);
