/* Which slot of the hub's cache of encoded values is whose. What may be subscribed to one topic at
 * the same time must not share one. */
#pragma once
#include "hub.h"

enum {
    SLOT_AS_IS, /* for scripts and the audience: the bytes that were published */
    SLOT_MIXED,
    SLOT_SSE,
    SLOT_SSE_ENVELOPE, /* of several topics */
    SLOT_SSE_READY,    /* events that a script has made */
    SLOT_WS,
    SLOT_WS_PACKED, /* permessage-deflate */
    SLOT_WS_ENVELOPE,
    SLOT_WS_ENVELOPE_PACKED,
    SLOTS_USED
};

_Static_assert((int)SLOTS_USED <= (int)HUB_TRANSPORTS, "the hub has too few slots");
