/* Lua scripts that run in Redis, by their digest: the text goes over the wire only when the server
 * does not know it (yet, or any more). */
#pragma once
#include "redis_link.h"

enum { REDIS_SCRIPT_ARGS = 16 };

typedef struct {
    const char *text;
    size_t keys;     /* how many of the arguments are keys; they come first */
    char digest[41]; /* redis_script_init */
} redis_script;

void redis_script_init(redis_script *s);
/* As redis_link_send. Several calls on one link are executed in their order, except around the
 * first one after the server was restarted. */
void redis_script_call(redis_link *l, const redis_script *s, size_t argc, const slice *argv,
                       redis_done done, void *arg);
