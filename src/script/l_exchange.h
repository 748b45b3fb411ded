/* The exchange as scripts see it: a box that is nulled when the exchange dies. */
#pragma once
#include "exchange.h"
#include "vm.h"

typedef struct {
    const void *kind; /* first, and the same in all boxes: tells them from other userdata */
    exchange *x;      /* NULL: the request is over */
} exchange_box;

/* Once per VM: a reference to the metatable of boxes. */
int exchange_box_type(lua_State *L);
/* Pushes a new box around x. */
exchange_box *exchange_box_push(lua_State *L, exchange *x, int type);
/* Raises when the argument is no box or its request is over. */
exchange *exchange_box_check(lua_State *L, int arg);
/* Pushes the function that a chunked answer is written with. */
void exchange_push_writer(lua_State *L, int box);
