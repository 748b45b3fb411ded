/* Reads { status, type, headers, body | file | stream | proxy | ws | chunks } and drives the
 * exchange. Everything is checked before the first byte is sent, so that a mistake becomes a whole
 * 500 and not half an answer. */
#include "response_table.h"

#include "app_file.h"
#include "box.h"
#include "hub.h"
#include "l_audience.h"
#include "l_events.h"
#include "l_gateway.h"
#include "l_hub.h"
#include "l_ws.h"
#include "mixed.h"

enum { PREAMBLE_MAX = 4096 };

/* What is read of the table stays on the stack. */
static int read_status(lua_State *L, int index)
{
    if (lua_getfield(L, index, "status") == LUA_TNIL)
        return 200;
    int status = (int)lua_tointeger(L, -1);
    if ((status < 200 && status != 101) || status > 599)
        luaL_error(L, "a response's status must be an integer from 200 to 599");
    return status;
}

static slice header_text(lua_State *L, slice name, int value)
{
    slice text;
    text.p = lua_tolstring(L, value, &text.n);
    if (text.p == NULL)
        luaL_error(L, "header '%s' must be a string or a list of strings, got %s", name.p,
                   luaL_typename(L, value));
    return text;
}

static void check_added(lua_State *L, int result, slice name)
{
    if (result != 0)
        luaL_error(L,
                   "header '%s' is refused: it holds a control character, is no header name, or "
                   "is the server's own",
                   name.p);
}

static void add_header(lua_State *L, exchange *x, slice name, int value)
{
    check_added(L, exchange_add_header(x, name, header_text(L, name, value)), name);
}

static void add_header_list(lua_State *L, exchange *x, slice name, int values)
{
    lua_Integer n = luaL_len(L, values);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, values, i);
        add_header(L, x, name, lua_gettop(L));
        lua_pop(L, 1);
    }
}

static void add_headers(lua_State *L, int index, exchange *x)
{
    if (lua_getfield(L, index, "headers") == LUA_TNIL)
        return;
    if (!lua_istable(L, -1))
        luaL_error(L, "a response's headers must be a table, got %s", luaL_typename(L, -1));
    int headers = lua_gettop(L);
    lua_pushnil(L);
    while (lua_next(L, headers) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "a header's name must be a string, got %s", luaL_typename(L, -2));
        slice name;
        name.p = lua_tolstring(L, -2, &name.n);
        if (lua_istable(L, -1))
            add_header_list(L, x, name, lua_gettop(L));
        else
            add_header(L, x, name, lua_gettop(L));
        lua_pop(L, 1);
    }
}

static void add_type(lua_State *L, int index, exchange *x)
{
    static const slice name = SLICE_INIT("Content-Type");
    if (lua_getfield(L, index, "type") != LUA_TNIL)
        check_added(L, exchange_add_type(x, header_text(L, name, -1)), name);
}

static void start_mixed(lua_State *L, int stream, exchange *x)
{
    mixed_view view = {.topic = vm_opt_slice(L, stream, "topic", (slice){0})};
    hub_port *port = vm_services(vm_of(L))->hub;
    if (view.topic.n == 0 || view.topic.n > HUB_TOPIC_MAX)
        luaL_error(L, "a stream's topic must be 1 to %d bytes", HUB_TOPIC_MAX);
    if (port == NULL)
        luaL_error(L, "there is no hub here");
    view.present = hub_check_presence(L, stream, view.topic);
    view.preamble = vm_opt_slice(L, stream, "preamble", (slice){0});
    if (view.preamble.n > PREAMBLE_MAX)
        luaL_error(L, "a stream's preamble has at most %d bytes", PREAMBLE_MAX);
    char id[AUDIENCE_ID_MAX + 1];
    audience_opening opening = audience_check_opening(L, stream, id);
    mixed_start(x, port, &view, &opening);
    lua_getfield(L, stream, "watch");
    hub_watch_close(L, lua_gettop(L));
}

static response_kind start_stream(lua_State *L, int stream, exchange *x)
{
    slice kind = vm_opt_slice(L, stream, "kind", SLICE("mixed"));
    if (slice_eq(kind, SLICE("sse")))
        return RESPONSE_EVENTS;
    if (!slice_eq(kind, SLICE("mixed")))
        luaL_error(L, "no stream of kind '%s': there are mixed and sse", kind.p);
    start_mixed(L, stream, x);
    return RESPONSE_DONE;
}

static response_kind send_file(lua_State *L, int file, exchange *x)
{
    lua_Integer offset = vm_opt_integer(L, file, "offset", 0);
    lua_Integer length = vm_opt_integer(L, file, "length", -1);
    slice path = vm_opt_slice(L, file, "path", (slice){0});
    if (path.p == NULL || offset < 0)
        luaL_error(L, "a file answer needs a path, and an offset from 0");
    uint64_t size;
    char error[256];
    int fd = app_file_open(vm_settings(vm_of(L))->folder, path, &size, error, sizeof error);
    if (fd < 0)
        luaL_error(L, "cannot send the file: %s", error);
    if ((uint64_t)offset > size)
        offset = (lua_Integer)size;
    uint64_t left = size - (uint64_t)offset;
    if (length < 0 || (uint64_t)length > left)
        length = (lua_Integer)left;
    exchange_finish_file(x, fd, (uint64_t)offset, (uint64_t)length);
    return RESPONSE_DONE;
}

static response_kind start_proxy(lua_State *L, int index, int plan, exchange *x)
{
    proxy_call call = {.plan = gateway_plan_test(L, plan)};
    client *cl = vm_services(vm_of(L))->client;
    if (call.plan == NULL || cl == NULL)
        luaL_error(L, "a response's field `proxy` must be a plan: use web.proxy");
    if (lua_getfield(L, index, "request_headers") != LUA_TNIL) {
        buf *own = box_push_buf(L);
        gateway_read_headers(L, -2, own);
        call.set = (slice){own->data, own->len};
    }
    call.path = vm_opt_slice(L, index, "path", (slice){0});
    proxy_start(x, cl, &call);
    return RESPONSE_DONE;
}

static int mistake(lua_State *L, exchange *x, const char *what)
{
    vm_push_slice(L, exchange_method(x));
    vm_push_slice(L, exchange_route(x));
    return luaL_error(L, "%s %s: %s", lua_tostring(L, -2), lua_tostring(L, -1), what);
}

/* No body is meant, unless the table is no response at all. */
static void check_empty(lua_State *L, int index, exchange *x)
{
    static const char *const known[] = {"status", "type", "headers"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (lua_getfield(L, index, known[i]) != LUA_TNIL)
            return;
    }
    lua_pushnil(L);
    if (lua_next(L, index))
        mistake(L, x,
                lua_pushfstring(L, "a response has no field %s; web.json makes JSON of a table",
                                luaL_tolstring(L, -2, NULL)));
}

static response_kind send_other(lua_State *L, int index, exchange *x)
{
    if (lua_getfield(L, index, "stream") == LUA_TTABLE)
        return start_stream(L, lua_gettop(L), x);
    if (lua_getfield(L, index, "proxy") != LUA_TNIL)
        return start_proxy(L, index, lua_gettop(L), x);
    if (lua_getfield(L, index, "file") == LUA_TTABLE)
        return send_file(L, lua_gettop(L), x);
    if (lua_getfield(L, index, "ws") == LUA_TTABLE) {
        ws_open(L, lua_gettop(L), x);
        return RESPONSE_DONE;
    }
    if (lua_getfield(L, index, "chunks") == LUA_TFUNCTION) {
        lua_pop(L, 1);
        return RESPONSE_CHUNKS;
    }
    check_empty(L, index, x);
    exchange_finish(x, (slice){"", 0});
    return RESPONSE_DONE;
}

response_kind response_render(lua_State *L, int index, exchange *x)
{
    if (!lua_istable(L, index))
        mistake(L, x,
                lua_pushfstring(
                    L, "a route must return a response (web.text, web.json ...), it returned %s%s",
                    luaL_typename(L, index),
                    lua_isnoneornil(L, index) ? ": is a `return` missing?" : ""));
    exchange_status(x, read_status(L, index));
    add_type(L, index, x);
    add_headers(L, index, x);
    int type = lua_getfield(L, index, "body");
    if (type == LUA_TNIL)
        return send_other(L, index, x);
    if (type != LUA_TSTRING)
        luaL_error(L, "a response's body must be a string, got %s", luaL_typename(L, -1));
    exchange_finish(x, vm_check_slice(L, -1));
    return RESPONSE_DONE;
}
