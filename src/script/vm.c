/* A Lua state with what lunacast needs around it. Why one state per worker and not one per request:
 * a state costs 100 KiB and the loading of every script; tasks inside one state cost 1 KiB.
 *
 * Owner: references. The worker holds the current one, each task holds its own, so that an old VM
 * lives until its last task has ended. The last drop closes the Lua state.
 *
 * What must never happen: a Lua call that can raise outside of vm_protect or a task; a `lua_State
 * *` of a coroutine kept across a return to the loop; lua_close inside a task. */
#include "vm.h"

#include "account.h"
#include "config.h"
#include "file_set.h"
#include "heap.h"
#include "log.h"
#include "mem.h"
#include "sandbox.h"
#include "task.h"
#include "traceback.h"
#include "vm_private.h"
#include <lualib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* While the scripts are loaded nobody waits for this VM. */
enum { BOOT_WARN_US = 1000000, BOOT_LIMIT_US = 10000000 };

struct vm {
    lua_State *L;
    const services *services;
    vm_options options;
    char *folder;
    size_t refs;
    size_t memory;
    heap heap;
    guard *guard;
    vm_tasks tasks;
    accounts accounts;
};

static _Atomic size_t alive;

static bool fits(const vm *v, size_t more)
{
    size_t limit = v->options.memory_limit;
    return limit == 0 || v->memory + more <= limit;
}

static void *resize(vm *v, void *old, size_t old_size, size_t size)
{
    if (size > old_size && !fits(v, size - old_size))
        return NULL;
    void *p = heap_resize(&v->heap, old, old_size, size);
    if (p != NULL)
        v->memory = v->memory - old_size + size;
    return p;
}

/* Called some twenty times a request; a free of nothing is one of Lua's ways, too. */
static void *allocate(void *ud, void *old, size_t old_size, size_t size)
{
    vm *v = ud;
    if (old != NULL && size > 0)
        return resize(v, old, old_size, size);
    if (old != NULL) {
        heap_give(&v->heap, old, old_size);
        v->memory -= old_size;
        return NULL;
    }
    void *p = size > 0 && fits(v, size) ? heap_take(&v->heap, size) : NULL;
    v->memory += p != NULL ? size : 0;
    return p;
}

static int on_panic(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    fprintf(stderr, "lunacast: Lua error outside of protection: %s\n", message ? message : "?");
    abort();
}

static int open_state(lua_State *L)
{
    vm *v = lua_touserdata(L, 1);
    sandbox_open(L, &v->options);
    return 0;
}

vm *vm_new(const services *s, const vm_options *options)
{
    vm *v = mem_alloc(sizeof *v);
    v->services = s;
    v->options = *options;
    config_hold(options->config);
    file_set_hold(options->files);
    v->folder = mem_dup(options->folder, strlen(options->folder));
    v->options.folder = v->folder;
    v->refs = 1;
    v->guard = guard_new(BOOT_WARN_US, options->limit_us > 0 ? BOOT_LIMIT_US : 0);
    v->heap.limit = options->memory_limit * 2;
    v->L = lua_newstate(allocate, v);
    atomic_fetch_add(&alive, 1);
    if (v->L == NULL) {
        vm_drop(v);
        return NULL;
    }
    lua_atpanic(v->L, on_panic);
    /* Nearly all garbage of a request is young; the framework's tables are not marked again and
     * again. */
    lua_gc(v->L, LUA_GCGEN, 0, 0);
    *(vm **)lua_getextraspace(v->L) = v;
    char error[1024];
    if (vm_protect(v, open_state, v, error, sizeof error) != 0) {
        log_error("cannot set up Lua", LOG_TEXT("error", error));
        vm_drop(v);
        return NULL;
    }
    return v;
}

vm *vm_hold(vm *v)
{
    v->refs++;
    return v;
}

void vm_drop(vm *v)
{
    if (--v->refs > 0)
        return;
    task_free_spares(v);
    account_flush(&v->accounts);
    if (v->L != NULL)
        lua_close(v->L);
    heap_free(&v->heap);
    guard_free(v->guard);
    config_drop(v->options.config);
    file_set_drop(v->options.files);
    free(v->folder);
    free(v);
    atomic_fetch_sub(&alive, 1);
}

void vm_booted(vm *v)
{
    guard_set_budget(v->guard, v->options.warn_us, v->options.limit_us);
}

void vm_adopt(vm *v)
{
    guard_adopt(v->guard);
}

vm *vm_of(lua_State *L)
{
    return *(vm **)lua_getextraspace(L);
}

const services *vm_services(vm *v)
{
    return v->services;
}

struct store_port *vm_store(vm *v)
{
    const services *s = v->services;
    if (s->store == NULL && s->host != NULL && s->host->lend_store != NULL)
        s->host->lend_store(s->host->arg);
    return s->store;
}

const vm_options *vm_settings(vm *v)
{
    return &v->options;
}

const config *vm_config(const vm *v)
{
    return v->options.config;
}

lua_State *vm_main(vm *v)
{
    return v->L;
}

size_t vm_memory(const vm *v)
{
    return v->memory;
}

size_t vm_count(void)
{
    return atomic_load(&alive);
}

accounts *vm_accounts(vm *v)
{
    return &v->accounts;
}

void vm_tick(vm *v)
{
    account_flush(&v->accounts);
}

void vm_collect(vm *v)
{
    lua_gc(v->L, LUA_GCCOLLECT);
}

vm_tasks *vm_task_state(vm *v)
{
    return &v->tasks;
}

guard *vm_guard(vm *v)
{
    return v->guard;
}

void vm_describe_error(lua_State *L, int index)
{
    if (lua_type(L, index) == LUA_TSTRING)
        lua_pushvalue(L, index);
    else
        lua_pushfstring(L, "(the error value is a %s)", luaL_typename(L, index));
}

int vm_traceback(lua_State *L)
{
    vm_describe_error(L, 1);
    traceback_push(L, L, lua_tostring(L, -1), 1);
    return 1;
}

void vm_log_slow(guard_verdict verdict)
{
    if (verdict.slow_us > 0)
        log_warn("a script held its worker", LOG_TEXT("kind", "performance"),
                 LOG_TEXT("event", "slow_turn"), LOG_NUM("cpu_us", verdict.slow_us));
}

int vm_protect(vm *v, lua_CFunction fn, void *data, char *error, size_t error_size)
{
    lua_State *L = v->L;
    /* The caller may be a drain inside an outer protected call: that one's stack stays as it is. */
    int base = lua_gettop(L);
    lua_pushcfunction(L, vm_traceback);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, data);
    bool outermost = !guard_inside();
    if (outermost)
        guard_enter(v->guard, L);
    int status = lua_pcall(L, 1, 0, base + 1);
    if (outermost)
        vm_log_slow(guard_leave(v->guard));
    if (status != LUA_OK) {
        const char *text = lua_tostring(L, -1);
        snprintf(error, error_size, "%s", text ? text : "error without a message");
    }
    lua_settop(L, base);
    return status == LUA_OK ? 0 : -1;
}

/* For bindings ------------------------------------------------------------------------------- */

int vm_fail(lua_State *L, const char *code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    lua_pushnil(L);
    lua_pushstring(L, message);
    lua_pushstring(L, code);
    return 3;
}

void vm_check_time(lua_State *L)
{
    if (guard_over())
        luaL_error(L, GUARD_MESSAGE);
}

slice vm_check_slice(lua_State *L, int arg)
{
    slice s;
    s.p = luaL_checklstring(L, arg, &s.n);
    return s;
}

void vm_push_slice(lua_State *L, slice s)
{
    lua_pushlstring(L, s.n > 0 ? s.p : "", s.n);
}

void vm_push_weak(lua_State *L, const void *key)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* Pushes options[name]; its type, LUA_TNIL when there is no table. */
static int push_option(lua_State *L, int arg, const char *name)
{
    if (lua_isnoneornil(L, arg)) {
        lua_pushnil(L);
        return LUA_TNIL;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    return lua_getfield(L, arg, name);
}

static void bad_option(lua_State *L, int arg, const char *name, const char *expected)
{
    luaL_argerror(
        L, arg,
        lua_pushfstring(L, "option '%s' must be %s, got %s", name, expected, luaL_typename(L, -1)));
}

lua_Integer vm_opt_integer(lua_State *L, int arg, const char *name, lua_Integer missing)
{
    if (push_option(L, arg, name) != LUA_TNIL) {
        int is_integer = 0;
        missing = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || lua_type(L, -1) != LUA_TNUMBER)
            bad_option(L, arg, name, "an integer");
    }
    lua_pop(L, 1);
    return missing;
}

lua_Number vm_opt_number(lua_State *L, int arg, const char *name, lua_Number missing)
{
    if (push_option(L, arg, name) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TNUMBER)
            bad_option(L, arg, name, "a number");
        missing = lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
    return missing;
}

bool vm_opt_boolean(lua_State *L, int arg, const char *name, bool missing)
{
    if (push_option(L, arg, name) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TBOOLEAN)
            bad_option(L, arg, name, "a boolean");
        missing = lua_toboolean(L, -1);
    }
    lua_pop(L, 1);
    return missing;
}

slice vm_opt_slice(lua_State *L, int arg, const char *name, slice missing)
{
    if (push_option(L, arg, name) != LUA_TNIL) {
        if (lua_type(L, -1) != LUA_TSTRING)
            bad_option(L, arg, name, "a string");
        missing.p = lua_tolstring(L, -1, &missing.n);
    }
    return missing;
}
