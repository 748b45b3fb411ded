/* Sessions between ws.c, which reports what comes, and the functions of boot.ws, which run as
 * tasks.
 *
 *   IDLE --message, gap, close: push, pump--> RUNNING --task over, inbox empty--> IDLE
 *   IDLE --scripts have changed: move--> IDLE (in the new VM)
 *   the close is the last task; after it the session is freed
 *
 * The inbox is bounded: when it is full, reading from the client pauses until it is empty, so that
 * a slow handler holds its own client back by TCP and nobody else; and of a topic's gaps one waits,
 * with all that was lost. Rejected: a coroutine per
 * connection that loops over `receive()`, which would keep old code alive as long as its
 * connection.
 *
 * Owner: this worker's list. What must never happen: two tasks of one session at once; `close`
 * called twice or never after an opening that went well. */
#include "ws_session.h"

#include "account.h"
#include "guard.h"
#include "l_ws.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "task.h"
#include <stdlib.h>

enum { INBOX_MESSAGES = 64, INBOX_BYTES = 256 * 1024 };

typedef enum { ITEM_MESSAGE, ITEM_GAP, ITEM_CLOSE } item_kind;

typedef struct {
    list link;
    item_kind kind;
    bool binary;     /* of a message */
    int code;        /* of a close */
    uint64_t number; /* of a gap: messages lost */
    size_t n;        /* message, reason or topic */
    char data[];
} item;

struct ws_session {
    list link; /* in `sessions` */
    ws *w;     /* NULL: closed */
    dispatcher *d;
    ws_box *box;
    int ref; /* the script's object, in d's VM; LUA_NOREF: it could not be moved */
    list inbox;
    size_t count, bytes;
    item *item; /* at hand */
    bool running, pumping, over;
};

static _Thread_local list sessions;
static _Thread_local size_t session_count;
static _Thread_local dispatcher *current;

ws *ws_session_socket(const ws_session *s)
{
    return s->w;
}

size_t ws_sessions_count(void)
{
    return session_count;
}

void ws_sessions_use(dispatcher *d)
{
    current = d;
}

/* The script's object ----------------------------------------------------------------------- */

static int drop_object(lua_State *L)
{
    ws_session *s = lua_touserdata(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, s->ref);
    return 0;
}

static void forget_object(ws_session *s)
{
    char error[256];
    if (s->box != NULL)
        s->box->session = NULL;
    s->box = NULL;
    if (s->ref != LUA_NOREF)
        vm_protect(dispatcher_vm(s->d), drop_object, s, error, sizeof error);
    s->ref = LUA_NOREF;
}

static void free_session(ws_session *s)
{
    forget_object(s);
    dispatcher_drop(s->d);
    list_remove(&s->link);
    session_count--;
    free(s);
}

/* Moving ------------------------------------------------------------------------------------ */

typedef struct {
    ws_session *s;
    dispatcher *to;
    buf saved;
} move;

static int save_object(lua_State *L)
{
    move *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, dispatcher_ws(m->s->d)->save);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->s->ref);
    lua_call(L, 1, 1);
    buf_append_slice(&m->saved, vm_check_slice(L, -1));
    return 0;
}

static int restore_object(lua_State *L)
{
    move *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, dispatcher_ws(m->to)->restore);
    ws_box *box = ws_box_push(L);
    lua_pushlstring(L, m->saved.data, m->saved.len);
    lua_call(L, 2, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    m->s->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    m->s->box = box;
    box->session = m->s;
    return 0;
}

/* The client is told to come back to a server whose scripts know it from its beginning. */
static void fail_move(ws_session *s, const char *error)
{
    log_error("a WebSocket could not be moved to the new scripts", LOG_TEXT("error", error));
    if (s->w != NULL)
        ws_close(s->w, 1012, SLICE("the server's scripts have changed"));
}

static void move_session(ws_session *s)
{
    char error[1024];
    move m = {.s = s, .to = current};
    int status = s->ref == LUA_NOREF
                     ? 0
                     : vm_protect(dispatcher_vm(s->d), save_object, &m, error, sizeof error);
    forget_object(s);
    if (status == 0 && m.saved.len > 0)
        status = vm_protect(dispatcher_vm(m.to), restore_object, &m, error, sizeof error);
    buf_free(&m.saved);
    dispatcher *old = s->d;
    s->d = dispatcher_hold(m.to);
    dispatcher_drop(old);
    if (status != 0)
        fail_move(s, error);
}

static bool must_move(const ws_session *s)
{
    return !s->running && current != NULL && s->d != current && !guard_inside();
}

/* Tasks ------------------------------------------------------------------------------------- */

static void pump(ws_session *s, bool later);

static int fill(lua_State *L, void *data)
{
    ws_session *s = data;
    const item *it = s->item;
    const dispatcher_ws_functions *f = dispatcher_ws(s->d);
    int function = it->kind == ITEM_MESSAGE ? f->message : it->kind == ITEM_GAP ? f->gap : f->close;
    lua_rawgeti(L, LUA_REGISTRYINDEX, function);
    lua_rawgeti(L, LUA_REGISTRYINDEX, s->ref);
    if (it->kind == ITEM_CLOSE)
        lua_pushinteger(L, it->code);
    lua_pushlstring(L, it->data, it->n);
    if (it->kind == ITEM_MESSAGE)
        lua_pushboolean(L, it->binary);
    else if (it->kind == ITEM_GAP)
        lua_pushinteger(L, (lua_Integer)it->number);
    return 3;
}

static int on_end(lua_State *L, task_outcome outcome, void *data)
{
    ws_session *s = data;
    if (outcome != TASK_ERROR)
        return 0;
    metrics_add(METRIC_SCRIPT_ERRORS, 1);
    account_failed(vm_accounts(vm_of(L))->failing);
    log_error("a WebSocket's handler failed", LOG_SLICE("trace", vm_check_slice(L, 2)));
    if (s->w != NULL)
        ws_close(s->w, WS_INTERNAL, SLICE("the handler failed"));
    return 0;
}

static void finish_item(ws_session *s)
{
    s->over = s->over || s->item->kind == ITEM_CLOSE;
    free(s->item);
    s->item = NULL;
    s->running = false;
}

static void on_done(void *data)
{
    ws_session *s = data;
    finish_item(s);
    pump(s, false);
}

static void run_next(ws_session *s, bool later)
{
    static const task_ops ops = {fill, on_end, on_done};
    item *it = LIST_ENTRY(s->inbox.next, item, link);
    list_remove(&it->link);
    s->count--;
    s->bytes -= it->n;
    s->item = it;
    s->running = true;
    if (s->ref == LUA_NOREF)
        finish_item(s);
    else if (later)
        task_spawn(dispatcher_vm(s->d), &ops, s);
    else
        task_start(dispatcher_vm(s->d), &ops, s);
}

/* Runs what can run: now, or at the worker's next turn. s may be gone afterwards. */
static void pump(ws_session *s, bool later)
{
    if (s->pumping || s->running)
        return;
    s->pumping = true;
    while (!s->running && !s->over && !list_empty(&s->inbox)) {
        if (must_move(s))
            move_session(s);
        run_next(s, later);
    }
    s->pumping = false;
    if (s->running)
        return;
    if (s->over)
        free_session(s);
    else if (s->w != NULL)
        ws_resume(s->w);
}

void ws_sessions_follow(void)
{
    if (sessions.next == NULL)
        return;
    LIST_FOR_EACH_SAFE (it, &sessions) {
        ws_session *s = LIST_ENTRY(it, ws_session, link);
        if (must_move(s))
            move_session(s);
    }
}

/* From the socket --------------------------------------------------------------------------- */

static item *push(ws_session *s, item_kind kind, slice data)
{
    item *it = mem_resize(NULL, sizeof *it + data.n);
    *it = (item){.kind = kind, .n = data.n};
    if (data.n > 0)
        memcpy(it->data, data.p, data.n);
    list_append(&s->inbox, &it->link);
    s->count++;
    s->bytes += data.n;
    return it;
}

static void on_message(ws *w, bool binary, slice data)
{
    ws_session *s = ws_owner(w);
    push(s, ITEM_MESSAGE, data)->binary = binary;
    if (s->running && (s->count >= INBOX_MESSAGES || s->bytes >= INBOX_BYTES))
        ws_pause(w);
    pump(s, false);
}

static item *waiting_gap(const ws_session *s, slice topic)
{
    LIST_FOR_EACH (it, &s->inbox) {
        item *gap = LIST_ENTRY(it, item, link);
        if (gap->kind == ITEM_GAP && slice_eq((slice){gap->data, gap->n}, topic))
            return gap;
    }
    return NULL;
}

static void on_gap(ws *w, slice topic, uint64_t lost)
{
    ws_session *s = ws_owner(w);
    item *gap = waiting_gap(s, topic);
    if (gap == NULL)
        gap = push(s, ITEM_GAP, topic);
    gap->number += lost;
    pump(s, true);
}

static void on_close(ws *w, int code, slice reason)
{
    ws_session *s = ws_owner(w);
    s->w = NULL;
    push(s, ITEM_CLOSE, reason)->code = code;
    pump(s, true);
}

static const ws_ops ops_of_socket = {on_message, on_gap, on_close};

ws_session *ws_session_start(exchange *x, dispatcher *d, int ref, struct ws_box *box,
                             const audience_opening *opening)
{
    hub_port *port = vm_services(dispatcher_vm(d))->hub;
    ws_session *s = mem_alloc(sizeof *s);
    ws *w = ws_start(x, port, &ops_of_socket, s, opening);
    if (w == NULL) {
        free(s);
        return NULL;
    }
    s->w = w;
    s->d = dispatcher_hold(d);
    s->ref = ref;
    s->box = box;
    box->session = s;
    list_init(&s->inbox);
    if (sessions.next == NULL)
        list_init(&sessions);
    list_append(&sessions, &s->link);
    session_count++;
    return s;
}
