/* Implements hub_remote over Redis.
 *
 *   hub_publish -> publish -> PUBLISH on the worker's command link -> Redis
 *                  keep -> the same in a script that keeps it, too (redis_history.c) -> Redis
 *               -> subscribe link of each node that listens -> hub_receive
 *
 * A node hears its own messages the same way as those of others, so that all nodes see one order.
 * A publish whose link is lost before the answer counts as failed; it is not repeated here: the
 * publisher has the newest value in the store, and every node reads it again when the link is back
 * (hub_relinked).
 *
 * The table of ports is small and changes only when workers start and stop; its lock is a leaf. */
#include "redis_bus.h"

#include "log.h"
#include "mem.h"
#include "redis_history.h"
#include "redis_sub.h"
#include <pthread.h>
#include <stdlib.h>

enum { PORTS_MAX = 256 };

typedef struct {
    hub_port *port;
    redis_link *link;
    uv_loop_t *loop;
} seat;

struct redis_bus {
    hub *hub;
    const redis_options *options;
    buf prefix;           /* of channels */
    pthread_mutex_t lock; /* guards what follows */
    seat seats[PORTS_MAX];
    size_t count;
    redis_sub *sub; /* set once, by the first worker */
    uv_loop_t *sub_loop;
};

typedef struct {
    hub_published done;
    void *ctx;
} publishing;

static void on_published(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    publishing p = *(publishing *)arg;
    (void)unsure;
    free(arg);
    bool failed = reply == NULL || reply->type == REDIS_REPLY_ERROR;
    if (failed) /* the publisher hears of it; a line per message would flood the log */
        log_debug("a message was not published",
                  LOG_TEXT("problem", reply == NULL ? problem : reply->str));
    if (p.done != NULL)
        p.done(p.ctx, failed ? -1 : 0, (hub_position){0});
}

static redis_link *link_of(redis_bus *b, const hub_port *port)
{
    redis_link *found = NULL;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++) {
        if (b->seats[i].port == port)
            found = b->seats[i].link;
    }
    pthread_mutex_unlock(&b->lock);
    return found;
}

static void put_channel(void *arg, slice topic, buf *out)
{
    const redis_bus *b = arg;
    buf_append(out, b->prefix.data, b->prefix.len);
    buf_append_slice(out, topic);
}

static void publish(void *arg, hub_port *from, slice topic, slice payload, hub_published done,
                    void *ctx)
{
    redis_bus *b = arg;
    redis_link *l = link_of(b, from);
    if (l == NULL) {
        if (done != NULL)
            done(ctx, -1, (hub_position){0});
        return;
    }
    publishing *p = mem_alloc(sizeof *p);
    *p = (publishing){done, ctx};
    buf channel = {0};
    put_channel(b, topic, &channel);
    slice argv[] = {SLICE("PUBLISH"), {channel.data, channel.len}, payload};
    redis_link_send(l, 3, argv, on_published, p);
    buf_free(&channel);
}

static slice prefix_of(const redis_bus *b)
{
    return (slice){b->prefix.data, b->prefix.len};
}

static void keep(void *arg, hub_port *from, slice topic, slice data, const hub_rule *rule,
                 uint64_t epoch, hub_published done, void *ctx)
{
    redis_bus *b = arg;
    redis_link *l = link_of(b, from);
    if (l != NULL)
        redis_history_keep(l, prefix_of(b), topic, data, rule, epoch, done, ctx);
    else if (done != NULL)
        done(ctx, -1, (hub_position){0});
}

static void read_kept(void *arg, hub_port *from, slice topic, const hub_remote_query *query,
                      hub_history_done done, void *ctx)
{
    redis_bus *b = arg;
    redis_link *l = link_of(b, from);
    if (l != NULL)
        redis_history_read(l, prefix_of(b), topic, query, done, ctx);
    else
        done(ctx, -1, NULL);
}

/* The subscribe link is made before any topic can be joined, and stays until redis_bus_free. */
static void join(void *arg, slice topic)
{
    redis_bus *b = arg;
    redis_sub_join(b->sub, topic);
}

static void leave(void *arg, slice topic)
{
    redis_bus *b = arg;
    redis_sub_leave(b->sub, topic);
}

static void on_joined(void *arg, slice name)
{
    hub_joined(((redis_bus *)arg)->hub, name);
}

static void on_message(void *arg, slice name, slice payload)
{
    hub *h = ((redis_bus *)arg)->hub;
    hub_position position;
    int64_t time_ms;
    slice data;
    if (redis_history_parse(payload, &position, &time_ms, &data))
        hub_receive_kept(h, name, data, position, time_ms);
    else
        hub_receive(h, name, payload);
}

static void on_fitting(void *arg, slice pattern, slice name, slice payload)
{
    hub_position position = {0};
    int64_t time_ms;
    slice data;
    frame *f = redis_history_parse(payload, &position, &time_ms, &data) ? frame_new(data.p, data.n)
                                                                        : hub_message_of(payload);
    if (f != NULL)
        hub_receive_for(((redis_bus *)arg)->hub, pattern, name, f, position);
    frame_drop(f);
}

static void each_name(void *arg, void (*fn)(slice name, void *fn_arg), void *fn_arg)
{
    hub_each_topic(((redis_bus *)arg)->hub, fn, fn_arg);
}

static void on_relinked(void *arg)
{
    hub_relinked(((redis_bus *)arg)->hub);
}

redis_bus *redis_bus_new(hub *h, const redis_options *options)
{
    redis_bus *b = mem_alloc(sizeof *b);
    b->hub = h;
    b->options = options;
    buf_text(&b->prefix, options->prefix);
    buf_text(&b->prefix, "lunacast:");
    pthread_mutex_init(&b->lock, NULL);
    redis_history_init();
    hub_set_remote(h, &(hub_remote){join, leave, publish, keep, read_kept, b, put_channel});
    return b;
}

void redis_bus_attach(redis_bus *b, hub_port *port, uv_loop_t *loop)
{
    static const redis_sub_events events = {.on_joined = on_joined,
                                            .on_message = on_message,
                                            .on_fitting = on_fitting,
                                            .each_name = each_name,
                                            .on_relinked = on_relinked};
    redis_sub_events ours = events;
    ours.arg = b;
    redis_link *l = redis_link_open(b->options, loop);
    pthread_mutex_lock(&b->lock);
    if (b->sub == NULL) {
        b->sub_loop = loop;
        b->sub = redis_sub_open(b->options, (slice){b->prefix.data, b->prefix.len}, loop, &ours);
    }
    if (b->count < PORTS_MAX)
        b->seats[b->count++] = (seat){port, l, loop};
    pthread_mutex_unlock(&b->lock);
}

void redis_bus_detach(redis_bus *b, hub_port *port)
{
    seat gone = {0};
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++) {
        if (b->seats[i].port != port)
            continue;
        gone = b->seats[i];
        b->seats[i] = b->seats[--b->count];
        break;
    }
    pthread_mutex_unlock(&b->lock);
    if (gone.link == NULL)
        return;
    if (gone.loop == b->sub_loop)
        redis_sub_close(b->sub);
    redis_link_close(gone.link);
}

void redis_bus_free(redis_bus *b)
{
    if (b->sub != NULL)
        redis_sub_free(b->sub);
    pthread_mutex_destroy(&b->lock);
    buf_free(&b->prefix);
    free(b);
}
