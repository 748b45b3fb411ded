/* Tokens. First byte 'r': the rest is a token as a peer sends it. 's': header, NUL, payload, to be
 * signed by a key of the set, so that what lies behind the signature is reached too. Oracle: what
 * is accepted has the one spelling that we would write, and its claims survive their copy. */
#include "base64url.h"
#include "jose_json.h"
#include "jwt.h"
#include <stdlib.h>

static const char own_key[] =
    "{\"kty\":\"oct\",\"kid\":\"hs\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMk"
    "oqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}";
static const char foreign_keys[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"es\","
                                   "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                   "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
                                   "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
                                   "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static jwk *key;
static jwk_set *set;
static jwt_reader *reader;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    const char *reason;
    size_t skipped;
    key = jwk_from_json(slice_of(own_key), (jwk_wish){.alg = JWK_ALGS}, &reason);
    set = jwk_set_from_json(slice_of(foreign_keys), &skipped, &reason);
    if (key == NULL || set == NULL || !jwk_set_add(set, key))
        abort();
    reader = jwt_reader_new();
    return 0;
}

static void check(slice token)
{
    jwt_claims claims;
    jwt_policy policy = {.now_ms = 1700000000000, .issuer = SLICE("joe"), .leeway_ms = 30000};
    if (jwt_open(reader, token, set, &claims) != JWT_OK)
        return;
    jwt_claims *copy = jwt_claims_copy(&claims);
    if (jwt_check(&claims, &policy) != jwt_check(copy, &policy) ||
        !slice_eq(claims.payload, copy->payload) || !jwt_is_payload(claims.payload))
        abort();
    buf again = {0};
    base64url_encode(&again, claims.header);
    buf_byte(&again, '.');
    base64url_encode(&again, claims.payload);
    if (token.n < again.len || memcmp(token.p, again.data, again.len) != 0)
        abort();
    buf_free(&again);
    free(copy);
}

static void forge(slice header, slice payload)
{
    buf token = {0}, signature = {0};
    base64url_encode(&token, header);
    buf_byte(&token, '.');
    base64url_encode(&token, payload);
    if (jwk_sign(key, (slice){token.data, token.len}, &signature) != 0)
        abort();
    buf_byte(&token, '.');
    base64url_encode(&token, (slice){signature.data, signature.len});
    check((slice){token.data, token.len});
    buf_free(&token);
    buf_free(&signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (key == NULL)
        LLVMFuzzerInitialize(NULL, NULL);
    if (size == 0)
        return 0;
    slice rest = {(const char *)data + 1, size - 1};
    const char *cut = memchr(rest.p, '\0', rest.n);
    if (data[0] != 's')
        check(rest);
    else if (cut != NULL)
        forge((slice){rest.p, (size_t)(cut - rest.p)},
              (slice){cut + 1, rest.n - (size_t)(cut - rest.p) - 1});
    return 0;
}
