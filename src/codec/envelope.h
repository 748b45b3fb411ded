/* A message of a topic with what a client needs to know about it, as one JSON object:
 *   {"channel":"...","position":"...","data":...}
 * so that all who follow the topic share the same bytes. The data is there as it is when it is
 * JSON, else as a JSON string, and as "base64" in place of "data" when it is no text. */
#pragma once
#include "buf.h"
#include "slice.h"

/* position "": left out. The channel must be UTF-8; else it is left out, too. */
void envelope_write(buf *out, slice channel, slice position, slice data);
/* The newest value of a topic: {"channel":"...","version":N,"data":...} */
void envelope_value(buf *out, slice channel, uint64_t version, slice data);
/* {"channel":"...","ended":true}: deleted, or expired. */
void envelope_end(buf *out, slice channel);
/* {"channel":"...","gap":true,"lost":N}: so many messages (0: nobody knows) did not arrive. */
void envelope_gap(buf *out, slice channel, uint64_t lost);
