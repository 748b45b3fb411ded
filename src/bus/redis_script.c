/* EVALSHA, and EVAL after NOSCRIPT: the arguments are kept until the answer. Rejected: SCRIPT LOAD
 * for each new link, since SCRIPT FLUSH and a failover take the script away under a link that
 * lives. */
#include "redis_script.h"

#include "mem.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    redis_link *link;
    const redis_script *script;
    redis_done done;
    void *arg;
    size_t argc;
    size_t sizes[REDIS_SCRIPT_ARGS];
    buf bytes; /* the arguments, one behind the other */
} call;

void redis_script_init(redis_script *s)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(s->text, strlen(s->text), sum, &n, EVP_sha1(), NULL) != 1 || n != 20)
        abort();
    for (unsigned i = 0; i < n; i++)
        snprintf(s->digest + 2 * (size_t)i, 3, "%02x", sum[i]);
}

static void send_call(call *c, slice command, slice script, redis_done done)
{
    char keys[8];
    slice argv[REDIS_SCRIPT_ARGS + 3] = {command, script};
    const char *at = c->bytes.data;
    argv[2] = (slice){keys, (size_t)snprintf(keys, sizeof keys, "%zu", c->script->keys)};
    for (size_t i = 0; i < c->argc; i++) {
        argv[i + 3] = (slice){at, c->sizes[i]};
        at += c->sizes[i];
    }
    redis_link_send(c->link, c->argc + 3, argv, done, c);
}

static void on_done(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    call *c = arg;
    c->done(reply, problem, unsure, c->arg);
    buf_free(&c->bytes);
    free(c);
}

static void on_answer(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    call *c = arg;
    bool unknown = reply != NULL && reply->type == REDIS_REPLY_ERROR &&
                   strncmp(reply->str, "NOSCRIPT", 8) == 0;
    if (unknown)
        send_call(c, SLICE("EVAL"), slice_of(c->script->text), on_done);
    else
        on_done(reply, problem, unsure, c);
}

void redis_script_call(redis_link *l, const redis_script *s, size_t argc, const slice *argv,
                       redis_done done, void *arg)
{
    call *c = mem_alloc(sizeof *c);
    *c = (call){.link = l, .script = s, .done = done, .arg = arg, .argc = argc};
    for (size_t i = 0; i < argc; i++) {
        c->sizes[i] = argv[i].n;
        buf_append_slice(&c->bytes, argv[i]);
    }
    send_call(c, SLICE("EVALSHA"), (slice){s->digest, 40}, on_answer);
}
