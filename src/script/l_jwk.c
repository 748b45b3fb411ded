/* host.jwk: keys and sets as boxes. A box is made empty first and filled then, so that an error in
 * between leaves nothing behind. Making an RSA key takes up to seconds and waits on the thread
 * pool; all else is done at once.
 *
 * Owner: the box holds one reference of the key; a set's box owns the set. What must never happen:
 * a private member in anything but key:pem() and key:secret(). */
#include "l_jwk.h"

#include "box.h"
#include "mem.h"
#include "offload.h"
#include <stdlib.h>

#define KEY_TYPE "host.jwk.key"
#define SET_TYPE "host.jwk.set"

enum { RSA_BITS = 2048 };

/* What the box holds; an emptied one can only be met while the VM closes. */
static void *check_box(lua_State *L, int arg, const char *type)
{
    void **box = luaL_checkudata(L, arg, type);
    luaL_argcheck(L, *box != NULL, arg, "it is closed");
    return *box;
}

jwk *jwk_check(lua_State *L, int arg)
{
    return check_box(L, arg, KEY_TYPE);
}

jwk_set *jwk_check_set(lua_State *L, int arg)
{
    return check_box(L, arg, SET_TYPE);
}

static void *push_box(lua_State *L, const char *type)
{
    void **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, type);
    return box;
}

static int bad_key(lua_State *L, const char *reason)
{
    return vm_fail(L, "bad_key", "the key can't be used: %s", reason);
}

/* The key into the empty box on top, or the failure. Takes over the reference. */
static int fill_box(lua_State *L, jwk **box, jwk *k, const char *reason)
{
    if (k == NULL)
        return bad_key(L, reason);
    *box = k;
    return 1;
}

/* Wishes ------------------------------------------------------------------------------------- */

static jwk_alg check_alg(lua_State *L, int arg, slice name)
{
    jwk_alg alg = jwk_alg_find(name);
    luaL_argcheck(L, alg < JWK_ALGS, arg, "the algorithm is RS256, PS256, ES256, EdDSA or HS256");
    return alg;
}

/* { alg =, kid = } at `arg`; the strings stay on the stack. */
static jwk_wish check_wish(lua_State *L, int arg)
{
    jwk_wish wish = {.alg = JWK_ALGS};
    if (lua_isnoneornil(L, arg))
        return wish;
    luaL_checktype(L, arg, LUA_TTABLE);
    slice alg = vm_opt_slice(L, arg, "alg", (slice){0});
    if (alg.n > 0)
        wish.alg = check_alg(L, arg, alg);
    wish.kid = vm_opt_slice(L, arg, "kid", (slice){0});
    return wish;
}

/* Keys --------------------------------------------------------------------------------------- */

static int key_gc(lua_State *L)
{
    jwk **box = luaL_checkudata(L, 1, KEY_TYPE);
    jwk_drop(*box);
    *box = NULL;
    return 0;
}

static int key_tostring(lua_State *L)
{
    const jwk *k = jwk_check(L, 1);
    lua_pushfstring(L, "key %s ", jwk_alg_name(jwk_alg_of(k)));
    vm_push_slice(L, jwk_kid(k));
    lua_concat(L, 2);
    return 1;
}

static int key_kid(lua_State *L)
{
    vm_push_slice(L, jwk_kid(jwk_check(L, 1)));
    return 1;
}

static int key_alg(lua_State *L)
{
    lua_pushstring(L, jwk_alg_name(jwk_alg_of(jwk_check(L, 1))));
    return 1;
}

static int key_can_sign(lua_State *L)
{
    lua_pushboolean(L, jwk_can_sign(jwk_check(L, 1)));
    return 1;
}

static int push_form(lua_State *L, bool (*form)(const jwk *k, buf *out), const char *missing)
{
    const jwk *k = jwk_check(L, 1);
    buf *text = box_push_buf(L);
    if (!form(k, text))
        return vm_fail(L, "no_form", "%s", missing);
    box_push_text(L, text);
    return 1;
}

static int key_pem(lua_State *L)
{
    return push_form(L, jwk_private_pem, "only a private RSA, P-256 or Ed25519 key has this form");
}

static int key_public_pem(lua_State *L)
{
    return push_form(L, jwk_public_pem, "a secret has no public form");
}

static int key_jwk(lua_State *L)
{
    box_push_json(L, "decode");
    int n = push_form(L, jwk_public_json, "a secret has no public form");
    if (n != 1)
        return n;
    lua_remove(L, -2);
    lua_call(L, 1, 1);
    return 1;
}

static int key_secret(lua_State *L)
{
    slice secret = jwk_secret(jwk_check(L, 1));
    if (secret.n == 0)
        return vm_fail(L, "no_form", "only an HS256 key is a secret");
    vm_push_slice(L, secret);
    return 1;
}

/* Making --------------------------------------------------------------------------------------*/

typedef struct {
    offload offload;
    jwk_alg alg;
    unsigned bits;
    char kid[JWK_KID_MAX];
    size_t kid_n;
    _Atomic bool given_up; /* its task has ended: a reload, a stop */
    jwk *made;
    const char *reason;
} generation;

static void generation_run(offload *o)
{
    generation *g = (generation *)o;
    g->made = jwk_generate(g->alg, g->bits, (slice){g->kid, g->kid_n}, &g->given_up, &g->reason);
}

static int generation_push(lua_State *L, void *data)
{
    generation *g = data;
    jwk *made = g->made;
    jwk **box = push_box(L, KEY_TYPE);
    g->made = NULL;
    return fill_box(L, box, made, g->reason);
}

/* A place on the thread pool that nobody waits for is given back. */
static void generation_cancel(void *data)
{
    generation *g = data;
    g->given_up = true;
}

static void generation_dispose(void *data)
{
    generation *g = data;
    jwk_drop(g->made);
    free(g);
}

static int generate_rsa(lua_State *L, jwk_alg alg, unsigned bits, slice kid)
{
    task_token token = task_token_of(L);
    generation *g = mem_alloc(sizeof *g);
    g->offload = (offload){.token = token,
                           .run = generation_run,
                           .push = generation_push,
                           .dispose = generation_dispose};
    g->alg = alg;
    g->bits = bits;
    memcpy(g->kid, kid.p, kid.n);
    g->kid_n = kid.n;
    offload_begin(vm_services(vm_of(L))->loop, &g->offload);
    return task_park(L, generation_cancel, g);
}

static int l_generate(lua_State *L)
{
    jwk_alg alg = check_alg(L, 1, vm_check_slice(L, 1));
    bool rsa = alg == JWK_RS256 || alg == JWK_PS256;
    lua_Integer bits = vm_opt_integer(L, 2, "bits", RSA_BITS);
    slice kid = vm_opt_slice(L, 2, "kid", SLICE(""));
    luaL_argcheck(L, kid.n <= JWK_KID_MAX, 2, "kid has at most 255 bytes");
    luaL_argcheck(L, !rsa || (bits >= JWK_RSA_MIN && bits <= JWK_RSA_MAX), 2,
                  "bits is 2048 to 8192");
    if (rsa)
        return generate_rsa(L, alg, (unsigned)bits, kid);
    const char *reason;
    jwk **box = push_box(L, KEY_TYPE);
    jwk *k = jwk_generate(alg, 0, kid, NULL, &reason);
    return fill_box(L, box, k, reason);
}

static int l_from_pem(lua_State *L)
{
    const char *reason;
    slice pem = vm_check_slice(L, 1);
    jwk_wish wish = check_wish(L, 2);
    jwk **box = push_box(L, KEY_TYPE);
    jwk *k = jwk_from_pem(pem, wish, &reason);
    return fill_box(L, box, k, reason);
}

static int import_set(lua_State *L, slice json)
{
    size_t skipped;
    const char *reason;
    jwk_set **box = push_box(L, SET_TYPE);
    *box = jwk_set_from_json(json, &skipped, &reason);
    if (*box == NULL)
        return vm_fail(L, "bad_key", "the set of keys can't be used: %s", reason);
    lua_pushinteger(L, (lua_Integer)skipped);
    return 2;
}

static int l_import(lua_State *L)
{
    const char *reason;
    jwk_wish wish = check_wish(L, 2);
    if (lua_istable(L, 1)) {
        box_push_json(L, "encode");
        lua_pushvalue(L, 1);
        lua_call(L, 1, 1);
        lua_replace(L, 1);
    }
    slice json = vm_check_slice(L, 1);
    if (jwk_is_set(json))
        return import_set(L, json);
    jwk **box = push_box(L, KEY_TYPE);
    jwk *k = jwk_from_json(json, wish, &reason);
    return fill_box(L, box, k, reason);
}

/* Sets --------------------------------------------------------------------------------------- */

static int set_gc(lua_State *L)
{
    jwk_set **box = luaL_checkudata(L, 1, SET_TYPE);
    jwk_set_free(*box);
    *box = NULL;
    return 0;
}

static int set_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)jwk_set_count(jwk_check_set(L, 1)));
    return 1;
}

static int set_add(lua_State *L)
{
    jwk_set *s = jwk_check_set(L, 1);
    if (!jwk_set_add(s, jwk_check(L, 2))) {
        if (jwk_set_count(s) == JWK_SET_MAX)
            return vm_fail(L, "full", "a set has at most %d keys", JWK_SET_MAX);
        return vm_fail(L, "exists", "the set has a key of this kid already");
    }
    lua_pushboolean(L, true);
    return 1;
}

static int set_remove(lua_State *L)
{
    lua_pushboolean(L, jwk_set_remove(jwk_check_set(L, 1), vm_check_slice(L, 2)));
    return 1;
}

static void push_held(lua_State *L, jwk *k)
{
    jwk **box = push_box(L, KEY_TYPE);
    *box = jwk_hold(k);
}

static int set_find(lua_State *L)
{
    jwk *k = jwk_set_find(jwk_check_set(L, 1), vm_check_slice(L, 2));
    if (k != NULL)
        push_held(L, k);
    else
        lua_pushnil(L);
    return 1;
}

static int set_keys(lua_State *L)
{
    const jwk_set *s = jwk_check_set(L, 1);
    size_t n = jwk_set_count(s);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push_held(L, jwk_set_at(s, i));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int set_json(lua_State *L)
{
    const jwk_set *s = jwk_check_set(L, 1);
    buf *text = box_push_buf(L);
    jwk_set_public_json(s, text);
    box_push_text(L, text);
    return 1;
}

static int l_set(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    jwk_set **box = push_box(L, SET_TYPE);
    *box = jwk_set_new();
    lua_Integer n = lua_isnil(L, 1) ? 0 : luaL_len(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        jwk **key = luaL_testudata(L, -1, KEY_TYPE);
        if (key == NULL)
            return luaL_error(L, "entry %d of the set is not a key", (int)i);
        if (!jwk_set_add(*box, *key))
            return luaL_error(L,
                              "key %d can't be added: its kid is in the set already, or the set "
                              "has 100 keys",
                              (int)i);
        lua_pop(L, 1);
    }
    return 1;
}

/* -------------------------------------------------------------------------------------------- */

static void make_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

static const luaL_Reg key_meta[] = {{"__gc", key_gc}, {"__tostring", key_tostring}, {NULL, NULL}};
static const luaL_Reg key_methods[] = {
    {"kid", key_kid},
    {"alg", key_alg},
    {"can_sign", key_can_sign},
    {"pem", key_pem},
    {"public_pem", key_public_pem},
    {"jwk", key_jwk},
    {"secret", key_secret},
    {NULL, NULL},
};
static const luaL_Reg set_meta[] = {{"__gc", set_gc}, {"__len", set_len}, {NULL, NULL}};
static const luaL_Reg set_methods[] = {
    {"add", set_add},   {"remove", set_remove}, {"find", set_find},
    {"keys", set_keys}, {"json", set_json},     {NULL, NULL},
};
static const luaL_Reg functions[] = {
    {"generate", l_generate},
    {"from_pem", l_from_pem},
    {"import", l_import},
    {"set", l_set},
    {NULL, NULL},
};

int luaopen_host_jwk(lua_State *L)
{
    make_type(L, KEY_TYPE, key_meta, key_methods);
    make_type(L, SET_TYPE, set_meta, set_methods);
    luaL_newlib(L, functions);
    return 1;
}
