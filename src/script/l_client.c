/* host.client: one request to another server, as lua/host/http.lua uses it. open() waits for the
 * answer's head, read() for the next piece of its body, so that a script holds one piece at a time;
 * what the script does not take holds the upstream back.
 *
 *   open --head--> OPEN --read ... nil--> ENDED
 *      \--failure: nil, message, code      \--close, <close>, collected: the request is cancelled
 *
 * The answer is a userdata that the client's callbacks write into: it is anchored by the waiting
 * task's stack, then by the script, and when the collector takes it the client forgets it. What
 * must never happen: a callback after that. */
#include "task.h"

#include "box.h"
#include "client.h"
#include "mem.h"
#include "url.h"
#include <stdlib.h>
#include <zlib.h>

static const char answer_name[] = "host.client.answer";

enum { PIECE_MAX = 64 * 1024, GZIP_WINDOW = 15 + 32 };

typedef struct {
    client_request *request; /* NULL: ended */
    task_token token;
    bool parked, paused;
    int status;
    buf head, body; /* body: what has come and was not read */
    size_t at;      /* of body, what was read */
    bool has_head;
    client_code code;
    buf why;
    bool inflating;
    z_stream inflate;
} answer;

/* What the client reports ---------------------------------------------------------------------- */

static int push_piece(lua_State *L, void *data);
static int push_head(lua_State *L, void *data);

static void wake(answer *a, task_push push)
{
    if (!a->parked)
        return;
    a->parked = false;
    task_wake(a->token, push, NULL, a);
}

static bool is_gzip(const client_answer *from)
{
    for (size_t i = 0; i < from->header_count; i++)
        if (slice_ieq(from->headers[i].name, SLICE("content-encoding")))
            return slice_ieq(from->headers[i].value, SLICE("gzip")) ||
                   slice_ieq(from->headers[i].value, SLICE("x-gzip"));
    return false;
}

static void on_head(client_request *r, const client_answer *from)
{
    answer *a = client_owner(r);
    a->status = from->status;
    buf_append_slice(&a->head, from->head);
    a->has_head = true;
    a->inflating = is_gzip(from) && inflateInit2(&a->inflate, GZIP_WINDOW) == Z_OK;
    wake(a, push_head);
}

static void on_body(client_request *r, slice data)
{
    answer *a = client_owner(r);
    buf_append_slice(&a->body, data);
    if (a->body.len - a->at >= PIECE_MAX && !a->paused) {
        a->paused = true;
        client_pause(r);
    }
    wake(a, push_piece);
}

static void on_end(client_request *r, client_code code, const char *why)
{
    answer *a = client_owner(r);
    a->request = NULL;
    a->code = code;
    buf_text(&a->why, why != NULL ? why : "");
    wake(a, a->has_head ? push_piece : push_head);
}

static const client_ops ops = {on_head, on_body, on_end, NULL, NULL, NULL};

/* The answer in Lua ---------------------------------------------------------------------------- */

static int push_failure(lua_State *L, const answer *a)
{
    lua_pushnil(L);
    lua_pushlstring(L, a->why.len > 0 ? a->why.data : "", a->why.len);
    lua_pushstring(L, client_code_word(a->code));
    return 3;
}

/* The answer lies at the bottom of the caller's frame. */
static int push_head(lua_State *L, void *data)
{
    const answer *a = data;
    if (!a->has_head)
        return push_failure(L, a);
    lua_pushvalue(L, 1);
    return 1;
}

static void take_in(answer *a, size_t n)
{
    a->at += n;
    if (a->at < a->body.len)
        return;
    a->at = 0;
    a->body.len = 0;
    if (!a->paused || a->request == NULL)
        return;
    a->paused = false;
    client_resume(a->request);
}

/* At most PIECE_MAX bytes, so that a bomb costs no more than what its reader takes. */
static int push_inflated(lua_State *L, answer *a)
{
    luaL_Buffer b;
    char *room = luaL_buffinitsize(L, &b, PIECE_MAX);
    z_stream *z = &a->inflate;
    size_t given = a->body.len - a->at;
    z->next_in = (Bytef *)a->body.data + a->at;
    z->avail_in = (uInt)given;
    z->next_out = (Bytef *)room;
    z->avail_out = PIECE_MAX;
    int rc = inflate(z, Z_NO_FLUSH);
    take_in(a, rc == Z_STREAM_END ? given : given - z->avail_in);
    if (rc == Z_STREAM_END) {
        a->inflating = false;
        inflateEnd(z);
    }
    luaL_pushresultsize(&b, PIECE_MAX - z->avail_out);
    if (rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR)
        return 1;
    return vm_fail(L, "bad_response", "the answer's gzip is damaged");
}

static int push_bytes(lua_State *L, answer *a)
{
    lua_pushlstring(L, a->body.data + a->at, a->body.len - a->at);
    take_in(a, a->body.len - a->at);
    return 1;
}

static int push_end(lua_State *L, const answer *a)
{
    if (a->code != CLIENT_OK)
        return push_failure(L, a);
    if (a->inflating)
        return vm_fail(L, "bad_response", "the answer's gzip ends too early");
    lua_pushnil(L);
    return 1;
}

static int push_piece(lua_State *L, void *data)
{
    answer *a = data;
    if (a->body.len == 0)
        return push_end(L, a);
    return a->inflating ? push_inflated(L, a) : push_bytes(L, a);
}

static void cancel_read(void *data)
{
    ((answer *)data)->parked = false;
}

static int answer_read(lua_State *L)
{
    answer *a = luaL_checkudata(L, 1, answer_name);
    if (a->body.len > 0 || a->request == NULL)
        return push_piece(L, a);
    task_token token = task_token_of(L);
    if (a->parked)
        return luaL_error(L, "another task reads this answer already");
    a->token = token;
    a->parked = true;
    return task_park(L, cancel_read, a);
}

static void release(answer *a)
{
    buf_free(&a->head);
    buf_free(&a->body);
    buf_free(&a->why);
    if (a->inflating)
        inflateEnd(&a->inflate);
    a->inflating = false;
    a->at = 0;
}

static int answer_close(lua_State *L)
{
    answer *a = luaL_checkudata(L, 1, answer_name);
    if (a->request != NULL) {
        client_cancel(a->request);
        a->request = NULL;
        a->code = CLIENT_RESET;
        buf_text(&a->why, "the answer was closed by its reader");
        wake(a, push_piece);
    }
    return 0;
}

static int answer_collect(lua_State *L)
{
    answer *a = luaL_checkudata(L, 1, answer_name);
    if (a->request != NULL)
        client_forget(a->request);
    a->request = NULL;
    release(a);
    return 0;
}

static void push_lower(lua_State *L, slice s)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < s.n; i++)
        luaL_addchar(&b, (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]));
    luaL_pushresult(&b);
}

/* table[name] = value, or what is there, a comma and the value. */
static void add_header(lua_State *L, slice line)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (colon == NULL)
        return;
    slice value = {colon + 1, (size_t)(line.p + line.n - colon - 1)};
    while (value.n > 0 && (*value.p == ' ' || *value.p == '\t'))
        value = (slice){value.p + 1, value.n - 1};
    while (value.n > 0 && strchr(" \t\r", value.p[value.n - 1]) != NULL)
        value.n--;
    push_lower(L, (slice){line.p, (size_t)(colon - line.p)});
    lua_pushvalue(L, -1);
    bool again = lua_rawget(L, -3) != LUA_TNIL;
    lua_pushstring(L, again ? ", " : "");
    vm_push_slice(L, value);
    if (again) {
        lua_concat(L, 3);
    } else {
        lua_replace(L, -3);
        lua_pop(L, 1);
    }
    lua_rawset(L, -3);
}

static int push_headers(lua_State *L, const answer *a)
{
    slice rest = {a->head.data, a->head.len};
    lua_newtable(L);
    for (bool first = true; rest.n > 0; first = false) {
        const char *lf = memchr(rest.p, '\n', rest.n);
        slice line = {rest.p, lf != NULL ? (size_t)(lf - rest.p) : rest.n};
        size_t used = line.n + (lf != NULL);
        if (!first)
            add_header(L, line);
        rest = (slice){rest.p + used, rest.n - used};
    }
    return 1;
}

static int answer_index(lua_State *L)
{
    answer *a = luaL_checkudata(L, 1, answer_name);
    slice key = vm_check_slice(L, 2);
    if (slice_eq(key, SLICE("status")))
        lua_pushinteger(L, a->status);
    else if (slice_eq(key, SLICE("headers")))
        return push_headers(L, a);
    else if (slice_eq(key, SLICE("read")))
        lua_pushcfunction(L, answer_read);
    else if (slice_eq(key, SLICE("close")))
        lua_pushcfunction(L, answer_close);
    else
        lua_pushnil(L);
    return 1;
}

static answer *new_answer(lua_State *L)
{
    answer *a = lua_newuserdatauv(L, sizeof *a, 0);
    *a = (answer){0};
    if (luaL_newmetatable(L, answer_name)) {
        static const luaL_Reg methods[] = {{"__index", answer_index},
                                           {"__close", answer_close},
                                           {"__gc", answer_collect},
                                           {NULL, NULL}};
        luaL_setfuncs(L, methods, 0);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return a;
}

/* open(options) -------------------------------------------------------------------------------- */

static uint64_t opt_ms(lua_State *L, const char *name, lua_Number missing)
{
    lua_Number seconds = vm_opt_number(L, 1, name, missing);
    if (!(seconds >= 0 && seconds < 1e9))
        luaL_error(L, "option '%s' must be seconds, not negative", name);
    return (uint64_t)(seconds * 1000);
}

static void add_header_of(lua_State *L, buf *lines, int name, int value)
{
    if (lua_type(L, name) != LUA_TSTRING || !lua_isstring(L, value))
        luaL_error(L, "headers must be strings by name");
    slice n = vm_check_slice(L, name), v = vm_check_slice(L, value);
    if (client_add_header(lines, n, v) != 0)
        luaL_error(L,
                   "header '%s' is refused: it holds a control character, is no header name, or "
                   "is the client's own",
                   n.p);
}

static bool add_headers(lua_State *L, buf *lines)
{
    bool has_host = false;
    if (lua_getfield(L, 1, "headers") == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, -2) != 0) {
            int top = lua_gettop(L);
            add_header_of(L, lines, top - 1, top);
            has_host = has_host || slice_ieq(vm_check_slice(L, top - 1), SLICE("host"));
            lua_pop(L, 1);
        }
    } else if (!lua_isnil(L, -1)) {
        luaL_error(L, "option 'headers' must be a table");
    }
    lua_pop(L, 1);
    return has_host;
}

/* -1 with nil, message, code pushed. */
static int read_url(lua_State *L, client_call *call, slice *authority)
{
    const char *why = NULL;
    url_parts url;
    slice text = vm_opt_slice(L, 1, "url", SLICE("/"));
    call->path = vm_opt_slice(L, 1, "unix", (slice){0});
    *authority = SLICE("localhost");
    call->target = text;
    if (call->path.p == NULL) {
        if (!url_parse(text, &url, &why)) {
            vm_fail(L, "refused", "%s", why);
            return -1;
        }
        call->tls = url.tls;
        call->host = url.host;
        call->port = url.port;
        call->target = url.target;
        *authority = url.authority;
    }
    if (call->target.n == 0)
        call->target = SLICE("/");
    if (*call->target.p == '?') {
        lua_pushfstring(L, "/%s", call->target.p);
        call->target = vm_check_slice(L, -1);
    }
    if (url_valid_target(call->target))
        return 0;
    vm_fail(L, "refused", "a path must begin with / and hold printable ASCII only");
    return -1;
}

static bool is_token(slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return s.n > 0 && s.n <= 32;
}

static void read_options(lua_State *L, client_call *call)
{
    call->method = vm_opt_slice(L, 1, "method", SLICE("GET"));
    if (!is_token(call->method) || slice_eq(call->method, SLICE("CONNECT")))
        luaL_error(L, "option 'method' must be a method's name in capitals, such as GET");
    call->body = vm_opt_slice(L, 1, "body", (slice){0});
    call->insecure = vm_opt_boolean(L, 1, "insecure", false);
    call->allow_internal = vm_opt_boolean(L, 1, "allow_private", false) || call->path.p != NULL;
    call->connect_ms = opt_ms(L, "connect_timeout", 10);
    call->first_byte_ms = opt_ms(L, "first_byte_timeout", 0);
    call->idle_ms = opt_ms(L, "idle_timeout", 60);
    call->total_ms = opt_ms(L, "timeout", 0);
}

static void cancel_open(void *data)
{
    answer *a = data;
    a->parked = false;
    if (a->request != NULL)
        client_cancel(a->request);
    a->request = NULL;
}

/* Stack on return from the wait: options, then whatever; the answer is moved to index 1. */
static int client_open(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    client *cl = vm_services(vm_of(L))->client;
    task_token token = task_token_of(L);
    client_call call = {0};
    slice authority;
    if (cl == NULL)
        return luaL_error(L, "there is no client here");
    if (read_url(L, &call, &authority) != 0)
        return 3;
    read_options(L, &call);
    buf *lines = box_push_buf(L);
    if (!add_headers(L, lines) && client_add_header(lines, SLICE("Host"), authority) != 0)
        return vm_fail(L, "refused", "the host's name can't stand in a header");
    call.headers = lines;
    answer *a = new_answer(L);
    a->token = token;
    a->parked = true;
    a->request = client_start(cl, &call, &ops, a);
    lua_replace(L, 1);
    return task_park(L, cancel_open, a);
}

int luaopen_host_client(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", client_open}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
