/* The members of a worker: found by id and by user, ended when their time is over.
 *
 * One timer, set to the first of a heap of times: a connection that never expires costs nothing,
 * and ten thousand that expire at once are ended in one turn. A member that must go while its
 * transport is still opening (its token was revoked between the check and now) is made due at once
 * instead, so that no transport sees its end inside its own beginning.
 *
 * Without an audience on the thread (a spec of one transport) members keep their counts and nothing
 * else. */
#include "audience_private.h"

#include "clock.h"
#include "mem.h"
#include "revocations.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

const audience_end audience_expired = {4401, SLICE_INIT("expired"), {"", 0}};
const audience_end audience_revoked = {4403, SLICE_INIT("revoked"), {"", 0}};
const audience_end audience_kicked = {4409, SLICE_INIT("kicked"), {"", 0}};
const audience_end audience_overloaded = {1013, SLICE_INIT("overloaded"), {"", 0}};
const audience_end audience_going_away = {1001, SLICE_INIT("going_away"),
                                          SLICE_INIT("the server is going away")};

enum { NODE_BYTES = 6, KEY_MAX = 0xffff };

static _Thread_local audience *here;

audience *audience_here(void)
{
    return here;
}

/* Names ------------------------------------------------------------------------------------- */

static char node_name[2 * NODE_BYTES + 1];
static pthread_once_t node_once = PTHREAD_ONCE_INIT;

static void name_node(void)
{
    unsigned char bytes[NODE_BYTES];
    uv_random(NULL, NULL, bytes, sizeof bytes, 0, NULL);
    for (size_t i = 0; i < NODE_BYTES; i++)
        snprintf(node_name + 2 * i, 3, "%02x", bytes[i]);
}

slice audience_node(void)
{
    pthread_once(&node_once, name_node);
    return (slice){node_name, sizeof node_name - 1};
}

/* The node and a number, so that an id is known to be of a node that is gone. */
void audience_make_id(char id[AUDIENCE_ID_MAX + 1])
{
    static _Atomic uint64_t last;
    snprintf(id, AUDIENCE_ID_MAX + 1, "%s-%llx", audience_node().p, (unsigned long long)++last);
}

static slice part(const audience_member *m, size_t from, size_t n)
{
    return n > 0 ? (slice){m->texts + from, n} : (slice){"", 0};
}

/* Time -------------------------------------------------------------------------------------- */

void audience_end_member(audience_member *m, const audience_end *why)
{
    due_set(&m->home->due, &m->due, 0);
    m->ended = true;
    m->ops->end(m, why);
}

static void end_expired(audience_member *m)
{
    audience_end why = audience_expired;
    char *reason = m->expire_reason; /* outlives the member's leaving */
    m->expire_reason = NULL;
    if (m->revoked) {
        why = audience_revoked;
    } else if (m->expire_code != 0) {
        why.code = m->expire_code;
        why.reason = slice_of(reason);
    }
    audience_end_member(m, &why);
    free(reason);
}

static void on_timer(uv_timer_t *timer)
{
    audience *a = timer->data;
    uint64_t now = clock_ms();
    for (due_node *n = due_first(&a->due); n != NULL && n->at <= now; n = due_first(&a->due))
        end_expired(DUE_ENTRY(n, audience_member, due));
    audience_bus_tick(a, now);
    audience_plan(a);
}

void audience_plan(audience *a)
{
    const due_node *first = due_first(&a->due);
    uint64_t at = first != NULL ? first->at : 0, question = audience_bus_due(a);
    if (question != 0 && (at == 0 || question < at))
        at = question;
    if (at == 0) {
        uv_timer_stop(&a->timer);
        return;
    }
    uint64_t now = clock_ms();
    uv_update_time(a->timer.loop);
    uv_timer_start(&a->timer, on_timer, at > now ? at - now : 0, 0);
}

static void set_due(audience_member *m, uint64_t at)
{
    if (m->home == NULL || m->ended)
        return;
    due_set(&m->home->due, &m->due, at);
    audience_plan(m->home);
}

/* clock_ms at that time of the day; 0: never. */
static uint64_t due_at(int64_t unix_seconds)
{
    if (unix_seconds == 0)
        return 0;
    int64_t left = unix_seconds * 1000 - clock_wall_ms();
    return clock_ms() + (left > 0 ? (uint64_t)left : 0);
}

void audience_expire(audience_member *m, uint64_t ms, int code, slice reason)
{
    free(m->expire_reason);
    m->expire_reason = mem_dup(reason.p, reason.n);
    m->expire_code = code;
    set_due(m, ms > 0 ? clock_ms() + ms : 0);
}

/* Whose it is ------------------------------------------------------------------------------- */

static uint16_t keep(buf *texts, slice text)
{
    uint16_t n = text.n < KEY_MAX ? (uint16_t)text.n : KEY_MAX;
    buf_append(texts, text.p, n);
    return n;
}

void audience_identify(audience_member *m, const audience_identity *who)
{
    buf texts = {0};
    audience_exit_user(m);
    m->user_n = keep(&texts, who->user);
    m->tenant_n = keep(&texts, who->tenant);
    m->jti_n = keep(&texts, who->jti);
    free(m->texts);
    m->texts = texts.data;
    m->issued = who->issued != 0 ? who->issued : clock_wall_ms() / 1000;
    m->expires = who->expires;
    m->expire_code = 0;
    audience_enter_user(m);
    audience_identity now = audience_identity_of(m);
    m->revoked = revocations_hit(&now);
    set_due(m, m->revoked ? clock_ms() : due_at(who->expires));
}

slice audience_id(const audience_member *m)
{
    return slice_of(m->id);
}

audience_identity audience_identity_of(const audience_member *m)
{
    return (audience_identity){.user = part(m, 0, m->user_n),
                               .tenant = part(m, m->user_n, m->tenant_n),
                               .jti = part(m, (size_t)m->user_n + m->tenant_n, m->jti_n),
                               .issued = m->issued,
                               .expires = m->expires};
}

/* Coming and going -------------------------------------------------------------------------- */

static void set_id(audience_member *m, slice id)
{
    bool taken = m->home != NULL && map_find(&m->home->by_id, id) != NULL;
    if (id.n == 0 || id.n > AUDIENCE_ID_MAX || taken) {
        audience_make_id(m->id);
        return;
    }
    memcpy(m->id, id.p, id.n);
    m->id[id.n] = '\0';
}

void audience_join(audience_member *m, const audience_ops *ops, conn *c,
                   const audience_opening *opening)
{
    *m = (audience_member){.home = here, .ops = ops, .conn = c};
    list_init(&m->link);
    list_init(&m->places);
    m->opened_ms = clock_ms();
    m->opened = m->issued = clock_wall_ms() / 1000;
    set_id(m, opening != NULL ? opening->id : (slice){0});
    m->by_id.key = audience_id(m);
    if (here == NULL)
        return;
    list_append(&here->members, &m->link);
    here->count++;
    map_insert(&here->by_id, &m->by_id);
    if (opening != NULL)
        audience_identify(m, &opening->who);
}

void audience_leave(audience_member *m, const audience_end *why)
{
    audience *a = m->home;
    if (a != NULL) {
        audience_exit_all(m);
        audience_exit_user(m);
        audience_add_news(m, AUDIENCE_CLOSED, (slice){"", 0}, why);
    }
    free(m->texts);
    free(m->expire_reason);
    free(m->data);
    m->texts = m->expire_reason = m->data = NULL;
    m->user_n = m->tenant_n = m->jti_n = 0;
    m->home = NULL;
    if (a == NULL)
        return;
    due_set(&a->due, &m->due, 0);
    map_remove(&a->by_id, &m->by_id);
    list_remove(&m->link);
    a->count--;
}

/* The worker's side ------------------------------------------------------------------------- */

audience *audience_open(uv_loop_t *loop, hub_port *port, int worker, bool cluster)
{
    audience *a = mem_alloc(sizeof *a);
    a->port = port;
    a->worker = worker;
    a->cluster = cluster;
    list_init(&a->members);
    list_init(&a->news);
    list_init(&a->changed);
    uv_timer_init(loop, &a->timer);
    a->timer.data = a;
    uv_unref((uv_handle_t *)&a->timer);
    audience_bus_open(a);
    here = a;
    return a;
}

void audience_end_all(const audience_end *why)
{
    list ending;
    if (here == NULL)
        return;
    list_move(&here->members, &ending);
    while (!list_empty(&ending)) {
        audience_member *m = LIST_ENTRY(ending.next, audience_member, link);
        list_remove(&m->link);
        list_append(&here->members, &m->link);
        audience_end_member(m, why);
    }
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void audience_close(audience *a)
{
    here = NULL;
    audience_bus_close(a);
    map_free(&a->by_id);
    audience_free_rooms(a);
    audience_free_news(a);
    due_free(&a->due);
    uv_close((uv_handle_t *)&a->timer, on_closed);
}
