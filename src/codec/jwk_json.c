/* Keys from JSON Web Keys (RFC 7517, 7518 section 6, 8037). A single key is one of ours and may
 * bring its private members; a set comes from somebody else, so they are ignored there, and with
 * them secrets: an issuer's published set can't hand us an HMAC key.
 *
 * What must never happen: a key whose `use`, `key_ops` or `alg` says that it is not for signatures
 * of ours; numbers longer than an RSA key of JWK_RSA_MAX bits has. */
#include "base64url.h"
#include "jwk_private.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>

enum { NUMBERS_MAX = 8 };

/* Parameters of EVP_PKEY_fromdata being collected; the numbers live until it has read them. */
typedef struct {
    OSSL_PARAM_BLD *params;
    BIGNUM *numbers[NUMBERS_MAX];
    int count;
    bool failed;
} material;

static void material_init(material *m)
{
    *m = (material){.params = OSSL_PARAM_BLD_new()};
    if (m->params == NULL)
        abort();
}

static BIGNUM *read_number(const jose_value *key, const char *member)
{
    slice text;
    buf bytes = {0};
    BIGNUM *number = NULL;
    if (jose_get_string(key, member, &text) && text.n > 0 && text.n <= JWK_RSA_MAX / 6 + 4 &&
        base64url_decode(&bytes, text)) {
        number = BN_bin2bn((const unsigned char *)bytes.data, (int)bytes.len, NULL);
        OPENSSL_cleanse(bytes.data, bytes.len);
    }
    buf_free(&bytes);
    return number;
}

static void add_number(material *m, const char *param, const jose_value *key, const char *member)
{
    BIGNUM *number = read_number(key, member);
    m->numbers[m->count++] = number;
    if (number == NULL || OSSL_PARAM_BLD_push_BN(m->params, param, number) != 1)
        m->failed = true;
}

/* The key, NULL: the numbers make none. Ends the material. */
static EVP_PKEY *material_key(material *m, const char *kind, bool has_private)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = m->failed ? NULL : OSSL_PARAM_BLD_to_param(m->params);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    int selection = has_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, selection, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(m->params);
    for (int i = 0; i < m->count; i++)
        BN_clear_free(m->numbers[i]);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *read_rsa(const jose_value *v, bool has_private)
{
    static const char *const private[][2] = {
        {OSSL_PKEY_PARAM_RSA_D, "d"},          {OSSL_PKEY_PARAM_RSA_FACTOR1, "p"},
        {OSSL_PKEY_PARAM_RSA_FACTOR2, "q"},    {OSSL_PKEY_PARAM_RSA_EXPONENT1, "dp"},
        {OSSL_PKEY_PARAM_RSA_EXPONENT2, "dq"}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "qi"},
    };
    material m;
    material_init(&m);
    add_number(&m, OSSL_PKEY_PARAM_RSA_N, v, "n");
    add_number(&m, OSSL_PKEY_PARAM_RSA_E, v, "e");
    for (size_t i = 0; has_private && i < sizeof private / sizeof *private; i++)
        add_number(&m, private[i][0], v, private[i][1]);
    return material_key(&m, "RSA", has_private);
}

/* The member as exactly 32 bytes. */
static bool read_32(const jose_value *v, const char *member, unsigned char out[32])
{
    slice text;
    buf bytes = {0};
    bool good = jose_get_string(v, member, &text) && text.n == 43 && base64url_decode(&bytes, text);
    if (good) {
        memcpy(out, bytes.data, 32);
        OPENSSL_cleanse(bytes.data, 32);
    }
    buf_free(&bytes);
    return good;
}

static EVP_PKEY *read_p256(const jose_value *v, bool has_private)
{
    unsigned char point[65] = {4}, number[32];
    material m;
    material_init(&m);
    m.failed =
        !read_32(v, "x", point + 1) || !read_32(v, "y", point + 33) ||
        (has_private && !read_32(v, "d", number)) ||
        OSSL_PARAM_BLD_push_utf8_string(m.params, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(m.params, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) !=
            1;
    if (has_private && !m.failed)
        add_number(&m, OSSL_PKEY_PARAM_PRIV_KEY, v, "d");
    OPENSSL_cleanse(number, sizeof number);
    return material_key(&m, "EC", has_private);
}

static EVP_PKEY *read_ed25519(const jose_value *v, bool has_private)
{
    unsigned char x[32], d[32], made[32];
    size_t n = sizeof made;
    if (!read_32(v, "x", x) || (has_private && !read_32(v, "d", d)))
        return NULL;
    if (!has_private)
        return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, sizeof x);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, d, sizeof d);
    OPENSSL_cleanse(d, sizeof d);
    if (key != NULL &&
        (EVP_PKEY_get_raw_public_key(key, made, &n) != 1 || memcmp(made, x, sizeof x) != 0)) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static jwk *read_secret(const jose_value *v, jwk_wish wish, const char **reason)
{
    slice text;
    buf bytes = {0};
    *reason = "k must be base64url without padding";
    if (!jose_get_string(v, "k", &text) || !base64url_decode(&bytes, text)) {
        buf_free(&bytes);
        return NULL;
    }
    jwk *k = jwk_adopt_secret((slice){bytes.data, bytes.len}, wish, reason);
    OPENSSL_cleanse(bytes.data, bytes.len);
    buf_free(&bytes);
    return k;
}

/* `use` and `key_ops`, where they are given, must allow signatures. */
static bool for_signatures(const jose_value *v)
{
    const jose_value *use = jose_get(v, "use"), *ops = jose_get(v, "key_ops");
    if (use != NULL && !(use->type == JOSE_STRING && slice_eq(use->text, SLICE("sig"))))
        return false;
    if (ops == NULL)
        return true;
    if (ops->type != JOSE_ARRAY)
        return false;
    for (const jose_value *op = ops->first; op != NULL; op = op->next)
        if (op->type == JOSE_STRING &&
            (slice_eq(op->text, SLICE("verify")) || slice_eq(op->text, SLICE("sign"))))
            return true;
    return false;
}

/* What the key says of itself, under what the caller wishes. */
static bool merge_wish(const jose_value *v, jwk_wish *wish, const char **reason)
{
    const jose_value *alg = jose_get(v, "alg"), *kid = jose_get(v, "kid");
    *reason = "its use or key_ops is not signatures";
    if (!for_signatures(v))
        return false;
    *reason = "its alg is not RS256, PS256, ES256, EdDSA or HS256";
    if (alg != NULL) {
        jwk_alg said = alg->type == JOSE_STRING ? jwk_alg_find(alg->text) : JWK_ALGS;
        if (said == JWK_ALGS)
            return false;
        *reason = "its alg is not the one that was asked for";
        if (wish->alg != JWK_ALGS && wish->alg != said)
            return false;
        wish->alg = said;
    }
    *reason = "kid must be UTF-8 of 1 to 255 bytes";
    if (kid == NULL || wish->kid.n > 0)
        return true;
    wish->kid = kid->text;
    return kid->type == JOSE_STRING && kid->text.n > 0;
}

jwk *jwk_from_value(const jose_value *v, jwk_wish wish, bool foreign, const char **reason)
{
    slice kty = {0}, crv = {0};
    if (!merge_wish(v, &wish, reason))
        return NULL;
    jose_get_string(v, "kty", &kty);
    jose_get_string(v, "crv", &crv);
    if (slice_eq(kty, SLICE("oct")) && !foreign)
        return read_secret(v, wish, reason);
    bool has_private = !foreign && jose_get(v, "d") != NULL;
    EVP_PKEY *key = NULL;
    *reason = "its members make no key";
    if (slice_eq(kty, SLICE("RSA")))
        key = read_rsa(v, has_private);
    else if (slice_eq(kty, SLICE("EC")) && slice_eq(crv, SLICE("P-256")))
        key = read_p256(v, has_private);
    else if (slice_eq(kty, SLICE("OKP")) && slice_eq(crv, SLICE("Ed25519")))
        key = read_ed25519(v, has_private);
    else
        *reason = "its kind is not RSA, P-256, Ed25519 or, outside of a set, oct";
    ERR_clear_error();
    return key != NULL ? jwk_adopt(key, has_private, wish, reason) : NULL;
}

jwk *jwk_from_json(slice json, jwk_wish wish, const char **reason)
{
    *reason = "it is longer than 16 KiB";
    if (json.n > JWK_TEXT_MAX)
        return NULL;
    arena a;
    arena_init(&a);
    const jose_value *v = jose_parse(json, &a);
    *reason = "it is not a JSON object";
    jwk *k = v != NULL && v->type == JOSE_OBJECT ? jwk_from_value(v, wish, false, reason) : NULL;
    arena_free(&a);
    return k;
}
