/* What the request path (dispatch.c) and the host's own calls (dispatch_host.c) share. */
#pragma once
#include "dispatch.h"

struct dispatcher {
    vm *vm;
    size_t refs;
    /* registry references */
    int dispatch, control, failed, prepare, start, reloaded, refused, refresh, verify, save,
        restore, news, stream;
    int routes; /* boot.static, or LUA_NOREF */
    int boxes;  /* the metatable of exchanges' boxes */
    bool verifies, has_ws;
    dispatcher_ws_functions ws;
};
