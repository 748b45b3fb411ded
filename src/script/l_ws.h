/* A WebSocket as scripts hold it: a box whose methods lua/web/ws.lua wraps. */
#pragma once
#include "exchange.h"
#include "vm.h"
#include "ws_session.h"

typedef struct ws_box {
    ws_session *session; /* NULL: over, or not yet begun */
} ws_box;

/* Pushes an empty box. */
ws_box *ws_box_push(lua_State *L);
/* Opens x as the WebSocket of the script's object at `index`: its field `raw` becomes the box, and
 * its method `opened` is called. Raises when boot.lua knows no WebSockets. */
void ws_open(lua_State *L, int index, exchange *x);
