/* The request path between C and Lua.
 *
 *   on_exchange -> task: boot.static["GET /path"]: handler(request), or boot.dispatch(x, method,
 *                        path)
 *     -> response table, request -> render -> release
 *     \-- raised, or the table is wrong --> boot.failed(...) -> render -> release
 *   on_abandon (peer gone) -> box nulled -> task cancelled -> release
 *
 * Paths without parameters are found here, in the table that boot.lua has filled: a request for one
 * runs no Lua but its own. (One that had to be decoded is left to the router.)
 *
 * The answer is rendered inside the task's own resume, so that one protected call covers the whole
 * request. A request's record lies in the exchange's arena; the box that scripts hold lies at the
 * bottom of the task's stack, which anchors it until the task's end.
 *
 * What must never happen: an exchange released twice or never; a script's box that still points to
 * an exchange after its release. */
#include "dispatch_private.h"

#include "account.h"
#include "app_env.h"
#include "l_events.h"
#include "l_exchange.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "response_table.h"
#include "task.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    dispatcher *d;
    exchange *x;
    exchange_box *box;
    task_token token;
    bool control;         /* it came by the control socket */
    event_stream *events; /* NULL: none */
    bool cancelled;
} request;

/* Boot -------------------------------------------------------------------------------------- */

static int field_ref(lua_State *L, const char *name, bool needed)
{
    if (lua_getfield(L, -1, name) == LUA_TFUNCTION)
        return luaL_ref(L, LUA_REGISTRYINDEX);
    if (needed || !lua_isnil(L, -1))
        luaL_error(L, "boot.lua must return a table with a function '%s'", name);
    lua_pop(L, 1);
    return LUA_NOREF;
}

static int table_ref(lua_State *L, const char *name)
{
    if (lua_getfield(L, -1, name) == LUA_TTABLE)
        return luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pop(L, 1);
    return LUA_NOREF;
}

static void read_ws(lua_State *L, dispatcher *d)
{
    d->has_ws = lua_getfield(L, -1, "ws") == LUA_TTABLE;
    if (d->has_ws) {
        d->ws = (dispatcher_ws_functions){
            .message = field_ref(L, "message", true),
            .gap = field_ref(L, "gap", true),
            .close = field_ref(L, "close", true),
            .save = field_ref(L, "save", true),
            .restore = field_ref(L, "restore", true),
        };
    }
    lua_pop(L, 1);
}

static int boot(lua_State *L)
{
    dispatcher *d = lua_touserdata(L, 1);
    lua_getglobal(L, "require");
    const char *module = vm_settings(d->vm)->boot;
    lua_pushstring(L, module != NULL ? module : "boot");
    lua_call(L, 1, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    d->dispatch = field_ref(L, "dispatch", true);
    d->failed = field_ref(L, "failed", true);
    d->prepare = field_ref(L, "prepare", false);
    d->start = field_ref(L, "start", false);
    d->control = field_ref(L, "control", false);
    d->reloaded = field_ref(L, "reloaded", false);
    d->refused = field_ref(L, "refused", false);
    d->verify = field_ref(L, "verify", false);
    d->refresh = field_ref(L, "refresh", false);
    d->save = field_ref(L, "save", false);
    d->restore = field_ref(L, "restore", false);
    d->news = field_ref(L, "news", false);
    d->stream = field_ref(L, "stream", false);
    d->routes = table_ref(L, "static");
    d->boxes = exchange_box_type(L);
    read_ws(L, d);
    app_env_lock(L);
    if (d->verifies && d->verify != LUA_NOREF) {
        lua_rawgeti(L, LUA_REGISTRYINDEX, d->verify);
        lua_call(L, 0, 0);
    }
    return 0;
}

dispatcher *dispatcher_new(vm *v, bool verify, char *error, size_t error_size)
{
    dispatcher *d = mem_alloc(sizeof *d);
    d->vm = vm_hold(v);
    d->refs = 1;
    d->verifies = verify;
    if (vm_protect(v, boot, d, error, error_size) != 0) {
        if (strcmp(error, "not enough memory") == 0) /* Lua has no place for it */
            snprintf(error, error_size,
                     "the scripts need more than lua.memory (%zu MiB) to load: raise it, or look "
                     "for a file that fills a table without end",
                     vm_settings(v)->memory_limit >> 20);
        dispatcher_drop(d);
        return NULL;
    }
    vm_booted(v);
    return d;
}

dispatcher *dispatcher_hold(dispatcher *d)
{
    d->refs++;
    return d;
}

/* The references go with the Lua state. */
void dispatcher_drop(dispatcher *d)
{
    if (--d->refs > 0)
        return;
    vm_drop(d->vm);
    free(d);
}

vm *dispatcher_vm(dispatcher *d)
{
    return d->vm;
}

const dispatcher_ws_functions *dispatcher_ws(const dispatcher *d)
{
    return d->has_ws ? &d->ws : NULL;
}

/* Requests ---------------------------------------------------------------------------------- */

/* On the stack, when the handler has returned; of boot.dispatch the request comes behind the
 * response. */
enum { BOX = 1, REQUEST, RESPONSE, RETURNED_REQUEST, ENTRY = RESPONSE };

/* Where boot.static has the path: pushes the request's table, the handler and its argument. */
static bool push_static(lua_State *L, const request *r)
{
    slice key = exchange_method_path(r->x);
    if (r->control || r->d->routes == LUA_NOREF || key.n == 0)
        return false;
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->d->routes);
    vm_push_slice(L, key);
    if (lua_rawget(L, -2) != LUA_TTABLE) {
        lua_settop(L, BOX);
        return false;
    }
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, BOX);
    lua_setfield(L, -2, "x");
    lua_rawgeti(L, ENTRY, 2);
    lua_setmetatable(L, -2);
    lua_copy(L, -1, REQUEST);
    lua_rawgeti(L, ENTRY, 1);
    lua_replace(L, ENTRY);
    return true;
}

static int fill(lua_State *L, void *data)
{
    request *r = data;
    const dispatcher *d = r->d;
    r->token = task_token_of(L);
    r->box = exchange_box_push(L, r->x, d->boxes);
    if (push_static(L, r)) {
        exchange_set_route(r->x, exchange_path(r->x));
        return 1;
    }
    lua_pushnil(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX,
                r->control && d->control != LUA_NOREF ? d->control : d->dispatch);
    lua_pushvalue(L, BOX);
    vm_push_slice(L, exchange_method(r->x));
    vm_push_slice(L, exchange_path(r->x));
    return 3;
}

static void on_done(void *data)
{
    request *r = data;
    dispatcher *d = r->d;
    exchange *x = r->x;
    if (r->events != NULL)
        events_over(r->events, r->cancelled);
    if (r->box != NULL)
        r->box->x = NULL;
    r->box = NULL;
    exchange_set_data(x, NULL);
    exchange_release(x);
    dispatcher_drop(d);
}

static int after_chunks(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    request *r = (request *)context;
    exchange_chunks_end(r->x);
    return 0;
}

static int after_events(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    request *r = (request *)context;
    events_finish(r->events);
    return 0;
}

static int answer_events(lua_State *L, request *r)
{
    lua_getfield(L, RESPONSE, "stream");
    if (!events_answer(L, lua_gettop(L), r->x))
        return 0;
    r->events = events_run(L, lua_gettop(L), r->x, r->token);
    if (r->events == NULL)
        return 0;
    lua_callk(L, 2, 0, (lua_KContext)r, after_events);
    return after_events(L, LUA_OK, (lua_KContext)r);
}

/* boot.stream has made the stream ready, or has another answer in its place. */
static int after_stream(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    request *r = (request *)context;
    if (lua_rawequal(L, -1, RESPONSE))
        return answer_events(L, r);
    response_render(L, lua_gettop(L), r->x);
    return 0;
}

static int prepare_events(lua_State *L, request *r)
{
    int request_at = lua_istable(L, REQUEST) ? REQUEST : RETURNED_REQUEST;
    if (r->d->stream == LUA_NOREF || !lua_istable(L, request_at))
        return answer_events(L, r);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->d->stream);
    lua_pushvalue(L, request_at);
    lua_pushvalue(L, RESPONSE);
    lua_callk(L, 2, 1, (lua_KContext)r, after_stream);
    return after_stream(L, LUA_OK, (lua_KContext)r);
}

static int answer_chunks(lua_State *L, request *r)
{
    exchange_chunks_begin(r->x);
    lua_getfield(L, RESPONSE, "chunks");
    exchange_push_writer(L, BOX);
    lua_callk(L, 1, 0, (lua_KContext)r, after_chunks);
    return after_chunks(L, LUA_OK, (lua_KContext)r);
}

static int answer(lua_State *L, request *r)
{
    lua_settop(L, RETURNED_REQUEST);
    switch (response_render(L, RESPONSE, r->x)) {
    case RESPONSE_EVENTS:
        return prepare_events(L, r);
    case RESPONSE_CHUNKS:
        return answer_chunks(L, r);
    default:
        return 0;
    }
}

/* Stack: error value, traceback. Sends what boot.failed makes of it; leaves at the top whether it
 * is for the log (it is not where a script meant it as the answer). */
static int call_failed(lua_State *L)
{
    request *r = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->d->failed);
    lua_insert(L, 2);
    exchange_box *box = exchange_box_push(L, r->x, r->d->boxes);
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    lua_insert(L, 1);
    lua_pushboolean(L, vm_settings(r->d->vm)->dev);
    lua_call(L, 4, 2);
    bool meant = lua_toboolean(L, -1);
    lua_pop(L, 1);
    response_render(L, lua_gettop(L), r->x);
    box->x = NULL;
    lua_pushboolean(L, !meant);
    return 1;
}

static void log_failure(const request *r, const char *trace)
{
    metrics_add(METRIC_SCRIPT_ERRORS, 1);
    account_failed(vm_accounts(r->d->vm)->failing);
    log_error("a request failed", LOG_SLICE("request_id", exchange_id(r->x)),
              LOG_SLICE("path", exchange_path(r->x)), LOG_TEXT("trace", trace));
}

static void answer_failure(lua_State *L, request *r)
{
    const char *trace = lua_tostring(L, 2);
    if (exchange_answered(r->x)) {
        log_failure(r, trace); /* the head is out: the release resets the connection */
        return;
    }
    lua_pushcfunction(L, call_failed);
    lua_pushlightuserdata(L, r);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 3, 1, 0) != LUA_OK) {
        log_failure(r, trace);
        log_failure(r, luaL_tolstring(L, -1, NULL));
        if (!exchange_answered(r->x))
            exchange_fail(r->x, 500, "internal", "the error could not be shown either; see the log",
                          false);
        return;
    }
    if (lua_toboolean(L, -1))
        log_failure(r, trace);
}

static int on_end(lua_State *L, task_outcome outcome, void *data)
{
    request *r = data;
    if (outcome == TASK_OK)
        return answer(L, r);
    if (outcome == TASK_ERROR)
        answer_failure(L, r);
    r->cancelled = outcome == TASK_CANCELLED;
    return 0;
}

static void begin(exchange *x, dispatcher *d, bool control)
{
    request *r = arena_alloc(exchange_arena(x), sizeof *r);
    *r = (request){.d = d, .x = x, .control = control};
    dispatcher_hold(d);
    exchange_set_data(x, r);
    static const task_ops ops = {fill, on_end, on_done};
    task_start(d->vm, &ops, r);
}

void dispatcher_on_exchange(exchange *x, void *arg)
{
    begin(x, arg, false);
}

void dispatcher_on_control(exchange *x, void *arg)
{
    begin(x, arg, true);
}

dispatcher *dispatcher_of(const exchange *x)
{
    const request *r = exchange_data(x);
    return r->d;
}

void dispatcher_on_abandon(exchange *x, void *arg)
{
    (void)arg;
    request *r = exchange_data(x);
    if (r == NULL)
        return;
    /* The box goes first: <close> variables run during the cancel and may look at it. */
    if (r->box != NULL)
        r->box->x = NULL;
    r->box = NULL;
    task_cancel(r->token);
}
