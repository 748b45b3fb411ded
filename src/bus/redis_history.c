/* The scripts, and their answers. What must never happen: an offset of an epoch used for two
 * messages.
 *
 * Redis loses what it had not written or replicated when it dies or fails over; the counter is then
 * behind what nodes and clients have seen. So an epoch belongs to one life of one server, which is
 * named by its replication id: Redis takes another one at each start and at each promotion. The
 * first script that finds the topic with another id begins a new epoch, and remembers where the old
 * one ended: positions up to there mean the same messages as before, those beyond are lost. That is
 * how it stays exact without a gap told to everybody at each restart. What is remembered lies with
 * the counter and is replicated with it, so that of several failovers in a row the topic tells just
 * those that it came through; the server's own second id would tell of one. Asking for the id costs
 * a few microseconds per message; rejected: the id that the link has seen at its login, since it
 * changes while links live.
 *
 * A node that reads says how far it was, too; further than the counter, and the topic begins anew.
 */
#include "redis_history.h"

#include "clock.h"
#include "mem.h"
#include "redis_script.h"
#include <stdio.h>
#include <stdlib.h>

enum {
    MEMORY_MS = 86400 * 1000, /* the counter outlives the last message by this */
    HEAD_MAX = 80
};

#define PAST_MAX "8"
_Static_assert(HUB_PAST_MAX == 8, "as in the scripts");

/* Both begin with it. KEYS position, history; ARGV[1] an epoch to begin with. */
#define LIFE                                                                                   \
    "local p, h, fresh = KEYS[1], KEYS[2], ARGV[1]\n"                                          \
    "local e, o, id, past = unpack(redis.call('HMGET', p, 'e', 'o', 'id', 'past'))\n"          \
    "o, past = tonumber(o or 0), past or ''\n"                                                 \
    "local info = redis.pcall('INFO', 'replication')\n"                                        \
    "local now = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''\n" \
    "if e and id ~= now then\n"                                                                \
    "  local ends = { e .. ':' .. string.format('%.0f', o) }\n"                                \
    "  for one in string.gmatch(past, '%S+') do\n"                                             \
    "    if #ends < " PAST_MAX " then ends[#ends + 1] = one end\n"                             \
    "  end\n"                                                                                  \
    "  past, e = table.concat(ends, ' '), fresh\n"                                             \
    "  redis.call('HSET', p, 'past', past, 'e', e, 'id', now)\n"                               \
    "end\n"                                                                                    \
    "local function begin()\n"                                                                 \
    "  redis.call('DEL', p, h)\n"                                                              \
    "  redis.call('HSET', p, 'e', fresh, 'id', now)\n"                                         \
    "  e, o, past = fresh, 0, ''\n"                                                            \
    "end\n"

/* ARGV epoch, channel, data, now, messages, bytes, age, memory */
static redis_script keep_script = {
    .keys = 2,
    .text = LIFE "if not e then begin() end\n"
                 "o = redis.call('HINCRBY', p, 'o', 1)\n"
                 "redis.call('XADD', h, o .. '-0', 'd', ARGV[3], 't', ARGV[4])\n"
                 "local n, b = redis.call('XLEN', h), #ARGV[3]\n"
                 "if n == 1 then redis.call('HSET', p, 'b', b)\n"
                 "else b = redis.call('HINCRBY', p, 'b', b) end\n"
                 "while n > 1 and (n > tonumber(ARGV[5]) or b > tonumber(ARGV[6])) do\n"
                 "  local first = redis.call('XRANGE', h, '-', '+', 'COUNT', 1)[1]\n"
                 "  n = n - 1\n"
                 "  b = redis.call('HINCRBY', p, 'b', -#first[2][2])\n"
                 "  redis.call('XTRIM', h, 'MAXLEN', n)\n"
                 "end\n"
                 "redis.call('PEXPIRE', h, ARGV[7])\n"
                 "redis.call('PEXPIRE', p, ARGV[8])\n"
                 "redis.call('PUBLISH', ARGV[2],\n"
                 "  '2 ' .. e .. ' ' .. o .. ' ' .. ARGV[4] .. '\\n' .. ARGV[3])\n"
                 "return { e, o }\n"};

/* ARGV epoch, "1": begin where there is nothing, epoch and offset of `since`, limit, oldest (1) or
 * newest (0), memory. Answers { epoch, offset, { { id, { d, data, t, time } } ... }, past, offset
 * of the oldest that is kept }. */
static redis_script read_script = {
    .keys = 2,
    .text = LIFE "local from, since, limit = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])\n"
                 "if ARGV[2] == '1' and (not e or (e == from and since > o)) then\n"
                 "  begin()\n"
                 "  redis.call('PEXPIRE', p, ARGV[7])\n"
                 "end\n"
                 "if not e then return { '0', 0, {}, '', 1 } end\n"
                 "for was, ended in string.gmatch(past, '(%x+):(%d+)') do\n"
                 "  if from == was and since <= tonumber(ended) then from = e end\n"
                 "end\n"
                 "if from ~= e or since > o then since = 0 end\n"
                 "if ARGV[6] == '0' and since < o - limit then since = o - limit end\n"
                 "local items = {}\n"
                 "if limit > 0 then\n"
                 "  items = redis.call('XRANGE', h, string.format('%.0f', since + 1), '+',\n"
                 "    'COUNT', limit)\n"
                 "end\n"
                 "local first = redis.call('XRANGE', h, '-', '+', 'COUNT', 1)[1]\n"
                 "first = first and string.match(first[1], '^%d+') or o + 1\n"
                 "return { e, o, items, past, tonumber(first) }\n"};

typedef struct {
    hub_published published;
    hub_history_done done;
    void *ctx;
    hub_remote_query query;
} request;

void redis_history_init(void)
{
    redis_script_init(&keep_script);
    redis_script_init(&read_script);
}

/* Arguments --------------------------------------------------------------------------------- */

typedef struct {
    buf position, history, channel;
    char numbers[8][24];
    size_t count;
} arguments;

static void open_arguments(arguments *a, slice prefix, slice topic)
{
    *a = (arguments){.count = 0};
    buf *const all[] = {&a->position, &a->history, &a->channel};
    const char *const infixes[] = {"position:", "history:", ""};
    for (size_t i = 0; i < 3; i++) {
        buf_append_slice(all[i], prefix);
        buf_text(all[i], infixes[i]);
        buf_append_slice(all[i], topic);
    }
}

static void close_arguments(arguments *a)
{
    buf_free(&a->position);
    buf_free(&a->history);
    buf_free(&a->channel);
}

static slice of(const buf *b)
{
    return (slice){b->data, b->len};
}

static slice number(arguments *a, uint64_t value)
{
    char *out = a->numbers[a->count++];
    return (slice){out, (size_t)snprintf(out, 24, "%llu", (unsigned long long)value)};
}

static slice epoch_text(arguments *a, uint64_t epoch)
{
    char *out = a->numbers[a->count++];
    return (slice){out, (size_t)snprintf(out, 24, "%llx", (unsigned long long)epoch)};
}

/* Answers ----------------------------------------------------------------------------------- */

static bool read_number(slice text, int base, uint64_t *value)
{
    char copy[24], *end;
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    *value = strtoull(copy, &end, base);
    return *end == '\0';
}

static slice text_of(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING ? (slice){r->str, r->len} : (slice){"", 0};
}

/* An epoch and an offset, which are the first elements. */
static bool read_position(const redisReply *reply, hub_position *p)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)
        return false;
    const redisReply *offset = reply->element[1];
    if (offset->type != REDIS_REPLY_INTEGER)
        return false;
    p->offset = (uint64_t)offset->integer;
    return read_number(text_of(reply->element[0]), 16, &p->epoch);
}

/* "EPOCH:OFFSET EPOCH:OFFSET ..." */
static bool read_past(slice text, hub_past *past)
{
    for (size_t i = 0; text.n > 0 && i < HUB_PAST_MAX; i++) {
        const char *space = memchr(text.p, ' ', text.n);
        size_t n = space != NULL ? (size_t)(space - text.p) : text.n;
        if (!hub_position_parse((slice){text.p, n}, &past->ends[i]))
            return false;
        n += space != NULL;
        text = (slice){text.p + n, text.n - n};
    }
    return true;
}

static void on_kept(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    request r = *(request *)arg;
    hub_position position = {0};
    (void)problem;
    (void)unsure;
    free(arg);
    bool good = read_position(reply, &position);
    if (r.published != NULL)
        r.published(r.ctx, good ? 0 : -1, position);
}

/* { id, { "d", data, "t", time } } */
static bool read_item(const redisReply *item, hub_message *m)
{
    uint64_t time;
    if (item->type != REDIS_REPLY_ARRAY || item->elements != 2 ||
        item->element[1]->type != REDIS_REPLY_ARRAY || item->element[1]->elements != 4)
        return false;
    slice id = text_of(item->element[0]);
    const char *dash = id.n > 0 ? memchr(id.p, '-', id.n) : NULL;
    if (dash == NULL || !read_number((slice){id.p, (size_t)(dash - id.p)}, 10, &m->offset) ||
        !read_number(text_of(item->element[1]->element[3]), 10, &time))
        return false;
    slice data = text_of(item->element[1]->element[1]);
    m->time_ms = (int64_t)time;
    m->data = frame_new(data.p, data.n);
    return m->data != NULL;
}

static void give_page(const redisReply *items, hub_history_page page, const request *r)
{
    hub_message *found = mem_alloc((items->elements + 1) * sizeof *found);
    page.items = found;
    while (page.n < items->elements && read_item(items->element[page.n], &found[page.n]))
        page.n++;
    r->done(r->ctx, page.n == items->elements ? 0 : -1, &page);
    for (size_t i = 0; i < page.n; i++)
        frame_drop(found[i].data);
    free(found);
}

static void on_read(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    request r = *(request *)arg;
    hub_history_page page = {.n = 0};
    (void)problem;
    (void)unsure;
    free(arg);
    if (!read_position(reply, &page.position) || reply->elements != 5 ||
        reply->element[2]->type != REDIS_REPLY_ARRAY ||
        !read_past(text_of(reply->element[3]), &page.past) ||
        reply->element[4]->type != REDIS_REPLY_INTEGER) {
        r.done(r.ctx, -1, NULL);
        return;
    }
    hub_position since = r.query.since;
    hub_position_carry(&since, page.position.epoch, &page.past);
    page.recovery = hub_recovery_of(since, page.position, (uint64_t)reply->element[4]->integer);
    give_page(reply->element[2], page, &r);
}

bool redis_history_parse(slice payload, hub_position *position, int64_t *time_ms, slice *data)
{
    const char *end = memchr(payload.p, '\n', payload.n < HEAD_MAX ? payload.n : HEAD_MAX);
    char line[HEAD_MAX];
    unsigned long long epoch, offset, time;
    if (end == NULL)
        return false;
    size_t n = (size_t)(end - payload.p);
    memcpy(line, payload.p, n);
    line[n] = '\0';
    if (sscanf(line, "2 %llx %llu %llu", &epoch, &offset, &time) != 3 || epoch == 0)
        return false;
    *position = (hub_position){epoch, offset};
    *time_ms = (int64_t)time;
    *data = (slice){end + 1, payload.n - n - 1};
    return true;
}

/* Calls ------------------------------------------------------------------------------------- */

void redis_history_keep(redis_link *l, slice prefix, slice topic, slice data, const hub_rule *rule,
                        uint64_t epoch, hub_published done, void *ctx)
{
    arguments a;
    request *r = mem_alloc(sizeof *r);
    *r = (request){.published = done, .ctx = ctx};
    open_arguments(&a, prefix, topic);
    const hub_history_limits *limits = &rule->history;
    slice argv[] = {of(&a.position),
                    of(&a.history),
                    epoch_text(&a, epoch),
                    of(&a.channel),
                    data,
                    number(&a, (uint64_t)clock_wall_ms()),
                    number(&a, limits->messages),
                    number(&a, limits->bytes),
                    number(&a, limits->age_ms),
                    number(&a, limits->age_ms + MEMORY_MS)};
    redis_script_call(l, &keep_script, sizeof argv / sizeof *argv, argv, on_kept, r);
    close_arguments(&a);
}

void redis_history_read(redis_link *l, slice prefix, slice topic, const hub_remote_query *query,
                        hub_history_done done, void *ctx)
{
    arguments a;
    request *r = mem_alloc(sizeof *r);
    *r = (request){.done = done, .ctx = ctx, .query = *query};
    open_arguments(&a, prefix, topic);
    slice argv[] = {of(&a.position),
                    of(&a.history),
                    epoch_text(&a, query->epoch),
                    query->follows ? SLICE("1") : SLICE("0"),
                    epoch_text(&a, query->since.epoch),
                    number(&a, query->since.offset),
                    number(&a, query->limit),
                    query->oldest ? SLICE("1") : SLICE("0"),
                    number(&a, query->age_ms + MEMORY_MS)};
    redis_script_call(l, &read_script, sizeof argv / sizeof *argv, argv, on_read, r);
    close_arguments(&a);
}
