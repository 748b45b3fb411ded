/* Server-sent events (WHATWG HTML, section 9.2): one event as bytes. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdint.h>

typedef struct {
    slice id, event; /* empty: left out */
    slice data;      /* p == NULL: left out, and then no event is seen: id and retry are noted */
    int64_t retry;   /* milliseconds; negative: left out */
} sse_fields;

/* Data is split into `data:` lines at CRLF, CR and LF; bytes that are no UTF-8 become U+FFFD each.
 * NULL: fine; else nothing was added, and the text says which field can't be sent as it is. */
const char *sse_event(buf *out, const sse_fields *fields);
/* A comment line; the client ignores it, a dead connection shows. */
extern const slice sse_heartbeat;
