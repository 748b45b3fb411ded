/* Signatures in JOSE's form (RFC 7518, 8037): RSA and EdDSA as OpenSSL gives them, ECDSA as two
 * numbers of 32 bytes, which OpenSSL wants as DER.
 *
 * Verifying is the hot path of a new token, so its EVP contexts are made once per key: setting one
 * up costs a fifth of an RSA verification. Signing may run on the thread pool while the owner
 * verifies; it makes contexts of its own. What must never happen: an HMAC compared by memcmp. */
#include "digest.h"
#include "jwk_private.h"
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

enum { SIGNATURE_MAX = JWK_RSA_MAX / 8, ES256_SIZE = 64, ES256_DER_MAX = 80 };

static bool set_padding(EVP_PKEY_CTX *ctx, jwk_alg alg)
{
    if (alg == JWK_RS256)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    if (alg == JWK_PS256)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    return true;
}

/* From DER to r and s. */
static bool join_numbers(const unsigned char *der, size_t n, unsigned char out[ES256_SIZE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool good = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good;
}

/* From r and s to DER; its length, 0: no signature. */
static size_t split_numbers(slice raw, unsigned char der[ES256_DER_MAX])
{
    if (raw.n != ES256_SIZE)
        return 0;
    const unsigned char *p = (const unsigned char *)raw.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, 32, NULL), *s = BN_bin2bn(p + 32, 32, NULL);
    if (sig == NULL || r == NULL || s == NULL)
        abort();
    ECDSA_SIG_set0(sig, r, s);
    int n = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

static int sign_with_key(const jwk *k, slice text, buf *out)
{
    unsigned char sig[SIGNATURE_MAX], raw[ES256_SIZE];
    size_t n = sizeof sig;
    EVP_PKEY_CTX *options = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = k->alg == JWK_EDDSA ? NULL : digest_md(DIGEST_SHA256);
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, &options, md, NULL, k->key) == 1 &&
                set_padding(options, k->alg) &&
                EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (good && k->alg == JWK_ES256) {
        good = join_numbers(sig, n, raw);
        buf_append(out, raw, good ? sizeof raw : 0);
    } else if (good) {
        buf_append(out, sig, n);
    }
    return good ? 0 : -1;
}

int jwk_sign(const jwk *k, slice text, buf *out)
{
    if (!k->has_private)
        return -1;
    if (k->alg != JWK_HS256)
        return sign_with_key(k, text, out);
    unsigned char mac[DIGEST_MAX];
    digest_hmac(DIGEST_SHA256, jwk_secret(k), text, mac);
    buf_append(out, mac, 32);
    return 0;
}

static bool verify_hmac(const jwk *k, slice text, slice signature)
{
    unsigned char mac[DIGEST_MAX];
    digest_hmac(DIGEST_SHA256, jwk_secret(k), text, mac);
    return signature.n == 32 && CRYPTO_memcmp(mac, signature.p, 32) == 0;
}

static bool verify_eddsa(const jwk *k, slice text, slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && signature.n == 64 &&
                EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->key) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n,
                                 (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool prepare(jwk *k)
{
    if (k->verify != NULL)
        return true;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->key, NULL);
    k->digest = k->digest != NULL ? k->digest : EVP_MD_CTX_new();
    if (ctx != NULL && k->digest != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
        set_padding(ctx, k->alg) &&
        EVP_PKEY_CTX_set_signature_md(ctx, digest_md(DIGEST_SHA256)) == 1) {
        k->verify = ctx;
        return true;
    }
    EVP_PKEY_CTX_free(ctx);
    return false;
}

static bool verify_digest(jwk *k, slice text, slice signature)
{
    unsigned char digest[DIGEST_MAX], der[ES256_DER_MAX];
    const unsigned char *sig = (const unsigned char *)signature.p;
    size_t n = signature.n;
    if (k->alg == JWK_ES256) {
        n = split_numbers(signature, der);
        sig = der;
    } else if (n != (size_t)EVP_PKEY_get_size(k->key)) {
        return false;
    }
    if (n == 0 || !prepare(k))
        return false;
    digest_make(DIGEST_SHA256, text, digest, k->digest);
    return EVP_PKEY_verify(k->verify, sig, n, digest, 32) == 1;
}

bool jwk_verify(jwk *k, slice text, slice signature)
{
    bool good = k->alg == JWK_HS256   ? verify_hmac(k, text, signature)
                : k->alg == JWK_EDDSA ? verify_eddsa(k, text, signature)
                                      : verify_digest(k, text, signature);
    if (!good)
        ERR_clear_error();
    return good;
}
