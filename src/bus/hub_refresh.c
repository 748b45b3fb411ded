/* After a lost link to other nodes the newest values may have been missed. Which topics are live
 * the hub knows; how a value is read again is the application's (hub_on_refresh, of one worker).
 *
 *   good --hub_relinked--> queued --that worker's turn--> being read --found, gone--> good
 *                            ^                                \--the store is away--.
 *                            \--the second's tick-- failed <------hub_refresh_again--'
 *
 * Queued and failed is a topic once, however often the link is lost. Owner: the hub; names in the
 * lists of the port, under the hub's lock. What must never happen: a topic left with an old value
 * since the store was away when its turn came. */
#include "hub_private.h"

#include "mem.h"
#include <stdlib.h>

typedef struct {
    list link;
    size_t n;
    char name[];
} refresh_name;

static void queue_name(topic_state *s, list *names)
{
    if (s->stale)
        return;
    s->stale = true;
    refresh_name *name = mem_alloc(sizeof *name + s->node.key.n);
    name->n = s->node.key.n;
    memcpy(name->name, s->node.key.p, name->n);
    list_append(names, &name->link);
}

static hub_port *refresher(const hub *h)
{
    for (size_t i = 0; i < h->port_count; i++) {
        if (h->ports[i] != NULL && h->ports[i]->on_refresh != NULL && !h->ports[i]->closing)
            return h->ports[i];
    }
    return NULL;
}

void hub_refresh_all(hub *h)
{
    hub_port *p = refresher(h);
    if (p == NULL)
        return;
    size_t slot = 0;
    for (map_node *n = map_next(&h->topics, &slot, NULL); n != NULL;
         n = map_next(&h->topics, &slot, n))
        queue_name(MAP_ENTRY(n, topic_state, node), &p->refresh);
    if (!atomic_exchange(&p->has_mail, true))
        uv_async_send(&p->wake);
}

void hub_refresh_again(hub_port *p, slice topic)
{
    hub *h = p->hub;
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL)
        queue_name(s, &p->refresh_failed);
    pthread_mutex_unlock(&h->lock);
    hub_tick(p);
}

/* False: nobody listens to it any more. */
static bool begin(hub *h, slice topic)
{
    pthread_mutex_lock(&h->lock);
    topic_state *s = hub_find_state(h, topic);
    if (s != NULL)
        s->stale = false;
    pthread_mutex_unlock(&h->lock);
    return s != NULL;
}

void hub_refresh_run(hub_port *p, list *names)
{
    while (!list_empty(names)) {
        refresh_name *name = LIST_ENTRY(names->next, refresh_name, link);
        slice topic = {name->name, name->n};
        list_remove(&name->link);
        if (!p->closing && p->on_refresh != NULL && begin(p->hub, topic))
            p->on_refresh(topic, p->refresh_arg);
        free(name);
    }
}

void hub_refresh_tick(hub_port *p)
{
    list names;
    pthread_mutex_lock(&p->hub->lock);
    list_move(&p->refresh_failed, &names);
    pthread_mutex_unlock(&p->hub->lock);
    hub_refresh_run(p, &names);
}

void hub_on_refresh(hub_port *p, void (*fn)(slice topic, void *arg), void *arg)
{
    pthread_mutex_lock(&p->hub->lock); /* the link's thread looks for a port that refreshes */
    p->on_refresh = fn;
    p->refresh_arg = arg;
    pthread_mutex_unlock(&p->hub->lock);
}
