/* A WebSocket and the script that serves it: its messages are handled in order, one task at a time,
 * by the code that is current when they begin. Free of Lua's headers; the box that scripts hold is
 * in l_ws.c. */
#pragma once
#include "dispatch.h"
#include "ws.h"

typedef struct ws_session ws_session;
struct ws_box;

/* Opens x as a WebSocket (its head is begun, status 101) whose script object has the registry
 * reference `ref` in d's VM and whose box is `box`; takes the reference over. NULL: the peer is
 * gone, and the reference is still the caller's. */
ws_session *ws_session_start(exchange *x, dispatcher *d, int ref, struct ws_box *box,
                             const audience_opening *opening);
/* NULL: it is closed. */
ws *ws_session_socket(const ws_session *s);

/* The calling worker's scripts are d's from now on (NULL: there are none any more). */
void ws_sessions_use(dispatcher *d);
/* Moves the sessions that wait on older scripts over to the current ones. */
void ws_sessions_follow(void);
size_t ws_sessions_count(void); /* of the calling worker */
