/* Encoding and giving. The cache of replays is a table by offset with one place for each, so that
 * it can't grow; what was pushed out is encoded again. */
#include "hub_batch.h"

#include "hub_private.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

enum { CACHED = 1024 };

struct hub_replay_cache {
    bool used; /* since the last tick */
    struct {
        hub_position at;
        frame *encoded;
    } * places[HUB_TRANSPORTS];
};

hub_batch_message *hub_batch_add(hub_batch *b, frame *data, uint64_t version, hub_position position)
{
    hub_batch_message *m = &b->messages[b->n++];
    *m = (hub_batch_message){
        .data = data, .version = version, .position = position, .told = position};
    b->bytes += data->len;
    return m;
}

void hub_batch_free(hub_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        frame_drop(b->messages[i].data);
        frame_drop(b->messages[i].name);
    }
    for (size_t k = 0; k < HUB_TRANSPORTS; k++) {
        for (size_t i = 0; i < b->encoded_n[k]; i++)
            frame_drop(b->encoded[k][i]);
    }
}

/* The cache --------------------------------------------------------------------------------- */

static void free_places(hub_replay_cache *c, int k)
{
    for (size_t i = 0; c->places[k] != NULL && i < CACHED; i++)
        frame_drop(c->places[k][i].encoded);
    free(c->places[k]);
}

void hub_replay_cache_free(hub_topic *t)
{
    for (int k = 0; t->cache != NULL && k < HUB_TRANSPORTS; k++)
        free_places(t->cache, k);
    free(t->cache);
    t->cache = NULL;
}

void hub_replay_cache_age(hub_topic *t)
{
    if (t->cache == NULL)
        return;
    if (!t->cache->used)
        hub_replay_cache_free(t);
    else
        t->cache->used = false;
}

static frame *encode(const hub_topic *t, const hub_batch_message *m, const hub_transport *transport)
{
    slice topic = m->name != NULL ? (slice){m->name->data, m->name->len} : t->node.key;
    return transport->encode(topic, m->data, m->version, m->told);
}

static frame *encode_cached(hub_topic *t, const hub_batch_message *m,
                            const hub_transport *transport)
{
    int k = transport->index;
    size_t i = m->position.offset % CACHED;
    if (t->cache == NULL)
        t->cache = mem_alloc(sizeof *t->cache);
    hub_replay_cache *c = t->cache;
    c->used = true;
    if (c->places[k] == NULL)
        c->places[k] = mem_alloc(CACHED * sizeof *c->places[k]);
    if (c->places[k][i].encoded == NULL || c->places[k][i].at.epoch != m->position.epoch ||
        c->places[k][i].at.offset != m->position.offset) {
        frame_drop(c->places[k][i].encoded);
        c->places[k][i].at = m->position;
        c->places[k][i].encoded = encode(t, m, transport);
    }
    frame *f = c->places[k][i].encoded;
    return f != NULL ? frame_hold(f) : NULL;
}

/* Giving ------------------------------------------------------------------------------------ */

/* When memory is out, the rest is missing: who has a position gets it from the history later. */
static void encode_all(hub_topic *t, hub_batch *b, const hub_transport *transport)
{
    size_t *n = &b->encoded_n[transport->index];
    while (*n < b->n) {
        const hub_batch_message *m = &b->messages[*n];
        frame *f = b->replay ? encode_cached(t, m, transport) : encode(t, m, transport);
        if (f == NULL)
            return;
        b->encoded[transport->index][(*n)++] = f;
    }
}

bool hub_batch_offer(hub_topic *t, hub_subscriber *s, hub_batch *b, size_t from, size_t to)
{
    const hub_transport *transport = s->transport;
    int k = transport->index;
    list here;
    if (b->encoded_n[k] == 0)
        encode_all(t, b, transport);
    to = to < b->encoded_n[k] ? to : b->encoded_n[k];
    if (to <= from)
        return true;
    size_t n = to - from;
    hub_position before = s->position;
    s->position = b->messages[to - 1].position;
    list_init(&here);
    list_put(&here, &s->link);
    size_t taken = transport->messages(s, b->encoded[k] + from, n);
    if (list_empty(&here))
        return false;
    if (taken < n && s->position.epoch != 0) {
        s->position = taken == 0 ? before : b->messages[from + taken - 1].position;
        list_put(&t->paused, &s->link);
        return false;
    }
    list_put(&t->log_subscribers, &s->link);
    return true;
}

bool hub_batch_gap(list *where, hub_subscriber *s, uint64_t lost, bool more)
{
    list here;
    list_init(&here);
    list_put(&here, &s->link);
    metrics_add(METRIC_MESSAGES_LOST, (int64_t)lost);
    s->more = more;
    s->transport->gap(s, lost);
    bool stays = !list_empty(&here);
    if (stays)
        list_put(where, &s->link);
    return stays;
}
