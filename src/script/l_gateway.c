/* host.gateway: plans of proxies, and a look at the servers behind them. A plan is what web.proxy
 * makes of its options once; the answer table of a route carries it to response_table.c. */
#include "l_gateway.h"

#include "box.h"

static const char plan_name[] = "host.gateway.plan";

proxy_plan *gateway_plan_test(lua_State *L, int arg)
{
    proxy_plan **box = box_test(L, arg, plan_name);
    return box != NULL ? *box : NULL;
}

static int plan_collect(lua_State *L)
{
    proxy_plan **box = box_test(L, 1, plan_name);
    if (box == NULL || *box == NULL)
        return 0;
    proxy_plan_drop(*box);
    *box = NULL;
    return 0;
}

static proxy_plan *new_plan(lua_State *L)
{
    proxy_plan **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, plan_name);
    lua_setmetatable(L, -2);
    *box = proxy_plan_new();
    return *box;
}

/* plan(options) -------------------------------------------------------------------------------- */

static uint64_t opt_ms(lua_State *L, const char *name, lua_Number missing)
{
    lua_Number seconds = vm_opt_number(L, 1, name, missing);
    if (!(seconds >= 0 && seconds < 1e9))
        luaL_error(L, "option '%s' must be seconds, not negative", name);
    return (uint64_t)(seconds * 1000);
}

static unsigned opt_count(lua_State *L, const char *name, lua_Integer missing, lua_Integer most)
{
    lua_Integer value = vm_opt_integer(L, 1, name, missing);
    if (value < 0 || value > most)
        luaL_error(L, "option '%s' must be an integer from 0 to %d", name, (int)most);
    return (unsigned)value;
}

/* NAME NUL ('=' VALUE | '-') NUL for the name and value at the top of the stack. */
static void add_own(lua_State *L, buf *own)
{
    if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "names of headers must be strings");
    slice name = vm_check_slice(L, -2);
    bool drop = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    if (!drop && !lua_isstring(L, -1))
        luaL_error(L, "header '%s' must be a string, or false to drop it", name.p);
    slice value = drop ? SLICE("") : vm_check_slice(L, -1);
    if (!client_header_fits(name, value) || slice_ieq(name, SLICE("host")))
        luaL_error(L, "header '%s' can't be set for an upstream", name.p);
    buf_append_slice(own, name);
    buf_byte(own, '\0');
    buf_byte(own, drop ? '-' : '=');
    buf_append_slice(own, value);
    buf_byte(own, '\0');
}

void gateway_read_headers(lua_State *L, int index, buf *own)
{
    index = lua_absindex(L, index);
    if (lua_isnil(L, index))
        return;
    if (!lua_istable(L, index))
        luaL_error(L, "an upstream's headers must be a table, got %s", luaL_typename(L, index));
    lua_pushnil(L);
    while (lua_next(L, index) != 0) {
        add_own(L, own);
        lua_pop(L, 1);
    }
}

/* Leaves the strings on the stack. */
static size_t read_urls(lua_State *L, slice *urls)
{
    if (lua_getfield(L, 1, "upstream") == LUA_TSTRING) {
        urls[0] = vm_check_slice(L, -1);
        return 1;
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "option 'upstream' must be a URL or a list of them");
    int urls_at = lua_gettop(L);
    lua_Integer n = luaL_len(L, urls_at);
    if (n < 1 || n > UPSTREAM_PEERS_MAX)
        luaL_error(L, "an upstream has 1 to %d servers", UPSTREAM_PEERS_MAX);
    luaL_checkstack(L, (int)n, "too many servers");
    for (lua_Integer i = 0; i < n; i++) {
        lua_geti(L, urls_at, i + 1);
        urls[i] = vm_check_slice(L, -1);
    }
    return (size_t)n;
}

static void open_upstream(lua_State *L, proxy_plan *plan)
{
    slice urls[UPSTREAM_PEERS_MAX];
    const char *why = NULL;
    slice balance = vm_opt_slice(L, 1, "balance", SLICE("turn"));
    bool least = slice_eq(balance, SLICE("least"));
    if (!least && !slice_eq(balance, SLICE("turn")))
        luaL_error(L, "option 'balance' must be \"turn\" or \"least\"");
    upstream_rules rules = {.least = least,
                            .fails = opt_count(L, "fails", 3, 16),
                            .fail_ms = opt_ms(L, "fail_time", 10),
                            .out_ms = opt_ms(L, "out_time", 10)};
    int top = lua_gettop(L);
    size_t count = read_urls(L, urls);
    plan->to = upstream_open(urls, count, &rules, &why);
    lua_settop(L, top);
    if (plan->to == NULL)
        luaL_error(L, "a wrong upstream: %s", why);
}

static void read_trust(lua_State *L, buf *trust)
{
    if (lua_getfield(L, 1, "trust") == LUA_TTABLE) {
        lua_Integer n = luaL_len(L, -1);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_geti(L, -1, i);
            buf_append_slice(trust, vm_check_slice(L, -1));
            buf_byte(trust, ',');
            lua_pop(L, 1);
        }
    } else if (!lua_isnil(L, -1)) {
        luaL_error(L, "option 'trust' must be a list of header names");
    }
    lua_pop(L, 1);
}

static int gateway_plan(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    proxy_plan *plan = new_plan(L);
    slice untrusted = vm_opt_slice(L, 1, "untrusted", SLICE("drop"));
    plan->refuse_untrusted = slice_eq(untrusted, SLICE("refuse"));
    if (!plan->refuse_untrusted && !slice_eq(untrusted, SLICE("drop")))
        luaL_error(L, "option 'untrusted' must be \"drop\" or \"refuse\"");
    plan->strip = opt_count(L, "strip", 0, 64);
    plan->keep_host = vm_opt_boolean(L, 1, "keep_host", false);
    plan->allow_internal = vm_opt_boolean(L, 1, "allow_private", true);
    plan->insecure = vm_opt_boolean(L, 1, "insecure", false);
    plan->connect_ms = opt_ms(L, "connect_timeout", 10);
    plan->first_byte_ms = opt_ms(L, "timeout", 30);
    plan->idle_ms = opt_ms(L, "idle_timeout", 300);
    plan->body_limit = (uint64_t)vm_opt_integer(L, 1, "body_limit", 0);
    lua_getfield(L, 1, "headers");
    gateway_read_headers(L, -1, &plan->set);
    read_trust(L, &plan->trust);
    open_upstream(L, plan);
    lua_settop(L, 2);
    return 1;
}

/* upstreams(), check(url, good) ---------------------------------------------------------------- */

/* Under the registry's lock nothing may raise: the numbers are gathered first. */
typedef struct {
    buf *out;
} gathered;

static void put_text(buf *out, slice text)
{
    size_t n = text.n;
    buf_append(out, &n, sizeof n);
    buf_append_slice(out, text);
}

static void gather(upstream *u, void *arg)
{
    buf *out = ((gathered *)arg)->out;
    size_t count = upstream_count(u);
    put_text(out, upstream_name(u));
    buf_append(out, &count, sizeof count);
    for (size_t i = 0; i < count; i++) {
        upstream_status status;
        upstream_look(u, i, &status);
        put_text(out, status.url);
        buf_append(out, &status, sizeof status);
    }
}

static slice get_text(const char **at)
{
    size_t n;
    memcpy(&n, *at, sizeof n);
    slice text = {*at + sizeof n, n};
    *at += sizeof n + n;
    return text;
}

static void push_peer(lua_State *L, const char **at)
{
    upstream_status status;
    slice url = get_text(at);
    memcpy(&status, *at, sizeof status);
    *at += sizeof status;
    lua_createtable(L, 0, 6);
    vm_push_slice(L, url);
    lua_setfield(L, -2, "url");
    lua_pushstring(L, status.state);
    lua_setfield(L, -2, "state");
    lua_pushinteger(L, (lua_Integer)status.running);
    lua_setfield(L, -2, "running");
    lua_pushinteger(L, (lua_Integer)status.requests);
    lua_setfield(L, -2, "requests");
    lua_pushinteger(L, (lua_Integer)status.failures);
    lua_setfield(L, -2, "failures");
    lua_pushnumber(L, (lua_Number)status.out_ms / 1000);
    lua_setfield(L, -2, "out_for");
}

static int gateway_upstreams(lua_State *L)
{
    gathered g = {box_push_buf(L)};
    upstream_each(gather, &g);
    const char *at = g.out->data, *end = at + g.out->len;
    lua_newtable(L);
    for (lua_Integer i = 1; at < end; i++) {
        lua_createtable(L, 0, 2);
        vm_push_slice(L, get_text(&at));
        lua_setfield(L, -2, "name");
        size_t count;
        memcpy(&count, at, sizeof count);
        at += sizeof count;
        lua_createtable(L, (int)count, 0);
        for (size_t k = 1; k <= count; k++) {
            push_peer(L, &at);
            lua_rawseti(L, -2, (lua_Integer)k);
        }
        lua_setfield(L, -2, "peers");
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* check(plan, i, good): what an active check found. */
static int gateway_check(lua_State *L)
{
    proxy_plan *plan = gateway_plan_test(L, 1);
    luaL_argcheck(L, plan != NULL, 1, "a plan is expected");
    lua_Integer i = luaL_checkinteger(L, 2);
    luaL_argcheck(L, i >= 1 && (size_t)i <= upstream_count(plan->to), 2, "no such server");
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    upstream_check(plan->to, (size_t)i - 1, lua_toboolean(L, 3));
    return 0;
}

/* uncheck(plan): nobody checks its servers any more. */
static int gateway_uncheck(lua_State *L)
{
    proxy_plan *plan = gateway_plan_test(L, 1);
    luaL_argcheck(L, plan != NULL, 1, "a plan is expected");
    upstream_uncheck(plan->to);
    return 0;
}

static void make_metatable(lua_State *L)
{
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, plan_collect);
    lua_setfield(L, -2, "__gc");
    lua_pushstring(L, plan_name);
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, plan_name);
}

int luaopen_host_gateway(lua_State *L)
{
    static const luaL_Reg functions[] = {{"plan", gateway_plan},
                                         {"upstreams", gateway_upstreams},
                                         {"check", gateway_check},
                                         {"uncheck", gateway_uncheck},
                                         {NULL, NULL}};
    make_metatable(L);
    luaL_newlib(L, functions);
    return 1;
}
