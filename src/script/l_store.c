/* host.store: the key-value store for scripts. Each call waits without blocking:
 *
 *   call -> store_x() -> on_answer (copies what the answer lends) -> task_wake -> push_x -> Lua
 *
 * A reply belongs to the store's callback until task_wake, then to the task, which frees it even
 * when the waiting script is gone. The lives of keys are seconds here and milliseconds below.
 * What must never happen: an argument checked after the store was asked (a raise would leak). */
#include "buf.h"
#include "mem.h"
#include "store.h"
#include "task.h"
#include <math.h>
#include <stdlib.h>

typedef struct {
    task_token token;
    task_push push;
    store_status status;
    int64_t number;
    size_t value_n, key_count, version_n, cursor_n;
    size_t *key_ends; /* where each key ends in bytes */
    char *message;
    char version[STORE_VERSION_MAX];
    char *bytes; /* the value; or the keys, then the cursor */
} reply;

static void free_reply(void *data)
{
    reply *r = data;
    free(r->key_ends);
    free(r->message);
    free(r->bytes);
    free(r);
}

static void copy_keys(reply *r, const store_result *result)
{
    buf bytes = {0};
    r->key_count = result->key_count;
    r->key_ends = mem_alloc((result->key_count + 1) * sizeof *r->key_ends);
    for (size_t i = 0; i < result->key_count; i++) {
        buf_append_slice(&bytes, result->keys[i]);
        r->key_ends[i] = bytes.len;
    }
    buf_append_slice(&bytes, result->cursor);
    r->cursor_n = result->cursor.n;
    r->value_n = bytes.len;
    r->bytes = bytes.data;
}

static void on_answer(const store_result *result, void *arg)
{
    reply *r = arg;
    r->status = result->status;
    r->number = result->number;
    r->version_n = result->version.n;
    memcpy(r->version, result->version.p != NULL ? result->version.p : "", result->version.n);
    if (result->message != NULL)
        r->message = mem_dup(result->message, strlen(result->message));
    if (result->keys != NULL) {
        copy_keys(r, result);
    } else if (result->value.p != NULL) {
        r->bytes = mem_dup(result->value.p, result->value.n);
        r->value_n = result->value.n;
    }
    task_wake(r->token, r->push, free_reply, r);
}

/* Results ------------------------------------------------------------------------------------- */

static int push_failure(lua_State *L, const reply *r)
{
    static const char *const codes[] = {
        [STORE_ABSENT] = "absent",       [STORE_EXISTS] = "exists",
        [STORE_CONFLICT] = "conflict",   [STORE_TYPE] = "type",
        [STORE_TOO_LARGE] = "too_large", [STORE_UNAVAILABLE] = "unavailable",
    };
    return vm_fail(L, codes[r->status], "%s", r->message);
}

static int push_value(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status == STORE_ABSENT) {
        lua_pushnil(L);
        lua_pushnil(L);
        return 2;
    }
    if (r->status != STORE_OK)
        return push_failure(L, r);
    vm_push_slice(L, (slice){r->bytes, r->value_n});
    vm_push_slice(L, (slice){r->version, r->version_n});
    return 2;
}

static int push_version(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status != STORE_OK)
        return push_failure(L, r);
    vm_push_slice(L, (slice){r->version, r->version_n});
    return 1;
}

static int push_deleted(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status != STORE_OK && r->status != STORE_ABSENT)
        return push_failure(L, r);
    lua_pushboolean(L, r->status == STORE_OK);
    return 1;
}

static int push_number(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status != STORE_OK)
        return push_failure(L, r);
    lua_pushinteger(L, r->number);
    return 1;
}

static int push_ttl(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status == STORE_ABSENT)
        lua_pushnil(L);
    else if (r->status != STORE_OK)
        return push_failure(L, r);
    else
        lua_pushnumber(L, r->number < 0 ? HUGE_VAL : (lua_Number)r->number / 1000);
    return 1;
}

static int push_keys(lua_State *L, void *data)
{
    const reply *r = data;
    size_t start = 0;
    if (r->status != STORE_OK)
        return push_failure(L, r);
    lua_createtable(L, (int)r->key_count, 0);
    for (size_t i = 0; i < r->key_count; start = r->key_ends[i++]) {
        vm_push_slice(L, (slice){r->bytes + start, r->key_ends[i] - start});
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (r->cursor_n == 0)
        return 1;
    vm_push_slice(L, (slice){r->bytes + r->value_n - r->cursor_n, r->cursor_n});
    return 2;
}

static int push_true(lua_State *L, void *data)
{
    const reply *r = data;
    if (r->status != STORE_OK)
        return push_failure(L, r);
    lua_pushboolean(L, true);
    return 1;
}

/* Calls --------------------------------------------------------------------------------------- */

static store_port *port_of(lua_State *L)
{
    return vm_services(vm_of(L))->store;
}

static int no_store(lua_State *L)
{
    return vm_fail(L, "unavailable", "no store is open: this program runs without one");
}

/* The last step before the store is asked: raises where waiting is not possible. */
static reply *new_reply(lua_State *L, task_push push)
{
    task_token token = task_token_of(L);
    reply *r = mem_alloc(sizeof *r);
    r->token = token;
    r->push = push;
    return r;
}

/* Seconds to milliseconds; 0: for ever. */
static int64_t check_ttl(lua_State *L, int arg, int64_t missing)
{
    static const lua_Number longest = 100.0 * 365 * 86400;
    lua_Number ttl = vm_opt_number(L, arg, "ttl", -HUGE_VAL);
    if (ttl == -HUGE_VAL)
        return missing;
    if (!(ttl >= 0))
        luaL_argerror(L, arg, "option 'ttl' must be seconds, 0 or more");
    if (ttl > longest)
        ttl = longest;
    int64_t ms = (int64_t)(ttl * 1000 + 0.5);
    return ms == 0 && ttl > 0 ? 1 : ms;
}

static int l_get(lua_State *L)
{
    slice key = vm_check_slice(L, 1);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_get(p, key, on_answer, new_reply(L, push_value));
    return task_park(L, NULL, NULL);
}

static int l_set(lua_State *L)
{
    slice key = vm_check_slice(L, 1), value = vm_check_slice(L, 2);
    int64_t ttl = check_ttl(L, 3, STORE_FOREVER);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_set(p, key, value, ttl, on_answer, new_reply(L, push_version));
    return task_park(L, NULL, NULL);
}

/* Options of a write: what goes out with it. */
static store_notice check_notice(lua_State *L, int arg)
{
    return (store_notice){vm_opt_slice(L, arg, "channel", (slice){"", 0}),
                          vm_opt_slice(L, arg, "message", (slice){"", 0})};
}

static int l_add(lua_State *L)
{
    slice key = vm_check_slice(L, 1), value = vm_check_slice(L, 2);
    int64_t ttl = check_ttl(L, 3, STORE_FOREVER);
    store_notice notice = check_notice(L, 3);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_add(p, key, value, ttl, &notice, on_answer, new_reply(L, push_version));
    return task_park(L, NULL, NULL);
}

static int l_cas(lua_State *L)
{
    slice key = vm_check_slice(L, 1), value = vm_check_slice(L, 2), version = vm_check_slice(L, 3);
    int64_t ttl = check_ttl(L, 4, STORE_KEEP_TTL);
    store_notice notice = check_notice(L, 4);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_cas(p, key, value, version, ttl, &notice, on_answer, new_reply(L, push_version));
    return task_park(L, NULL, NULL);
}

static int l_delete(lua_State *L)
{
    slice key = vm_check_slice(L, 1);
    slice version = vm_opt_slice(L, 2, "version", (slice){"", 0});
    store_notice notice = check_notice(L, 2);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_delete(p, key, version, &notice, on_answer, new_reply(L, push_deleted));
    return task_park(L, NULL, NULL);
}

static int l_incr(lua_State *L)
{
    slice key = vm_check_slice(L, 1);
    lua_Integer by = luaL_optinteger(L, 2, 1);
    int64_t ttl = check_ttl(L, 3, STORE_FOREVER);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_incr(p, key, by, ttl, on_answer, new_reply(L, push_number));
    return task_park(L, NULL, NULL);
}

static int l_ttl(lua_State *L)
{
    slice key = vm_check_slice(L, 1);
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_ttl(p, key, on_answer, new_reply(L, push_ttl));
    return task_park(L, NULL, NULL);
}

static int l_list(lua_State *L)
{
    slice prefix = vm_check_slice(L, 1);
    lua_Integer limit = vm_opt_integer(L, 2, "limit", 100);
    slice cursor = vm_opt_slice(L, 2, "cursor", (slice){"", 0});
    luaL_argcheck(L, limit >= 1 && limit <= 1000, 2, "option 'limit' must be 1 to 1000");
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_list(p, prefix, cursor, (unsigned)limit, on_answer, new_reply(L, push_keys));
    return task_park(L, NULL, NULL);
}

static int l_ping(lua_State *L)
{
    store_port *p = port_of(L);
    if (p == NULL)
        return no_store(L);
    store_ping(p, on_answer, new_reply(L, push_true));
    return task_park(L, NULL, NULL);
}

int luaopen_host_store(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", l_get},   {"set", l_set}, {"add", l_add},   {"cas", l_cas},   {"delete", l_delete},
        {"incr", l_incr}, {"ttl", l_ttl}, {"list", l_list}, {"ping", l_ping}, {NULL, NULL},
    };
    const store_port *p = vm_store(vm_of(L));
    luaL_newlib(L, functions);
    lua_pushstring(L, p != NULL ? store_port_name(p) : "none");
    lua_setfield(L, -2, "name");
    return 1;
}
