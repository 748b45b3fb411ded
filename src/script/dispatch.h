/* From an exchange to lua/boot.lua and back: one task per request, whose result is a response table
 * that is rendered here. One dispatcher per VM; the worker's current one gets new requests, an old
 * one lives until its last request has ended. Free of Lua's headers. */
#pragma once
#include "exchange.h"
#include "script.h"
#include "slice.h"

typedef struct dispatcher dispatcher;

/* Registry references of the functions of boot.ws. */
typedef struct {
    int message, gap, close; /* (ws, data, binary), (ws, topic, lost), (ws, code, reason) */
    int save, restore;       /* (ws) -> string, (box, string) -> ws */
} dispatcher_ws_functions;

/* Runs boot.lua in v and locks its globals; `verify`: and boot.verify, which looks at what is
 * loaded at first use only. NULL with the message and traceback: nothing was kept.
 */
dispatcher *dispatcher_new(vm *v, bool verify, char *error, size_t error_size);
dispatcher *dispatcher_hold(dispatcher *d);
/* The worker lets go; it is freed with its last request. */
void dispatcher_drop(dispatcher *d);
vm *dispatcher_vm(dispatcher *d);
/* NULL: boot.lua knows no WebSockets. */
const dispatcher_ws_functions *dispatcher_ws(const dispatcher *d);
/* Whose request this is. */
dispatcher *dispatcher_of(const exchange *x);

/* For http_handler; arg is the dispatcher. */
void dispatcher_on_exchange(exchange *x, void *arg);
void dispatcher_on_abandon(exchange *x, void *arg);
/* The same for requests over the control socket: boot.control. */
void dispatcher_on_control(exchange *x, void *arg);

/* boot.prepare, once per process, before the listeners accept; on_end once, with what went wrong or
 * NULL, maybe before this returns. */
void dispatcher_prepare(dispatcher *d, void (*on_end)(void *arg, const char *problem), void *arg);
/* boot.start, when the listeners accept and when new scripts have been swapped in. */
void dispatcher_start(dispatcher *d);
/* What boot.save of the old scripts returns (a string) is given to boot.restore of the new ones. */
void dispatcher_move(dispatcher *from, dispatcher *to);
/* boot.reloaded, once per process, when new scripts have been swapped in. */
void dispatcher_reloaded(dispatcher *d);
/* boot.refused, once per process, when new scripts were wrong. */
void dispatcher_refused(dispatcher *d);
/* boot.refresh(topic) as a task; again (hub_refresh_again) unless it returns true. */
void dispatcher_refresh(dispatcher *d, slice topic);
/* boot.news as a task; done(arg) once, when it is over. False: boot.lua has none. */
bool dispatcher_news(dispatcher *d, void (*done)(void *arg), void *arg);
