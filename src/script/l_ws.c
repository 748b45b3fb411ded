/* The methods of an open WebSocket. What must never happen: a call that reaches a socket which is
 * gone; every method goes through check_socket. */
#include "l_ws.h"

#include "box.h"
#include "crypto_agree.h"
#include "l_audience.h"
#include "l_hub.h"
#include <math.h>

static const char box_name[] = "host.ws";

enum { REASON_MAX = WS_CONTROL_MAX - 2 };

/* NULL: it is closed. */
static ws *check_socket(lua_State *L)
{
    const ws_box *box = luaL_checkudata(L, 1, box_name);
    return box->session != NULL ? ws_session_socket(box->session) : NULL;
}

static int fail_closed(lua_State *L)
{
    return vm_fail(L, "closed", "this WebSocket is closed");
}

static int ws_send_message(lua_State *L)
{
    ws *w = check_socket(L);
    slice data = vm_check_slice(L, 2);
    bool binary = lua_toboolean(L, 3);
    if (!binary && !utf8_valid(data))
        return vm_fail(L, "utf8", "a text message must be UTF-8; other bytes go as binary");
    if (w == NULL || !ws_send(w, binary ? WS_BINARY : WS_TEXT, data))
        return fail_closed(L);
    lua_pushboolean(L, 1);
    return 1;
}

static slice check_topic(lua_State *L)
{
    slice topic = vm_check_slice(L, 2);
    luaL_argcheck(L, topic.n > 0 && topic.n <= HUB_TOPIC_MAX, 2,
                  "a topic's name must be 1 to 255 bytes");
    return topic;
}

static void push_subscribed(lua_State *L, const subscribed *got)
{
    lua_createtable(L, 0, 2);
    if (hub_push_position(L, got->at) > 0)
        lua_setfield(L, -2, "position");
    if (got->recovery == HUB_FROM_NOW)
        return;
    lua_pushboolean(L, got->recovery == HUB_RECOVERED);
    lua_setfield(L, -2, "recovered");
}

/* subscribe(topic, { mode, since, history, envelope }) */
static int ws_subscribe_topic(lua_State *L)
{
    ws *w = check_socket(L);
    slice topic = check_topic(L);
    lua_Integer history = vm_opt_integer(L, 3, "history", 0);
    luaL_argcheck(L, history >= 0 && history <= HUB_HISTORY_MAX, 3,
                  "option 'history' must be a number of messages");
    ws_subscribing how = {.how = {.log = hub_check_log(L, 3, topic),
                                  .present = hub_check_presence(L, 3, topic),
                                  .start = {.since = hub_check_position(L, 3, "since"),
                                            .history = (uint32_t)history,
                                            .watched = true}},
                          .envelope = vm_opt_boolean(L, 3, "envelope", false)};
    subscribed got;
    if (w == NULL)
        return fail_closed(L);
    if (!ws_subscribe(w, topic, &how, &got))
        return vm_fail(L, "too_many", "a WebSocket can have %d subscriptions at most",
                       SUBSCRIPTIONS_MAX);
    push_subscribed(L, &got);
    return 1;
}

static int ws_unsubscribe_topic(lua_State *L)
{
    ws *w = check_socket(L);
    slice topic = check_topic(L);
    lua_pushboolean(L, w != NULL && ws_unsubscribe(w, topic));
    return 1;
}

static int check_code(lua_State *L, int arg, int missing)
{
    lua_Integer code = luaL_optinteger(L, arg, missing);
    luaL_argcheck(L, code > 0 && code < 5000 && ws_close_code_valid((int)code), arg,
                  "a close code must be 1000 to 1014 (not 1004 to 1006) or 3000 to 4999");
    return (int)code;
}

static slice check_reason(lua_State *L, int arg)
{
    slice reason;
    reason.p = luaL_optlstring(L, arg, "", &reason.n);
    luaL_argcheck(L, reason.n <= REASON_MAX && utf8_valid(reason), arg,
                  "a reason must be UTF-8 of 123 bytes at most");
    return reason;
}

static int ws_close_socket(lua_State *L)
{
    ws *w = check_socket(L);
    int code = check_code(L, 2, WS_NORMAL);
    slice reason = check_reason(L, 3);
    if (w != NULL)
        ws_close(w, code, reason);
    return 0;
}

/* expire(seconds, code, reason) */
static int ws_expire_socket(lua_State *L)
{
    ws *w = check_socket(L);
    lua_Number seconds = luaL_checknumber(L, 2);
    int code = check_code(L, 3, WS_POLICY);
    slice reason = check_reason(L, 4);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 2, "seconds, not negative");
    if (w != NULL)
        audience_expire(ws_member(w), (uint64_t)ceil(seconds * 1000) + 1, code, reason);
    return 0;
}

/* identify{ user, tenant, jti, iat, exp } */
static int ws_identify_socket(lua_State *L)
{
    ws *w = check_socket(L);
    audience_identity who = audience_check_identity(L, 2);
    if (w != NULL)
        audience_identify(ws_member(w), &who);
    return 0;
}

/* seal(channel, greeting): the greeting is the last message that leaves in the clear */
static int ws_seal_socket(lua_State *L)
{
    ws *w = check_socket(L);
    slice greeting = vm_check_slice(L, 3);
    luaL_argcheck(L, utf8_valid(greeting), 3, "a text message must be UTF-8");
    crypto_check_channel(L, 2);
    if (w != NULL && !ws_can_seal(w))
        return vm_fail(L, "too_late", "a connection is sealed once, and before it subscribes");
    if (w == NULL || !ws_send(w, WS_TEXT, greeting))
        return fail_closed(L);
    ws_seal(w, crypto_take_channel(L, 2));
    lua_pushboolean(L, 1);
    return 1;
}

static int fail_unsealed(lua_State *L, seal_result result)
{
    if (result == SEAL_REPLAY)
        return vm_fail(L, "replay", "a sealed message of this number has come before");
    if (result == SEAL_MISSING)
        return vm_fail(L, "out_of_order", "a sealed message before this one has not come");
    return vm_fail(L, "not_opened", "this is not sealed with the keys of this connection");
}

/* unseal(text) */
static int ws_unseal_text(lua_State *L)
{
    ws *w = check_socket(L);
    slice text = vm_check_slice(L, 2);
    if (w == NULL)
        return fail_closed(L);
    buf *out = box_push_buf(L);
    seal_result result = ws_unseal(w, text, out);
    if (result != SEAL_OK)
        return fail_unsealed(L, result);
    box_push_text(L, out);
    return 1;
}

/* present(topic, here): enters or exits */
static int ws_present(lua_State *L)
{
    ws *w = check_socket(L);
    slice topic = check_topic(L);
    if (w != NULL && lua_toboolean(L, 3))
        audience_enter(ws_member(w), topic);
    else if (w != NULL)
        audience_exit(ws_member(w), topic);
    return 0;
}

/* presence_data(json): "" takes it away */
static int ws_presence_data(lua_State *L)
{
    ws *w = check_socket(L);
    slice json = vm_check_slice(L, 2);
    luaL_argcheck(L, json.n <= AUDIENCE_DATA_MAX, 2, "presence data has 4,096 bytes at most");
    if (w != NULL)
        audience_set_data(ws_member(w), json);
    return 0;
}

ws_box *ws_box_push(lua_State *L)
{
    ws_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    box->session = NULL;
    if (luaL_newmetatable(L, box_name)) {
        static const luaL_Reg methods[] = {{"send", ws_send_message},
                                           {"subscribe", ws_subscribe_topic},
                                           {"unsubscribe", ws_unsubscribe_topic},
                                           {"seal", ws_seal_socket},
                                           {"unseal", ws_unseal_text},
                                           {"close", ws_close_socket},
                                           {"expire", ws_expire_socket},
                                           {"identify", ws_identify_socket},
                                           {"present", ws_present},
                                           {"presence_data", ws_presence_data},
                                           {NULL, NULL}};
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return box;
}

void ws_open(lua_State *L, int index, exchange *x)
{
    dispatcher *d = dispatcher_of(x);
    if (dispatcher_ws(d) == NULL)
        luaL_error(L, "boot.lua returns no table `ws`: WebSockets can't be served");
    ws_box *box = ws_box_push(L);
    lua_setfield(L, index, "raw");
    audience_opening opening = {.id = vm_opt_slice(L, index, "id", (slice){0})};
    lua_getfield(L, index, "opened");
    lua_pushvalue(L, index);
    lua_pushvalue(L, index);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    ws_session *s = ws_session_start(x, d, ref, box, &opening);
    if (s == NULL) {
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return;
    }
    if (lua_pcall(L, 1, 0, 0) == LUA_OK) {
        if (ws_session_socket(s) != NULL)
            ws_begin(ws_session_socket(s));
        return;
    }
    if (ws_session_socket(s) != NULL)
        ws_close(ws_session_socket(s), WS_INTERNAL, SLICE("the handler failed"));
    lua_error(L);
}
