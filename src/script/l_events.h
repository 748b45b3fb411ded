/* Server-sent events for scripts: `stream` tables of kind "sse", and functions that send events. */
#pragma once
#include "exchange.h"
#include "task.h"

typedef struct event_stream event_stream;

/* Answers x as the table at `stream` says:
 *   { kind = "sse", id, identity, preamble, form, topic, mode, since, history, watch }, or with
 *   topics = { { topic, mode, since, history, watch }, ... }
 * Raises, with nothing sent, when something in it is wrong. True: the table has a function `run`,
 * and nothing was sent yet; events_run is next. */
bool events_answer(lua_State *L, int stream, exchange *x);
/* Opens the stream and pushes `run` with its arguments send and req, to be called in the task of
 * that token. NULL: the peer is gone, and nothing is pushed. */
event_stream *events_run(lua_State *L, int stream, exchange *x, task_token token);
/* `run` has returned. */
void events_finish(event_stream *e);
/* The task is over, however it ended; e is not the caller's any more. */
void events_over(event_stream *e, bool cancelled);
