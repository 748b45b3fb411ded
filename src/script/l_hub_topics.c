/* host.hub, what topics keep and how they behave: rules, history. */
#include "l_hub.h"

#include "box.h"
#include "hub.h"
#include "hub_name.h"
#include "mem.h"
#include "task.h"
#include <math.h>
#include <stdlib.h>

/* rules{ { pattern, mode, history, presence, slow, max_wait, rate } ... }
 * ------------------------------ */

static const char rules_name[] = "host.hub.rules";

static hub_slow check_slow_word(lua_State *L, int arg)
{
    static const char *const words[] = {"disconnect", "latest", "drop_oldest", "pause", NULL};
    slice word = vm_check_slice(L, arg);
    for (int i = 0; words[i] != NULL; i++) {
        if (slice_eq(word, slice_of(words[i])))
            return (hub_slow)i;
    }
    luaL_error(L, "a rule's 'slow' must be \"disconnect\", \"latest\", \"drop_oldest\" or "
                  "\"pause\"");
    return HUB_SLOW_DISCONNECT;
}

/* A word for all kinds of subscribers, or a table { ws = , sse = }. */
static void check_slow(lua_State *L, int rule, hub_rule *r)
{
    static const char *const classes[HUB_CLASSES] = {"ws", "sse"};
    lua_getfield(L, rule, "slow");
    bool each = lua_istable(L, -1);
    int at = lua_gettop(L);
    for (int i = 0; i < HUB_CLASSES && !lua_isnil(L, at); i++) {
        if (each)
            lua_getfield(L, at, classes[i]);
        else
            lua_pushvalue(L, at);
        r->slow[i] = lua_isnil(L, -1) ? HUB_SLOW_DISCONNECT : check_slow_word(L, at + 1);
        lua_settop(L, at);
    }
    lua_settop(L, at - 1);
}

static void check_history(lua_State *L, int rule, hub_history_limits *limits)
{
    lua_getfield(L, rule, "history");
    int at = lua_gettop(L);
    if (!lua_isnil(L, at)) {
        luaL_checktype(L, at, LUA_TTABLE);
        lua_Integer messages = vm_opt_integer(L, at, "messages", 100);
        lua_Integer bytes = vm_opt_integer(L, at, "bytes", 1 << 20);
        lua_Number age = vm_opt_number(L, at, "age", 300);
        if (messages < 0 || messages > HUB_HISTORY_MAX || bytes < 1 || !(age > 0) || age > 3.2e9)
            luaL_error(L,
                       "a rule's 'history' needs messages (0 to %d), bytes (1 or more) and age "
                       "(seconds, more than 0)",
                       HUB_HISTORY_MAX);
        *limits =
            (hub_history_limits){(uint32_t)messages, (size_t)bytes, (uint64_t)ceil(age * 1000)};
    }
    lua_settop(L, at - 1);
}

static void check_rule(lua_State *L, int at, hub_rule *r)
{
    lua_Integer rate = vm_opt_integer(L, at, "rate", 0);
    luaL_argcheck(L, rate >= 0 && rate <= 1000000, 1, "a rule's 'rate' must be 0 to 1000000");
    lua_Number wait = vm_opt_number(L, at, "max_wait", 0);
    luaL_argcheck(L, wait >= 0 && wait <= 3600, 1, "a rule's 'max_wait' must be 0 to 3600 seconds");
    int log = hub_check_mode(L, at);
    *r = (hub_rule){.log = log > 0,
                    .presence = vm_opt_boolean(L, at, "presence", false),
                    .rate = (uint32_t)rate,
                    .max_wait_ms = (uint64_t)ceil(wait * 1000)};
    check_history(L, at, &r->history);
    check_slow(L, at, r);
    for (int i = 0; i < HUB_CLASSES; i++) {
        if (r->slow[i] == HUB_SLOW_PAUSE && r->history.messages == 0)
            luaL_error(L, "a rule with slow = \"pause\" needs a history, which keeps what waits");
    }
    if (r->history.messages > 0 && log == 0)
        luaL_error(L, "a rule with a history must have mode = \"log\"");
    r->log = r->log || r->history.messages > 0;
}

static int free_rules(lua_State *L)
{
    hub_rules_free(luaL_checkudata(L, 1, rules_name));
    return 0;
}

/* A userdata, so that an error in the middle leaves nothing behind. */
static hub_rules *push_rules(lua_State *L)
{
    hub_rules *r = lua_newuserdatauv(L, sizeof *r, 0);
    *r = (hub_rules){0};
    if (luaL_newmetatable(L, rules_name)) {
        lua_pushcfunction(L, free_rules);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return r;
}

int hub_set_topic_rules(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    hub_rules *rules = push_rules(L);
    lua_Integer n = luaL_len(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        hub_rule rule;
        lua_geti(L, 1, i);
        int at = lua_gettop(L);
        luaL_checktype(L, at, LUA_TTABLE);
        check_rule(L, at, &rule);
        lua_getfield(L, at, "pattern");
        slice pattern = vm_check_slice(L, -1);
        luaL_argcheck(L, pattern.n > 0 && pattern.n <= HUB_TOPIC_MAX, 1,
                      "a rule's 'pattern' must be 1 to 255 bytes");
        if (!hub_rules_add(rules, pattern, &rule))
            luaL_error(L, "there can be %d rules at most", HUB_RULES_MAX);
        lua_settop(L, at - 1);
    }
    hub_set_rules(hub_of(port), rules);
    return 0;
}

static void push_limits(lua_State *L, const hub_history_limits *limits)
{
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, limits->messages);
    lua_setfield(L, -2, "messages");
    lua_pushinteger(L, (lua_Integer)limits->bytes);
    lua_setfield(L, -2, "bytes");
    lua_pushnumber(L, (lua_Number)limits->age_ms / 1000);
    lua_setfield(L, -2, "age");
}

/* rule(topic) -> { mode, history, presence, rate, max_wait } */
int hub_topic_rule(lua_State *L)
{
    hub_rule r = hub_rule_of(hub_of(hub_check_port(L)), hub_check_topic(L, 1));
    lua_createtable(L, 0, 5);
    lua_pushstring(L, r.log ? "log" : "latest");
    lua_setfield(L, -2, "mode");
    lua_pushboolean(L, r.presence);
    lua_setfield(L, -2, "presence");
    lua_pushinteger(L, r.rate);
    lua_setfield(L, -2, "rate");
    lua_pushnumber(L, (lua_Number)r.max_wait_ms / 1000);
    lua_setfield(L, -2, "max_wait");
    if (r.history.messages > 0) {
        push_limits(L, &r.history);
        lua_setfield(L, -2, "history");
    }
    return 1;
}

/* key(tenant, session, topic) */
int hub_topic_key(lua_State *L)
{
    hub_name name = {vm_check_slice(L, 1), vm_check_slice(L, 2), vm_check_slice(L, 3)};
    buf *out = box_push_buf(L);
    hub_name_write(out, &name);
    luaL_argcheck(L, out->len <= HUB_TOPIC_MAX, 3, "together they are too long for a topic");
    lua_pushlstring(L, out->data, out->len);
    return 1;
}

/* history(topic, { since, limit, reverse }) -------------------------------------------------- */

/* What came, as bytes of our own: pushing may raise, and a frame that is held then would stay. */
typedef struct {
    task_token token;
    int status;
    hub_position position;
    hub_recovery recovery;
    size_t n;
    struct {
        uint64_t offset;
        int64_t time_ms;
        size_t bytes;
    } items[HUB_PAGE_MAX];
    buf data;
    bool done, parked;
} reading;

static void push_item(lua_State *L, const reading *r, size_t i, const char *data)
{
    lua_createtable(L, 0, 3);
    hub_push_position(L, (hub_position){r->position.epoch, r->items[i].offset});
    lua_setfield(L, -2, "position");
    lua_pushlstring(L, data, r->items[i].bytes);
    lua_setfield(L, -2, "data");
    lua_pushnumber(L, (lua_Number)r->items[i].time_ms / 1000);
    lua_setfield(L, -2, "time");
}

static int push_page(lua_State *L, void *data)
{
    const reading *r = data;
    if (r->status != 0)
        return vm_fail(L, "unavailable", "the history could not be read: Redis is away");
    lua_createtable(L, 0, 3);
    lua_createtable(L, (int)r->n, 0);
    size_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        push_item(L, r, i, r->data.len > 0 ? r->data.data + at : "");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        at += r->items[i].bytes;
    }
    lua_setfield(L, -2, "items");
    if (hub_push_position(L, r->position) > 0)
        lua_setfield(L, -2, "position");
    if (r->recovery != HUB_FROM_NOW) {
        lua_pushboolean(L, r->recovery == HUB_RECOVERED);
        lua_setfield(L, -2, "recovered");
    }
    return 1;
}

static void free_reading(void *data)
{
    reading *r = data;
    buf_free(&r->data);
    free(r);
}

static void on_page(void *ctx, int status, const hub_history_page *page)
{
    reading *r = ctx;
    r->done = true;
    r->status = status;
    for (size_t i = 0; status == 0 && i < page->n; i++) {
        const hub_message *m = &page->items[i];
        r->items[i].offset = m->offset;
        r->items[i].time_ms = m->time_ms;
        r->items[i].bytes = m->data->len;
        buf_append(&r->data, m->data->data, m->data->len);
    }
    if (status == 0) {
        r->n = page->n;
        r->position = page->position;
        r->recovery = page->recovery;
    }
    if (r->parked)
        task_wake(r->token, push_page, free_reading, r);
}

hub_position hub_text_position(const char *text)
{
    hub_position p = {0};
    if (text != NULL && text[0] != '\0' && !hub_position_parse(slice_of(text), &p))
        p = (hub_position){UINT64_MAX, 0}; /* a client's text: nothing that we know */
    return p;
}

hub_position hub_check_position(lua_State *L, int arg, const char *name)
{
    hub_position p = hub_text_position(vm_opt_slice(L, arg, name, (slice){"", 0}).p);
    lua_pop(L, 1);
    return p;
}

static int collect_reading(lua_State *L)
{
    reading **r = lua_touserdata(L, 1);
    if (*r != NULL)
        free_reading(*r);
    *r = NULL;
    return 0;
}

static int push_done_page(lua_State *L, reading *r)
{
    reading **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = r;
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, collect_reading);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    int results = push_page(L, r);
    *box = NULL;
    free_reading(r);
    return results;
}

int hub_topic_history(lua_State *L)
{
    hub_port *port = hub_check_port(L);
    slice topic = hub_check_topic(L, 1);
    lua_Integer limit = vm_opt_integer(L, 2, "limit", 100);
    luaL_argcheck(L, limit >= 0 && limit <= HUB_PAGE_MAX, 2, "option 'limit' must be 0 to 1000");
    hub_history_query query = {.since = hub_check_position(L, 2, "since"),
                               .limit = (size_t)limit,
                               .reverse = vm_opt_boolean(L, 2, "reverse", false)};
    task_token token = task_token_of(L);
    reading *r = mem_alloc(sizeof *r);
    r->token = token;
    hub_read_history(port, topic, &query, on_page, r);
    if (r->done)
        return push_done_page(L, r);
    r->parked = true;
    return task_park(L, NULL, NULL);
}
