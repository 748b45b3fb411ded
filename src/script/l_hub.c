/* host.hub: topics for scripts. A watch keeps a topic live while a script reads its value from the
 * store; it is a userdata that is closed at the end of its block, or forgotten by the collector. */
#include "l_hub.h"

#include "box.h"
#include "hub.h"
#include "l_audience.h"
#include "mem.h"
#include "task.h"
#include <stdlib.h>

enum { SMALL_FRAME = 512 };

static const char watch_name[] = "host.hub.watch";

hub_port *hub_check_port(lua_State *L)
{
    hub_port *p = vm_services(vm_of(L))->hub;
    if (p == NULL)
        luaL_error(L, "there is no hub here");
    return p;
}

slice hub_check_topic(lua_State *L, int arg)
{
    slice topic = vm_check_slice(L, arg);
    luaL_argcheck(L, topic.n > 0 && topic.n <= HUB_TOPIC_MAX, arg,
                  "a topic's name must be 1 to 255 bytes");
    return topic;
}

int hub_check_mode(lua_State *L, int arg)
{
    slice mode = vm_opt_slice(L, arg, "mode", (slice){"", 0});
    int log = mode.n == 0 ? -1 : slice_eq(mode, SLICE("log")) ? 1 : 0;
    luaL_argcheck(L, log != 0 || slice_eq(mode, SLICE("latest")), arg,
                  "option 'mode' must be \"latest\" or \"log\"");
    lua_pop(L, 1);
    return log;
}

bool hub_check_log(lua_State *L, int arg, slice topic)
{
    int log = hub_check_mode(L, arg);
    return log >= 0 ? log > 0 : hub_rule_of(hub_of(hub_check_port(L)), topic).log;
}

/* A pattern is no place to be in, and neither is the topic on which joins and leaves are told. */
static bool is_place(slice topic)
{
    static const slice events = SLICE_INIT("#presence");
    size_t n = topic.n < events.n ? topic.n : events.n;
    return topic.p[topic.n - 1] != '*' && !slice_eq((slice){topic.p + topic.n - n, n}, events);
}

bool hub_check_presence(lua_State *L, int arg, slice topic)
{
    bool by_rule = is_place(topic) && hub_rule_of(hub_of(hub_check_port(L)), topic).presence;
    return vm_opt_boolean(L, arg, "presence", by_rule);
}

int hub_push_position(lua_State *L, hub_position position)
{
    char text[HUB_POSITION_TEXT];
    size_t n = hub_position_text(position, text);
    if (n > 0)
        lua_pushlstring(L, text, n);
    return n > 0 ? 1 : 0;
}

static hub_meta check_meta(lua_State *L, int arg, slice topic)
{
    lua_Integer version = vm_opt_integer(L, arg, "version", 0);
    lua_Number ttl = vm_opt_number(L, arg, "ttl", 0);
    luaL_argcheck(L, version >= 0, arg, "option 'version' must not be negative");
    luaL_argcheck(L, ttl >= 0 && ttl < 1e12, arg, "option 'ttl' must be seconds, not negative");
    return (hub_meta){.version = (uint64_t)version,
                      .ttl_ms = (uint64_t)(ttl * 1000),
                      .log = hub_check_log(L, arg, topic)};
}

/* publish(topic, data, { version, ttl, mode }) ----------------------------------------------------
 */

typedef struct {
    task_token token;
    int status;
    hub_position position;
    bool done, parked;
} publication;

static int push_published(lua_State *L, void *data)
{
    publication *p = data;
    if (p->status != 0)
        return vm_fail(L, "unavailable", "the message did not reach the bus: Redis is away");
    lua_pushboolean(L, 1);
    return 1 + hub_push_position(L, p->position);
}

static void on_published(void *ctx, int status, hub_position position)
{
    publication *p = ctx;
    p->status = status;
    p->position = position;
    p->done = true;
    if (p->parked)
        task_wake(p->token, push_published, free, p);
}

static int publish(lua_State *L, hub_port *port, task_token token, slice topic, frame *f,
                   hub_meta meta)
{
    publication *p = mem_alloc(sizeof *p);
    p->token = token;
    hub_publish(port, topic, f, meta, on_published, p);
    frame_drop(f);
    if (p->done) {
        publication ended = *p;
        free(p); /* first: pushing may raise */
        return push_published(L, &ended);
    }
    p->parked = true;
    return task_park(L, NULL, NULL);
}

static slice check_data(lua_State *L)
{
    slice data = vm_check_slice(L, 2);
    luaL_argcheck(L, data.n <= HUB_DATA_MAX, 2, "a message has at most 8388608 bytes");
    return data;
}

static int hub_publish_value(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    luaL_argcheck(L, topic.p[topic.n - 1] != '*', 1,
                  "nothing can be published to a pattern (a name that ends in a star)");
    slice data = check_data(L);
    hub_meta meta = check_meta(L, 3, topic);
    task_token token = task_token_of(L);
    frame *f = frame_new(data.p, data.n);
    if (f == NULL)
        return luaL_error(L, "not enough memory");
    return publish(L, port, token, topic, f, meta);
}

static int hub_publish_here(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    slice data = check_data(L);
    hub_meta meta = check_meta(L, 3, topic);
    frame *f = frame_new(data.p, data.n);
    if (f == NULL)
        return luaL_error(L, "not enough memory");
    hub_publish_local(port, topic, f, meta);
    frame_drop(f);
    return 0;
}

/* compose(topic, data | nil, { version, ttl }) -> channel, message: for the store's options of
 * these names; nil: there are no other nodes. Without data: the topic's end. */
static int hub_compose_value(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1), data = {"", 0};
    buf channel = {0}, message = {0};
    hub_meta meta = {.ended = lua_isnoneornil(L, 2)};
    if (!meta.ended) {
        data = vm_check_slice(L, 2);
        meta = check_meta(L, 3, topic);
    }
    if (!hub_compose(hub_of(port), topic, data, meta, &channel, &message))
        return 0;
    vm_push_slice(L, (slice){channel.data, channel.len});
    vm_push_slice(L, (slice){message.data, message.len});
    buf_free(&channel);
    buf_free(&message);
    return 2;
}

static int hub_close_topic(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    return publish(L, port, task_token_of(L), topic, NULL, (hub_meta){.ended = true});
}

static int hub_close_here(lua_State *L)
{
    hub_publish_local(hub_check_port(L), hub_check_topic(L, 1), NULL, (hub_meta){.ended = true});
    return 0;
}

/* watch(topic) ------------------------------------------------------------------------------ */

typedef struct {
    hub_watch *watch; /* NULL: closed */
    task_token token;
    int status;
    bool ready, parked;
} watch_box;

static int push_watch(lua_State *L, void *data)
{
    (void)data;
    /* The box lies where l_watch left it: at the top of the caller's frame. */
    watch_box *box = lua_touserdata(L, 2);
    if (box->status != 0) {
        hub_watch_close(L, 2);
        return vm_fail(L, "unavailable", "the topic can't be followed: Redis is away");
    }
    lua_settop(L, 2);
    return 1;
}

static void on_ready(void *arg, int status)
{
    watch_box *box = arg;
    box->status = status;
    box->ready = true;
    if (box->parked)
        task_wake(box->token, push_watch, NULL, NULL);
}

void hub_watch_close(lua_State *L, int arg)
{
    watch_box *box = luaL_testudata(L, arg, watch_name);
    if (box == NULL || box->watch == NULL)
        return;
    hub_unwatch(box->watch);
    box->watch = NULL;
}

static int watch_close(lua_State *L)
{
    luaL_checkudata(L, 1, watch_name);
    hub_watch_close(L, 1);
    return 0;
}

static int watch_collect(lua_State *L)
{
    watch_box *box = luaL_checkudata(L, 1, watch_name);
    if (box->watch != NULL)
        hub_watch_forget(box->watch);
    box->watch = NULL;
    return 0;
}

/* A copy comes between, and Lua owns it when it is large: a frame that is held while a push raises
 * would stay. */
static void push_frame(lua_State *L, buf *copy, frame *f)
{
    if (copy == NULL) {
        char local[SMALL_FRAME];
        size_t n = f->len;
        memcpy(local, f->data, n);
        frame_drop(f);
        lua_pushlstring(L, local, n);
        return;
    }
    buf_append(copy, f->data, f->len);
    frame_drop(f);
    lua_pushlstring(L, copy->len > 0 ? copy->data : "", copy->len);
    buf_free(copy);
}

static int push_latest(lua_State *L, slice topic, bool version_only)
{
    uint64_t version = 0;
    hub_port *port = hub_check_port(L);
    buf *copy = NULL;
    frame *latest = hub_latest(port, topic, &version);
    if (latest != NULL && !version_only && latest->len > SMALL_FRAME) {
        frame_drop(latest);
        copy = box_push_buf(L);
        latest = hub_latest(port, topic, &version);
    }
    if (latest == NULL) {
        lua_pushnil(L);
        return 1;
    }
    if (version_only)
        frame_drop(latest);
    else
        push_frame(L, copy, latest);
    lua_pushinteger(L, (lua_Integer)version);
    return version_only ? 1 : 2;
}

static int watch_index(lua_State *L)
{
    luaL_checkudata(L, 1, watch_name);
    slice key = vm_check_slice(L, 2);
    lua_getiuservalue(L, 1, 1);
    slice topic = vm_check_slice(L, -1);
    if (slice_eq(key, SLICE("data"))) {
        if (push_latest(L, topic, false) == 2)
            lua_pop(L, 1);
        return 1;
    }
    if (slice_eq(key, SLICE("version")))
        return push_latest(L, topic, true);
    if (slice_eq(key, SLICE("topic")))
        return 1;
    if (slice_eq(key, SLICE("close")))
        lua_pushcfunction(L, watch_close);
    else
        lua_pushnil(L);
    return 1;
}

static watch_box *new_box(lua_State *L)
{
    watch_box *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (watch_box){0};
    if (luaL_newmetatable(L, watch_name)) {
        static const luaL_Reg methods[] = {{"__index", watch_index},
                                           {"__close", watch_close},
                                           {"__gc", watch_collect},
                                           {NULL, NULL}};
        luaL_setfuncs(L, methods, 0);
    }
    lua_setmetatable(L, -2);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return box;
}

static void cancel_watch(void *data)
{
    watch_box *box = data;
    box->parked = false;
}

static int hub_watch_topic(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    hub_position since = hub_text_position(lua_tostring(L, 2));
    if (!hub_pattern_room(hub_of(port), topic))
        return vm_fail(L, "too_many", "this server follows as many patterns as it can");
    lua_settop(L, 1);
    task_token token = task_token_of(L);
    watch_box *box = new_box(L);
    box->token = token;
    box->watch = hub_watch_since(port, topic, since, on_ready, box);
    if (box->ready)
        return push_watch(L, NULL);
    box->parked = true;
    return task_park(L, cancel_watch, box);
}

static int hub_latest_value(lua_State *L)
{
    return push_latest(L, hub_check_topic(L, 1), false);
}

static int hub_count(lua_State *L)
{
    lua_pushinteger(
        L, (lua_Integer)hub_subscriber_count(hub_of(hub_check_port(L)), hub_check_topic(L, 1)));
    return 1;
}

/* topics([prefix]) -------------------------------------------------------------------------- */

typedef struct {
    slice prefix;
    buf *names; /* each with its length before it, a byte */
} name_list;

static void collect_name(slice topic, void *arg)
{
    name_list *l = arg;
    if (topic.n > 0 && topic.p[0] == '$') /* the server's own */
        return;
    if (topic.n < l->prefix.n || memcmp(topic.p, l->prefix.p, l->prefix.n) != 0)
        return;
    buf_byte(l->names, (char)topic.n);
    buf_append_slice(l->names, topic);
}

static int hub_topics(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    name_list l = {.prefix = {"", 0}};
    if (!lua_isnoneornil(L, 1))
        l.prefix = vm_check_slice(L, 1);
    l.names = box_push_buf(L);
    hub_each_topic(hub_of(port), collect_name, &l);
    lua_newtable(L);
    lua_Integer count = 0;
    for (size_t at = 0; at < l.names->len;) {
        size_t n = (unsigned char)l.names->data[at++];
        lua_pushlstring(L, l.names->data + at, n);
        lua_rawseti(L, -2, ++count);
        at += n;
    }
    return 1;
}

int luaopen_host_hub(lua_State *L)
{
    static const luaL_Reg functions[] = {{"publish", hub_publish_value},
                                         {"publish_local", hub_publish_here},
                                         {"close", hub_close_topic},
                                         {"close_local", hub_close_here},
                                         {"compose", hub_compose_value},
                                         {"watch", hub_watch_topic},
                                         {"subscribe", hub_subscribe_script},
                                         {"latest", hub_latest_value},
                                         {"count", hub_count},
                                         {"topics", hub_topics},
                                         {"rules", hub_set_topic_rules},
                                         {"rule", hub_topic_rule},
                                         {"history", hub_topic_history},
                                         {"key", hub_topic_key},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    audience_open_functions(L);
    return 1;
}
