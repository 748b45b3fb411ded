/* Pages of a topic's history, for who asks and does not listen. */
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include <stdlib.h>

hub_recovery hub_recovery_of(hub_position since, hub_position newest, uint64_t first)
{
    if (since.epoch == 0)
        return HUB_FROM_NOW;
    return since.epoch == newest.epoch && since.offset <= newest.offset && since.offset + 1 >= first
               ? HUB_RECOVERED
               : HUB_NOT_RECOVERED;
}

static size_t read_items(const hub_history *y, const hub_history_query *q, hub_recovery recovery,
                         hub_message *items)
{
    uint64_t after = recovery == HUB_RECOVERED ? q->since.offset : y->last - y->count;
    if (q->reverse && y->last - after > q->limit)
        after = y->last - q->limit;
    return hub_history_read(y, after, q->limit, items);
}

static void turn_round(hub_message *items, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        hub_message m = items[i];
        items[i] = items[n - 1 - i];
        items[n - 1 - i] = m;
    }
}

static void read_page(hub *h, slice topic, const hub_history_query *q, hub_message *items,
                      hub_history_page *page)
{
    pthread_mutex_lock(&h->lock);
    hub_rule rule = hub_rules_find(&h->rules, topic);
    hub_history *y = hub_history_find(&h->histories, topic);
    if (rule.history.messages > 0 && y != NULL) {
        uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
        page->position = (hub_position){y->epoch, y->last};
        page->recovery = hub_recovery_of(q->since, page->position, first);
        page->n = read_items(y, q, page->recovery, items);
    }
    pthread_mutex_unlock(&h->lock);
    if (q->reverse)
        turn_round(items, page->n);
}

static void read_here(hub_port *p, slice topic, const hub_history_query *q, hub_history_done done,
                      void *ctx)
{
    hub_message *items = mem_alloc((q->limit + 1) * sizeof *items);
    hub_history_page page = {.items = items};
    read_page(p->hub, topic, q, items, &page);
    done(ctx, 0, &page);
    for (size_t i = 0; i < page.n; i++)
        frame_drop(items[i].data);
    free(items);
}

/* From the remote --------------------------------------------------------------------------- */

typedef struct {
    hub_history_query query;
    hub_history_done done;
    void *ctx;
    int64_t oldest_ms; /* what is older is not given, though it may still be there */
} asking;

static void on_page(void *ctx, int status, const hub_history_page *found)
{
    asking *a = ctx;
    size_t from = 0;
    if (status != 0) {
        a->done(a->ctx, status, NULL);
        free(a);
        return;
    }
    while (from < found->n && found->items[from].time_ms < a->oldest_ms)
        from++;
    hub_history_page page = {.n = found->n - from, .position = found->position};
    hub_message *items = mem_alloc((page.n + 1) * sizeof *items);
    memcpy(items, found->items + from, page.n * sizeof *items);
    page.items = items;
    page.recovery = from == 0 || a->query.since.epoch == 0 ? found->recovery : HUB_NOT_RECOVERED;
    if (a->query.reverse)
        turn_round(items, page.n);
    a->done(a->ctx, 0, &page);
    free(items);
    free(a);
}

static void ask_remote(hub_port *p, slice topic, const hub_history_query *q, const hub_rule *rule,
                       hub_history_done done, void *ctx)
{
    hub *h = p->hub;
    asking *a = mem_alloc(sizeof *a);
    *a = (asking){*q, done, ctx, clock_wall_ms() - (int64_t)rule->history.age_ms};
    pthread_mutex_lock(&h->lock);
    uint64_t epoch = hub_histories_epoch(&h->histories);
    pthread_mutex_unlock(&h->lock);
    hub_remote_query query = {.since = q->since,
                              .epoch = epoch,
                              .limit = q->limit,
                              .oldest = !q->reverse,
                              .age_ms = rule->history.age_ms};
    h->remote.read(h->remote.arg, p, topic, &query, on_page, a);
}

void hub_read_history(hub_port *p, slice topic, const hub_history_query *query,
                      hub_history_done done, void *ctx)
{
    hub_history_query q = *query;
    hub_rule rule = hub_rule_of(p->hub, topic);
    q.limit = q.limit < HUB_PAGE_MAX ? q.limit : HUB_PAGE_MAX;
    if (p->hub->has_remote && rule.history.messages > 0)
        ask_remote(p, topic, &q, &rule, done, ctx);
    else
        read_here(p, topic, &q, done, ctx);
}
