/* A worker's link to Redis: logs in, pipelines commands, and comes back by itself. Not thread-safe:
 * each link belongs to one loop. */
#pragma once
#include "buf.h"
#include "redis_options.h"
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

typedef struct redis_link redis_link;

enum {
    REDIS_COMMAND_MS = 2000, /* a command is answered by then */
    REDIS_PING_MS = 1000,    /* silence after which the link asks */
    REDIS_SILENCE_MS = 3000, /* silence after which a link that waits for an answer is dead */
    REDIS_BACKOFF_MS = 100,  /* first pause; doubles up to: */
    REDIS_BACKOFF_MAX_MS = 5000,
    REDIS_BACKOFF_ASKED_MS = 400, /* while somebody waits for the link */
    REDIS_SETTLED_MS = 1000,      /* a link that held so long starts anew with the first pause */
    REDIS_QUEUE_MAX = 10000,
    REDIS_QUEUE_BYTES = 16 << 20,
};

/* Called once, on the link's loop, never from inside redis_link_send. reply lives during the call;
 * an error of Redis is a reply, too. NULL: `problem` says why; unsure: it may have been executed.
 */
typedef void (*redis_done)(const redisReply *reply, const char *problem, bool unsure, void *arg);

/* The loop's command link; all that open it with the same options share it. */
redis_link *redis_link_open(const redis_options *options, uv_loop_t *loop);
/* The last close answers what waits and frees the link in time. */
void redis_link_close(redis_link *l);
void redis_link_send(redis_link *l, size_t argc, const slice *argv, redis_done done, void *arg);
bool redis_link_ready(const redis_link *l);
/* Why the link is not ready, for people; NULL when it is. */
const char *redis_link_problem(const redis_link *l);

/* A link of one's own whose replies all go to on_push: for subscriptions. */
typedef struct {
    void (*on_ready)(redis_link *l, void *arg);
    void (*on_push)(redis_link *l, const redisReply *reply, void *arg);
    void (*on_lost)(redis_link *l, void *arg); /* it was ready */
    void *arg;
} redis_subscriber;

redis_link *redis_link_open_subscriber(const redis_options *options, uv_loop_t *loop,
                                       const redis_subscriber *subscriber);
/* Sends a command whose answers come to on_push; dropped when the link is not ready. */
void redis_link_push(redis_link *l, size_t argc, const slice *argv);
