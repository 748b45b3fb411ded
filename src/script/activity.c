/* See activity.h. Why one wait for everything and not one per object: who tests waits for a
 * condition that may depend on several sockets and processes at once.
 *
 * What must never happen: a handle closed by the collector; an object closed twice. */
#include "activity.h"

#include "script.h"
#include "waiter.h"

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

void activity_add(activity_object **box, activity_object *o, void (*close)(activity_object *o))
{
    o->close = close;
    o->forgotten = false;
    list_append(&objects, &o->link);
    *box = o;
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

/* Boxes ------------------------------------------------------------------------------------- */

activity_object **activity_new_box(lua_State *L, const char *kind)
{
    activity_object **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, kind);
    return box;
}

activity_object *activity_check(lua_State *L, const char *kind, const char *what)
{
    activity_object **box = luaL_checkudata(L, 1, kind);
    if (*box == NULL)
        luaL_error(L, "this %s is closed", what);
    return *box;
}

activity_object *activity_take(lua_State *L, const char *kind)
{
    activity_object **box = luaL_checkudata(L, 1, kind);
    activity_object *o = *box;
    *box = NULL;
    return o;
}

static int close_box(lua_State *L)
{
    activity_object *o = activity_take(L, lua_tostring(L, lua_upvalueindex(1)));
    if (o != NULL)
        activity_close(o);
    return 0;
}

static int collect_box(lua_State *L)
{
    activity_object *o = activity_take(L, lua_tostring(L, lua_upvalueindex(1)));
    if (o != NULL)
        o->forgotten = true;
    return 0;
}

static void set_closure(lua_State *L, const char *name, lua_CFunction fn, const char *kind)
{
    lua_pushstring(L, kind);
    lua_pushcclosure(L, fn, 1);
    lua_setfield(L, -2, name);
}

void activity_new_kind(lua_State *L, const char *kind, const luaL_Reg *methods)
{
    luaL_newmetatable(L, kind);
    set_closure(L, "__gc", collect_box, kind);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    set_closure(L, "close", close_box, kind);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

/* Waiting ----------------------------------------------------------------------------------- */

static int push_nothing(lua_State *L, void *data)
{
    (void)L;
    (void)data;
    return 0;
}

void activity_happened(void)
{
    while (!list_empty(&waiters))
        waiter_wake(LIST_ENTRY(waiters.next, waiter, link), true);
}

int activity_wait(lua_State *L)
{
    lua_Number seconds = waiter_check_seconds(L, 1);
    activity_sweep();
    return task_park(L, waiter_cancel, waiter_start(L, &waiters, seconds, push_nothing));
}
