/* Tasks: coroutines with a record. The record holds what a wait needs to be woken or cancelled, so
 * that ending a task from outside is one call, whatever it waits for.
 *
 *   task_start / task_spawn -> READY --run--> RUNNING --task_park--> PARKED --task_wake--> READY
 *                                               |                      |                    |
 *                                          return, error           task_cancel         task_cancel
 *                                               '--------> DONE <------'--------------------'
 *
 * The body, and the rendering of its answer (on_end), run inside one lua_resume, so one protected
 * call covers a request. Values enter a coroutine inside its own resume, in after_wait().
 *
 * Owner: the VM's task list. Threads of tasks that ended normally serve again (a new thread costs
 * about 1 KiB and a registry slot); one that a script has seen does not.
 *
 * Longer than most files: the whole life of a task in one place is easier to hold in one's head
 * than its halves in two.
 *
 * What must never happen: lua_resume called from anywhere but run(); a token that outlives its task
 * and still finds one (generations); a task resumed from inside another's C call (only drains). */
#include "task.h"

#include "account.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "task_private.h"
#include "task_tokens.h"
#include "traceback.h"
#include "vm_private.h"
#include <stdlib.h>

enum { SPARE_MAX = 256, TRACE_MAX = 4096, ROUND_US = 10000, CLOSE_US = 15000 };

typedef enum { FREE, READY, RUNNING, PARKED } task_state;

struct task {
    list all_link, ready_link;
    vm *vm;
    lua_State *co;
    int ref; /* anchors co in the registry */
    task_state state;
    task_token token;
    bool fresh;    /* not resumed yet */
    bool seen;     /* a script holds its thread */
    int account;   /* whose code it was in when it parked (account.h) */
    bool resident; /* belongs to the application, not to a request: ends with its VM's service */
    const task_ops *ops;
    void *data;
    task_cancel_fn cancel;
    void *cancel_data;
    task_push push;
    task_dispose dispose;
    void *wake_data;
    struct task *next_spare;
};

typedef struct task task;

/* Every live task of this worker, and those to be resumed, whichever of its VMs they run in: after
 * a reload the old VM's tasks go on beside the new one's. */
static _Thread_local list all_tasks, ready_tasks;
static _Thread_local bool draining;

static void init_lists(void)
{
    if (all_tasks.next != NULL)
        return;
    list_init(&all_tasks);
    list_init(&ready_tasks);
}

/* Threads ----------------------------------------------------------------------------------- */

static int new_thread(lua_State *L)
{
    task *t = lua_touserdata(L, 1);
    t->co = lua_newthread(L);
    t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static task *acquire(vm *v, char *error, size_t error_size)
{
    vm_tasks *all = vm_task_state(v);
    task *t = all->spare;
    if (t != NULL) {
        all->spare = t->next_spare;
        all->spare_count--;
    } else {
        t = mem_alloc(sizeof *t);
        t->ref = LUA_NOREF;
        if (vm_protect(v, new_thread, t, error, error_size) != 0) {
            free(t);
            return NULL;
        }
    }
    t->vm = v;
    vm_hold(v);
    init_lists();
    list_init(&t->ready_link);
    list_append(&all_tasks, &t->all_link);
    all->count++;
    t->token = tokens_take(t);
    return t;
}

/* The record and its thread go; `reusable`: the thread ended normally and has an empty stack. */
static void release(task *t, bool reusable)
{
    vm *v = t->vm;
    vm_tasks *all = vm_task_state(v);
    list_remove(&t->all_link);
    list_remove(&t->ready_link);
    all->count--;
    if (reusable && !t->seen && all->spare_count < SPARE_MAX) {
        t->state = FREE;
        t->next_spare = all->spare;
        all->spare = t;
        all->spare_count++;
    } else {
        luaL_unref(vm_main(v), LUA_REGISTRYINDEX, t->ref);
        free(t);
    }
    vm_drop(v);
}

void task_free_spares(vm *v)
{
    vm_tasks *all = vm_task_state(v);
    while (all->spare != NULL) {
        task *t = all->spare;
        all->spare = t->next_spare;
        free(t);
    }
    all->spare_count = 0;
}

void task_log_failure(lua_State *L)
{
    account_failed(vm_accounts(vm_of(L))->failing);
    log_error("a task failed", LOG_SLICE("trace", vm_check_slice(L, 2)));
}

/* The end ----------------------------------------------------------------------------------- */

static void drop_wait(task *t)
{
    if (t->dispose != NULL)
        t->dispose(t->wake_data);
    t->push = NULL;
    t->dispose = NULL;
    t->cancel = NULL;
}

typedef struct {
    lua_State *from;
    const task_ops *ops;
    void *data;
    const char *message; /* instead of the value on top of from */
} failure;

static int report_failure(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_settop(L, 0);
    if (f->message != NULL) {
        lua_pushstring(L, f->message);
    } else { /* there and back: a stack that has overflown has no room for a copy */
        lua_xmove(f->from, L, 1);
        lua_pushvalue(L, 1);
        lua_xmove(L, f->from, 1);
    }
    vm_describe_error(L, 1);
    traceback_push(L, f->from, lua_tostring(L, 2), 0);
    lua_remove(L, 2);
    if (f->ops->on_end != NULL)
        return f->ops->on_end(L, TASK_ERROR, f->data);
    task_log_failure(L);
    return 0;
}

static int report_cancel(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_settop(L, 0);
    return f->ops->on_end(L, TASK_CANCELLED, f->data);
}

static void report(task *t, lua_CFunction how, const char *message)
{
    failure f = {t->co, t->ops, t->data, message};
    char error[TRACE_MAX];
    vm_accounts(t->vm)->failing = t->account;
    if (vm_protect(t->vm, how, &f, error, sizeof error) != 0)
        log_error("the end of a task failed", LOG_TEXT("trace", error));
    vm_accounts(t->vm)->failing = 0;
}

/* Runs the thread's <close> variables, which have a budget of their own that is short: a script
 * that has used up its own may have locks to give back. What they raise is logged. */
static void reset_thread(task *t)
{
    guard *g = vm_guard(t->vm);
    bool outermost = !guard_inside();
    uint64_t limit = 0;
    if (outermost) {
        limit = guard_set_limit(g, CLOSE_US);
        guard_enter(g, t->co);
    }
    int status = lua_resetthread(t->co);
    if (outermost) {
        guard_leave(g);
        guard_set_limit(g, limit);
    }
    if (status != LUA_OK && lua_type(t->co, -1) == LUA_TSTRING)
        log_debug("closing a task raised", LOG_TEXT("error", lua_tostring(t->co, -1)));
    lua_settop(t->co, 0);
}

static void done(const task *t)
{
    if (t->ops->on_done != NULL)
        t->ops->on_done(t->data);
}

static void end_ok(task *t)
{
    tokens_give(t->token);
    drop_wait(t);
    done(t);
    lua_settop(t->co, 0);
    release(t, true);
}

static void end_failed(task *t)
{
    tokens_give(t->token);
    drop_wait(t);
    report(t, report_failure, NULL);
    done(t);
    reset_thread(t);
    release(t, false);
}

/* Where the hook could suspend the thread its <close> variables run. Where it had to raise, out of
 * a C function, Lua keeps hooks of this thread off for good: no budget would reach them, so they
 * are left to the collector, which finalizes what they hold. */
static void end_over_budget(task *t)
{
    tokens_give(t->token);
    if (t->cancel != NULL) /* the wait had just begun */
        t->cancel(t->cancel_data);
    drop_wait(t);
    metrics_add(METRIC_SCRIPTS_STOPPED, 1);
    report(t, report_failure, GUARD_MESSAGE);
    done(t);
    if (lua_status(t->co) == LUA_YIELD)
        reset_thread(t);
    release(t, false);
}

void task_cancel(task_token token)
{
    task *t = tokens_find(token);
    if (t == NULL || t->state == RUNNING)
        return;
    tokens_give(t->token);
    if (t->cancel != NULL)
        t->cancel(t->cancel_data);
    drop_wait(t);
    reset_thread(t);
    if (t->ops->on_end != NULL)
        report(t, report_cancel, NULL);
    done(t);
    release(t, false);
}

/* Running ----------------------------------------------------------------------------------- */

static int after_body(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    task *t = (task *)context;
    return t->ops->on_end != NULL ? t->ops->on_end(L, TASK_OK, t->data) : 0;
}

/* The bottom of every task's stack. */
static int body(lua_State *L)
{
    task *t = lua_touserdata(L, 1);
    lua_settop(L, 0);
    int arguments = t->ops->fill(L, t->data);
    lua_callk(L, arguments, LUA_MULTRET, (lua_KContext)t, after_body);
    return after_body(L, LUA_OK, (lua_KContext)t);
}

static void run(task *t)
{
    vm *v = t->vm;
    vm_tasks *all = vm_task_state(v);
    guard *g = vm_guard(v);
    int arguments = 0, results = 0;
    if (t->fresh) {
        t->fresh = false;
        lua_pushcfunction(t->co, body);
        lua_pushlightuserdata(t->co, t);
        arguments = 1;
    }
    t->state = RUNNING;
    all->running = t;
    account_enter(vm_accounts(v), t->account);
    guard_enter(g, t->co);
    int status = lua_resume(t->co, NULL, arguments, &results);
    guard_verdict verdict = guard_leave(g);
    t->account = account_enter(vm_accounts(v), 0);
    all->running = NULL;
    vm_log_slow(verdict);
    if (verdict.over && status != LUA_OK)
        end_over_budget(t);
    else if (status == LUA_YIELD)
        t->state = t->state == READY ? READY : PARKED;
    else if (status == LUA_OK)
        end_ok(t);
    else
        end_failed(t);
}

static int report_no_memory(lua_State *L)
{
    failure *f = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushliteral(L, "not enough memory");
    lua_pushliteral(L, "not enough memory");
    return f->ops->on_end(L, TASK_ERROR, f->data);
}

/* Even without memory for a thread, the end is told once. */
static void fail_start(vm *v, const task_ops *ops, void *data)
{
    failure f = {NULL, ops, data, NULL};
    char error[256];
    if (ops->on_end != NULL && vm_protect(v, report_no_memory, &f, error, sizeof error) != 0)
        log_error("the end of a task failed", LOG_TEXT("error", error));
    if (ops->on_done != NULL)
        ops->on_done(data);
}

static task *prepare(vm *v, const task_ops *ops, void *data)
{
    char error[256];
    task *t = acquire(v, error, sizeof error);
    if (t == NULL) {
        log_error("no memory for a task", LOG_TEXT("error", error));
        fail_start(v, ops, data);
        return NULL;
    }
    t->state = READY;
    t->fresh = true;
    t->ops = ops;
    t->data = data;
    const task *parent = vm_task_state(v)->running;
    t->resident = parent != NULL && parent->resident;
    t->account = parent != NULL ? vm_accounts(v)->current : 0;
    return t;
}

void task_start(vm *v, const task_ops *ops, void *data)
{
    task *t = prepare(v, ops, data);
    if (t == NULL)
        return;
    if (guard_inside())
        list_append(&ready_tasks, &t->ready_link);
    else
        run(t);
}

task_token task_spawn(vm *v, const task_ops *ops, void *data)
{
    task *t = prepare(v, ops, data);
    if (t == NULL)
        return (task_token){0};
    list_append(&ready_tasks, &t->ready_link);
    return t->token;
}

void task_spawn_resident(vm *v, const task_ops *ops, void *data)
{
    task *t = prepare(v, ops, data);
    if (t == NULL)
        return;
    t->resident = true;
    list_append(&ready_tasks, &t->ready_link);
}

/* Waiting ----------------------------------------------------------------------------------- */

task_token task_token_of(lua_State *L)
{
    vm_tasks *all = vm_task_state(vm_of(L));
    task *t = all->running;
    if (t == NULL)
        luaL_error(L, "cannot wait here: only a task can wait (a handler, a timer, a script that "
                      "was started), not the top level of a file");
    if (t->co != L)
        luaL_error(L, "cannot wait here: this runs in a coroutine of your own, whose resume would "
                      "get the wait; call it from the handler itself");
    if (!lua_isyieldable(L))
        luaL_error(L, "cannot wait here: a C function (sort, gsub, require ...) is on the stack");
    drop_wait(t); /* what is left of one whose push raised, into a script's pcall */
    return t->token;
}

static int after_wait(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    task *t = (task *)context;
    int n = t->push != NULL ? t->push(L, t->wake_data) : 0;
    drop_wait(t);
    return n;
}

int task_park(lua_State *L, task_cancel_fn cancel, void *data)
{
    task *t = vm_task_state(vm_of(L))->running;
    if (t->state == RUNNING) { /* else the operation has ended already */
        t->cancel = cancel;
        t->cancel_data = data;
    }
    return lua_yieldk(L, 0, (lua_KContext)t, after_wait);
}

bool task_wake(task_token token, task_push push, task_dispose dispose, void *data)
{
    task *t = tokens_find(token);
    if (t == NULL || t->state == READY || t->dispose != NULL || t->push != NULL) {
        if (dispose != NULL)
            dispose(data);
        return false;
    }
    t->push = push;
    t->dispose = dispose;
    t->wake_data = data;
    t->cancel = NULL;
    t->state = READY;
    list_append(&ready_tasks, &t->ready_link);
    return true;
}

bool task_alive(task_token token)
{
    return tokens_find(token) != NULL;
}

/* Drains ------------------------------------------------------------------------------------ */

bool task_any_ready(void)
{
    return ready_tasks.next != NULL && !list_empty(&ready_tasks);
}

/* Those that become ready meanwhile are behind the end. */
bool task_run_ready(void)
{
    if (draining || !task_any_ready())
        return true;
    draining = true;
    list end;
    list_append(&ready_tasks, &end);
    uint64_t until = clock_us() + ROUND_US;
    bool in_time = true;
    while (ready_tasks.next != &end && in_time) {
        task *t = LIST_ENTRY(ready_tasks.next, task, ready_link);
        list_remove(&t->ready_link);
        run(t);
        in_time = clock_us() < until;
    }
    list_remove(&end);
    draining = false;
    return in_time;
}

size_t task_count(const vm *v)
{
    return vm_task_state((vm *)v)->count;
}

void task_cancel_all(void)
{
    while (all_tasks.next != NULL && !list_empty(&all_tasks)) {
        task *t = LIST_ENTRY(all_tasks.next, task, all_link);
        task_cancel(t->token);
    }
}

static task *next_to_cancel(const vm *v, bool resident_only)
{
    LIST_FOR_EACH (it, &all_tasks) {
        task *t = LIST_ENTRY(it, task, all_link);
        if (t->vm == v && t->state != RUNNING && (t->resident || !resident_only))
            return t;
    }
    return NULL;
}

void task_cancel_vm(vm *v, bool resident_only)
{
    task *t;
    vm_hold(v);
    while (all_tasks.next != NULL && (t = next_to_cancel(v, resident_only)) != NULL)
        task_cancel(t->token);
    vm_drop(v);
}

bool task_owns_thread(lua_State *L)
{
    task *t = vm_task_state(vm_of(L))->running;
    return t != NULL && t->co == L;
}

/* Weak: thread -> true, for those of tasks that scripts have got hold of. */
static const char seen_threads;

static void push_seen_threads(lua_State *L)
{
    vm_push_weak(L, &seen_threads);
}

void task_thread_seen(lua_State *L)
{
    task *t = vm_task_state(vm_of(L))->running;
    if (t == NULL || t->co != L || t->seen)
        return;
    push_seen_threads(L);
    lua_pushthread(L);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    t->seen = true;
}

bool task_is_thread(lua_State *L, int arg)
{
    arg = lua_absindex(L, arg);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &seen_threads) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushvalue(L, arg);
    bool found = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return found;
}
