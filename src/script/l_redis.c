/* host.redis: any command of Redis for scripts, over the worker's pipelined link.
 *
 * All scripts of a worker share that link, so commands that change the link itself (SELECT, MULTI,
 * SUBSCRIBE ...) or that keep others waiting (BLPOP ...) are refused by name. A reply is copied
 * into one run of bytes while Redis' own lives, and unfolded into Lua values inside the waiting
 * task. What must never happen: a command that changes how later answers match. */
#include "buf.h"
#include "mem.h"
#include "redis_link.h"
#include "task.h"
#include <ctype.h>
#include <stdlib.h>

enum { ARGS_MAX = 100000 };

typedef struct {
    task_token token;
    buf reply; /* encoded; empty when it failed */
    char *problem;
    char code[32];
} reply;

static void free_reply(void *data)
{
    reply *r = data;
    buf_free(&r->reply);
    free(r->problem);
    free(r);
}

/* A reply as bytes: its type, a number (value, length or count), then its bytes or elements.
 * -------- */

static void encode(buf *to, const redisReply *from)
{
    bool text = from->type == REDIS_REPLY_STRING || from->type == REDIS_REPLY_STATUS ||
                from->type == REDIS_REPLY_ERROR;
    int64_t number = text                              ? (int64_t)from->len
                     : from->type == REDIS_REPLY_ARRAY ? (int64_t)from->elements
                                                       : (int64_t)from->integer;
    buf_byte(to, (char)from->type);
    buf_append(to, &number, sizeof number);
    if (text)
        buf_append(to, from->str, from->len);
    for (size_t i = 0; from->type == REDIS_REPLY_ARRAY && i < from->elements; i++)
        encode(to, from->element[i]);
}

static const char *push_decoded(lua_State *L, const char *at)
{
    int type = *at++;
    int64_t number;
    memcpy(&number, at, sizeof number);
    at += sizeof number;
    luaL_checkstack(L, 4, "a reply of Redis");
    switch (type) {
    case REDIS_REPLY_INTEGER:
        lua_pushinteger(L, number);
        return at;
    case REDIS_REPLY_NIL:
        lua_pushlightuserdata(L, NULL);
        return at;
    case REDIS_REPLY_ARRAY:
        lua_createtable(L, (int)number, 0);
        for (int64_t i = 1; i <= number; i++) {
            at = push_decoded(L, at);
            lua_rawseti(L, -2, i);
        }
        return at;
    case REDIS_REPLY_ERROR: /* inside an array */
        lua_createtable(L, 0, 1);
        lua_pushlstring(L, at, (size_t)number);
        lua_setfield(L, -2, "err");
        return at + number;
    default:
        lua_pushlstring(L, at, (size_t)number);
        return at + number;
    }
}

static int push_reply(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->problem != NULL)
        return vm_fail(L, r->code, "%s", r->problem);
    push_decoded(L, r->reply.data);
    return 1;
}

/* "WRONGTYPE Operation ..." has the code "wrongtype". */
static void set_code(reply *r, const char *error)
{
    size_t n = 0;
    while (n < sizeof r->code - 1 && isalnum((unsigned char)error[n])) {
        r->code[n] = (char)tolower((unsigned char)error[n]);
        n++;
    }
    r->code[n] = '\0';
}

static void on_done(const redisReply *from, const char *problem, bool unsure, void *arg)
{
    reply *r = arg;
    buf text = {0};
    if (from == NULL) {
        buf_text(&text, problem);
        buf_text(&text, unsure ? "; it may have been executed" : "");
        set_code(r, "unavailable");
    } else if (from->type == REDIS_REPLY_ERROR) {
        buf_append(&text, from->str, from->len);
        set_code(r, from->str);
    } else {
        encode(&r->reply, from);
    }
    r->problem = text.len > 0 ? mem_dup(text.data, text.len) : NULL;
    buf_free(&text);
    task_wake(r->token, push_reply, free_reply, r);
}

/* Arguments ----------------------------------------------------------------------------------- */

static bool is_one_of(slice name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (slice_ieq(name, slice_of(*names)))
            return true;
    }
    return false;
}

static void check_allowed(lua_State *L, size_t argc, const slice *argv)
{
    static const char *const subscribing[] = {
        "subscribe",    "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe",
        "sunsubscribe", "monitor",    "sync",       "psync",       NULL};
    static const char *const transactions[] = {"multi", "exec",    "discard",
                                               "watch", "unwatch", NULL};
    static const char *const linked[] = {"auth", "select", "hello", "reset",
                                         "quit", "client", NULL};
    static const char *const blocking[] = {"blpop",  "brpop",    "blmove",   "brpoplpush",
                                           "blmpop", "bzpopmin", "bzpopmax", "bzmpop",
                                           "wait",   "waitaof",  NULL};
    slice name = argv[0];
    bool block = is_one_of(name, blocking);
    bool reads_stream = slice_ieq(name, SLICE("xread")) || slice_ieq(name, SLICE("xreadgroup"));
    for (size_t i = 1; reads_stream && i < argc; i++)
        block = block || slice_ieq(argv[i], SLICE("block"));
    if (block)
        luaL_argerror(L, 1,
                      "a command that blocks would hold up all others: poll, or use host.hub");
    if (is_one_of(name, subscribing))
        luaL_argerror(L, 1, "subscriptions go through host.hub");
    if (is_one_of(name, transactions))
        luaL_argerror(L, 1, "the link is shared: use a script (EVAL) instead of a transaction");
    if (is_one_of(name, linked))
        luaL_argerror(L, 1, "it would change the link that all scripts share");
}

/* The slices lie in a userdata, so that a raise leaks nothing. */
static slice *check_args(lua_State *L, size_t argc)
{
    luaL_argcheck(L, argc >= 1, 1, "the name of a command is missing");
    luaL_argcheck(L, argc <= ARGS_MAX, ARGS_MAX, "too many arguments");
    slice *argv = lua_newuserdatauv(L, argc * sizeof *argv, 0);
    for (size_t i = 0; i < argc; i++)
        argv[i] = vm_check_slice(L, (int)i + 1);
    check_allowed(L, argc, argv);
    return argv;
}

static int l_call(lua_State *L)
{
    size_t argc = (size_t)lua_gettop(L);
    slice *argv = check_args(L, argc);
    redis_link *link = vm_services(vm_of(L))->redis;
    if (link == NULL)
        return vm_fail(L, "unavailable", "Redis is not configured: set redis.url");
    task_token token = task_token_of(L);
    reply *r = mem_alloc(sizeof *r);
    r->token = token;
    redis_link_send(link, argc, argv, on_done, r);
    return task_park(L, NULL, NULL);
}

int luaopen_host_redis(lua_State *L)
{
    static const luaL_Reg functions[] = {{"call", l_call}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushboolean(L, vm_services(vm_of(L))->redis != NULL);
    lua_setfield(L, -2, "configured");
    return 1;
}
