/* Subscriptions of the whole process over one link.
 *
 *   join, leave (any thread) -> mailbox -> on_wake -> SUBSCRIBE, UNSUBSCRIBE in batches
 *   link ready -> forget everything, each_name -> SUBSCRIBE in batches
 *              -> last answer -> on_relinked
 *
 * The list of names that the link must hear belongs to the hub; nothing is remembered here across a
 * lost link. What is remembered is how many answers to SUBSCRIBE a name still waits for: a name
 * that was joined, left and joined again is heard without a gap only after the second answer.
 * Rejected: a subscribe link per worker (Redis would send each message once per worker).
 *
 * A name that ends in a star is a pattern of Redis, with all else in it taken literally.
 *
 * Owned by the bus. The mailbox is guarded by `lock`, which is a leaf: the hub calls join and leave
 * under its own lock, and no callback runs under ours. What must never happen: on_joined before
 * Redis has confirmed. */
#include "redis_sub.h"

#include "list.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include <pthread.h>
#include <stdlib.h>

enum { BATCH = 500 };

typedef struct {
    list link;
    bool join;
    size_t n;
    char name[];
} wish;

/* A name that waits for Redis to confirm. */
typedef struct {
    map_node node;
    unsigned answers; /* that are still to come */
    bool wanted;
    char name[];
} joining;

typedef struct {
    redis_sub *sub;
    slice command;
    slice argv[BATCH + 1];
    buf channels[BATCH];
    size_t count;
} batch;

struct redis_sub {
    const redis_options *options;
    char *prefix;
    size_t prefix_n;
    redis_sub_events events;
    redis_link *link;
    uv_async_t wake;
    pthread_mutex_t lock; /* guards wishes, closed and the wake */
    list wishes;
    bool closed;
    map joining;
    size_t relinking; /* answers until all is joined again; 0: it is */
};

/* Batches ------------------------------------------------------------------------------------- */

static void flush_batch(batch *b)
{
    if (b->count == 0)
        return;
    b->argv[0] = b->command;
    for (size_t i = 0; i < b->count; i++)
        b->argv[i + 1] = (slice){b->channels[i].data, b->channels[i].len};
    redis_link_push(b->sub->link, b->count + 1, b->argv);
    b->count = 0;
}

static bool is_pattern(slice name)
{
    return name.n > 0 && name.p[name.n - 1] == '*';
}

/* As Redis wants it: only the last star is one. */
static void put_pattern(buf *out, slice text)
{
    for (size_t i = 0; i + 1 < text.n; i++) {
        if (memchr("*?[]\\^", text.p[i], 6) != NULL)
            buf_byte(out, '\\');
        buf_byte(out, text.p[i]);
    }
    buf_byte(out, '*');
}

/* The reverse. */
static void take_pattern(buf *out, slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\' && i + 1 < text.n)
            i++;
        buf_byte(out, text.p[i]);
    }
}

static void add_to_batch(batch *b, slice command, slice name)
{
    if (b->count == BATCH || (b->count > 0 && b->command.p != command.p))
        flush_batch(b);
    buf *channel = &b->channels[b->count++];
    b->command = command;
    channel->len = 0;
    buf_append(channel, b->sub->prefix, b->sub->prefix_n);
    buf_append_slice(channel, name);
    if (!is_pattern(name))
        return;
    buf plain = *channel;
    *channel = (buf){0};
    put_pattern(channel, (slice){plain.data, plain.len});
    buf_free(&plain);
}

static batch *new_batch(redis_sub *s)
{
    batch *b = mem_alloc(sizeof *b);
    b->sub = s;
    return b;
}

static void free_batch(batch *b)
{
    for (size_t i = 0; i < BATCH; i++)
        buf_free(&b->channels[i]);
    free(b);
}

/* Names --------------------------------------------------------------------------------------- */

static const slice subscribe[] = {{"SUBSCRIBE", 9}, {"PSUBSCRIBE", 10}};
static const slice unsubscribe[] = {{"UNSUBSCRIBE", 11}, {"PUNSUBSCRIBE", 12}};

static joining *find(redis_sub *s, slice name)
{
    map_node *node = map_find(&s->joining, name);
    return node != NULL ? MAP_ENTRY(node, joining, node) : NULL;
}

static void add_join(batch *b, slice name)
{
    joining *j = find(b->sub, name);
    if (j == NULL) {
        j = mem_alloc(sizeof *j + name.n);
        memcpy(j->name, name.p, name.n);
        j->node.key = (slice){j->name, name.n};
        map_insert(&b->sub->joining, &j->node);
    }
    j->answers++;
    j->wanted = true;
    add_to_batch(b, subscribe[is_pattern(name)], name);
}

static void add_leave(batch *b, slice name)
{
    joining *j = find(b->sub, name);
    if (j != NULL)
        j->wanted = false;
    add_to_batch(b, unsubscribe[is_pattern(name)], name);
}

static void forget_all(redis_sub *s)
{
    size_t slot = 0;
    map_node *node = map_next(&s->joining, &slot, NULL);
    while (node != NULL) {
        map_node *next = map_next(&s->joining, &slot, node);
        free(MAP_ENTRY(node, joining, node));
        node = next;
    }
    map_free(&s->joining);
    s->relinking = 0;
}

/* Wishes -------------------------------------------------------------------------------------- */

static void post(redis_sub *s, slice name, bool join)
{
    wish *w = mem_alloc(sizeof *w + name.n);
    w->join = join;
    w->n = name.n;
    memcpy(w->name, name.p, name.n);
    pthread_mutex_lock(&s->lock);
    if (s->closed) {
        free(w);
    } else {
        bool first = list_empty(&s->wishes);
        list_append(&s->wishes, &w->link);
        if (first)
            uv_async_send(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

void redis_sub_join(redis_sub *s, slice name)
{
    post(s, name, true);
}

void redis_sub_leave(redis_sub *s, slice name)
{
    post(s, name, false);
}

/* b is NULL: they are dropped. */
static void take_wishes(redis_sub *s, batch *b)
{
    list wishes;
    pthread_mutex_lock(&s->lock);
    list_move(&s->wishes, &wishes);
    pthread_mutex_unlock(&s->lock);
    while (!list_empty(&wishes)) {
        wish *w = LIST_ENTRY(wishes.next, wish, link);
        list_remove(&w->link);
        if (b != NULL && w->join)
            add_join(b, (slice){w->name, w->n});
        else if (b != NULL)
            add_leave(b, (slice){w->name, w->n});
        free(w);
    }
}

/* While the link is away nothing is to be done: on_ready asks for all names. */
static void on_wake(uv_async_t *wake)
{
    redis_sub *s = wake->data;
    if (s->closed || !redis_link_ready(s->link)) {
        take_wishes(s, NULL);
        return;
    }
    batch *b = new_batch(s);
    take_wishes(s, b);
    flush_batch(b);
    free_batch(b);
}

/* Events of the link -------------------------------------------------------------------------- */

static void rejoin(slice name, void *arg)
{
    batch *b = arg;
    add_join(b, name);
    b->sub->relinking++;
}

static void on_ready(redis_link *l, void *arg)
{
    redis_sub *s = arg;
    (void)l;
    forget_all(s);
    take_wishes(s, NULL); /* each_name knows them, too */
    batch *b = new_batch(s);
    s->events.each_name(s->events.arg, rejoin, b);
    flush_batch(b);
    free_batch(b);
    if (s->relinking == 0)
        s->events.on_relinked(s->events.arg);
}

static void on_confirmed(redis_sub *s, slice name)
{
    bool relinked = s->relinking > 0 && --s->relinking == 0;
    joining *j = find(s, name);
    if (j != NULL && --j->answers == 0) {
        bool wanted = j->wanted;
        map_remove(&s->joining, &j->node);
        free(j);
        if (wanted)
            s->events.on_joined(s->events.arg, name);
    }
    if (relinked)
        s->events.on_relinked(s->events.arg);
}

static slice text_at(const redisReply *reply, size_t i)
{
    const redisReply *r = i < reply->elements ? reply->element[i] : NULL;
    return r != NULL && r->type == REDIS_REPLY_STRING ? (slice){r->str, r->len} : (slice){"", 0};
}

/* Without the prefix. False: it is not one of ours. */
static bool strip(const redis_sub *s, slice *name)
{
    if (name->n < s->prefix_n || memcmp(name->p, s->prefix, s->prefix_n) != 0)
        return false;
    *name = (slice){name->p + s->prefix_n, name->n - s->prefix_n};
    return true;
}

static void on_pattern(redis_sub *s, slice kind, const redisReply *reply)
{
    buf plain = {0};
    take_pattern(&plain, text_at(reply, 1));
    slice pattern = {plain.data, plain.len}, name = text_at(reply, 2);
    if (strip(s, &pattern)) {
        if (slice_eq(kind, SLICE("psubscribe")))
            on_confirmed(s, pattern);
        else if (slice_eq(kind, SLICE("pmessage")) && strip(s, &name))
            s->events.on_fitting(s->events.arg, pattern, name, text_at(reply, 3));
    }
    buf_free(&plain);
}

static void on_push(redis_link *l, const redisReply *reply, void *arg)
{
    redis_sub *s = arg;
    (void)l;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
        return; /* an answer to PING */
    slice kind = text_at(reply, 0), name = text_at(reply, 1);
    if (kind.n > 0 && kind.p[0] == 'p')
        on_pattern(s, kind, reply);
    else if (!strip(s, &name))
        return;
    else if (slice_eq(kind, SLICE("message")))
        s->events.on_message(s->events.arg, name, text_at(reply, 2));
    else if (slice_eq(kind, SLICE("subscribe")))
        on_confirmed(s, name);
}

/* Life ---------------------------------------------------------------------------------------- */

redis_sub *redis_sub_open(const redis_options *options, slice channel_prefix, uv_loop_t *loop,
                          const redis_sub_events *events)
{
    redis_sub *s = mem_alloc(sizeof *s);
    s->options = options;
    s->prefix = mem_dup(channel_prefix.p, channel_prefix.n);
    s->prefix_n = channel_prefix.n;
    s->events = *events;
    list_init(&s->wishes);
    pthread_mutex_init(&s->lock, NULL);
    uv_async_init(loop, &s->wake, on_wake);
    uv_unref((uv_handle_t *)&s->wake);
    s->wake.data = s;
    redis_subscriber subscriber = {.on_ready = on_ready, .on_push = on_push, .arg = s};
    s->link = redis_link_open_subscriber(options, loop, &subscriber);
    return s;
}

void redis_sub_close(redis_sub *s)
{
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    uv_close((uv_handle_t *)&s->wake, NULL);
    pthread_mutex_unlock(&s->lock);
    take_wishes(s, NULL);
    redis_link_close(s->link);
}

void redis_sub_free(redis_sub *s)
{
    forget_all(s);
    pthread_mutex_destroy(&s->lock);
    free(s->prefix);
    free(s);
}
