/* A script's response table onto the wire. */
#pragma once
#include "exchange.h"
#include "vm.h"

typedef enum {
    RESPONSE_DONE,   /* the exchange is answered */
    RESPONSE_CHUNKS, /* the head is begun; the table has a function `chunks` */
    RESPONSE_EVENTS, /* nothing was sent yet: its table `stream` is for l_events.h */
} response_kind;

/* Renders the table at `index`. Raises, with nothing sent, when it is not a response: wrong type of
 * a field, bad status, a header with CR, LF or NUL, two kinds of body. */
response_kind response_render(lua_State *L, int index, exchange *x);
