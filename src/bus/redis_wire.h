/* One connection to Redis: bytes out, replies in. Knows nothing of commands, logins or retries. */
#pragma once
#include "buf.h"
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct redis_wire redis_wire;

typedef struct {
    void (*on_open)(void *arg);
    void (*on_reply)(void *arg, redisReply *reply); /* the reply lives during the call */
    /* The connection failed, or what came is no reply; the last event. */
    void (*on_lost)(void *arg, const char *why);
} redis_wire_events;

/* Connects to a unix socket (address NULL) or an address. NULL: failed at once, `why` says how.
 * Events come later, never from inside a call. */
redis_wire *redis_wire_open(uv_loop_t *loop, const char *path, const struct sockaddr *address,
                            const redis_wire_events *events, void *arg, const char **why);
/* Appends bytes; they leave with redis_wire_flush. */
void redis_wire_append(redis_wire *w, slice bytes);
void redis_wire_command(redis_wire *w, size_t argc, const slice *argv);
void redis_wire_flush(redis_wire *w);
uint64_t redis_wire_last_read(const redis_wire *w); /* clock_ms of the last bytes */
/* No event comes after this; frees itself in time. Allowed inside events. */
void redis_wire_close(redis_wire *w);
/* A command as it travels. */
void redis_command_write(buf *to, size_t argc, const slice *argv);
size_t redis_command_size(size_t argc, const slice *argv); /* about */
