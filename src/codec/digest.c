/* Why failures abort: with the default provider these calls fail only when memory is out, and a
 * digest that silently was not made would be a signature over nothing. */
#include "digest.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    size_t size;
} kinds[DIGESTS] = {{"sha256", 32}, {"sha384", 48}, {"sha512", 64}};

static EVP_MD *mds[DIGESTS];
static EVP_MAC *hmac;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void require(bool good)
{
    if (good)
        return;
    fprintf(stderr, "lunacast: OpenSSL can't compute a digest\n");
    abort();
}

static void fetch_all(void)
{
    for (size_t i = 0; i < DIGESTS; i++) {
        mds[i] = EVP_MD_fetch(NULL, kinds[i].name, NULL);
        require(mds[i] != NULL);
    }
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    require(hmac != NULL);
}

digest_kind digest_find(slice name)
{
    digest_kind kind = DIGEST_SHA256;
    while (kind < DIGESTS && !slice_eq(name, slice_of(kinds[kind].name)))
        kind++;
    return kind;
}

size_t digest_size(digest_kind kind)
{
    return kinds[kind].size;
}

const EVP_MD *digest_md(digest_kind kind)
{
    pthread_once(&fetched, fetch_all);
    return mds[kind];
}

void digest_make(digest_kind kind, slice data, unsigned char *out, EVP_MD_CTX *scratch)
{
    EVP_MD_CTX *ctx = scratch != NULL ? scratch : EVP_MD_CTX_new();
    require(ctx != NULL && EVP_DigestInit_ex2(ctx, digest_md(kind), NULL) == 1 &&
            EVP_DigestUpdate(ctx, data.p, data.n) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1);
    if (scratch == NULL)
        EVP_MD_CTX_free(ctx);
}

void digest_hmac(digest_kind kind, slice key, slice data, unsigned char *out)
{
    pthread_once(&fetched, fetch_all);
    char name[8];
    snprintf(name, sizeof name, "%s", kinds[kind].name);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    /* A NULL key would mean "as before" to OpenSSL; the empty key is not that. */
    const unsigned char *bytes = (const unsigned char *)(key.n > 0 ? key.p : "");
    size_t n;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    require(ctx != NULL && EVP_MAC_init(ctx, bytes, key.n, params) == 1 &&
            EVP_MAC_update(ctx, (const unsigned char *)data.p, data.n) == 1 &&
            EVP_MAC_final(ctx, out, &n, DIGEST_MAX) == 1);
    EVP_MAC_CTX_free(ctx);
}
