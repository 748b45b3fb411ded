/* The methods of `x`, the raw request that lua/web/request.lua wraps: what was sent, read from C
 * when it is asked for. Bodies wait. What must never happen: a call that reaches an exchange which
 * is gone; every method goes through exchange_box_check. */
#include "l_exchange.h"

#include "forwarded.h"
#include "l_json.h"
#include "mem.h"
#include "task.h"
#include "ws.h"
#include <stdlib.h>

static const char box_name[] = "host.exchange";

/* By what it holds, not by its metatable as luaL_checkudata does: a third of the cost, and this
 * runs several times a request. */
exchange *exchange_box_check(lua_State *L, int arg)
{
    const exchange_box *box = lua_type(L, arg) == LUA_TUSERDATA ? lua_touserdata(L, arg) : NULL;
    if (box == NULL || lua_rawlen(L, arg) != sizeof *box || box->kind != box_name)
        luaL_typeerror(L, arg, box_name);
    if (box->x == NULL)
        luaL_error(L, "this request is over: its exchange must not be kept");
    return box->x;
}

static int x_header(lua_State *L)
{
    slice value = exchange_header(exchange_box_check(L, 1), vm_check_slice(L, 2));
    if (value.p == NULL)
        lua_pushnil(L);
    else
        vm_push_slice(L, value);
    return 1;
}

static void lower(luaL_Buffer *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        luaL_addchar(b, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

static int x_headers(lua_State *L)
{
    size_t count;
    const http_header *headers = exchange_headers(exchange_box_check(L, 1), &count);
    lua_createtable(L, 0, (int)count);
    for (size_t i = 0; i < count; i++) {
        luaL_Buffer name;
        luaL_buffinit(L, &name);
        lower(&name, headers[i].name);
        luaL_pushresult(&name);
        lua_pushvalue(L, -1);
        bool again = lua_rawget(L, -3) != LUA_TNIL;
        vm_push_slice(L, headers[i].value);
        if (again) {
            lua_pushliteral(L, ", ");
            lua_insert(L, -2);
            lua_concat(L, 3);
        } else {
            lua_remove(L, -2);
        }
        lua_rawset(L, -3);
    }
    return 1;
}

static int x_query(lua_State *L)
{
    vm_push_slice(L, exchange_query(exchange_box_check(L, 1)));
    return 1;
}

static int x_target(lua_State *L)
{
    vm_push_slice(L, exchange_target(exchange_box_check(L, 1)));
    return 1;
}

static int x_id(lua_State *L)
{
    vm_push_slice(L, exchange_id(exchange_box_check(L, 1)));
    return 1;
}

static int x_peer(lua_State *L)
{
    vm_push_slice(L, forwarded_peer(exchange_box_check(L, 1)));
    return 1;
}

static int x_network(lua_State *L)
{
    vm_push_slice(L, forwarded_network(exchange_box_check(L, 1)));
    return 1;
}

static int x_scheme(lua_State *L)
{
    lua_pushstring(L, forwarded_is_tls(exchange_box_check(L, 1)) ? "https" : "http");
    return 1;
}

static int x_host(lua_State *L)
{
    slice host = forwarded_host(exchange_box_check(L, 1));
    if (host.p == NULL)
        return 0;
    vm_push_slice(L, host);
    return 1;
}

static int x_minor(lua_State *L)
{
    lua_pushinteger(L, exchange_minor(exchange_box_check(L, 1)));
    return 1;
}

/* route(pattern) names it; route() tells the name, or nil. */
static int x_route(lua_State *L)
{
    exchange *x = exchange_box_check(L, 1);
    if (lua_isnoneornil(L, 2)) {
        slice route = exchange_route(x);
        if (route.n == 0)
            return 0;
        vm_push_slice(L, route);
        return 1;
    }
    slice pattern = vm_check_slice(L, 2);
    pattern.p = arena_copy(exchange_arena(x), pattern.p, pattern.n);
    exchange_set_route(x, pattern);
    return 0;
}

static int x_default_header(lua_State *L)
{
    exchange *x = exchange_box_check(L, 1);
    slice name = vm_check_slice(L, 2);
    if (exchange_default_header(x, name, vm_check_slice(L, 3)) != 0)
        return luaL_error(
            L,
            "header '%s' is refused: it holds a control character, is no header name, "
            "is the server's own, or there are too many",
            name.p);
    return 0;
}

static int x_wants_ws(lua_State *L)
{
    lua_pushboolean(L, ws_wanted(exchange_box_check(L, 1)));
    return 1;
}

static int x_check_ws(lua_State *L)
{
    const ws_refusal *r = ws_check(exchange_box_check(L, 1));
    if (r == NULL)
        return 0;
    lua_pushinteger(L, r->status);
    lua_pushstring(L, r->code);
    lua_pushstring(L, r->message);
    return 3;
}

/* Bodies ------------------------------------------------------------------------------------ */

typedef struct body_wait body_wait;

/* What a script gets of a body: how it is asked for, and how it is pushed. */
typedef struct {
    body_status (*ask)(exchange *x, size_t limit, slice *data, body_wait *w);
    int (*push)(lua_State *L, slice data);
} body_form;

struct body_wait {
    exchange *x;
    task_token token;
    const body_form *form;
    body_status status;
    char *data;
    size_t n;
};

static int push_body(lua_State *L, const body_form *form, body_status status, slice data)
{
    switch (status) {
    case BODY_WHOLE:
        return form->push(L, data);
    case BODY_END:
        lua_pushnil(L);
        return 1;
    case BODY_LARGE:
        return vm_fail(L, "too_large", "the body is larger than this route takes");
    case BODY_SLOW:
        return vm_fail(L, "too_slow", "the body came too slowly");
    default:
        return vm_fail(L, "aborted", "the body ended before it was complete");
    }
}

static int push_wait(lua_State *L, void *data)
{
    body_wait *w = data;
    return push_body(L, w->form, w->status, (slice){w->data, w->n});
}

static void free_wait(void *data)
{
    body_wait *w = data;
    free(w->data);
    free(w);
}

static void on_body(exchange *x, body_status status, slice data, void *arg)
{
    (void)x;
    body_wait *w = arg;
    w->status = status;
    if (status == BODY_WHOLE && data.n > 0) {
        w->data = mem_dup(data.p, data.n);
        w->n = data.n;
    }
    task_wake(w->token, push_wait, free_wait, w);
}

static void cancel_body(void *data)
{
    body_wait *w = data;
    exchange_read_cancel(w->x);
    free(w);
}

/* Most bodies have come with their heads: only one that is waited for needs a record. */
static int read_body(lua_State *L, exchange *x, const body_form *form)
{
    lua_Integer limit = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, limit >= 0, 2, "a limit in bytes, 0 for the configured one");
    slice data = {0};
    body_status status = form->ask(x, (size_t)limit, &data, NULL);
    if (status != BODY_WAIT)
        return push_body(L, form, status, data);
    task_token token = task_token_of(L);
    body_wait *w = mem_alloc(sizeof *w);
    *w = (body_wait){.x = x, .token = token, .form = form};
    form->ask(x, (size_t)limit, &data, w);
    return task_park(L, cancel_body, w);
}

static body_status ask_whole(exchange *x, size_t limit, slice *data, body_wait *w)
{
    return exchange_read_all(x, limit, data, w != NULL ? on_body : NULL, w);
}

static body_status ask_piece(exchange *x, size_t limit, slice *data, body_wait *w)
{
    (void)limit;
    return exchange_read_some(x, data, w != NULL ? on_body : NULL, w);
}

static int push_text(lua_State *L, slice data)
{
    vm_push_slice(L, data);
    return 1;
}

static int x_body(lua_State *L)
{
    static const body_form form = {ask_whole, push_text};
    return read_body(L, exchange_box_check(L, 1), &form);
}

static int x_read(lua_State *L)
{
    static const body_form form = {ask_piece, push_text};
    return read_body(L, exchange_box_check(L, 1), &form);
}

static int push_json(lua_State *L, slice data)
{
    if (data.n == 0)
        return vm_fail(L, "empty_body", "the body is empty; JSON is expected");
    if (json_decode(L, data))
        return 1;
    lua_pushnil(L);
    lua_pushfstring(L, "the body is not JSON: %s", lua_tostring(L, -2));
    lua_pushliteral(L, "bad_json");
    return 3;
}

/* "application/json; charset=utf-8" -> "application/json" */
static slice media_type(slice value)
{
    while (value.n > 0 && (*value.p == ' ' || *value.p == '\t'))
        value = (slice){value.p + 1, value.n - 1};
    size_t n = 0;
    while (n < value.n && value.p[n] != ';' && value.p[n] != ' ' && value.p[n] != '\t')
        n++;
    return (slice){value.p, n};
}

/* JSON itself, or a kind of it: "application/merge-patch+json". */
static bool is_json(slice type)
{
    static const slice before = SLICE_INIT("application/"), after = SLICE_INIT("+json");
    if (slice_ieq(type, SLICE("application/json")))
        return true;
    return type.n > before.n + after.n && slice_ieq((slice){type.p, before.n}, before) &&
           slice_ieq((slice){type.p + type.n - after.n, after.n}, after);
}

/* The body decoded, from where it lies: no script needs its text. */
static int x_json(lua_State *L)
{
    static const body_form form = {ask_whole, push_json};
    exchange *x = exchange_box_check(L, 1);
    slice header = exchange_header(x, SLICE("content-type"));
    slice type = media_type(header);
    if (header.p != NULL && !is_json(type))
        return vm_fail(
            L, "wrong_type",
            "the body must be JSON; send \"Content-Type: application/json\", not \"%.*s\"",
            type.n < 100 ? (int)type.n : 100, type.p);
    return read_body(L, x, &form);
}

static void cancel_chunk(void *data)
{
    body_wait *w = data;
    exchange_chunk_cancel(w->x);
    free(w);
}

static void on_writable(exchange *x, void *arg)
{
    (void)x;
    body_wait *w = arg;
    task_wake(w->token, NULL, free_wait, w);
}

/* write(data): waits while the peer has not taken what was written before. */
static int write_chunk(lua_State *L)
{
    exchange_box *box = lua_touserdata(L, lua_upvalueindex(1));
    slice data = vm_check_slice(L, 1);
    if (box->x == NULL)
        return luaL_error(L, "this request is over: its writer must not be kept");
    task_token token = task_token_of(L);
    exchange_chunk(box->x, data);
    if (box->x == NULL)
        return luaL_error(L, "the peer is gone");
    body_wait *w = mem_alloc(sizeof *w);
    w->x = box->x;
    w->token = token;
    if (exchange_chunk_wait(w->x, on_writable, w))
        return task_park(L, cancel_chunk, w);
    free(w);
    return 0;
}

void exchange_push_writer(lua_State *L, int box)
{
    lua_pushvalue(L, box);
    lua_pushcclosure(L, write_chunk, 1);
}

int exchange_box_type(lua_State *L)
{
    static const luaL_Reg methods[] = {{"header", x_header},
                                       {"headers", x_headers},
                                       {"query", x_query},
                                       {"target", x_target},
                                       {"id", x_id},
                                       {"peer", x_peer},
                                       {"network", x_network},
                                       {"scheme", x_scheme},
                                       {"host", x_host},
                                       {"minor", x_minor},
                                       {"route", x_route},
                                       {"default_header", x_default_header},
                                       {"wants_ws", x_wants_ws},
                                       {"check_ws", x_check_ws},
                                       {"body", x_body},
                                       {"json", x_json},
                                       {"read", x_read},
                                       {NULL, NULL}};
    lua_createtable(L, 0, 3);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, box_name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

exchange_box *exchange_box_push(lua_State *L, exchange *x, int type)
{
    exchange_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (exchange_box){box_name, x};
    lua_rawgeti(L, LUA_REGISTRYINDEX, type);
    lua_setmetatable(L, -2);
    return box;
}
