/* Key pairs, secrets and sealed channels as boxes. A secret is in its box and nowhere else: no
 * script reads one out, since a Lua string can't be wiped and ends up in logs; crypto.hkdf is for
 * those whose keys are strings anyway.
 *
 *   key_pair --agree(public)--> secret --derive, channel{ send, receive }--> channel
 *
 * Owner: the box, until ws:seal takes a channel's keys over. What must never happen: two channels
 * of one secret that seal with the same name (each counts from one); a private half in any output.
 */
#include "crypto_agree.h"

#include "agree.h"
#include "base64url.h"
#include "box.h"
#include "hkdf.h"
#include "mem.h"
#include "vm.h"
#include <openssl/crypto.h>

#define PAIR_TYPE "host.crypto.pair"
#define SECRET_TYPE "host.crypto.secret"
#define CHANNEL_TYPE "host.crypto.channel"

enum { SECRET_MIN = 16, SECRET_MAX = 1024 };

typedef struct {
    size_t n;
    unsigned char bytes[];
} secret;

/* Secrets ------------------------------------------------------------------------------------- */

static secret *push_secret(lua_State *L, size_t n)
{
    secret *s = lua_newuserdatauv(L, sizeof *s + n, 0);
    s->n = n;
    luaL_setmetatable(L, SECRET_TYPE);
    return s;
}

static slice check_secret(lua_State *L, int arg)
{
    const secret *s = luaL_checkudata(L, arg, SECRET_TYPE);
    return (slice){(const char *)s->bytes, s->n};
}

static int secret_gc(lua_State *L)
{
    secret *s = luaL_checkudata(L, 1, SECRET_TYPE);
    OPENSSL_cleanse(s->bytes, s->n);
    return 0;
}

int crypto_secret(lua_State *L)
{
    slice bytes = vm_check_slice(L, 1);
    luaL_argcheck(L, bytes.n >= SECRET_MIN && bytes.n <= SECRET_MAX, 1, "16 to 1024 bytes");
    memcpy(push_secret(L, bytes.n)->bytes, bytes.p, bytes.n);
    return 1;
}

static slice check_info(lua_State *L, int arg)
{
    slice info = vm_check_slice(L, arg);
    luaL_argcheck(L, info.n <= HKDF_INFO_MAX, arg, "a key's name has at most 1024 bytes");
    return info;
}

/* secret:derive(info, { salt =, size = }) */
static int secret_derive(lua_State *L)
{
    slice from = check_secret(L, 1), info = check_info(L, 2);
    lua_Integer size = vm_opt_integer(L, 3, "size", AGREE_SECRET_SIZE);
    luaL_argcheck(L, size >= SECRET_MIN && size <= SECRET_MAX, 3, "size is 16 to 1024");
    slice salt = vm_opt_slice(L, 3, "salt", SLICE(""));
    secret *s = push_secret(L, (size_t)size);
    hkdf_sha256(from, salt, info, s->bytes, s->n);
    return 1;
}

/* hkdf(secret, salt, info, size) */
int crypto_hkdf(lua_State *L)
{
    slice from = vm_check_slice(L, 1), salt = vm_check_slice(L, 2), info = check_info(L, 3);
    lua_Integer size = luaL_checkinteger(L, 4);
    luaL_argcheck(L, size >= 1 && size <= HKDF_MAX, 4, "1 to 8160 bytes");
    luaL_Buffer b;
    unsigned char *out = (unsigned char *)luaL_buffinitsize(L, &b, (size_t)size);
    hkdf_sha256(from, salt, info, out, (size_t)size);
    luaL_pushresultsize(&b, (size_t)size);
    return 1;
}

/* Key pairs ----------------------------------------------------------------------------------- */

static agree_pair *check_pair(lua_State *L)
{
    agree_pair **box = luaL_checkudata(L, 1, PAIR_TYPE);
    luaL_argcheck(L, *box != NULL, 1, "it is closed");
    return *box;
}

static int pair_gc(lua_State *L)
{
    agree_pair **box = luaL_checkudata(L, 1, PAIR_TYPE);
    agree_pair_free(*box);
    *box = NULL;
    return 0;
}

int crypto_key_pair(lua_State *L)
{
    agree_curve curve = agree_curve_find(vm_check_slice(L, 1));
    luaL_argcheck(L, curve < AGREE_CURVES, 1, "the curve is P-256 or X25519");
    agree_pair **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, PAIR_TYPE);
    *box = agree_pair_new(curve);
    return 1;
}

static int pair_curve(lua_State *L)
{
    lua_pushstring(L, agree_curve_name(agree_curve_of(check_pair(L))));
    return 1;
}

static void set_coordinate(lua_State *L, const char *name, slice bytes)
{
    char text[64];
    buf out = {text, 0, sizeof text}; /* 32 bytes are 43 characters */
    base64url_encode(&out, bytes);
    lua_pushlstring(L, out.data, out.len);
    lua_setfield(L, -2, name);
}

static int push_jwk(lua_State *L, agree_curve curve, slice raw)
{
    bool ec = curve == AGREE_P256;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, ec ? "EC" : "OKP");
    lua_setfield(L, -2, "kty");
    lua_pushstring(L, agree_curve_name(curve));
    lua_setfield(L, -2, "crv");
    set_coordinate(L, "x", (slice){raw.p + (ec ? 1 : 0), 32});
    if (ec)
        set_coordinate(L, "y", (slice){raw.p + 33, 32});
    return 1;
}

/* pair:public(form) */
static int pair_public(lua_State *L)
{
    static const char *const forms[] = {"raw", "spki", "jwk", NULL};
    const agree_pair *p = check_pair(L);
    int form = luaL_checkoption(L, 2, "raw", forms);
    buf *out = box_push_buf(L);
    if (form == 1)
        agree_public_spki(p, out);
    else
        agree_public_raw(p, out);
    if (form == 2)
        return push_jwk(L, agree_curve_of(p), (slice){out->data, out->len});
    box_push_text(L, out);
    return 1;
}

static bool field_is(lua_State *L, int arg, const char *name, const char *wanted)
{
    bool same =
        lua_getfield(L, arg, name) == LUA_TSTRING && strcmp(lua_tostring(L, -1), wanted) == 0;
    lua_pop(L, 1);
    return same;
}

/* Appends 32 bytes, or false. */
static bool take_coordinate(lua_State *L, int arg, const char *name, buf *raw)
{
    slice text = {0};
    size_t before = raw->len;
    if (lua_getfield(L, arg, name) == LUA_TSTRING)
        text.p = lua_tolstring(L, -1, &text.n);
    bool good = text.n > 0 && base64url_decode(raw, text) && raw->len == before + 32;
    lua_pop(L, 1);
    return good;
}

/* A JWK with a private member is refused: somebody is about to give a secret away. */
static bool jwk_raw(lua_State *L, int arg, agree_curve curve, buf *raw)
{
    bool ec = curve == AGREE_P256;
    bool private = lua_getfield(L, arg, "d") != LUA_TNIL;
    lua_pop(L, 1);
    if (private || !field_is(L, arg, "kty", ec ? "EC" : "OKP") ||
        !field_is(L, arg, "crv", agree_curve_name(curve)))
        return false;
    if (ec)
        buf_byte(raw, 4);
    return take_coordinate(L, arg, "x", raw) && (!ec || take_coordinate(L, arg, "y", raw));
}

/* The raw key of a string or a JWK; its bytes are in `room` or in the argument. */
static bool raw_key(lua_State *L, int arg, agree_curve curve, buf *room, slice *raw)
{
    if (!lua_istable(L, arg))
        return agree_raw_of(curve, vm_check_slice(L, arg), raw);
    bool good = jwk_raw(L, arg, curve, room);
    *raw = (slice){room->data, room->len};
    return good;
}

static int bad_key(lua_State *L, agree_curve curve)
{
    return vm_fail(L, "bad_key", "that is no public key of %s (raw, SPKI or JWK)",
                   agree_curve_name(curve));
}

/* pair:agree(public): the secret, and the public key as raw bytes */
static int pair_agree(lua_State *L)
{
    slice raw;
    const agree_pair *p = check_pair(L);
    buf *room = box_push_buf(L);
    if (!raw_key(L, 2, agree_curve_of(p), room, &raw))
        return bad_key(L, agree_curve_of(p));
    secret *s = push_secret(L, AGREE_SECRET_SIZE);
    if (!agree_secret(p, raw, s->bytes))
        return bad_key(L, agree_curve_of(p));
    vm_push_slice(L, raw);
    return 2;
}

/* Channels ------------------------------------------------------------------------------------ */

seal_channel *crypto_check_channel(lua_State *L, int arg)
{
    seal_channel **box = luaL_checkudata(L, arg, CHANNEL_TYPE);
    luaL_argcheck(L, *box != NULL, arg, "a WebSocket has taken this channel over");
    return *box;
}

seal_channel *crypto_take_channel(lua_State *L, int arg)
{
    seal_channel *c = crypto_check_channel(L, arg);
    *(seal_channel **)lua_touserdata(L, arg) = NULL;
    return c;
}

static int channel_gc(lua_State *L)
{
    seal_channel **box = luaL_checkudata(L, 1, CHANNEL_TYPE);
    seal_channel_free(*box);
    *box = NULL;
    return 0;
}

static void derive_way(slice from, slice salt, slice info, seal_way *w)
{
    unsigned char seed[SEAL_SEED_SIZE];
    hkdf_sha256(from, salt, info, seed, sizeof seed);
    seal_way_init(w, seed);
    OPENSSL_cleanse(seed, sizeof seed);
}

/* secret:channel{ salt =, send =, receive = } */
static int secret_channel(lua_State *L)
{
    slice from = check_secret(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    slice salt = vm_opt_slice(L, 2, "salt", SLICE(""));
    slice send = vm_opt_slice(L, 2, "send", SLICE(""));
    slice receive = vm_opt_slice(L, 2, "receive", SLICE(""));
    luaL_argcheck(L, send.n > 0 && receive.n > 0 && !slice_eq(send, receive), 2,
                  "send and receive are two different names");
    luaL_argcheck(L, send.n <= HKDF_INFO_MAX && receive.n <= HKDF_INFO_MAX, 2,
                  "a key's name has at most 1024 bytes");
    seal_channel **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, CHANNEL_TYPE);
    *box = mem_alloc(sizeof **box);
    derive_way(from, salt, send, &(*box)->out);
    derive_way(from, salt, receive, &(*box)->in);
    return 1;
}

/* channel:seal(text, aad) */
static int channel_seal(lua_State *L)
{
    uint64_t number;
    seal_channel *c = crypto_check_channel(L, 1);
    slice plain = vm_check_slice(L, 2);
    slice aad = lua_isnoneornil(L, 3) ? SLICE("") : vm_check_slice(L, 3);
    buf *out = box_push_buf(L);
    if (!seal_close(&c->out, plain, aad, &number, out))
        return vm_fail(L, "used_up", "this key has sealed as many messages as it may");
    lua_pushinteger(L, (lua_Integer)number);
    box_push_text(L, out);
    return 2;
}

/* channel:open(number, sealed, aad) */
static int channel_open(lua_State *L)
{
    seal_channel *c = crypto_check_channel(L, 1);
    lua_Integer number = luaL_checkinteger(L, 2);
    slice sealed = vm_check_slice(L, 3);
    slice aad = lua_isnoneornil(L, 4) ? SLICE("") : vm_check_slice(L, 4);
    buf *out = box_push_buf(L);
    seal_result result = seal_open(&c->in, number < 0 ? 0 : (uint64_t)number, sealed, aad, out);
    if (result == SEAL_REPLAY)
        return vm_fail(L, "replay", "this message, or a later one, was opened before");
    if (result != SEAL_OK)
        return vm_fail(L, "not_opened", "this was not sealed with the same key, or was changed");
    box_push_text(L, out);
    return 1;
}

/* -------------------------------------------------------------------------------------------- */

static void make_type(lua_State *L, const char *name, lua_CFunction gc, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void crypto_agree_types(lua_State *L)
{
    static const luaL_Reg of_pair[] = {
        {"curve", pair_curve}, {"public", pair_public}, {"agree", pair_agree}, {NULL, NULL}};
    static const luaL_Reg of_secret[] = {
        {"derive", secret_derive}, {"channel", secret_channel}, {NULL, NULL}};
    static const luaL_Reg of_channel[] = {
        {"seal", channel_seal}, {"open", channel_open}, {NULL, NULL}};
    make_type(L, PAIR_TYPE, pair_gc, of_pair);
    make_type(L, SECRET_TYPE, secret_gc, of_secret);
    make_type(L, CHANNEL_TYPE, channel_gc, of_channel);
}
