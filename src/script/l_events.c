/* host.events, and streams of events that a route answers with.
 *
 *   response table -> events_answer
 *     topics only: the hub and sse.c do the rest, no Lua per event
 *     run: events_run -> task: run(send, req) -> events_finish -> events_over
 *
 * send waits while the client has not taken what was sent before. When the client goes, the task is
 * cancelled, unless the table says `keep`: then send tells that nobody is there. With a topic
 * beside `run` the task publishes its events there, for whoever follows it, and however the task
 * ends the topic gets a last event: who follows it on another node would wait for ever. A worker
 * that stops waits for the kept tasks, and then for those last events to be on their way
 * (events_unfinished).
 *
 * An event_stream is held by the connection, by the task, and by the box that send has; the last of
 * them frees it. What must never happen: a stream left open when its task is over and no topic
 * feeds it. */
#include "l_events.h"

#include "box.h"
#include "events_kept.h"
#include "hub.h"
#include "l_audience.h"
#include "l_hub.h"
#include "log.h"
#include "mem.h"
#include "sse.h"
#include "sse_event.h"
#include <stdlib.h>

enum { PREAMBLE_MAX = 4096 };

static const char box_name[] = "host.events.stream";

/* A client that comes back with this has seen the end; web/events.lua answers it 204. */
static const slice end_id = SLICE_INIT("end-of-stream");

struct event_stream {
    list link;         /* in `kept`, until the task is over */
    sse *s;            /* NULL: the client is gone, or the stream has ended */
    task_token task;   /* runs `run` */
    task_token waiter; /* a send that waits for room */
    unsigned refs;
    bool waiting, keep;
    bool ended, over; /* its topic has its last event; the task has ended, or is about to */
    hub_port *port;
    slice topic; /* that feeds it, and also ends it; n == 0: none does */
};

static _Thread_local list kept;
static _Thread_local size_t kept_count, unsettled; /* unsettled: last events on their way */

static void drop(event_stream *e)
{
    if (--e->refs > 0)
        return;
    free((char *)e->topic.p);
    free(e);
}

/* Events of a script ------------------------------------------------------------------------ */

static slice opt_text(lua_State *L, int table, const char *name)
{
    slice text = {0};
    int type = lua_getfield(L, table, name);
    if (type != LUA_TNIL && type != LUA_TSTRING && type != LUA_TNUMBER)
        luaL_error(L, "an event's %s must be a string, got %s", name, luaL_typename(L, -1));
    if (type != LUA_TNIL)
        text.p = lua_tolstring(L, -1, &text.n);
    return text;
}

/* A string, or { id, event, data, retry }; what is pushed must stay while the fields are used. */
static sse_fields check_event(lua_State *L, int arg)
{
    sse_fields f = {.retry = -1};
    if (lua_type(L, arg) == LUA_TSTRING || lua_type(L, arg) == LUA_TNUMBER) {
        f.data = vm_check_slice(L, arg);
        return f;
    }
    luaL_argexpected(L, lua_istable(L, arg), arg, "string or table");
    f.id = opt_text(L, arg, "id");
    f.event = opt_text(L, arg, "event");
    f.data = opt_text(L, arg, "data");
    f.retry = vm_opt_integer(L, arg, "retry", -1);
    return f;
}

static buf *check_bytes(lua_State *L, int arg)
{
    sse_fields f = check_event(L, arg);
    buf *bytes = box_push_buf(L);
    const char *why = sse_event(bytes, &f);
    if (why != NULL)
        luaL_argerror(L, arg, why);
    return bytes;
}

/* send(event) ------------------------------------------------------------------------------- */

static event_stream *check_stream(lua_State *L)
{
    event_stream **box = lua_touserdata(L, lua_upvalueindex(1));
    return *box;
}

static int push_sent(lua_State *L, void *data)
{
    const event_stream *e = data;
    if (e->s == NULL || !sse_is_open(e->s))
        return vm_fail(L, "gone", "the client is gone");
    lua_pushboolean(L, 1);
    return 1;
}

static void cancel_wait(void *data)
{
    event_stream *e = data;
    e->waiting = false;
}

/* send(event): true; nil, message, "gone". Waits while the client takes nothing. */
static int send_event(lua_State *L)
{
    event_stream *e = check_stream(L);
    buf *bytes = check_bytes(L, 1);
    task_token token = task_token_of(L);
    bool sent = e->s != NULL && sse_send(e->s, (slice){bytes->data, bytes->len});
    buf_free(bytes);
    if (!sent || e->waiting || !sse_must_wait(e->s))
        return push_sent(L, e);
    e->waiting = true;
    e->waiter = token;
    return task_park(L, cancel_wait, e);
}

static void wake(event_stream *e)
{
    if (!e->waiting)
        return;
    e->waiting = false;
    task_wake(e->waiter, push_sent, NULL, e);
}

static void on_writable(sse *s)
{
    if (!sse_must_wait(s))
        wake(sse_owner(s));
}

static void on_close(sse *s)
{
    event_stream *e = sse_owner(s);
    e->s = NULL;
    wake(e);
    if (!e->keep && !e->over)
        task_cancel(e->task);
    drop(e);
}

static const sse_ops ops = {on_writable, on_close};

/* The end ----------------------------------------------------------------------------------- */

static void on_settled(void *ctx, int status, hub_position position)
{
    (void)ctx;
    (void)position;
    unsettled--;
    if (status != 0)
        log_warn("the end of a stream of events could not be told: Redis is away");
}

static void publish_end(event_stream *e, slice code)
{
    buf data = {0}, bytes = {0};
    buf_format(&data, "{\"code\":\"%.*s\"}", (int)code.n, code.p);
    sse_ready(&bytes, SLICE("end"), (slice){data.data, data.len}, -1, true);
    frame *f = frame_new(bytes.data, bytes.len);
    unsettled++;
    hub_publish(e->port, e->topic, f, (hub_meta){.log = true}, on_settled, NULL);
    frame_drop(f);
    buf_free(&data);
    buf_free(&bytes);
    e->ended = true;
}

static void send_end(event_stream *e)
{
    buf bytes = {0};
    e->over = true; /* the task is about to end by itself */
    /* The id with the event itself: some clients forget one that comes alone. */
    sse_event(&bytes, &(sse_fields){.id = end_id,
                                    .event = SLICE("end"),
                                    .data = SLICE("{\"code\":\"ended\"}"),
                                    .retry = -1});
    sse_send(e->s, (slice){bytes.data, bytes.len});
    buf_free(&bytes);
    sse_end(e->s, (slice){"", 0});
}

void events_finish(event_stream *e)
{
    if (e->topic.n > 0)
        publish_end(e, SLICE("ended"));
    else if (e->s != NULL)
        send_end(e);
}

void events_over(event_stream *e, bool cancelled)
{
    slice code = cancelled ? audience_going_away.word : SLICE("error");
    e->waiting = false;
    e->over = true;
    if (e->keep) {
        list_remove(&e->link);
        kept_count--;
    }
    if (e->topic.n > 0 && !e->ended)
        publish_end(e, code);
    else if (e->s != NULL && e->topic.n == 0)
        sse_end(e->s, code);
    drop(e);
}

size_t events_unfinished(void)
{
    return kept_count + unsettled;
}

void events_end_kept(void)
{
    for (size_t n = kept_count; n > 0 && !list_empty(&kept); n--) {
        event_stream *e = LIST_ENTRY(kept.next, event_stream, link);
        list_remove(&e->link);
        list_append(&kept, &e->link); /* so that each has its turn, whatever becomes of it */
        task_cancel(e->task);
    }
}

/* The table --------------------------------------------------------------------------------- */

typedef struct {
    slice topic;
    subscribing how;
} wanted;

typedef struct {
    hub_port *port;
    slice preamble;
    sse_form form;
    size_t n;
    wanted *topics; /* in the exchange's arena */
} answer;

static sse_form check_form(lua_State *L, int stream, bool several)
{
    slice form = vm_opt_slice(L, stream, "form", several ? SLICE("envelope") : SLICE("alone"));
    if (slice_eq(form, SLICE("envelope")))
        return SSE_ENVELOPE;
    if (slice_eq(form, SLICE("ready")))
        return SSE_READY;
    if (!slice_eq(form, SLICE("alone")) || several)
        luaL_error(L, "a stream of events has one topic, or form = \"envelope\"");
    return SSE_ALONE;
}

static void check_topic(lua_State *L, int entry, exchange *x, wanted *w)
{
    slice topic = vm_opt_slice(L, entry, "topic", (slice){0});
    if (topic.n == 0 || topic.n > HUB_TOPIC_MAX)
        luaL_error(L, "a stream's topic must be 1 to %d bytes", HUB_TOPIC_MAX);
    lua_Integer history = vm_opt_integer(L, entry, "history", 0);
    if (history < 0 || history > HUB_HISTORY_MAX)
        luaL_error(L, "a stream's 'history' must be a number of messages");
    w->topic = (slice){arena_copy(exchange_arena(x), topic.p, topic.n), topic.n};
    w->how = (subscribing){
        .log = hub_check_log(L, entry, topic),
        .present = hub_check_presence(L, entry, topic),
        .start = {.since = hub_check_position(L, entry, "since"), .history = (uint32_t)history}};
}

static void check_topics(lua_State *L, int stream, exchange *x, answer *a)
{
    int at = lua_gettop(L);
    bool several = lua_getfield(L, stream, "topics") == LUA_TTABLE;
    int topics = lua_gettop(L);
    lua_Integer n = several ? luaL_len(L, topics) : 1;
    if (!several && lua_getfield(L, stream, "topic") == LUA_TNIL)
        n = 0;
    if (n > SUBSCRIPTIONS_MAX)
        luaL_error(L, "a stream can have %d topics at most", SUBSCRIPTIONS_MAX);
    a->form = check_form(L, stream, several && n > 1);
    a->n = (size_t)n;
    a->topics = arena_alloc(exchange_arena(x), a->n * sizeof *a->topics);
    for (lua_Integer i = 0; i < n; i++) {
        if (several)
            lua_geti(L, topics, i + 1);
        int entry = several ? lua_gettop(L) : stream;
        luaL_checktype(L, entry, LUA_TTABLE);
        check_topic(L, entry, x, &a->topics[i]);
        lua_settop(L, topics);
    }
    lua_settop(L, at);
}

static answer check_answer(lua_State *L, int stream, exchange *x)
{
    answer a = {.port = vm_services(vm_of(L))->hub};
    if (a.port == NULL)
        luaL_error(L, "there is no hub here");
    check_topics(L, stream, x, &a);
    a.preamble = vm_opt_slice(L, stream, "preamble", (slice){0});
    if (a.preamble.n > PREAMBLE_MAX)
        luaL_error(L, "a stream's preamble has at most %d bytes", PREAMBLE_MAX);
    return a;
}

/* The viewer has joined: what kept its topics live is not needed any more. */
static void close_watches(lua_State *L, int stream)
{
    int at = lua_gettop(L);
    bool several = lua_getfield(L, stream, "topics") == LUA_TTABLE;
    for (lua_Integer i = 1; several && lua_geti(L, at + 1, i) == LUA_TTABLE; i++) {
        lua_getfield(L, -1, "watch");
        hub_watch_close(L, lua_gettop(L));
        lua_settop(L, at + 1);
    }
    lua_getfield(L, stream, "watch");
    hub_watch_close(L, lua_gettop(L));
    lua_settop(L, at);
}

static sse *open_stream(lua_State *L, int stream, exchange *x, const sse_ops *o, void *owner)
{
    answer a = check_answer(L, stream, x);
    char id[AUDIENCE_ID_MAX + 1];
    audience_opening opening = audience_check_opening(L, stream, id);
    sse *s = sse_start(x, a.port, a.preamble, &opening, o, owner);
    for (size_t i = 0; s != NULL && i < a.n; i++)
        sse_subscribe(s, a.topics[i].topic, a.form, &a.topics[i].how);
    close_watches(L, stream);
    return s;
}

bool events_answer(lua_State *L, int stream, exchange *x)
{
    bool run = lua_getfield(L, stream, "run") == LUA_TFUNCTION;
    lua_pop(L, 1);
    if (!run)
        open_stream(L, stream, x, NULL, NULL);
    return run;
}

static int box_collect(lua_State *L)
{
    event_stream **box = luaL_checkudata(L, 1, box_name);
    if (*box != NULL)
        drop(*box);
    *box = NULL;
    return 0;
}

static event_stream **push_box(lua_State *L)
{
    event_stream **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    if (luaL_newmetatable(L, box_name)) {
        lua_pushcfunction(L, box_collect);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return box;
}

static event_stream *make(lua_State *L, int stream, task_token token)
{
    slice topic = vm_opt_slice(L, stream, "topic", (slice){0});
    bool keep = vm_opt_boolean(L, stream, "keep", false);
    event_stream *e = mem_alloc(sizeof *e);
    *e = (event_stream){.task = token, .refs = 1, .keep = keep, .port = vm_services(vm_of(L))->hub};
    if (topic.n > 0)
        e->topic = (slice){mem_dup(topic.p, topic.n), topic.n};
    return e;
}

static void begin(event_stream *e)
{
    e->refs += 2; /* the connection's and the task's */
    if (!e->keep)
        return;
    if (kept.next == NULL)
        list_init(&kept);
    list_append(&kept, &e->link);
    kept_count++;
}

event_stream *events_run(lua_State *L, int stream, exchange *x, task_token token)
{
    lua_getfield(L, stream, "run");
    event_stream **box = push_box(L);
    lua_pushcclosure(L, send_event, 1);
    lua_getfield(L, stream, "req");
    int top = lua_gettop(L);
    check_answer(L, stream, x); /* so that nothing raises below */
    event_stream *e = *box = make(L, stream, token);
    e->s = open_stream(L, stream, x, &ops, e);
    lua_settop(L, top);
    if (e->s == NULL) {
        lua_settop(L, top - 3);
        return NULL;
    }
    begin(e);
    return e;
}

/* encode(event, last): an event without id as bytes, to be published to a topic whose streams have
 * form = "ready". After the `last` one they end. */
static int encode(lua_State *L)
{
    bool last = lua_toboolean(L, 2);
    sse_fields f = check_event(L, 1);
    luaL_argcheck(L, f.id.n == 0, 1, "events of such a stream get their ids from it");
    buf *bytes = box_push_buf(L);
    const char *why = sse_ready(bytes, f.event, f.data, f.retry, last);
    if (why != NULL)
        luaL_argerror(L, 1, why);
    lua_pushlstring(L, bytes->data, bytes->len);
    return 1;
}

/* is_last(bytes): are these the last event of a stream? */
static int is_last(lua_State *L)
{
    lua_pushboolean(L, sse_is_last(vm_check_slice(L, 1)));
    return 1;
}

/* running(): handlers of this worker that go on without their clients, those of older scripts too.
 */
static int running(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)kept_count);
    return 1;
}

int luaopen_host_events(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", encode}, {"is_last", is_last}, {"running", running}, {NULL, NULL}};
    luaL_newlib(L, functions);
    vm_push_slice(L, end_id);
    lua_setfield(L, -2, "END_ID");
    return 1;
}
