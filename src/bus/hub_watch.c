/* Watches keep a topic live on a worker while something is got ready: a script reads the newest
 * value from the store, or subscribes and wants to know what it missed. Ready is a watch when the
 * remote delivers the topic here, and, of a topic that keeps a history, when this node has read it.
 *
 * What must never happen: a watch whose on_ready is called twice or never. */
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include <stdlib.h>

enum { READY_MS = 2000, LIFE_MS = 30000 };

struct hub_watch {
    list link;
    hub_topic *topic; /* NULL: the topic has ended */
    void (*on_ready)(void *arg, int status);
    void *arg;
    uint64_t since_ms;
    uint64_t needs; /* the reading that must be done; 0: none */
    bool forgotten;
};

static void tell(hub_watch *w, int status)
{
    void (*on_ready)(void *, int) = w->on_ready;
    w->on_ready = NULL;
    if (on_ready != NULL)
        on_ready(w->arg, status);
}

static void end_watch(hub_watch *w)
{
    list_remove(&w->link);
    w->topic = NULL;
    tell(w, 0);
    if (w->forgotten)
        free(w);
}

void hub_watches_end(hub_topic *t)
{
    while (!list_empty(&t->watches))
        end_watch(LIST_ENTRY(t->watches.next, hub_watch, link));
}

void hub_watches_ready(hub_topic *t, uint64_t sync)
{
    t->delivering = true;
    LIST_FOR_EACH_SAFE (it, &t->watches) {
        hub_watch *w = LIST_ENTRY(it, hub_watch, link);
        if (w->needs <= sync)
            tell(w, 0);
    }
    t->delivering = false;
}

void hub_watches_check(hub_topic *t, uint64_t now)
{
    t->delivering = true;
    LIST_FOR_EACH_SAFE (it, &t->watches) {
        hub_watch *w = LIST_ENTRY(it, hub_watch, link);
        if (w->on_ready != NULL && now - w->since_ms >= READY_MS) {
            tell(w, -1);
        } else if (w->forgotten || now - w->since_ms >= LIFE_MS) {
            list_remove(&w->link);
            w->topic = NULL;
            if (w->forgotten)
                free(w);
        }
    }
    t->delivering = false;
}

/* True: it is ready. */
static bool ask(hub_watch *w, hub_position since)
{
    hub *h = w->topic->port->hub;
    topic_state *s = w->topic->state;
    pthread_mutex_lock(&h->lock);
    bool joined = s->joined;
    if (hub_sync_kept(h, s) && !hub_sync_knows(h, s, since))
        w->needs = joined ? hub_sync_want(h, s) : 1;
    pthread_mutex_unlock(&h->lock);
    return joined && w->needs == 0;
}

hub_watch *hub_watch_since(hub_port *p, slice topic, hub_position since,
                           void (*on_ready)(void *arg, int status), void *arg)
{
    hub_topic *t = hub_get_topic(p, topic);
    hub_watch *w = mem_alloc(sizeof *w);
    *w = (hub_watch){.topic = t, .on_ready = on_ready, .arg = arg, .since_ms = clock_ms()};
    list_append(&t->watches, &w->link);
    if (ask(w, since))
        tell(w, 0);
    return w;
}

hub_watch *hub_watch_start(hub_port *p, slice topic, void (*on_ready)(void *arg, int status),
                           void *arg)
{
    return hub_watch_since(p, topic, (hub_position){0}, on_ready, arg);
}

void hub_unwatch(hub_watch *w)
{
    hub_topic *t = w->topic;
    list_remove(&w->link);
    free(w);
    if (t != NULL)
        hub_free_if_unused(t);
}

void hub_watch_forget(hub_watch *w)
{
    w->on_ready = NULL;
    if (w->topic == NULL)
        free(w);
    else
        w->forgotten = true;
}
