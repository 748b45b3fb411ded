/* hub.subscribe: a task that receives what is published on a topic.
 *
 *   subscribe -> LIVE --close, __close--> gone
 *                  \--the topic ends--> ENDED (what waits can still be taken) --> gone
 *                  \--collected--> FORGOTTEN --its next message, the next subscribe, or
 *                                              the topic's end--> gone
 *
 * What comes waits in a queue that is bounded: of a value only the newest is kept; of messages the
 * oldest go first, and `next` tells how many. What it missed before, which comes from the history,
 * it takes at its pace: the hub waits (`held`) while the queue is full. A finalizer must not touch
 * the loop, so a forgotten one waits for the next occasion.
 *
 * Owner: the box while it lives, then the list of forgotten ones. What must never happen: a waiting
 * task woken twice; the box touched after its collection. */
#include "box.h"
#include "http_slots.h"
#include "hub.h"
#include "l_hub.h"
#include "mem.h"
#include "waiter.h"

#include <stdlib.h>

static const char box_name[] = "host.hub.subscription";

typedef struct {
    list link;
    frame *data;
    uint64_t lost; /* messages before it */
    hub_position position;
} mail;

typedef struct subscription {
    hub_subscriber subscriber;
    list link; /* in `forgotten` */
    list queue;
    size_t count, bytes;
    uint64_t lost; /* since the last mail */
    list waiters;  /* one at most */
    bool ended, is_forgotten;
    bool held; /* the hub waits for hub_resume */
} subscription;

typedef struct {
    subscription *s; /* NULL: closed */
} box;

static _Thread_local list forgotten;

/* The queue --------------------------------------------------------------------------------- */

static mail *first_of(subscription *s)
{
    return LIST_ENTRY(s->queue.next, mail, link);
}

static void drop_mail(subscription *s, mail *m)
{
    list_remove(&m->link);
    s->count--;
    s->bytes -= m->data->len;
    frame_drop(m->data);
    free(m);
}

static void free_subscription(subscription *s)
{
    hub_unsubscribe(&s->subscriber);
    while (!list_empty(&s->queue))
        drop_mail(s, first_of(s));
    list_remove(&s->link);
    free(s);
}

static bool has_room(const subscription *s, size_t bytes)
{
    return s->count == 0 ||
           (s->subscriber.log && s->count < HUB_LOG_MESSAGES && s->bytes + bytes <= HUB_LOG_BYTES);
}

static void make_room(subscription *s, size_t bytes)
{
    bool log = s->subscriber.log;
    while (!has_room(s, bytes)) {
        mail *oldest = first_of(s);
        uint64_t lost = log ? oldest->lost + 1 : 0;
        drop_mail(s, oldest);
        if (s->count > 0)
            first_of(s)->lost += lost;
        else
            s->lost += lost;
    }
}

static void add_mail(subscription *s, frame *data, hub_position position)
{
    make_room(s, data->len);
    mail *m = mem_alloc(sizeof *m);
    m->data = frame_hold(data);
    m->position = position;
    m->lost = s->lost;
    s->lost = 0;
    list_append(&s->queue, &m->link);
    s->count++;
    s->bytes += data->len;
}

/* Waiting ----------------------------------------------------------------------------------- */

static int push_failure(lua_State *L, const subscription *s)
{
    if (s == NULL)
        return vm_fail(L, "closed", "this subscription is closed");
    if (s->ended)
        return vm_fail(L, "ended", "the topic has ended");
    return vm_fail(L, "timeout", "nothing came in that time");
}

static int push_mail(lua_State *L, subscription *s)
{
    buf *copy = box_push_buf(L);
    mail *m = first_of(s);
    lua_Integer lost = (lua_Integer)m->lost;
    hub_position position = m->position;
    buf_append(copy, m->data->data, m->data->len);
    drop_mail(s, m);
    if (s->held && s->count == 0) {
        s->held = false;
        hub_resume(&s->subscriber);
    }
    box_push_text(L, copy);
    lua_pushinteger(L, lost);
    return 2 + hub_push_position(L, position);
}

static int push_next(lua_State *L, void *data)
{
    (void)data;
    box *b = luaL_checkudata(L, 1, box_name);
    if (b->s != NULL && b->s->count > 0)
        return push_mail(L, b->s);
    return push_failure(L, b->s);
}

static void wake(subscription *s)
{
    if (!list_empty(&s->waiters))
        waiter_wake(LIST_ENTRY(s->waiters.next, waiter, link), true);
}

/* next(seconds?) -> data, lost, position? | nil, message, "timeout" | "ended" | "closed" */
static int subscription_next(lua_State *L)
{
    box *b = luaL_checkudata(L, 1, box_name);
    lua_Number seconds = waiter_check_seconds(L, 2);
    subscription *s = b->s;
    if (s == NULL || s->count > 0 || s->ended || seconds == 0)
        return push_next(L, NULL);
    if (!list_empty(&s->waiters))
        return luaL_error(L, "another task waits for this subscription already");
    return task_park(L, waiter_cancel, waiter_start(L, &s->waiters, seconds, push_next));
}

/* From the hub ------------------------------------------------------------------------------ */

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    (void)position;
    return frame_new(data->data, data->len);
}

static subscription *of_subscriber(hub_subscriber *subscriber)
{
    return LIST_ENTRY(subscriber, subscription, subscriber);
}

static size_t messages(hub_subscriber *subscriber, frame *const *encoded, size_t n)
{
    subscription *s = of_subscriber(subscriber);
    if (s->is_forgotten) {
        free_subscription(s);
        return n;
    }
    size_t taken = 0;
    hub_position at = subscriber->position; /* of the last one; they follow on each other */
    at.offset -= n;
    while (taken < n && (!subscriber->replaying || has_room(s, encoded[taken]->len))) {
        at.offset++;
        add_mail(s, encoded[taken++], at);
    }
    s->held = taken < n;
    wake(s);
    return taken;
}

static void deliver(hub_subscriber *subscriber, frame *encoded, uint64_t version)
{
    (void)version;
    subscription *s = of_subscriber(subscriber);
    if (s->is_forgotten) {
        free_subscription(s);
        return;
    }
    add_mail(s, encoded, (hub_position){0});
    wake(s);
}

static void gap(hub_subscriber *subscriber, uint64_t lost)
{
    of_subscriber(subscriber)->lost += lost > 0 ? lost : 1;
}

static void begun(hub_subscriber *subscriber, hub_position at, hub_recovery recovery)
{
    (void)at;
    if (recovery == HUB_NOT_RECOVERED)
        gap(subscriber, 0);
}

static void end(hub_subscriber *subscriber, slice topic)
{
    subscription *s = of_subscriber(subscriber);
    (void)topic;
    s->ended = true;
    s->held = false;
    if (s->is_forgotten)
        free_subscription(s);
    else
        wake(s);
}

static const hub_transport transport = {
    .name = "script",
    .encode = encode,
    .deliver = deliver,
    .end = end,
    .index = SLOT_AS_IS,
    .messages = messages,
    .gap = gap,
    .begun = begun,
};

/* The box ----------------------------------------------------------------------------------- */

static void sweep_forgotten(void)
{
    while (!list_empty(&forgotten))
        free_subscription(LIST_ENTRY(forgotten.next, subscription, link));
}

static int subscription_close(lua_State *L)
{
    box *b = luaL_checkudata(L, 1, box_name);
    subscription *s = b->s;
    if (s == NULL)
        return 0;
    b->s = NULL;
    wake(s);
    free_subscription(s);
    return 0;
}

static int subscription_collect(lua_State *L)
{
    box *b = luaL_checkudata(L, 1, box_name);
    subscription *s = b->s;
    b->s = NULL;
    if (s == NULL)
        return 0;
    s->is_forgotten = true;
    if (s->ended)
        free_subscription(s);
    else
        list_append(&forgotten, &s->link);
    return 0;
}

static box *new_box(lua_State *L)
{
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->s = NULL;
    if (luaL_newmetatable(L, box_name)) {
        static const luaL_Reg methods[] = {
            {"next", subscription_next}, {"close", subscription_close}, {NULL, NULL}};
        static const luaL_Reg events[] = {
            {"__close", subscription_close}, {"__gc", subscription_collect}, {NULL, NULL}};
        luaL_setfuncs(L, events, 0);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushliteral(L, "locked");
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return b;
}

int hub_subscribe_script(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    bool log = hub_check_log(L, 2, topic);
    hub_log_start start = {.since = hub_check_position(L, 2, "since")};
    if (forgotten.next == NULL)
        list_init(&forgotten);
    sweep_forgotten();
    box *b = new_box(L);
    subscription *s = mem_alloc(sizeof *s);
    list_init(&s->link);
    list_init(&s->queue);
    list_init(&s->waiters);
    list_init(&s->subscriber.link);
    b->s = s;
    if (log)
        hub_subscribe_log(port, topic, &s->subscriber, &transport, &start);
    else
        hub_subscribe(port, topic, &s->subscriber, &transport);
    return 1;
}
