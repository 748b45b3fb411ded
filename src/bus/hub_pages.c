/* Pages of a topic's history, for who asks and does not listen. */
#include "hub_private.h"

#include "clock.h"
#include "mem.h"
#include <stdlib.h>

static hub_recovery recovery_of(hub_position since, hub_position newest, uint64_t first)
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
    hub_history *y = hub_log_history(h, topic, &rule);
    if (y != NULL) {
        uint64_t first = hub_history_first(&h->histories, y, clock_wall_ms());
        page->position = (hub_position){y->epoch, y->last};
        page->recovery = recovery_of(q->since, page->position, first);
        page->n = read_items(y, q, page->recovery, items);
    }
    pthread_mutex_unlock(&h->lock);
    if (q->reverse)
        turn_round(items, page->n);
}

void hub_read_history(hub_port *p, slice topic, const hub_history_query *query,
                      hub_history_done done, void *ctx)
{
    hub_history_query q = *query;
    q.limit = q.limit < HUB_PAGE_MAX ? q.limit : HUB_PAGE_MAX;
    hub_message *items = mem_alloc((q.limit + 1) * sizeof *items);
    hub_history_page page = {.items = items};
    read_page(p->hub, topic, &q, items, &page);
    done(ctx, 0, &page);
    for (size_t i = 0; i < page.n; i++)
        frame_drop(items[i].data);
    free(items);
}
