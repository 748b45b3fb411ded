/* Which slot of the hub's cache of encoded values is whose. */
#pragma once
#include "hub.h"

enum {
    SLOT_MIXED,
    SLOT_SSE,
    SLOT_WS,
    SLOT_WS_PACKED, /* permessage-deflate */
    SLOT_WS_ENVELOPE,
    SLOT_WS_ENVELOPE_PACKED,
    SLOTS_USED
};

_Static_assert((int)SLOTS_USED <= (int)HUB_TRANSPORTS, "the hub has too few slots");
