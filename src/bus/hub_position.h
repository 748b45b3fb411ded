/* Where a message stands in its topic. Offsets count from 1 and by one; the epoch names the life of
 * the counter: another epoch, and nothing can be said about what lies between, unless it is known
 * how far the one went on into the other (hub_past).
 * As text: "EPOCH:OFFSET", the epoch in hexadecimal digits, the offset in decimal ones. */
#pragma once
#include "frame.h"
#include "slice.h"
#include <stdint.h>

typedef struct {
    uint64_t epoch, offset; /* epoch 0: no position */
} hub_position;

/* One that is kept. */
typedef struct {
    frame *data;
    uint64_t offset;
    int64_t time_ms; /* Unix */
} hub_message;

enum { HUB_POSITION_TEXT = 16 + 1 + 20 + 1, HUB_PAST_MAX = 8 };

/* The epochs that went on into this one, the last one first: of each the last position whose
 * message is the same one here. The rest is empty. */
typedef struct {
    hub_position ends[HUB_PAST_MAX];
} hub_past;

/* The same position in this epoch: p itself, or one of the past that went on into it. False: it is
 * of another, and stays as it is. */
bool hub_position_carry(hub_position *p, uint64_t epoch, const hub_past *past);
/* Returns the length; "" when there is none. */
size_t hub_position_text(hub_position p, char out[HUB_POSITION_TEXT]);
/* False: it is not one. */
bool hub_position_parse(slice text, hub_position *p);
