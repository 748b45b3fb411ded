/* The process's side of the hub: one state per topic, under one lock, which gives each topic its
 * order. Why no queue per worker: only the newest value of a topic matters to a picture, so a
 * mailbox is a list of topics that have changed, and the value is taken when the worker gets to it.
 * A flood of updates costs a worker one delivery per turn, and a mailbox can't grow beyond the
 * number of topics.
 *
 *   absent --hub_listen--> live --last hub_unlisten--> freed
 *                           \--ended (deleted, expired)--> out of the map
 *                                                            \--last hub_unlisten--> freed
 *
 * Over a remote a value travels as one line "1 VERSION TTL_MS FLAGS\n" and the bytes.
 * Messages (log) are the exception to all this: hub_log.c.
 * What must never happen: the lock held during a callback of anyone else (hub_each_topic's fn,
 * which copies a name, is the documented exception). */
#include "hub_pattern.h"

#include "buf.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

enum { FLAG_ENDED = 1, FLAG_LOG = 2 };

void hub_set_pace(hub *h, uint32_t max_fps, uint64_t keep_alive_ms)
{
    h->max_fps = max_fps;
    h->keep_alive_ms = keep_alive_ms;
}

hub *hub_new(const hub_options *options)
{
    hub *h = mem_alloc(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    hub_set_pace(h, options->max_fps, options->keep_alive_ms);
    list_init(&h->syncs);
    hub_histories_init(&h->histories, options->history_bytes);
    return h;
}

void hub_set_remote(hub *h, const hub_remote *remote)
{
    h->remote = *remote;
    h->has_remote = true;
}

void hub_free(hub *h)
{
    map_free(&h->topics);
    hub_histories_free(&h->histories);
    hub_rules_free(&h->rules);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* A pattern has many topics' messages, and no history of its own. */
static hub_rule rule_of(const hub *h, slice name)
{
    hub_rule rule = hub_rules_find(&h->rules, name);
    if (hub_is_pattern(name))
        rule.history = (hub_history_limits){0};
    return rule;
}

static void follow_rule(hub *h, topic_state *s)
{
    s->rule = rule_of(h, s->node.key);
    if (hub_sync_kept(h, s) && s->joined && s->sync_done == 0)
        hub_sync_want(h, s);
    hub_mark_all(s, NULL);
}

void hub_set_rules(hub *h, hub_rules *r)
{
    size_t slot = 0;
    pthread_mutex_lock(&h->lock);
    hub_rules_free(&h->rules);
    h->rules = *r;
    *r = (hub_rules){0};
    for (map_node *n = map_next(&h->topics, &slot, NULL); n != NULL;
         n = map_next(&h->topics, &slot, n))
        follow_rule(h, MAP_ENTRY(n, topic_state, node));
    pthread_mutex_unlock(&h->lock);
}

hub_rule hub_rule_of(hub *h, slice topic)
{
    pthread_mutex_lock(&h->lock);
    hub_rule rule = hub_rules_find(&h->rules, topic);
    pthread_mutex_unlock(&h->lock);
    return rule;
}

/* Topic states ------------------------------------------------------------------------------ */

topic_state *hub_find_state(hub *h, slice name)
{
    map_node *node = map_find(&h->topics, name);
    return node == NULL ? NULL : MAP_ENTRY(node, topic_state, node);
}

static topic_state *make_state(hub *h, slice name)
{
    topic_state *s = mem_alloc(sizeof *s + name.n + 1);
    memcpy(s->name, name.p, name.n);
    s->node.key = (slice){s->name, name.n};
    list_init(&s->listeners);
    list_init(&s->sync_link);
    list_init(&s->held);
    s->joined = !h->has_remote;
    s->rule = rule_of(h, s->node.key);
    hub_pattern_count(h, s, 1);
    map_insert(&h->topics, &s->node);
    return s;
}

static void free_state(topic_state *s)
{
    hub_sync_forget(s);
    frame_drop(s->latest);
    free(s);
}

/* Under the lock: out of the map. */
static void leave_map(hub *h, topic_state *s)
{
    map_remove(&h->topics, &s->node);
    hub_pattern_count(h, s, -1);
    hub_sync_forget(s);
    if (h->has_remote)
        h->remote.leave(h->remote.arg, s->node.key);
}

void hub_listen(hub_topic *t, slice name)
{
    hub *h = t->port->hub;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, name);
    bool first = s == NULL;
    if (first)
        s = make_state(h, name);
    t->state = s;
    t->node.key = s->node.key;
    t->rate = s->rule.rate;
    list_append(&s->listeners, &t->listener_link);
    s->listener_count++;
    if (s->latest != NULL) {
        t->latest = frame_hold(s->latest);
        t->version = s->version;
    }
    if (first && h->has_remote)
        h->remote.join(h->remote.arg, name);
    pthread_mutex_unlock(&h->lock);
}

void hub_unlisten(hub_topic *t)
{
    hub *h = t->port->hub;
    topic_state *s = t->state;
    pthread_mutex_lock(&h->lock);
    list_remove(&t->listener_link);
    list_remove(&t->dirty_link);
    bool last = --s->listener_count == 0;
    bool leave = last && !s->ended;
    if (leave)
        leave_map(h, s);
    pthread_mutex_unlock(&h->lock);
    if (last)
        free_state(s);
}

void hub_mark(hub_topic *t, hub_port *from)
{
    hub_port *p = t->port;
    if (!t->dirty) {
        t->dirty = true;
        list_append(&p->dirty, &t->dirty_link);
    }
    if (!atomic_exchange(&p->has_mail, true) && p != from)
        uv_async_send(&p->wake);
}

void hub_mark_all(topic_state *s, hub_port *from)
{
    LIST_FOR_EACH (it, &s->listeners)
        hub_mark(LIST_ENTRY(it, hub_topic, listener_link), from);
}

/* Values ------------------------------------------------------------------------------------ */

/* Without a version of its own a value counts by the wall clock, so that nodes agree. */
static uint64_t next_version(hub *h)
{
    uint64_t now = (uint64_t)clock_wall_ms() * 1000u;
    h->last_version = now > h->last_version ? now : h->last_version + 1;
    return h->last_version;
}

static void accept_end(hub *h, topic_state *s, hub_port *from)
{
    s->ended = true;
    hub_mark_all(s, from);
    leave_map(h, s);
}

static hub_position keep(hub *h, slice name, const hub_rule *rule, frame *data)
{
    int64_t now = clock_wall_ms();
    if (rule->history.messages == 0 || h->has_remote)
        return (hub_position){0};
    hub_history *y = hub_history_get(&h->histories, name, &rule->history, now);
    hub_position position = {y->epoch, y->last + 1};
    hub_history_append(&h->histories, y, data, now);
    return position;
}

static hub_position accept_message(hub *h, slice name, frame *data, hub_meta meta, hub_port *from)
{
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, name);
    hub_rule rule = s != NULL ? s->rule : hub_rules_find(&h->rules, name);
    hub_position position = keep(h, name, &rule, data);
    if (s != NULL)
        hub_log_append(s, data, meta.version != 0 ? meta.version : next_version(h), position, from);
    if (!h->has_remote)
        hub_pattern_append(h, name, data, meta.version, position, from);
    pthread_mutex_unlock(&h->lock);
    return position;
}

static void accept_value(hub *h, slice name, frame *data, hub_meta meta, hub_port *from)
{
    frame *old = NULL;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, name);
    if (s != NULL && meta.ended) {
        accept_end(h, s, from);
    } else if (s != NULL) {
        uint64_t version = meta.version != 0 ? meta.version : next_version(h);
        if (s->latest == NULL || version > s->version) {
            old = s->latest;
            s->latest = frame_hold(data);
            s->version = version;
            hub_mark_all(s, from);
        }
        s->expires_ms = meta.ttl_ms > 0 ? clock_ms() + meta.ttl_ms : 0;
    }
    pthread_mutex_unlock(&h->lock);
    frame_drop(old);
}

static hub_position take_in(hub *h, slice topic, frame *data, hub_meta meta, hub_port *from)
{
    if (meta.log)
        return accept_message(h, topic, data, meta, from);
    accept_value(h, topic, data, meta, from);
    return (hub_position){0};
}

void hub_publish_local(hub_port *p, slice topic, frame *data, hub_meta meta)
{
    take_in(p->hub, topic, data, meta, p);
}

static int flags_of(hub_meta meta)
{
    return (meta.ended ? FLAG_ENDED : 0) | (meta.log ? FLAG_LOG : 0);
}

static void put_payload(buf *payload, slice data, hub_meta meta)
{
    buf_format(payload, "1 %llu %llu %d\n", (unsigned long long)meta.version,
               (unsigned long long)meta.ttl_ms, flags_of(meta));
    buf_append_slice(payload, data);
}

bool hub_compose(hub *h, slice topic, slice data, hub_meta meta, buf *channel, buf *payload)
{
    if (!h->has_remote || meta.log || (meta.version == 0 && !meta.ended))
        return false;
    h->remote.channel(h->remote.arg, topic, channel);
    put_payload(payload, data, meta);
    return true;
}

void hub_publish(hub_port *p, slice topic, frame *data, hub_meta meta, hub_published done,
                 void *ctx)
{
    hub *h = p->hub;
    if (!h->has_remote) {
        hub_position position = take_in(h, topic, data, meta, p);
        if (position.epoch != 0)
            hub_tick(p);
        if (done != NULL)
            done(ctx, 0, position);
        return;
    }
    hub_rule rule = {0};
    uint64_t epoch = 0;
    pthread_mutex_lock(&h->lock);
    if (meta.version == 0)
        meta.version = next_version(h);
    if (meta.log) {
        rule = hub_rules_find(&h->rules, topic);
        epoch = hub_histories_epoch(&h->histories);
    }
    pthread_mutex_unlock(&h->lock);
    if (rule.history.messages > 0) {
        h->remote.keep(h->remote.arg, p, topic, (slice){data->data, data->len}, &rule, epoch, done,
                       ctx);
        return;
    }
    buf payload = {0};
    put_payload(&payload, data != NULL ? (slice){data->data, data->len} : (slice){NULL, 0}, meta);
    h->remote.publish(h->remote.arg, p, topic, (slice){payload.data, payload.len}, done, ctx);
    buf_free(&payload);
}

/* From the remote --------------------------------------------------------------------------- */

static bool parse_payload(slice payload, hub_meta *meta, slice *data)
{
    const char *end = memchr(payload.p, '\n', payload.n < 80 ? payload.n : 80);
    char line[80];
    if (end == NULL || (size_t)(end - payload.p) >= sizeof line)
        return false;
    size_t n = (size_t)(end - payload.p);
    memcpy(line, payload.p, n);
    line[n] = '\0';
    unsigned long long version, ttl;
    unsigned flags;
    if (sscanf(line, "1 %llu %llu %u", &version, &ttl, &flags) != 3)
        return false;
    *meta = (hub_meta){version, ttl, (flags & FLAG_ENDED) != 0, (flags & FLAG_LOG) != 0};
    *data = (slice){end + 1, payload.n - n - 1};
    return true;
}

void hub_receive(hub *h, slice topic, slice payload)
{
    hub_meta meta;
    slice data;
    if (!parse_payload(payload, &meta, &data)) {
        log_warn("a message on the bus has another format", LOG_SLICE("topic", topic));
        return;
    }
    frame *f = frame_new(data.p, data.n);
    if (f == NULL)
        return;
    take_in(h, topic, f, meta, NULL);
    frame_drop(f);
}

frame *hub_message_of(slice payload)
{
    hub_meta meta;
    slice data;
    return parse_payload(payload, &meta, &data) && meta.log ? frame_new(data.p, data.n) : NULL;
}

void hub_receive_kept(hub *h, slice topic, slice data, hub_position position, int64_t time_ms)
{
    frame *f = frame_new(data.p, data.n);
    if (f == NULL)
        return; /* the next one shows the hole */
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL)
        hub_sync_receive(h, s, f, position, time_ms);
    pthread_mutex_unlock(&h->lock);
    frame_drop(f);
}

void hub_joined(hub *h, slice topic)
{
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL && !s->joined) {
        s->joined = true;
        if (hub_sync_kept(h, s))
            hub_sync_want(h, s);
        hub_mark_all(s, NULL);
    }
    pthread_mutex_unlock(&h->lock);
}

void hub_each_topic(hub *h, void (*fn)(slice topic, void *arg), void *arg)
{
    size_t slot = 0;
    pthread_mutex_lock(&h->lock);
    for (map_node *n = map_next(&h->topics, &slot, NULL); n != NULL;
         n = map_next(&h->topics, &slot, n))
        fn(n->key, arg);
    pthread_mutex_unlock(&h->lock);
}

static void mend_log(hub *h, topic_state *s)
{
    if (hub_sync_kept(h, s))
        hub_sync_want(h, s);
    else
        hub_log_break(s);
}

/* What was missed meanwhile is read where it is kept, and told as a gap where it is not. */
static void mend_logs(hub *h)
{
    size_t slot = 0;
    for (map_node *n = map_next(&h->topics, &slot, NULL); n != NULL;
         n = map_next(&h->topics, &slot, n))
        mend_log(h, MAP_ENTRY(n, topic_state, node));
}

void hub_relinked(hub *h)
{
    pthread_mutex_lock(&h->lock);
    mend_logs(h);
    hub_refresh_all(h);
    pthread_mutex_unlock(&h->lock);
}

size_t hub_subscriber_count(hub *h, slice topic)
{
    size_t n = 0;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL) {
        LIST_FOR_EACH (it, &s->listeners)
            n += LIST_ENTRY(it, hub_topic, listener_link)->subscriber_count;
    }
    pthread_mutex_unlock(&h->lock);
    return n;
}

frame *hub_latest(hub_port *p, slice topic, uint64_t *version)
{
    hub *h = p->hub;
    frame *latest = NULL;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL && s->latest != NULL) {
        latest = frame_hold(s->latest);
        *version = s->version;
    }
    pthread_mutex_unlock(&h->lock);
    return latest;
}
