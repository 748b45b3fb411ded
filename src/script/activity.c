/* See activity.h. Why one wait for everything and not one per object: who tests waits for a
 * condition that may depend on several sockets and processes at once.
 *
 * What must never happen: a handle closed by the collector; an object closed twice. */
#include "activity.h"

#include "mem.h"
#include "script.h"
#include "task.h"

#include <math.h>
#include <stdlib.h>

enum { WAIT_MAX_S = 86400 };

typedef struct {
    list link;
    uv_timer_t timer;
    task_token token;
} waiter;

static _Thread_local list objects, waiters;

static void init_lists(void)
{
    if (objects.next == NULL) {
        list_init(&objects);
        list_init(&waiters);
    }
}

void activity_check_trusted(lua_State *L, const char *module)
{
    if (!vm_settings(vm_of(L))->trusted)
        luaL_error(L, "%s is for tests and commands; an application has no use of it", module);
    init_lists();
}

void activity_add(activity_object *o, void (*close)(activity_object *o))
{
    o->close = close;
    o->forgotten = false;
    list_append(&objects, &o->link);
}

void activity_close(activity_object *o)
{
    list_remove(&o->link);
    o->close(o);
}

void activity_sweep(void)
{
    LIST_FOR_EACH_SAFE (it, &objects) {
        activity_object *o = LIST_ENTRY(it, activity_object, link);
        if (o->forgotten)
            activity_close(o);
    }
}

void activity_thread_exit(void)
{
    init_lists();
    while (!list_empty(&objects))
        activity_close(LIST_ENTRY(objects.next, activity_object, link));
}

/* Waiting ----------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

static void end_waiter(void *data)
{
    waiter *w = data;
    list_remove(&w->link);
    uv_close((uv_handle_t *)&w->timer, on_closed);
}

static int push_nothing(lua_State *L, void *data)
{
    (void)L;
    (void)data;
    return 0;
}

static void wake(waiter *w)
{
    list_remove(&w->link);
    uv_timer_stop(&w->timer);
    task_wake(w->token, push_nothing, end_waiter, w);
}

static void on_time(uv_timer_t *timer)
{
    wake(timer->data);
}

void activity_happened(void)
{
    while (!list_empty(&waiters))
        wake(LIST_ENTRY(waiters.next, waiter, link));
}

int activity_wait(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= WAIT_MAX_S, 1, "seconds, from 0 to a day");
    activity_sweep();
    task_token token = task_token_of(L);
    waiter *w = mem_alloc(sizeof *w);
    w->token = token;
    w->timer.data = w;
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    uv_timer_init(loop, &w->timer);
    list_append(&waiters, &w->link);
    uv_update_time(loop);
    uv_timer_start(&w->timer, on_time, (uint64_t)ceil(seconds * 1000), 0);
    return task_park(L, end_waiter, w);
}
