/* The messages by which audiences ask each other, as bytes: fields in a fixed order, each with its
 * length before it. */
#pragma once
#include "audience.h"
#include "buf.h"

typedef struct {
    bool answer;     /* else a question */
    bool by_bus;     /* went over the link between nodes */
    slice node;      /* who sends it */
    uint64_t number; /* of the question, one of the asking node's */
    audience_request request;
    uint64_t count, workers; /* of an answer: done to so many, by one of so many workers */
    slice rows;
} audience_message;

void audience_message_put(buf *out, const audience_message *m);
/* False: it is none. The slices point into `bytes`. */
bool audience_message_get(slice bytes, audience_message *m);
