/* permessage-deflate for the WebSockets of a worker: what is agreed on, and when it pays. */
#pragma once
#include "exchange.h"
#include "ws_deflate.h"

/* What becomes of the client's offers; says so in the head that was begun on x. */
ws_deflate_terms ws_pack_agree(exchange *x);
/* A message as a compressed frame; NULL: it goes as it is (too small, or no smaller). */
frame *ws_pack(ws_opcode opcode, slice data);
/* The data of a message that came compressed. 0, or the close code for it, and why. */
int ws_unpack(const ws_message *m, const ws_limits *limits, buf *out, const char **why);
