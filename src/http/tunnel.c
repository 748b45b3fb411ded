/* Bytes both ways, at most WAITS of them held for each side: a side whose queue is full pauses the
 * other, TCP does the rest. One side's end closes the other after what is queued has gone; one
 * side's reset resets the other, so that no cut looks like an end.
 *
 *   OPEN --one ends: conn_close(other)--> ENDING --both gone--> freed
 *
 * Owner: its two connections; freed with the second. What must never happen: a byte dropped. */
#include "tunnel.h"

#include "mem.h"
#include "metrics.h"
#include <stdlib.h>

enum { WAITS = 64 * 1024 };

typedef struct {
    list link;
    conn *side[2];              /* NULL: gone */
    uint64_t idle_ms, moved_at; /* when a byte came last */
    bool ending;
} tunnel;

static _Thread_local list all;

static conn *other(const tunnel *t, const conn *c)
{
    return t->side[t->side[0] == c];
}

static void close_both(tunnel *t, bool clean)
{
    t->ending = t->ending || clean;
    for (int i = 0; i < 2; i++) {
        if (t->side[i] == NULL)
            continue;
        if (clean)
            conn_close(t->side[i]);
        else
            conn_abort(t->side[i]);
    }
}

static void on_data(conn *c, const char *data, size_t n)
{
    tunnel *t = conn_owner(c);
    conn *to = other(t, c);
    if (n == 0 || to == NULL) {
        close_both(t, true);
        return;
    }
    conn_write(to, data, n);
    if (conn_queued(to) >= WAITS)
        conn_pause(c);
    t->moved_at = conn_now(c);
}

static void on_drain(conn *c)
{
    conn *from = other(conn_owner(c), c);
    if (from != NULL)
        conn_resume(from);
}

/* One side's deadline serves both; it is looked at again when bytes have moved meanwhile. */
static void on_deadline(conn *c)
{
    tunnel *t = conn_owner(c);
    uint64_t quiet = conn_now(c) - t->moved_at;
    if (quiet + 1 >= t->idle_ms)
        close_both(t, true);
    else
        conn_deadline(c, t->idle_ms - quiet);
}

static void on_close(conn *c)
{
    tunnel *t = conn_owner(c);
    t->side[t->side[1] == c] = NULL;
    if (t->side[0] != NULL || t->side[1] != NULL) {
        close_both(t, t->ending || conn_peer_ended(c));
        return;
    }
    list_remove(&t->link);
    metrics_add(METRIC_TUNNELS, -1);
    free(t);
}

static const conn_ops ops = {on_data, on_drain, on_deadline, on_close};

void tunnel_start(conn *a, conn *b, uint64_t idle_ms)
{
    tunnel *t = mem_alloc(sizeof *t);
    *t = (tunnel){.side = {a, b}, .idle_ms = idle_ms};
    if (all.next == NULL)
        list_init(&all);
    list_append(&all, &t->link);
    metrics_add(METRIC_TUNNELS, 1);
    conn_set_owner(a, &ops, t);
    conn_set_owner(b, &ops, t);
    t->moved_at = conn_now(a);
    conn_deadline(a, idle_ms);
}

void tunnel_end_all(void)
{
    for (list *it = all.next; it != NULL && it != &all; it = it->next)
        close_both(LIST_ENTRY(it, tunnel, link), true);
}
