/* multipart/x-mixed-replace as live pictures use it. A browser paints part N when it has read the
 * header block of part N+1, so each value is sent with the next part's header behind it, in one
 * write, and the answer opens with the first part's header. No Content-Length in part headers. */
#pragma once
#include "frame.h"
#include "slice.h"

#define MIXED_CONTENT_TYPE "multipart/x-mixed-replace; boundary=frame"

/* The head of a part, which is also the tail of the one before. */
extern const slice mixed_opening;

/* A line of it begins with the boundary: what follows would be read as a part of its own. */
bool mixed_could_forge(slice picture);
/* picture + CRLF + the next part's head. NULL: memory is out. */
frame *mixed_encode(const frame *picture);
