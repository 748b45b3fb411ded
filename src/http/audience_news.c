/* What has happened, until a script has heard of it: a queue of news and a list of changed rooms.
 * Who listens is called once and then takes everything there is; meanwhile more may gather. The
 * queue is bounded: what is too much is dropped and counted, and the rooms stay right, since they
 * are looked at and not added up from news. */
#include "audience_private.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

static void tell(audience *a)
{
    if (a->telling || a->on_news == NULL)
        return;
    a->telling = true;
    a->on_news(a->news_arg);
}

void audience_on_news(audience *a, void (*fn)(void *arg), void *arg)
{
    a->on_news = fn;
    a->news_arg = arg;
    if (audience_busy(a))
        tell(a);
}

void audience_tell(audience *a)
{
    tell(a);
}

void audience_told(audience *a)
{
    a->telling = false;
    if (audience_busy(a))
        tell(a);
}

bool audience_busy(const audience *a)
{
    if (a->on_news == NULL)
        return false;
    return a->telling || !list_empty(&a->news) || !list_empty(&a->changed);
}

void audience_room_changed(audience *a, audience_room *r)
{
    if (list_empty(&r->changed_link))
        list_append(&a->changed, &r->changed_link);
    tell(a);
}

bool audience_next_room(audience *a, buf *out)
{
    if (list_empty(&a->changed))
        return false;
    audience_room *r = LIST_ENTRY(a->changed.next, audience_room, changed_link);
    list_remove(&r->changed_link);
    buf_append_slice(out, r->node.key);
    audience_release_room(a, r);
    return true;
}

static slice copy(audience_news *n, size_t *at, slice text)
{
    char *to = n->texts + *at;
    memcpy(to, text.n > 0 ? text.p : "", text.n);
    *at += text.n;
    return (slice){to, text.n};
}

static audience_news *new_news(const audience_member *m, audience_kind kind, slice topic,
                               slice reason)
{
    audience_identity who = audience_identity_of(m);
    slice data = m->data != NULL ? slice_of(m->data) : (slice){"", 0};
    size_t size = who.user.n + who.tenant.n + topic.n + data.n + reason.n, at = 0;
    audience_news *n = mem_alloc(sizeof *n + size);
    n->kind = kind;
    n->transport = m->ops->transport;
    memcpy(n->id, m->id, sizeof n->id);
    n->user = copy(n, &at, who.user);
    n->tenant = copy(n, &at, who.tenant);
    n->topic = copy(n, &at, topic);
    n->data = copy(n, &at, data);
    n->reason = copy(n, &at, reason);
    n->open_ms = clock_ms() - m->opened_ms;
    n->delivered = m->delivered;
    return n;
}

static void append(audience *a, audience_news *n)
{
    list_append(&a->news, &n->link);
    a->news_count++;
    tell(a);
}

void audience_add_news(audience_member *m, audience_kind kind, slice topic, const audience_end *why)
{
    audience *a = m->home;
    if (a->news_count >= AUDIENCE_NEWS_MAX) {
        metrics_add(METRIC_NEWS_LOST, 1);
        return;
    }
    slice reason = {"", 0};
    if (why != NULL)
        reason = why->word.n > 0 ? why->word : why->reason;
    else if (kind == AUDIENCE_CLOSED)
        reason = SLICE("the connection was lost");
    audience_news *n = new_news(m, kind, topic, reason);
    n->code = why != NULL ? why->code : 0;
    append(a, n);
}

void audience_slow(audience_member *m, slice topic, size_t queued, const char *done)
{
    audience *a = m->home;
    audience_identity who = audience_identity_of(m);
    metrics_add(METRIC_SLOW, 1);
    log_info("a client takes too slowly what is sent to it", LOG_TEXT("connection", m->id),
             LOG_TEXT("transport", m->ops->transport), LOG_SLICE("user", who.user),
             LOG_SLICE("topic", topic), LOG_TEXT("peer", conn_peer(m->conn)),
             LOG_NUM("queued", queued), LOG_TEXT("done", done));
    if (a == NULL || a->news_count >= AUDIENCE_NEWS_MAX)
        return;
    audience_news *n = new_news(m, AUDIENCE_SLOW, topic, slice_of(done));
    n->queued = queued;
    append(a, n);
}

audience_news *audience_next_news(audience *a)
{
    if (list_empty(&a->news))
        return NULL;
    audience_news *n = LIST_ENTRY(a->news.next, audience_news, link);
    list_remove(&n->link);
    a->news_count--;
    return n;
}

void audience_free_news(audience *a)
{
    for (audience_news *n = audience_next_news(a); n != NULL; n = audience_next_news(a))
        free(n);
}
