/* What the host asks of lua/boot.lua beside requests: to prepare before the listeners accept, to
 * start, to hear of reloads, to hand state over to newer code, to render a topic again, to tell
 * news. Each is a task of its own but for the state that moves: that is one protected call, since
 * no other script may run between the two VMs.
 *
 * What must never happen: an `ended` or `done` that is called twice or never. */
#include "dispatch_private.h"

#include "buf.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "task.h"
#include <stdlib.h>
#include <string.h>

/* Tasks of the host ------------------------------------------------------------------------- */

typedef struct {
    dispatcher *d;
    void (*ended)(void *arg, const char *problem);
    void *arg;
} preparation;

static int fill_prepare(lua_State *L, void *data)
{
    const preparation *p = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->d->prepare);
    return 0;
}

static int on_prepared(lua_State *L, task_outcome outcome, void *data)
{
    const preparation *p = data;
    if (outcome == TASK_OK)
        p->ended(p->arg, NULL);
    else if (outcome == TASK_ERROR)
        p->ended(p->arg, luaL_tolstring(L, 1, NULL));
    else
        p->ended(p->arg, "it was given up");
    return 0;
}

void dispatcher_prepare(dispatcher *d, void (*ended)(void *arg, const char *problem), void *arg)
{
    static const task_ops ops = {fill_prepare, on_prepared, free};
    if (d->prepare == LUA_NOREF) {
        ended(arg, NULL);
        return;
    }
    preparation *p = mem_alloc(sizeof *p);
    *p = (preparation){d, ended, arg};
    task_spawn(d->vm, &ops, p);
}

static int fill_start(lua_State *L, void *data)
{
    dispatcher *d = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, d->start);
    lua_createtable(L, 0, 1);
    lua_pushinteger(L, vm_services(d->vm)->worker);
    lua_setfield(L, -2, "worker");
    return 1;
}

static int fill_reloaded(lua_State *L, void *data)
{
    dispatcher *d = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, d->reloaded);
    return 0;
}

void dispatcher_start(dispatcher *d)
{
    static const task_ops ops = {fill_start, NULL, NULL};
    if (d->start != LUA_NOREF)
        task_spawn_resident(d->vm, &ops, d);
}

void dispatcher_reloaded(dispatcher *d)
{
    static const task_ops ops = {fill_reloaded, NULL, NULL};
    if (d->reloaded != LUA_NOREF)
        task_spawn_resident(d->vm, &ops, d);
}

static int fill_refused(lua_State *L, void *data)
{
    dispatcher *d = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, d->refused);
    return 0;
}

void dispatcher_refused(dispatcher *d)
{
    static const task_ops ops = {fill_refused, NULL, NULL};
    if (d->refused != LUA_NOREF)
        task_spawn_resident(d->vm, &ops, d);
}

/* State that moves to newer code, as text ----------------------------------------------------- */

typedef struct {
    dispatcher *d;
    buf *state;
} move;

static int call_save(lua_State *L)
{
    const move *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->d->save);
    lua_call(L, 0, 1);
    if (!lua_isnil(L, -1))
        buf_append_slice(m->state, vm_check_slice(L, -1));
    return 0;
}

static int call_restore(lua_State *L)
{
    const move *m = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->d->restore);
    vm_push_slice(L, (slice){m->state->data, m->state->len});
    lua_call(L, 1, 0);
    return 0;
}

void dispatcher_move(dispatcher *from, dispatcher *to)
{
    buf state = {0};
    move save = {from, &state}, restore = {to, &state};
    char error[1024];
    if (from->save != LUA_NOREF && vm_protect(from->vm, call_save, &save, error, sizeof error) != 0)
        log_error("state could not be saved for the new scripts", LOG_TEXT("error", error));
    else if (state.len > 0 && to->restore != LUA_NOREF &&
             vm_protect(to->vm, call_restore, &restore, error, sizeof error) != 0)
        log_error("the new scripts could not take over state", LOG_TEXT("error", error));
    buf_free(&state);
}

typedef struct {
    int function;
    hub_port *port;
    size_t n;
    char topic[HUB_TOPIC_MAX];
} refresh;

static int fill_refresh(lua_State *L, void *data)
{
    refresh *r = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->function);
    lua_pushlstring(L, r->topic, r->n);
    return 1;
}

/* Nothing is known yet: boot.refresh said so, or was ended before it could. */
static int on_refreshed(lua_State *L, task_outcome outcome, void *data)
{
    const refresh *r = data;
    if (outcome == TASK_ERROR)
        task_log_failure(L);
    else if (outcome == TASK_CANCELLED || !lua_toboolean(L, 1))
        hub_refresh_again(r->port, (slice){r->topic, r->n});
    return 0;
}

void dispatcher_refresh(dispatcher *d, slice topic)
{
    if (d->refresh == LUA_NOREF || topic.n > HUB_TOPIC_MAX)
        return;
    refresh *r = mem_alloc(sizeof *r);
    r->function = d->refresh;
    r->port = vm_services(d->vm)->hub;
    r->n = topic.n;
    memcpy(r->topic, topic.p, topic.n);
    static const task_ops ops = {fill_refresh, on_refreshed, free};
    task_spawn(d->vm, &ops, r);
}

typedef struct {
    dispatcher *d;
    void (*done)(void *arg);
    void *arg;
} telling;

static int fill_news(lua_State *L, void *data)
{
    const telling *t = data;
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->d->news);
    return 0;
}

static void on_told(void *data)
{
    telling *t = data;
    dispatcher_drop(t->d);
    t->done(t->arg);
    free(t);
}

bool dispatcher_news(dispatcher *d, void (*done)(void *arg), void *arg)
{
    static const task_ops ops = {fill_news, NULL, on_told};
    if (d->news == LUA_NOREF)
        return false;
    telling *t = mem_alloc(sizeof *t);
    *t = (telling){dispatcher_hold(d), done, arg};
    task_spawn(d->vm, &ops, t);
    return true;
}
