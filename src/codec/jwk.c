/* Keys by EVP_PKEY, which is all that OpenSSL 3 wants seen of a key. RSA of 2048 to 8192 bits,
 * P-256, Ed25519, and secrets of at least 32 bytes; nothing else signs tokens here, since each kind
 * more is one more way for an issuer and us to differ.
 *
 * Owner: whoever holds a reference (a Lua box, a set, an operation on the thread pool). What must
 * never happen: a key without an algorithm; a private member in jwk_public_json; a key whose halves
 * do not belong together (each private key signs and verifies a text before it is let in). */
#include "jwk.h"

#include "base64url.h"
#include "digest.h"
#include "jwk_private.h"
#include "mem.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>

static const char *const names[JWK_ALGS] = {"RS256", "PS256", "ES256", "EdDSA", "HS256"};

const char *jwk_alg_name(jwk_alg alg)
{
    return names[alg];
}

jwk_alg jwk_alg_find(slice name)
{
    jwk_alg alg = JWK_RS256;
    while (alg < JWK_ALGS && !slice_eq(name, slice_of(names[alg])))
        alg++;
    return alg;
}

jwk *jwk_hold(jwk *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void jwk_drop(jwk *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    EVP_PKEY_CTX_free(k->verify);
    EVP_MD_CTX_free(k->digest);
    EVP_PKEY_free(k->key);
    if (k->secret != NULL)
        OPENSSL_cleanse(k->secret, k->secret_n);
    free(k->secret);
    free(k->kid);
    free(k);
}

jwk_alg jwk_alg_of(const jwk *k)
{
    return k->alg;
}

slice jwk_kid(const jwk *k)
{
    return (slice){k->kid, k->kid_n};
}

bool jwk_can_sign(const jwk *k)
{
    return k->has_private;
}

slice jwk_secret(const jwk *k)
{
    return (slice){k->secret, k->secret_n};
}

/* Showing ------------------------------------------------------------------------------------ */

static void put_member(buf *out, const char *name, const void *data, size_t n)
{
    buf_format(out, "\"%s\":\"", name);
    base64url_encode(out, (slice){data, n});
    buf_byte(out, '"');
}

/* pad: the fixed width of a coordinate; 0: as many bytes as the number has. */
static void put_number(buf *out, const char *name, const EVP_PKEY *key, const char *param, int pad)
{
    BIGNUM *number = NULL;
    unsigned char bytes[JWK_RSA_MAX / 8] = {0};
    if (EVP_PKEY_get_bn_param(key, param, &number) != 1)
        abort();
    int n = BN_bn2binpad(number, bytes, pad > 0 ? pad : BN_num_bytes(number));
    BN_free(number);
    put_member(out, name, bytes, n > 0 ? (size_t)n : 0);
}

static void put_ed25519(buf *out, const EVP_PKEY *key)
{
    unsigned char bytes[32];
    size_t n = sizeof bytes;
    if (EVP_PKEY_get_raw_public_key(key, bytes, &n) != 1)
        abort();
    put_member(out, "x", bytes, n);
}

/* The required members in the order of their names, as RFC 7638 hashes them. */
static void put_members(const jwk *k, buf *out)
{
    switch (k->alg) {
    case JWK_HS256:
        put_member(out, "k", k->secret, k->secret_n);
        buf_text(out, ",\"kty\":\"oct\"");
        break;
    case JWK_ES256:
        buf_text(out, "\"crv\":\"P-256\",\"kty\":\"EC\",");
        put_number(out, "x", k->key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
        buf_byte(out, ',');
        put_number(out, "y", k->key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
        break;
    case JWK_EDDSA:
        buf_text(out, "\"crv\":\"Ed25519\",\"kty\":\"OKP\",");
        put_ed25519(out, k->key);
        break;
    default:
        put_number(out, "e", k->key, OSSL_PKEY_PARAM_RSA_E, 0);
        buf_text(out, ",\"kty\":\"RSA\",");
        put_number(out, "n", k->key, OSSL_PKEY_PARAM_RSA_N, 0);
    }
}

bool jwk_public_json(const jwk *k, buf *out)
{
    if (k->key == NULL)
        return false;
    buf_byte(out, '{');
    put_members(k, out);
    buf_format(out, ",\"alg\":\"%s\",\"use\":\"sig\",\"kid\":", names[k->alg]);
    jose_put_string(out, jwk_kid(k));
    buf_byte(out, '}');
    return true;
}

static bool put_pem(const jwk *k, bool private, buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    bool good =
        bio != NULL && (private ? PEM_write_bio_PrivateKey(bio, k->key, NULL, NULL, 0, NULL, NULL)
                                : PEM_write_bio_PUBKEY(bio, k->key)) == 1;
    if (good) {
        long n = BIO_get_mem_data(bio, &data);
        buf_append(out, data, (size_t)n);
        OPENSSL_cleanse(data, (size_t)n);
    }
    BIO_free(bio);
    ERR_clear_error();
    return good;
}

bool jwk_private_pem(const jwk *k, buf *out)
{
    return k->key != NULL && k->has_private && put_pem(k, true, out);
}

bool jwk_public_pem(const jwk *k, buf *out)
{
    return k->key != NULL && put_pem(k, false, out);
}

/* Making ------------------------------------------------------------------------------------- */

static void take_print(jwk *k)
{
    buf members = {0};
    buf_byte(&members, '{');
    put_members(k, &members);
    buf_byte(&members, '}');
    digest_make(DIGEST_SHA256, (slice){members.data, members.len}, k->print, NULL);
    OPENSSL_cleanse(members.data, members.len);
    buf_free(&members);
}

static bool name_key(jwk *k, slice kid, const char **reason)
{
    if (kid.n > JWK_KID_MAX || !jose_is_utf8(kid)) {
        *reason = "kid must be UTF-8 of 1 to 255 bytes";
        return false;
    }
    buf made = {0};
    take_print(k);
    if (kid.n == 0) {
        base64url_encode(&made, (slice){(const char *)k->print, sizeof k->print});
        kid = (slice){made.data, made.len};
    }
    k->kid = mem_dup(kid.p, kid.n);
    k->kid_n = kid.n;
    buf_free(&made);
    return true;
}

/* Is `rest` a power of 65537 modulo the prime? */
static bool in_subgroup(unsigned rest, unsigned prime)
{
    unsigned power = 1;
    do {
        if (power == rest)
            return true;
        power = power * (65537 % prime) % prime;
    } while (power != 1);
    return false;
}

/* The fingerprint of CVE-2017-15361 (ROCA): a chip's library made primes of so little randomness
 * that the key can be factored. One in 2^28 sound moduli has it by chance. */
static bool is_roca(const BIGNUM *n)
{
    static const unsigned char primes[] = {
        3,  5,  7,  11, 13, 17,  19,  23,  29,  31,  37,  41,  43,  47,  53,  59,  61,  67,  71,
        73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};
    for (size_t i = 0; i < sizeof primes; i++)
        if (!in_subgroup((unsigned)BN_mod_word(n, primes[i]), primes[i]))
            return false;
    return true;
}

static bool sound_rsa(const EVP_PKEY *key, const char **reason)
{
    BIGNUM *n = NULL, *e = NULL;
    int bits = EVP_PKEY_get_bits(key);
    *reason = "an RSA key needs 2048 to 8192 bits";
    if (bits < JWK_RSA_MIN || bits > JWK_RSA_MAX)
        return false;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(n) &&
                BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64 && !is_roca(n);
    BN_free(n);
    BN_free(e);
    *reason = "its RSA numbers make no key, or one that can be broken";
    return good;
}

static bool sound_ec(const EVP_PKEY *key, const char **reason)
{
    char group[32] = "";
    EVP_PKEY_get_group_name(key, group, sizeof group, NULL);
    *reason = "its curve is not P-256";
    return strcmp(group, "prime256v1") == 0;
}

/* The algorithm of the key's kind, or the wished one if the kind has it. */
static bool settle_alg(jwk *k, jwk_alg wish, const char **reason)
{
    int kind = EVP_PKEY_get_base_id(k->key);
    if (kind == EVP_PKEY_RSA ? !sound_rsa(k->key, reason)
                             : kind == EVP_PKEY_EC && !sound_ec(k->key, reason))
        return false;
    *reason = "its kind is not RSA, P-256 or Ed25519";
    if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC && kind != EVP_PKEY_ED25519)
        return false;
    *reason = "its kind does not have that alg";
    if (kind == EVP_PKEY_RSA)
        k->alg = wish == JWK_PS256 ? JWK_PS256 : JWK_RS256;
    else
        k->alg = kind == EVP_PKEY_EC ? JWK_ES256 : JWK_EDDSA;
    return wish == JWK_ALGS || wish == k->alg;
}

static bool halves_fit(jwk *k, const char **reason)
{
    static const slice text = {"lunacast", 8};
    buf signature = {0};
    bool good = jwk_sign(k, text, &signature) == 0 &&
                jwk_verify(k, text, (slice){signature.data, signature.len});
    buf_free(&signature);
    *reason = "its private part does not belong to its public part";
    return good;
}

jwk *jwk_adopt(EVP_PKEY *key, bool has_private, jwk_wish wish, const char **reason)
{
    jwk *k = mem_alloc(sizeof *k);
    atomic_init(&k->refs, 1);
    k->key = key;
    k->has_private = has_private;
    if (settle_alg(k, wish.alg, reason) && (!has_private || halves_fit(k, reason)) &&
        name_key(k, wish.kid, reason))
        return k;
    jwk_drop(k);
    return NULL;
}

jwk *jwk_adopt_secret(slice secret, jwk_wish wish, const char **reason)
{
    *reason = "a secret needs 32 to 1024 bytes";
    if (secret.n < JWK_SECRET_MIN || secret.n > JWK_SECRET_MAX)
        return NULL;
    *reason = "its kind does not have that alg";
    if (wish.alg != JWK_ALGS && wish.alg != JWK_HS256)
        return NULL;
    jwk *k = mem_alloc(sizeof *k);
    atomic_init(&k->refs, 1);
    k->alg = JWK_HS256;
    k->has_private = true;
    k->secret = mem_dup(secret.p, secret.n);
    k->secret_n = secret.n;
    if (name_key(k, wish.kid, reason))
        return k;
    jwk_drop(k);
    return NULL;
}

static int refuse_passphrase(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return -1;
}

jwk *jwk_from_pem(slice pem, jwk_wish wish, const char **reason)
{
    *reason = "it is longer than 16 KiB";
    if (pem.n > JWK_TEXT_MAX)
        return NULL;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, NULL);
    bool has_private = key != NULL;
    if (key == NULL && BIO_reset(bio) == 1)
        key = PEM_read_bio_PUBKEY(bio, NULL, refuse_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    *reason = "it is not the PEM of a key without a passphrase";
    return key != NULL ? jwk_adopt(key, has_private, wish, reason) : NULL;
}

static jwk *generate_secret(slice kid, const char **reason)
{
    unsigned char secret[JWK_SECRET_MIN];
    if (RAND_priv_bytes(secret, sizeof secret) != 1)
        abort();
    jwk *k = jwk_adopt_secret((slice){(const char *)secret, sizeof secret},
                              (jwk_wish){JWK_HS256, kid}, reason);
    OPENSSL_cleanse(secret, sizeof secret);
    return k;
}

/* OpenSSL asks between its tries: 0 ends them. */
static int goes_on(EVP_PKEY_CTX *ctx)
{
    const _Atomic bool *given_up = EVP_PKEY_CTX_get_app_data(ctx);
    return given_up == NULL || !*given_up;
}

static EVP_PKEY *generate_rsa(unsigned bits, const _Atomic bool *given_up)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (ctx == NULL)
        return NULL;
    EVP_PKEY_CTX_set_app_data(ctx, (void *)given_up);
    EVP_PKEY_CTX_set_cb(ctx, goes_on);
    if (EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
        goes_on(ctx))
        EVP_PKEY_generate(ctx, &key);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

jwk *jwk_generate(jwk_alg alg, unsigned bits, slice kid, const _Atomic bool *given_up,
                  const char **reason)
{
    *reason = "an RSA key needs 2048 to 8192 bits";
    bool rsa = alg == JWK_RS256 || alg == JWK_PS256;
    if (rsa && (bits < JWK_RSA_MIN || bits > JWK_RSA_MAX))
        return NULL;
    if (alg == JWK_HS256)
        return generate_secret(kid, reason);
    EVP_PKEY *key = rsa                ? generate_rsa(bits, given_up)
                    : alg == JWK_ES256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    ERR_clear_error();
    *reason = "OpenSSL could not make it";
    return key != NULL ? jwk_adopt(key, true, (jwk_wish){alg, kid}, reason) : NULL;
}
