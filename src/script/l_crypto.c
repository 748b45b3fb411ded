/* host.crypto: random bytes, digests, bytes as text, comparison in constant time. Password hashing
 * is in crypto_password.c, key agreement and sealing in crypto_agree.c. Everything here is short
 * and done at once. */
#include "base64url.h"
#include "crypto_agree.h"
#include "crypto_password.h"
#include "digest.h"
#include "vm.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

enum { RANDOM_MAX = 65536 };

static int l_random(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 1 && n <= RANDOM_MAX, 1, "1 to 65536 bytes");
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, (size_t)n);
    if (RAND_bytes((unsigned char *)bytes, (int)n) != 1)
        return luaL_error(L, "the system has no random bytes");
    luaL_pushresultsize(&b, (size_t)n);
    return 1;
}

/* Text forms ---------------------------------------------------------------------------------- */

/* Text forms are made in Lua's memory, so that running out of it raises without a leak. The room is
 * enough for each form: a buf that grew would hand Lua's memory to realloc. */
static int push_encoded(lua_State *L, slice data, void (*encode)(buf *, slice))
{
    luaL_Buffer b;
    size_t room = data.n * 2 + 8;
    buf out = {luaL_buffinitsize(L, &b, room), 0, room};
    encode(&out, data);
    luaL_pushresultsize(&b, out.len);
    return 1;
}

static int push_decoded(lua_State *L, const char *form, bool (*decode)(buf *, slice))
{
    slice text = vm_check_slice(L, 1);
    luaL_Buffer b;
    size_t room = text.n + 8;
    buf out = {luaL_buffinitsize(L, &b, room), 0, room};
    if (!decode(&out, text))
        return vm_fail(L, "syntax", "the text is not %s", form);
    luaL_pushresultsize(&b, out.len);
    return 1;
}

static int l_base64url_encode(lua_State *L)
{
    return push_encoded(L, vm_check_slice(L, 1), base64url_encode);
}

static int l_base64url_decode(lua_State *L)
{
    return push_decoded(L, "base64url without padding", base64url_decode);
}

static int l_base64_encode(lua_State *L)
{
    return push_encoded(L, vm_check_slice(L, 1), base64_encode);
}

static int l_base64_decode(lua_State *L)
{
    return push_decoded(L, "base64 with padding", base64_decode);
}

static int l_hex_encode(lua_State *L)
{
    return push_encoded(L, vm_check_slice(L, 1), hex_encode);
}

static int l_hex_decode(lua_State *L)
{
    return push_decoded(L, "hexadecimal", hex_decode);
}

/* Digests ------------------------------------------------------------------------------------- */

static int push_form(lua_State *L, slice bytes, int arg)
{
    static const char *const forms[] = {"raw", "hex", "base64url", "base64", NULL};
    static void (*const encoders[])(buf *, slice) = {NULL, hex_encode, base64url_encode,
                                                     base64_encode};
    int form = luaL_checkoption(L, arg, "raw", forms);
    if (form > 0)
        return push_encoded(L, bytes, encoders[form]);
    vm_push_slice(L, bytes);
    return 1;
}

static int push_digest(lua_State *L, digest_kind kind)
{
    unsigned char digest[DIGEST_MAX];
    digest_make(kind, vm_check_slice(L, 1), digest, NULL);
    return push_form(L, (slice){(const char *)digest, digest_size(kind)}, 2);
}

static int l_sha256(lua_State *L)
{
    return push_digest(L, DIGEST_SHA256);
}

static int l_sha384(lua_State *L)
{
    return push_digest(L, DIGEST_SHA384);
}

static int l_sha512(lua_State *L)
{
    return push_digest(L, DIGEST_SHA512);
}

static int l_hmac(lua_State *L)
{
    unsigned char mac[DIGEST_MAX];
    digest_kind kind = digest_find(vm_check_slice(L, 1));
    luaL_argcheck(L, kind < DIGESTS, 1, "\"sha256\", \"sha384\" or \"sha512\"");
    digest_hmac(kind, vm_check_slice(L, 2), vm_check_slice(L, 3), mac);
    return push_form(L, (slice){(const char *)mac, digest_size(kind)}, 4);
}

static int l_equal(lua_State *L)
{
    slice a = vm_check_slice(L, 1), b = vm_check_slice(L, 2);
    lua_pushboolean(L, a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0);
    return 1;
}

int luaopen_host_crypto(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"random", l_random},
        {"sha256", l_sha256},
        {"sha384", l_sha384},
        {"sha512", l_sha512},
        {"hmac", l_hmac},
        {"equal", l_equal},
        {"base64url_encode", l_base64url_encode},
        {"base64url_decode", l_base64url_decode},
        {"base64_encode", l_base64_encode},
        {"base64_decode", l_base64_decode},
        {"hex_encode", l_hex_encode},
        {"hex_decode", l_hex_decode},
        {"password_hash", crypto_password_hash},
        {"password_verify", crypto_password_verify},
        {"needs_rehash", crypto_needs_rehash},
        {"key_pair", crypto_key_pair},
        {"secret", crypto_secret},
        {"hkdf", crypto_hkdf},
        {NULL, NULL},
    };
    crypto_agree_types(L);
    luaL_newlib(L, functions);
    return 1;
}
