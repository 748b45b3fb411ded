/* Key pairs by EVP_PKEY. A SubjectPublicKeyInfo is read and written by its fixed first bytes: of a
 * P-256 or X25519 key there is exactly one such frame in DER, which every WebCrypto writes, so a
 * parser would only let in what nobody sends (explicit curve parameters, compressed points).
 *
 * Owner: whoever made the pair. What must never happen: a secret with a point that is not on the
 * curve, or of low order; a private half in any output. */
#include "agree.h"

#include "mem.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>

struct agree_pair {
    agree_curve curve;
    EVP_PKEY *key;
};

static const struct {
    const char *name, *type, *group;
    size_t raw;
    slice frame; /* of a SubjectPublicKeyInfo, before the raw key */
} curves[AGREE_CURVES] = {
    {"P-256", "EC", "prime256v1", 65,
     SLICE_INIT("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00")},
    {"X25519", "X25519", NULL, 32, SLICE_INIT("\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00")},
};

const char *agree_curve_name(agree_curve curve)
{
    return curves[curve].name;
}

agree_curve agree_curve_find(slice name)
{
    agree_curve curve = AGREE_P256;
    while (curve < AGREE_CURVES && !slice_eq(name, slice_of(curves[curve].name)))
        curve++;
    return curve;
}

size_t agree_raw_size(agree_curve curve)
{
    return curves[curve].raw;
}

static agree_pair *adopt(agree_curve curve, EVP_PKEY *key)
{
    agree_pair *p = mem_alloc(sizeof *p);
    *p = (agree_pair){curve, key};
    return p;
}

agree_pair *agree_pair_new(agree_curve curve)
{
    EVP_PKEY *key = curve == AGREE_P256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                        : EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    if (key == NULL) {
        fprintf(stderr, "lunacast: OpenSSL can't make a key pair\n");
        abort();
    }
    return adopt(curve, key);
}

void agree_pair_free(agree_pair *p)
{
    if (p == NULL)
        return;
    EVP_PKEY_free(p->key); /* OpenSSL wipes private numbers */
    free(p);
}

agree_curve agree_curve_of(const agree_pair *p)
{
    return p->curve;
}

/* From private numbers ------------------------------------------------------------------------ */

/* The public point of a scalar, since OpenSSL wants to be told both. */
static bool point_of(const BIGNUM *scalar, unsigned char raw[AGREE_RAW_MAX])
{
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = group != NULL ? EC_POINT_new(group) : NULL;
    bool good =
        point != NULL && !BN_is_zero(scalar) && BN_cmp(scalar, EC_GROUP_get0_order(group)) < 0 &&
        EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) == 1 &&
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, raw, AGREE_RAW_MAX, NULL) ==
            AGREE_RAW_MAX;
    EC_POINT_clear_free(point);
    EC_GROUP_free(group);
    return good;
}

static EVP_PKEY *key_of_params(int selection, const BIGNUM *scalar, const char *raw)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool good =
        ctx != NULL && build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, raw, AGREE_RAW_MAX) &&
        (scalar == NULL || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar));
    if (good && (params = OSSL_PARAM_BLD_to_param(build)) != NULL &&
        (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, selection, params) != 1))
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *p256_of_private(const unsigned char *bytes)
{
    unsigned char raw[AGREE_RAW_MAX];
    BIGNUM *scalar = BN_secure_new();
    EVP_PKEY *key = NULL;
    if (scalar != NULL && BN_bin2bn(bytes, AGREE_PRIVATE_SIZE, scalar) != NULL &&
        point_of(scalar, raw))
        key = key_of_params(EVP_PKEY_KEYPAIR, scalar, (const char *)raw);
    BN_clear_free(scalar);
    return key;
}

agree_pair *agree_pair_from_private(agree_curve curve, slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    if (bytes.n != AGREE_PRIVATE_SIZE)
        return NULL;
    EVP_PKEY *key = curve == AGREE_P256
                        ? p256_of_private(p)
                        : EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, p, bytes.n);
    ERR_clear_error();
    return key != NULL ? adopt(curve, key) : NULL;
}

/* Public keys --------------------------------------------------------------------------------- */

static size_t get_raw(const agree_pair *p, unsigned char out[AGREE_RAW_MAX])
{
    size_t n = AGREE_RAW_MAX;
    int good = p->curve == AGREE_P256
                   ? EVP_PKEY_get_octet_string_param(p->key, OSSL_PKEY_PARAM_PUB_KEY, out, n, &n)
                   : EVP_PKEY_get_raw_public_key(p->key, out, &n);
    if (good != 1 || n != curves[p->curve].raw)
        abort();
    return n;
}

void agree_public_raw(const agree_pair *p, buf *out)
{
    unsigned char raw[AGREE_RAW_MAX];
    size_t n = get_raw(p, raw);
    buf_append(out, raw, n);
}

void agree_public_spki(const agree_pair *p, buf *out)
{
    buf_append_slice(out, curves[p->curve].frame);
    agree_public_raw(p, out);
}

bool agree_raw_of(agree_curve curve, slice public, slice *raw)
{
    slice frame = curves[curve].frame;
    if (public.n == frame.n + curves[curve].raw && memcmp(public.p, frame.p, frame.n) == 0)
    public = (slice){public.p + frame.n, curves[curve].raw};
    *raw = public;
    return public.n == curves[curve].raw && (curve != AGREE_P256 || public.p[0] == '\x04');
}

/* Agreement ----------------------------------------------------------------------------------- */

static EVP_PKEY *peer_of(agree_curve curve, slice raw)
{
    if (raw.n != curves[curve].raw || (curve == AGREE_P256 && raw.p[0] != '\x04'))
        return NULL;
    if (curve == AGREE_P256)
        return key_of_params(EVP_PKEY_PUBLIC_KEY, NULL, raw.p);
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, (const unsigned char *)raw.p, raw.n);
}

bool agree_secret(const agree_pair *p, slice raw, unsigned char out[AGREE_SECRET_SIZE])
{
    size_t n = AGREE_SECRET_SIZE;
    EVP_PKEY *peer = peer_of(p->curve, raw);
    EVP_PKEY_CTX *ctx = peer != NULL ? EVP_PKEY_CTX_new(p->key, NULL) : NULL;
    /* set_peer checks that the point is on the curve; X25519 refuses a secret of zeros. */
    bool good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 &&
                EVP_PKEY_derive_set_peer(ctx, peer) == 1 && EVP_PKEY_derive(ctx, out, &n) == 1 &&
                n == AGREE_SECRET_SIZE;
    if (!good)
        OPENSSL_cleanse(out, AGREE_SECRET_SIZE);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    ERR_clear_error();
    return good;
}
