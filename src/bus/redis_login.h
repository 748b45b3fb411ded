/* What a link says first, and what it makes of the answers. */
#pragma once
#include "redis_options.h"
#include "redis_wire.h"

enum { REDIS_LOGIN_STEPS = 8 };

typedef struct {
    int steps[REDIS_LOGIN_STEPS];
    size_t count, at;
    char problem[256];
} redis_login;

/* Writes all steps at once; they are answered in order. */
void redis_login_start(redis_login *login, const redis_options *options, redis_wire *w);
/* Takes the next answer. NULL: fine so far; else why this Redis can't serve us. */
const char *redis_login_reply(redis_login *login, const redis_options *options,
                              const redisReply *reply);
bool redis_login_done(const redis_login *login);
