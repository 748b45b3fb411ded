/* host.hub: who is connected, on all workers and nodes; ending connections; revoking tokens.
 *
 *   connections, disconnect, unsubscribe, refresh -> audience_ask -> wake with the answer
 *   revoke -> the store keeps it -> audience_ask: it is known and enforced -> wake
 *
 * A revocation is enforced also when the store can't keep it, and then the caller is told. */
#include "l_audience.h"

#include "box.h"
#include "clock.h"
#include "config.h"
#include "mem.h"
#include "revocations.h"
#include "store.h"
#include "task.h"
#include "utf8.h"
#include "ws_frame.h"
#include <stdlib.h>

enum { LIMIT = 100, LIMIT_MAX = 10000, REASON_MAX = WS_CONTROL_MAX - 2 };

static int64_t check_time(lua_State *L, int arg, const char *name)
{
    lua_Number seconds = vm_opt_number(L, arg, name, 0);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e12, arg, "a time is in Unix seconds");
    return (int64_t)seconds;
}

static slice check_text(lua_State *L, int arg, const char *name)
{
    return vm_opt_slice(L, arg, name, (slice){"", 0});
}

audience_identity audience_check_identity(lua_State *L, int arg)
{
    audience_identity who = {.issued = check_time(L, arg, "iat"),
                             .expires = check_time(L, arg, "exp")};
    who.user = check_text(L, arg, "user");
    who.tenant = check_text(L, arg, "tenant");
    who.jti = check_text(L, arg, "jti");
    return who;
}

audience_opening audience_check_opening(lua_State *L, int stream, char id[AUDIENCE_ID_MAX + 1])
{
    audience_opening opening = {.id = vm_opt_slice(L, stream, "id", (slice){0})};
    if (opening.id.n == 0 || opening.id.n > AUDIENCE_ID_MAX) {
        audience_make_id(id);
        opening.id = slice_of(id);
    }
    lua_getfield(L, stream, "identity");
    opening.who = audience_check_identity(L, lua_gettop(L));
    return opening;
}

/* Questions --------------------------------------------------------------------------------- */

typedef struct {
    task_token token;
    task_push push;
    uint64_t count;
    unsigned nodes;
    bool whole, unkept;
    buf rows;
    /* of a revocation that the store is keeping */
    audience_request request;
    buf texts;
} asking;

static void free_asking(void *data)
{
    asking *q = data;
    buf_free(&q->rows);
    buf_free(&q->texts);
    free(q);
}

static void on_answer(const audience_answer *answer, void *arg)
{
    asking *q = arg;
    q->count = answer->count;
    q->nodes = answer->nodes;
    q->whole = answer->whole;
    buf_append(&q->rows, "[", 1);
    buf_append_slice(&q->rows, answer->rows);
    buf_append(&q->rows, "]", 1);
    task_wake(q->token, q->push, free_asking, q);
}

static int push_count(lua_State *L, void *data)
{
    const asking *q = data;
    if (q->unkept)
        return vm_fail(L, "unavailable",
                       "the revocation holds until a restart only: the store could not keep it");
    lua_pushinteger(L, (lua_Integer)q->count);
    return 1;
}

static int push_rows(lua_State *L, void *data)
{
    const asking *q = data;
    box_push_json(L, "decode");
    lua_pushlstring(L, q->rows.data, q->rows.len);
    lua_call(L, 1, 1);
    lua_pushboolean(L, q->whole);
    return 2;
}

static asking *new_asking(lua_State *L, task_push push)
{
    task_token token = task_token_of(L);
    asking *q = mem_alloc(sizeof *q);
    q->token = token;
    q->push = push;
    return q;
}

static void check_here(lua_State *L)
{
    if (audience_here() == NULL)
        luaL_error(L, "nobody is connected here: this is no server's worker");
}

static int ask(lua_State *L, const audience_request *r, task_push push)
{
    check_here(L);
    asking *q = new_asking(L, push);
    audience_ask(audience_here(), r, on_answer, q);
    return task_park(L, NULL, NULL);
}

/* { id, user, tenant, jti, topic }; the texts stay on the stack. */
static audience_request check_filter(lua_State *L, audience_verb verb)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    audience_request r = {.verb = verb, .all_nodes = true};
    r.who = audience_check_identity(L, 1);
    r.id = check_text(L, 1, "id");
    r.topic = check_text(L, 1, "topic");
    return r;
}

static bool is_everybody(const audience_request *r)
{
    return r->id.n + r->topic.n + r->who.user.n + r->who.tenant.n + r->who.jti.n == 0;
}

/* connections{ id, user, tenant, jti, topic, limit, nodes } -> list, whole */
static int list_connections(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    audience_request r = check_filter(L, AUDIENCE_LIST);
    lua_Integer limit = vm_opt_integer(L, 1, "limit", LIMIT);
    luaL_argcheck(L, limit >= 1 && limit <= LIMIT_MAX, 1, "option 'limit' must be 1 to 10000");
    r.limit = (uint32_t)limit;
    r.all_nodes = vm_opt_boolean(L, 1, "nodes", false);
    return ask(L, &r, push_rows);
}

/* disconnect{ id, user, tenant, jti, topic, code, reason } -> count */
static int disconnect(lua_State *L)
{
    audience_request r = check_filter(L, AUDIENCE_END);
    r.end = audience_kicked;
    lua_Integer code = vm_opt_integer(L, 1, "code", r.end.code);
    luaL_argcheck(L, code > 0 && code < 5000 && ws_close_code_valid((int)code), 1,
                  "option 'code' must be 1000 to 1014 (not 1004 to 1006) or 3000 to 4999");
    r.end.code = (int)code;
    r.end.reason = check_text(L, 1, "reason");
    luaL_argcheck(L, r.end.reason.n <= REASON_MAX && utf8_valid(r.end.reason), 1,
                  "option 'reason' must be UTF-8 of 123 bytes at most");
    luaL_argcheck(L, !is_everybody(&r), 1, "name an id, a user, a tenant, a jti or a topic");
    return ask(L, &r, push_count);
}

/* say(text, whom) -> count */
static int say(lua_State *L)
{
    slice text = vm_check_slice(L, 1);
    luaL_argcheck(L, utf8_valid(text), 1, "a text must be UTF-8");
    lua_rotate(L, 1, -1); /* the filter first, as everywhere; the text stays on the stack */
    audience_request r = check_filter(L, AUDIENCE_SAY);
    r.text = text;
    luaL_argcheck(L, !is_everybody(&r), 2, "name an id, a user, a tenant, a jti or a topic");
    return ask(L, &r, push_count);
}

/* unsubscribe{ id, user, tenant, jti, topic } -> count */
static int unsubscribe(lua_State *L)
{
    audience_request r = check_filter(L, AUDIENCE_UNSUBSCRIBE);
    luaL_argcheck(L, r.topic.n > 0, 1, "option 'topic' is needed");
    return ask(L, &r, push_count);
}

/* refresh(id, { user, tenant, jti, iat, exp }) -> count */
static int refresh(lua_State *L)
{
    audience_request r = {.verb = AUDIENCE_IDENTIFY, .all_nodes = true};
    r.id = vm_check_slice(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    r.who = audience_check_identity(L, 2);
    luaL_argcheck(L, r.id.n > 0, 1, "an id is needed");
    luaL_argcheck(L, r.who.user.n > 0, 2, "option 'user' is needed");
    return ask(L, &r, push_count);
}

/* Revocations ------------------------------------------------------------------------------- */

/* Copies the texts out of Lua's hands, whose task may end meanwhile. */
static void keep_texts(asking *q)
{
    audience_identity *who = &q->request.who;
    slice *texts[] = {&who->jti, &who->user, &who->tenant};
    size_t at[3];
    for (size_t i = 0; i < 3; i++) {
        at[i] = q->texts.len;
        buf_append_slice(&q->texts, *texts[i]);
    }
    for (size_t i = 0; i < 3; i++)
        texts[i]->p = q->texts.data + at[i];
}

static void on_kept(const store_result *result, void *arg)
{
    asking *q = arg;
    q->unkept = result->status != STORE_OK;
    if (audience_here() != NULL) {
        audience_ask(audience_here(), &q->request, on_answer, q);
        return;
    }
    task_wake(q->token, q->push, free_asking, q);
}

/* Unix seconds: when a token that expires at `exp` is accepted no longer. */
static int64_t over(lua_State *L, int64_t exp)
{
    return exp + (int64_t)(config_ms(vm_config(vm_of(L)), "token.leeway") / 1000) + 1;
}

/* Seconds until every token that exists now has expired. */
static int64_t longest_life(lua_State *L)
{
    const struct config *c = vm_config(vm_of(L));
    uint64_t a = config_ms(c, "token.max_ttl"), b = config_ms(c, "pubsub.ttl");
    return (int64_t)((a > b ? a : b) / 1000);
}

static void keep(asking *q, store_port *port, slice key)
{
    buf name = {0}, value = {0};
    const audience_request *r = &q->request;
    int64_t seconds = r->until - clock_wall_ms() / 1000;
    buf_text(&name, "revoked:");
    buf_append_slice(&name, key);
    buf_format(&value, "%lld %lld", (long long)r->who.issued, (long long)r->until);
    store_set(port, (slice){name.data, name.len}, (slice){value.data, value.len},
              (seconds > 0 ? seconds : 1) * 1000, on_kept, q);
    buf_free(&name);
    buf_free(&value);
}

/* revoke{ jti | user | tenant, exp, seconds } -> connections that it ended */
static int revoke_tokens(lua_State *L)
{
    char out[REVOCATION_KEY_MAX];
    store_port *port = vm_store(vm_of(L));
    audience_request r = check_filter(L, AUDIENCE_REVOKE);
    int64_t now = clock_wall_ms() / 1000;
    lua_Number seconds = vm_opt_number(L, 1, "seconds", 0);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e10, 1, "option 'seconds' must not be negative");
    int64_t exp = r.who.expires != 0 ? r.who.expires : now + longest_life(L);
    r.until = seconds > 0 ? now + (int64_t)seconds : over(L, exp);
    r.who.issued = now;
    revocation revoked = {r.who.jti, r.who.user, r.who.tenant, r.who.issued, r.until};
    slice key = revocation_key(&revoked, out);
    luaL_argcheck(L, key.n > 0, 1, "name a jti, a user or a tenant of at most 255 bytes");
    if (port == NULL)
        return luaL_error(L, "there is no store here");
    if (!revocations_add(key, r.who.issued, r.until))
        return vm_fail(L, "too_many", "the table of revocations is full (token.revocations)");
    asking *q = new_asking(L, push_count);
    q->request = r;
    keep_texts(q);
    keep(q, port, key);
    return task_park(L, NULL, NULL);
}

/* revoked{ jti, user, tenant, iat } -> boolean, fresh */
static int is_revoked(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    audience_identity who = audience_check_identity(L, 1);
    lua_pushboolean(L, revocations_hit(&who));
    lua_pushboolean(L, revocations_fresh());
    return 2;
}

/* revocations() -> epoch, fresh, count */
static int count_revocations(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)revocations_epoch());
    lua_pushboolean(L, revocations_fresh());
    lua_pushinteger(L, (lua_Integer)revocations_count());
    return 3;
}

/* restore_revocation(key, before, until) -> boolean: what the store has kept */
static int restore_revocation(lua_State *L)
{
    slice key = vm_check_slice(L, 1);
    lua_Integer before = luaL_checkinteger(L, 2), until = luaL_checkinteger(L, 3);
    lua_pushboolean(L, revocations_add(key, before, until));
    return 1;
}

/* revocations_restored(epoch) -> count of connections: the store was read; they are enforced */
static int revocations_restored(lua_State *L)
{
    revocations_read((uint64_t)luaL_checkinteger(L, 1));
    if (audience_here() == NULL || revocations_count() == 0) {
        lua_pushinteger(L, 0);
        return 1;
    }
    return ask(L, &(audience_request){.verb = AUDIENCE_APPLY}, push_count);
}

/* News -------------------------------------------------------------------------------------- */

static void push_text(lua_State *L, const char *name, slice text)
{
    if (text.n == 0)
        return;
    vm_push_slice(L, text);
    lua_setfield(L, -2, name);
}

static void push_integer(lua_State *L, const char *name, uint64_t number)
{
    lua_pushinteger(L, (lua_Integer)number);
    lua_setfield(L, -2, name);
}

static int push_news(lua_State *L)
{
    static const char *const kinds[] = {"close", "slow", "join", "leave"};
    const audience_news *n = lua_touserdata(L, 1);
    lua_createtable(L, 0, 10);
    push_text(L, "kind", slice_of(kinds[n->kind]));
    push_text(L, "connection", slice_of(n->id));
    push_text(L, "transport", slice_of(n->transport));
    push_text(L, "user", n->user);
    push_text(L, "tenant", n->tenant);
    push_text(L, "topic", n->topic);
    push_text(L, "data", n->data);
    push_text(L, "reason", n->reason);
    if (n->code != 0)
        push_integer(L, "code", (uint64_t)n->code);
    push_integer(L, "delivered", n->delivered);
    push_integer(L, "queued", n->queued);
    lua_pushnumber(L, (lua_Number)n->open_ms / 1000);
    lua_setfield(L, -2, "seconds");
    return 1;
}

/* next_news() -> table or nil */
static int next_news(lua_State *L)
{
    audience_news *n = audience_here() != NULL ? audience_next_news(audience_here()) : NULL;
    if (n == NULL)
        return 0;
    lua_pushcfunction(L, push_news);
    lua_pushlightuserdata(L, n);
    int status = lua_pcall(L, 1, 1, 0);
    free(n);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* next_room() -> name or nil */
static int next_room(lua_State *L)
{
    buf *name = box_push_buf(L);
    if (audience_here() == NULL || !audience_next_room(audience_here(), name))
        return 0;
    box_push_text(L, name);
    return 1;
}

/* room(name, limit) -> JSON, count: this worker's part */
static int describe_room(lua_State *L)
{
    slice name = vm_check_slice(L, 1);
    lua_Integer limit = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, limit >= 0, 2, "a number of members");
    check_here(L);
    buf *json = box_push_buf(L);
    audience_room_json(audience_here(), name, (size_t)limit, json);
    box_push_text(L, json);
    lua_pushinteger(L, (lua_Integer)audience_room_count(audience_here(), name));
    return 2;
}

/* announce(): every worker of this process tells anew who is present */
static int announce(lua_State *L)
{
    return ask(L, &(audience_request){.verb = AUDIENCE_ANNOUNCE}, push_count);
}

/* The rest ---------------------------------------------------------------------------------- */

static int make_connection_id(lua_State *L)
{
    char id[AUDIENCE_ID_MAX + 1];
    audience_make_id(id);
    lua_pushstring(L, id);
    return 1;
}

static int node_name(lua_State *L)
{
    vm_push_slice(L, audience_node());
    return 1;
}

static int worker_number(lua_State *L)
{
    lua_pushinteger(L, vm_services(vm_of(L))->worker);
    return 1;
}

static int worker_count(lua_State *L)
{
    lua_pushinteger(L, audience_workers());
    return 1;
}

static int set_nodes(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n < 10000, 1, "a number of nodes");
    audience_set_nodes((unsigned)n);
    return 0;
}

void audience_open_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connection_id", make_connection_id},
                                         {"connections", list_connections},
                                         {"disconnect", disconnect},
                                         {"unsubscribe", unsubscribe},
                                         {"say", say},
                                         {"refresh", refresh},
                                         {"revoke", revoke_tokens},
                                         {"revoked", is_revoked},
                                         {"revocations", count_revocations},
                                         {"restore_revocation", restore_revocation},
                                         {"revocations_restored", revocations_restored},
                                         {"next_news", next_news},
                                         {"next_room", next_room},
                                         {"room", describe_room},
                                         {"announce", announce},
                                         {"worker", worker_number},
                                         {"workers", worker_count},
                                         {"node", node_name},
                                         {"set_nodes", set_nodes},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
