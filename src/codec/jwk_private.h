/* The key as its own files see it: jwk.c makes and shows keys, jwk_json.c reads them, jwk_sign.c
 * uses them, jwk_set.c keeps sets. */
#pragma once
#include "jose_json.h"
#include "jwk.h"
#include <openssl/evp.h>
#include <stdatomic.h>

struct jwk {
    atomic_uint refs;
    jwk_alg alg;
    bool has_private;
    EVP_PKEY *key; /* NULL: a secret */
    char *secret;  /* HS256 */
    size_t secret_n;
    char *kid;
    size_t kid_n;
    unsigned char print[JWK_PRINT_SIZE]; /* the thumbprint, RFC 7638 */
    /* Working state of jwk_verify, made at its first call. */
    EVP_PKEY_CTX *verify;
    EVP_MD_CTX *digest;
};

/* Takes over `key`, also on failure. */
jwk *jwk_adopt(EVP_PKEY *key, bool has_private, jwk_wish wish, const char **reason);
jwk *jwk_adopt_secret(slice secret, jwk_wish wish, const char **reason);
/* foreign: private members are ignored. */
jwk *jwk_from_value(const jose_value *v, jwk_wish wish, bool foreign, const char **reason);
