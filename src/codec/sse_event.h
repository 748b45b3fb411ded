/* Server-sent events (WHATWG HTML, section 9.2): one event as bytes. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdint.h>

/* id, event and data; an empty id or event is left out. Data is split into `data:` lines at CRLF,
 * CR and LF. -1 and nothing added: id or event holds CR, LF or NUL. */
int sse_event(buf *out, slice id, slice event, slice data);
/* A comment line; the client ignores it, a dead connection shows. */
extern const slice sse_heartbeat;
