/* The Redis driver: values are plain strings under their own names, so that other programs can read
 * and write them.
 *
 *   op -> one command on the worker's link -> on_reply -> answer
 *   list: SCAN, again and again until the page is full or the keys are at their end
 *
 * A version is the SHA-1 of the value: nothing is stored beside the value, and a value that another
 * program has set has a version, too. Compare-and-set runs as a script in the server. Scripts are
 * sent as EVAL, body and all: 200 bytes more than EVALSHA, and no state in the server that a
 * restart, a failover or SCRIPT FLUSH could take away.
 *
 * An op belongs to its command from submit to the one store_op_finish. What must never happen: a
 * write repeated by us after the link was lost; it is answered as unsure instead. */
#include "driver.h"

#include "buf.h"
#include "clock.h"
#include "mem.h"
#include "redis_link.h"
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCAN_ROUNDS = 100, SCAN_COUNT = 100, SCAN_US = 1000000 };

typedef struct {
    store base;
    const redis_options *options;
} redis_store;

/* The end of a script that has written. ARGV: channel, message, where there are some. */
#define NOTIFY(channel, message) \
    "if ARGV[" channel "] then redis.call('PUBLISH', ARGV[" channel "], ARGV[" message "]) end\n"

/* ARGV: value, ttl. Only with a notice: SET does the rest. */
static const char add_script[] =
    "local set\n"
    "if ARGV[2] == '0' then set = redis.call('SET', KEYS[1], ARGV[1], 'NX')\n"
    "else set = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) end\n"
    "if not set then return set end\n" NOTIFY("3", "4") "return set";

/* ARGV: version, value, ttl. */
static const char cas_script[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if not v then return 0 end\n"
    "if redis.sha1hex(v) ~= ARGV[1] then return 1 end\n"
    "if ARGV[3] == '-1' then "
    "redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')\n"
    "elseif ARGV[3] == '0' then "
    "redis.call('SET', KEYS[1], ARGV[2])\n"
    "else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end\n" NOTIFY("4", "5") "return 2";

/* ARGV: version, or "". */
static const char delete_script[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if not v then return 0 end\n"
    "if ARGV[1] ~= '' and redis.sha1hex(v) ~= ARGV[1] then return 1 end\n"
    "redis.call('DEL', KEYS[1])\n" NOTIFY("2", "3") "return 2";

/* ARGV: by, ttl. GET at the end, since a script's numbers are exact to 2^53 only. */
static const char incr_script[] = "redis.call('SET', KEYS[1], '0', 'PX', ARGV[2], 'NX')\n"
                                  "redis.call('INCRBY', KEYS[1], ARGV[1])\n"
                                  "return redis.call('GET', KEYS[1])";

/* Writes and leaves nothing: a replica, a full memory or a failed snapshot refuses it. */
static const char ping_script[] = "redis.call('SET', KEYS[1], '1')\n"
                                  "redis.call('DEL', KEYS[1])\n"
                                  "return 2";

static void hash_version(slice value, char version[41])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char sum[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)value.p, value.n, sum);
    for (size_t i = 0; i < sizeof sum; i++) {
        version[2 * i] = digits[sum[i] >> 4];
        version[2 * i + 1] = digits[sum[i] & 15];
    }
    version[40] = '\0';
}

static void set_version(store_op *op, slice value)
{
    char version[41];
    hash_version(value, version);
    store_op_set_version(op, (slice){version, 40});
}

/* Failures ------------------------------------------------------------------------------------ */

static bool is_write(const store_op *op)
{
    return op->kind != STORE_GET && op->kind != STORE_TTL && op->kind != STORE_LIST &&
           op->kind != STORE_PING;
}

static store_status link_failed(store_op *op, const char *problem, bool unsure)
{
    op->result.unsure = unsure && is_write(op);
    return store_op_say(op, STORE_UNAVAILABLE, "%.200s%s", problem,
                        op->result.unsure ? "; the write may have happened" : "");
}

/* Redis answered with an error: one about the value, or it can't serve now. */
static store_status redis_failed(store_op *op, const redisReply *reply)
{
    if (strncmp(reply->str, "WRONGTYPE", 9) == 0)
        return store_op_say(op, STORE_TYPE, "the key holds another type of Redis than a string");
    if (strstr(reply->str, "not an integer") != NULL || strstr(reply->str, "overflow") != NULL)
        return STORE_TYPE;
    if (strstr(reply->str, "invalid cursor") != NULL)
        return store_op_say(op, STORE_TYPE, "the cursor is not one that list returned");
    return store_op_say(op, STORE_UNAVAILABLE, "Redis refused: %.220s", reply->str);
}

/* Replies ------------------------------------------------------------------------------------- */

static slice text_of(const redisReply *reply)
{
    return (slice){reply->str, reply->len};
}

static store_status strange(store_op *op)
{
    return store_op_say(op, STORE_UNAVAILABLE,
                        "Redis gave an answer of another kind: is it Redis?");
}

static store_status take_value(store_op *op, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        return STORE_ABSENT;
    if (reply->type != REDIS_REPLY_STRING)
        return strange(op);
    op->result.value = text_of(reply);
    set_version(op, op->result.value);
    return STORE_OK;
}

static store_status take_script(store_op *op, const redisReply *reply)
{
    static const store_status results[] = {STORE_ABSENT, STORE_CONFLICT, STORE_OK};
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0 || reply->integer > 2)
        return strange(op);
    if (op->kind == STORE_CAS)
        set_version(op, op->value);
    return results[reply->integer];
}

static store_status take_number(store_op *op, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_INTEGER)
        return strange(op);
    op->result.number =
        reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : reply->integer;
    return STORE_OK;
}

static store_status take_ttl(store_op *op, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return strange(op);
    op->result.number = reply->integer;
    return reply->integer == -2 ? STORE_ABSENT : STORE_OK;
}

static store_status take_deleted(store_op *op, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return strange(op);
    return reply->integer > 0 ? STORE_OK : STORE_ABSENT;
}

static store_status take_written(store_op *op, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        return STORE_EXISTS;
    if (reply->type != REDIS_REPLY_STATUS)
        return strange(op);
    set_version(op, op->value);
    return STORE_OK;
}

/* DEL alone will do. */
static bool is_plain_delete(const store_op *op)
{
    return op->version.n == 0 && op->notice.channel.n == 0;
}

static store_status take_reply(store_op *op, const redisReply *reply)
{
    switch (op->kind) {
    case STORE_GET:
        return take_value(op, reply);
    case STORE_SET:
    case STORE_ADD:
        return take_written(op, reply);
    case STORE_INCR:
        return take_number(op, reply);
    case STORE_TTL:
        return take_ttl(op, reply);
    case STORE_DELETE:
        return is_plain_delete(op) ? take_deleted(op, reply) : take_script(op, reply);
    default:
        return take_script(op, reply);
    }
}

static void on_reply(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    store_op *op = arg;
    store_status status;
    if (reply == NULL)
        status = link_failed(op, problem, unsure);
    else if (reply->type == REDIS_REPLY_ERROR)
        status = redis_failed(op, reply);
    else
        status = take_reply(op, reply);
    store_op_answer(op, status); /* now: the value lies in the reply */
}

/* Listing ------------------------------------------------------------------------------------- */

/* The page that is being collected; op->held. */
typedef struct {
    buf bytes; /* the keys, one after the other */
    size_t *ends;
    slice *keys;
    size_t count, room;
    int rounds;
    char cursor[24];
} page;

static void free_page(void *held)
{
    page *p = held;
    buf_free(&p->bytes);
    free(p->ends);
    free(p->keys);
    free(p);
}

static const redis_options *options_of(const store_op *op)
{
    return ((const redis_store *)op->port->store)->options;
}

static void add_key(page *p, slice key, size_t prefix_n)
{
    if (key.n < prefix_n)
        return;
    if (p->count == p->room) {
        p->room = p->room > 0 ? p->room * 2 : 64;
        p->ends = mem_resize(p->ends, p->room * sizeof *p->ends);
    }
    buf_append(&p->bytes, key.p + prefix_n, key.n - prefix_n);
    p->ends[p->count++] = p->bytes.len;
}

static store_status finish_page(store_op *op, page *p, bool more)
{
    p->keys = mem_alloc((p->count + 1) * sizeof *p->keys);
    for (size_t i = 0, start = 0; i < p->count; start = p->ends[i++])
        p->keys[i] = (slice){p->bytes.data + start, p->ends[i] - start};
    op->result.keys = p->keys;
    op->result.key_count = p->count;
    if (more)
        op->result.cursor = slice_of(p->cursor);
    return STORE_OK;
}

static void append_literally(buf *pattern, slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\0' || strchr("*?[]\\", text.p[i]) != NULL)
            buf_byte(pattern, '\\');
        buf_byte(pattern, text.p[i]);
    }
}

static void on_page(const redisReply *reply, const char *problem, bool unsure, void *arg);

static void scan(store_op *op)
{
    page *p = op->held;
    buf pattern = {0};
    char count[12];
    append_literally(&pattern, slice_of(options_of(op)->prefix));
    append_literally(&pattern, op->key);
    buf_byte(&pattern, '*');
    snprintf(count, sizeof count, "%u", op->limit > SCAN_COUNT ? op->limit : SCAN_COUNT);
    const slice argv[] = {
        SLICE("SCAN"),  slice_of(p->cursor), SLICE("MATCH"), {pattern.data, pattern.len},
        SLICE("COUNT"), slice_of(count),     SLICE("TYPE"),  SLICE("string")};
    redis_link_send(op->port->link, sizeof argv / sizeof *argv, argv, on_page, op);
    buf_free(&pattern);
}

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING && reply->element[0]->len < 24 &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

/* A page ends when it is full, and when finding more takes too long: then it may even be empty. */
static void take_page(store_op *op, const redisReply *reply)
{
    page *p = op->held;
    const redisReply *keys = reply->element[1];
    size_t prefix_n = strlen(options_of(op)->prefix);
    for (size_t i = 0; i < keys->elements; i++) {
        if (keys->element[i]->type == REDIS_REPLY_STRING)
            add_key(p, text_of(keys->element[i]), prefix_n);
    }
    memcpy(p->cursor, reply->element[0]->str, reply->element[0]->len + 1);
    bool more = strcmp(p->cursor, "0") != 0;
    bool enough = p->count >= op->limit || ++p->rounds >= SCAN_ROUNDS ||
                  clock_us() > op->started_us + SCAN_US;
    if (more && !enough)
        scan(op);
    else
        store_op_answer(op, finish_page(op, p, more));
}

static void on_page(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR && is_page(reply))
        take_page(arg, reply);
    else if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        store_op_answer(arg, strange(arg));
    else
        on_reply(reply, problem, unsure, arg);
}

static void start_list(store_op *op)
{
    page *p = mem_alloc(sizeof *p);
    snprintf(p->cursor, sizeof p->cursor, "%.*s", op->version.n > 0 ? (int)op->version.n : 1,
             op->version.n > 0 ? op->version.p : "0");
    op->held = p;
    op->release = free_page;
    scan(op);
}

/* Commands ------------------------------------------------------------------------------------ */

#define SEND(op, ...)                                                                 \
    redis_link_send((op)->port->link, sizeof((slice[]){__VA_ARGS__}) / sizeof(slice), \
                    (slice[]){__VA_ARGS__}, on_reply, op)

enum { SCRIPT_ARGS_MAX = 3 };

/* With the op's notice behind the script's own arguments. */
static void send_script(store_op *op, slice script, slice key, size_t n, const slice *args)
{
    slice argv[4 + SCRIPT_ARGS_MAX + 2] = {SLICE("EVAL"), script, SLICE("1"), key};
    size_t argc = 4;
    for (size_t i = 0; i < n; i++)
        argv[argc++] = args[i];
    if (op->notice.channel.n > 0) {
        argv[argc++] = op->notice.channel;
        argv[argc++] = op->notice.message;
    }
    redis_link_send(op->port->link, argc, argv, on_reply, op);
}

static void send_set(store_op *op, slice key, slice ttl)
{
    bool add = op->kind == STORE_ADD;
    slice argv[6] = {SLICE("SET"), key, op->value};
    size_t argc = 3;
    if (op->ttl_ms > 0) {
        argv[argc++] = SLICE("PX");
        argv[argc++] = ttl;
    } else if (op->ttl_ms == STORE_KEEP_TTL && !add) {
        argv[argc++] = SLICE("KEEPTTL");
    }
    if (add)
        argv[argc++] = SLICE("NX");
    redis_link_send(op->port->link, argc, argv, on_reply, op);
}

static void send_keyed(store_op *op, slice key)
{
    char ttl_text[24], by_text[24];
    snprintf(ttl_text, sizeof ttl_text, "%" PRId64, op->ttl_ms);
    snprintf(by_text, sizeof by_text, "%" PRId64, op->by);
    slice ttl = slice_of(ttl_text), by = slice_of(by_text), one = SLICE("1");
    if (op->kind == STORE_GET)
        SEND(op, SLICE("GET"), key);
    else if (op->kind == STORE_TTL)
        SEND(op, SLICE("PTTL"), key);
    else if (op->kind == STORE_ADD && op->notice.channel.n > 0)
        send_script(op, SLICE(add_script), key, 2, (slice[]){op->value, ttl});
    else if (op->kind == STORE_SET || op->kind == STORE_ADD)
        send_set(op, key, ttl);
    else if (op->kind == STORE_CAS)
        send_script(op, SLICE(cas_script), key, 3, (slice[]){op->version, op->value, ttl});
    else if (op->kind == STORE_DELETE && is_plain_delete(op))
        SEND(op, SLICE("DEL"), key);
    else if (op->kind == STORE_DELETE)
        send_script(op, SLICE(delete_script), key, 1, &op->version);
    else if (op->kind == STORE_INCR && op->ttl_ms > 0)
        SEND(op, SLICE("EVAL"), SLICE(incr_script), one, key, by, ttl);
    else if (op->kind == STORE_INCR)
        SEND(op, SLICE("INCRBY"), key, by);
    else
        SEND(op, SLICE("EVAL"), SLICE(ping_script), one, key);
}

static void submit(store_op *op)
{
    buf key = {0};
    if (op->kind == STORE_LIST) {
        start_list(op);
        return;
    }
    buf_text(&key, options_of(op)->prefix);
    buf_append_slice(&key, op->kind == STORE_PING ? SLICE("lunacast:ping") : op->key);
    send_keyed(op, (slice){key.data, key.len});
    buf_free(&key);
}

/* The driver ---------------------------------------------------------------------------------- */

static void port_open(store_port *p)
{
    p->link = redis_link_open(((redis_store *)p->store)->options, p->loop);
}

static void port_close(store_port *p)
{
    redis_link_close(p->link);
}

static void close_store(store *s)
{
    free(s);
}

store *store_redis_open(const redis_options *options)
{
    static const store_driver driver = {"redis", submit, port_open, port_close, close_store};
    redis_store *s = mem_alloc(sizeof *s);
    s->base.driver = &driver;
    s->options = options;
    return &s->base;
}
