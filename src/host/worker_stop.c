/* How a worker comes to its end in order: it listens no more, its streams are told that the server
 * goes away, and what is under way has the drain time to finish: requests, and handlers of events
 * that go on without their clients. Then it is cut, and the last events of those handlers have
 * LAST_MS to reach the other nodes, where somebody may wait for them.
 *
 *   worker_begin_stop -> on_drain, until nothing is left or the time is over -> worker_run returns
 *
 * What must never happen: a stop that waits for longer than drain and LAST_MS. */
#include "worker_private.h"

#include "clock.h"
#include "events_kept.h"
#include "log.h"
#include "proxy.h"
#include "ws_session.h"

static void drain_one(conn *c, void *arg)
{
    (void)arg;
    if (!conn_closing(c))
        http_conn_drain(c);
}

static void cut_one(conn *c, void *arg)
{
    (void)arg;
    conn_abort(c);
}

static void on_drain(uv_timer_t *timer)
{
    worker *w = timer->data;
    uint64_t now = clock_ms();
    size_t open = conn_pool_count(w->conns) + ws_sessions_count() + audience_busy(w->audience);
    if (now >= w->drain_until)
        events_end_kept();
    if ((open > 0 && now < w->drain_until) ||
        (events_unfinished() > 0 && now < w->drain_until + LAST_MS))
        return;
    if (open > 0) {
        log_warn("connections were cut at the end of the drain time", LOG_NUM("count", open));
        conn_pool_each(w->conns, cut_one, NULL);
    }
    uv_timer_stop(&w->drain);
    uv_stop(&w->loop);
}

void worker_begin_stop(worker *w, uint64_t drain_ms)
{
    if (w->stopping)
        return;
    w->stopping = true;
    w->drain_until = clock_ms() + drain_ms;
    for (size_t i = 0; i < w->listener_count; i++)
        listener_stop(w->listeners[i]);
    audience_end_all(&audience_going_away);
    proxy_end_all();
    conn_pool_each(w->conns, drain_one, NULL);
    uv_timer_start(&w->drain, on_drain, 0, DRAIN_LOOK_MS);
}
