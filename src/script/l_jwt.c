/* host.jwt: tokens for scripts. A verified token is remembered by its digest until it expires. When
 * it comes again its claims are decoded once more and kept in a Lua table by slot, so that tokens
 * that come once cost little; what a script gets is a copy of its own, so that one request can't
 * change what the next one sees. A copy of six claims costs less than a microsecond; read-only
 * proxies were rejected, since pairs, next and json.encode would have to know them.
 *
 *   verify: cache --miss--> jwt_open --> jwt_check --> cache --> decode
 *              \--hit--> jwt_check --> table at the slot? --no--> decode, keep --> copy
 *                                                    \--yes-----------------------> copy
 *
 * Owner: the module's state is a userdata, one per VM: reader, cache and the tables (its user
 * values) die together. What must never happen: the claims of another token at a slot. A slot's
 * table is taken away when its entry is written. */
#include "box.h"
#include "clock.h"
#include "config.h"
#include "jose_json.h"
#include "jwt.h"
#include "l_jwk.h"
#include "mem.h"
#include "metrics.h"
#include "offload.h"
#include "token_cache.h"
#include <stdlib.h>

#define STATE_TYPE "host.jwt.state"

enum { CACHE_DEFAULT = 10000, AUDIENCE_MAX = 16, TYPE_MAX = 64 };
enum { UP_STATE = 1, UP_DECODE, UP_ENCODE, UPVALUES = UP_ENCODE };

enum { SLOTS = 1, LAST_HEADER }; /* user values: decoded claims by slot, and one header */

typedef struct {
    jwt_reader *reader;
    token_cache *cache; /* NULL: none is wanted */
    buf last_header;    /* the text of the header that is kept decoded */
} state;

static state *state_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(UP_STATE));
}

/* Tells the metrics by how much the number of entries has changed. */
static void count_entries(const state *s, size_t before)
{
    size_t now = token_cache_stats(s->cache).entries;
    metrics_add(METRIC_TOKEN_CACHE_ENTRIES, (int64_t)now - (int64_t)before);
}

static int state_gc(lua_State *L)
{
    state *s = luaL_checkudata(L, 1, STATE_TYPE);
    if (s->cache != NULL)
        metrics_add(METRIC_TOKEN_CACHE_ENTRIES, -(int64_t)token_cache_stats(s->cache).entries);
    jwt_reader_free(s->reader);
    token_cache_free(s->cache);
    buf_free(&s->last_header);
    *s = (state){0};
    return 0;
}

/* Options ------------------------------------------------------------------------------------ */

typedef struct {
    jwt_policy policy;
    slice audience[AUDIENCE_MAX];
} options;

/* The option's value is on top; its name at -2. */
static slice check_text(lua_State *L, const char *name)
{
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "option '%s' must be a string", name);
    slice text;
    text.p = lua_tolstring(L, -1, &text.n);
    if (text.n == 0)
        luaL_error(L, "option '%s' is empty", name);
    return text;
}

static lua_Number check_seconds(lua_State *L, const char *name, lua_Number most)
{
    lua_Number seconds = lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !(seconds >= 0 && seconds <= most))
        luaL_error(L, "option '%s' must be a number of seconds from 0 to %f", name, most);
    return seconds;
}

static void check_audience(lua_State *L, options *o)
{
    o->policy.audience = o->audience;
    if (!lua_istable(L, -1)) {
        o->audience[0] = check_text(L, "audience");
        o->policy.audience_n = 1;
        return;
    }
    size_t n = lua_rawlen(L, -1);
    if (n == 0 || n > AUDIENCE_MAX)
        luaL_error(L, "option 'audience' is one string or 1 to %d", AUDIENCE_MAX);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        o->audience[i] = check_text(L, "audience");
        lua_pop(L, 1);
    }
    o->policy.audience_n = n;
}

static void check_option(lua_State *L, options *o)
{
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    jwt_policy *p = &o->policy;
    if (strcmp(name, "issuer") == 0)
        p->issuer = check_text(L, name);
    else if (strcmp(name, "audience") == 0)
        check_audience(L, o);
    else if (strcmp(name, "leeway") == 0)
        p->leeway_ms = (int64_t)(check_seconds(L, name, JWT_LEEWAY_MAX_S) * 1000);
    else if (strcmp(name, "typ") == 0)
        p->type = check_text(L, name);
    else if (strcmp(name, "now") == 0)
        p->now_ms = (int64_t)(check_seconds(L, name, 253402300799.0) * 1000);
    else if (strcmp(name, "exp_optional") == 0)
        p->expiry_optional = lua_toboolean(L, -1);
    else
        luaL_error(L, "no option '%s': there are issuer, audience, leeway, typ, now, exp_optional",
                   name);
}

/* The strings are those of the table at `arg`, which holds them. */
static void check_options(lua_State *L, int arg, options *o)
{
    o->policy = (jwt_policy){.now_ms = clock_wall_ms()};
    if (lua_isnoneornil(L, arg))
        return;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        check_option(L, o);
        lua_pop(L, 1);
    }
}

/* Claims in Lua ------------------------------------------------------------------------------ */

/* Replaces the value on top by a copy, if it is a table. Depth is that of JSON that jwt_open took.
 */
static void copy_value(lua_State *L)
{
    if (!lua_istable(L, -1))
        return;
    luaL_checkstack(L, 6, "claims");
    int from = lua_gettop(L);
    int items = (int)lua_rawlen(L, from);
    lua_createtable(L, items, items > 0 ? 0 : 8);
    if (lua_getmetatable(L, from))
        lua_setmetatable(L, -2);
    lua_pushnil(L);
    while (lua_next(L, from) != 0) {
        copy_value(L);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, from + 1);
    }
    lua_replace(L, from);
}

/* Pushes the decoded object; false: host.json will not have it. */
static bool push_decoded(lua_State *L, slice json)
{
    lua_pushvalue(L, lua_upvalueindex(UP_DECODE));
    vm_push_slice(L, json);
    lua_call(L, 1, 1);
    return lua_istable(L, -1);
}

/* All tokens of one key have the same header, so the last one is kept. */
static bool push_header(lua_State *L, slice json)
{
    state *s = state_of(L);
    if (!slice_eq(json, (slice){s->last_header.data, s->last_header.len})) {
        if (!push_decoded(L, json))
            return false;
        s->last_header.len = 0;
        lua_setiuservalue(L, lua_upvalueindex(UP_STATE), LAST_HEADER);
        buf_append_slice(&s->last_header, json);
    }
    lua_getiuservalue(L, lua_upvalueindex(UP_STATE), LAST_HEADER);
    copy_value(L);
    return true;
}

static int refuse(lua_State *L, jwt_code code)
{
    return vm_fail(L, jwt_code_word(code), "%s", jwt_code_text(code));
}

/* Takes the table of the slot away, if there is one. Writes to no new key, so it can't raise. */
static void clear_slot(lua_State *L, size_t slot)
{
    lua_getiuservalue(L, lua_upvalueindex(UP_STATE), SLOTS);
    if (lua_rawgeti(L, -1, (lua_Integer)slot) != LUA_TNIL) {
        lua_pushnil(L);
        lua_rawseti(L, -3, (lua_Integer)slot);
    }
    lua_pop(L, 2);
}

/* Verify ------------------------------------------------------------------------------------- */

static void remember(lua_State *L, const jwt_claims *claims)
{
    state *s = state_of(L);
    if (s->cache == NULL)
        return;
    size_t before = token_cache_stats(s->cache).entries;
    clear_slot(L, token_cache_put(s->cache, claims));
    count_entries(s, before);
}

static int verify_new(lua_State *L, slice token, const jwk_set *keys, const jwt_policy *policy)
{
    jwt_claims claims;
    jwt_code code = jwt_open(state_of(L)->reader, token, keys, &claims);
    if (code == JWT_OK)
        code = jwt_check(&claims, policy);
    if (code != JWT_OK)
        return refuse(L, code);
    remember(L, &claims);
    if (!push_decoded(L, claims.payload) || !push_header(L, claims.header))
        return refuse(L, JWT_MALFORMED);
    return 2;
}

static void forget(lua_State *L, size_t slot)
{
    state *s = state_of(L);
    size_t before = token_cache_stats(s->cache).entries;
    token_cache_forget(s->cache, slot);
    count_entries(s, before);
    clear_slot(L, slot);
}

static int verify_known(lua_State *L, token_hit hit, const jwt_policy *policy)
{
    jwt_code code = jwt_check(hit.claims, policy);
    if (code == JWT_EXPIRED)
        forget(L, hit.slot);
    if (code != JWT_OK)
        return refuse(L, code);
    lua_getiuservalue(L, lua_upvalueindex(UP_STATE), SLOTS);
    if (lua_rawgeti(L, -1, (lua_Integer)hit.slot) != LUA_TTABLE) {
        if (!push_decoded(L, hit.claims->payload))
            return refuse(L, JWT_MALFORMED);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -4, (lua_Integer)hit.slot);
    }
    copy_value(L);
    return push_header(L, hit.claims->header) ? 2 : refuse(L, JWT_MALFORMED);
}

/* Is the token known? Counts. */
static bool look_up(lua_State *L, slice token, const jwk_set *keys, token_hit *hit)
{
    state *s = state_of(L);
    if (s->cache == NULL)
        return false;
    bool known = token_cache_find(s->cache, token, jwk_set_stamp(keys), hit);
    metrics_add(known ? METRIC_TOKEN_CACHE_HITS : METRIC_TOKEN_CACHE_MISSES, 1);
    return known;
}

static int l_verify(lua_State *L)
{
    token_hit hit;
    options o;
    slice token = vm_check_slice(L, 1);
    const jwk_set *keys = jwk_check_set(L, 2);
    check_options(L, 3, &o);
    if (token.n > JWT_SIZE_MAX)
        return refuse(L, JWT_MALFORMED);
    if (look_up(L, token, keys, &hit))
        return verify_known(L, hit, &o.policy);
    return verify_new(L, token, keys, &o.policy);
}

/* Sign --------------------------------------------------------------------------------------- */

typedef struct {
    offload offload;
    jwk *key;
    buf payload, token;
    char type[TYPE_MAX];
    size_t type_n;
    int status;
} signing;

static void signing_run(offload *o)
{
    signing *s = (signing *)o;
    s->status = jwt_sign(s->key, (slice){s->type, s->type_n},
                         (slice){s->payload.data, s->payload.len}, &s->token);
}

static int push_token(lua_State *L, int status, const buf *token)
{
    if (status != 0)
        return vm_fail(L, "memory", "the token could not be signed");
    if (token->len > JWT_SIZE_MAX)
        return vm_fail(L, "too_large",
                       "the token would have %zu bytes, more than the %d that are "
                       "accepted; put less into its claims",
                       token->len, JWT_SIZE_MAX);
    metrics_add(METRIC_TOKENS_ISSUED, 1);
    lua_pushlstring(L, token->data, token->len);
    return 1;
}

static int signing_push(lua_State *L, void *data)
{
    const signing *s = data;
    return push_token(L, s->status, &s->token);
}

static void signing_dispose(void *data)
{
    signing *s = data;
    jwk_drop(s->key);
    buf_free(&s->payload);
    buf_free(&s->token);
    free(s);
}

static int sign_on_pool(lua_State *L, jwk *key, slice type, slice payload)
{
    task_token token = task_token_of(L);
    signing *s = mem_alloc(sizeof *s);
    s->offload = (offload){
        .token = token, .run = signing_run, .push = signing_push, .dispose = signing_dispose};
    s->key = jwk_hold(key);
    buf_append_slice(&s->payload, payload);
    memcpy(s->type, type.p, type.n);
    s->type_n = type.n;
    offload_begin(vm_services(vm_of(L))->loop, &s->offload);
    return task_park(L, NULL, NULL);
}

/* { typ = ... } at `arg`. */
static slice check_header(lua_State *L, int arg)
{
    slice type = SLICE("JWT");
    if (lua_isnoneornil(L, arg))
        return type;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "typ") != 0)
            luaL_argerror(L, arg, "the header's typ can be chosen, nothing else");
        type = check_text(L, "typ");
        lua_pop(L, 1);
    }
    luaL_argcheck(L, type.n <= TYPE_MAX && jose_is_utf8(type), arg, "typ is UTF-8 of 64 bytes");
    return type;
}

/* The claims' JSON, in place of a table at index 1. */
static slice check_claims(lua_State *L)
{
    if (lua_istable(L, 1)) {
        lua_pushvalue(L, lua_upvalueindex(UP_ENCODE));
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
        lua_replace(L, 1);
    }
    slice payload = vm_check_slice(L, 1);
    luaL_argcheck(L, jwt_is_payload(payload), 1,
                  "claims are an object; exp, nbf and iat are seconds since 1970, iss is a string, "
                  "aud a string or a list of them");
    return payload;
}

static int l_sign(lua_State *L)
{
    jwk *key = jwk_check(L, 2);
    luaL_argcheck(L, jwk_can_sign(key), 2, "the key is public: it can only verify");
    slice type = check_header(L, 3), payload = check_claims(L);
    if (jwk_alg_of(key) == JWK_RS256 || jwk_alg_of(key) == JWK_PS256)
        return sign_on_pool(L, key, type, payload);
    buf *token = box_push_buf(L);
    return push_token(L, jwt_sign(key, type, payload, token), token);
}

static void set_number(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static int l_stats(lua_State *L)
{
    const state *s = state_of(L);
    token_stats stats = s->cache != NULL ? token_cache_stats(s->cache) : (token_stats){0};
    lua_createtable(L, 0, 5);
    set_number(L, "hits", stats.hits);
    set_number(L, "misses", stats.misses);
    set_number(L, "evictions", stats.evictions);
    set_number(L, "entries", stats.entries);
    set_number(L, "limit", stats.limit);
    return 1;
}

/* -------------------------------------------------------------------------------------------- */

static void push_state(lua_State *L)
{
    const config *settings = vm_config(vm_of(L));
    int64_t limit = settings != NULL ? config_int(settings, "token.cache") : CACHE_DEFAULT;
    state *s = lua_newuserdatauv(L, sizeof *s, 2);
    *s = (state){0};
    if (luaL_newmetatable(L, STATE_TYPE)) {
        lua_pushcfunction(L, state_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    s->reader = jwt_reader_new();
    if (limit > 0)
        s->cache = token_cache_new((size_t)limit);
    lua_newtable(L);
    lua_setiuservalue(L, -2, SLOTS);
}

int luaopen_host_jwt(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"sign", l_sign}, {"verify", l_verify}, {"stats", l_stats}, {NULL, NULL}};
    luaL_newlibtable(L, functions);
    push_state(L);
    box_push_json(L, "decode");
    box_push_json(L, "encode");
    luaL_setfuncs(L, functions, UPVALUES);
    return 1;
}
