/* What the specs of tokens and keys share: one key of each algorithm, a set for each, and a forger
 * who signs whatever header and payload he likes. Included after cmocka.h. */
#pragma once
#include "base64url.h"
#include "jwk.h"
#include "jwt.h"
#include <stdlib.h>
#include <string.h>

static jwk *keys[JWK_ALGS];
static jwk_set *sets[JWK_ALGS]; /* one key each */
static jwk_set *all;
static jwt_reader *reader;
static const int64_t now = 1700000000000;

static inline jwk *generate(jwk_alg alg, const char *kid)
{
    const char *reason = "";
    jwk *k = jwk_generate(alg, 2048, slice_of(kid), NULL, &reason);
    if (k == NULL)
        fail_msg("no key: %s", reason);
    return k;
}

static inline jwk *from_json(const char *json)
{
    const char *reason = "";
    jwk *k = jwk_from_json(slice_of(json), (jwk_wish){.alg = JWK_ALGS}, &reason);
    if (k == NULL)
        fail_msg("no key: %s", reason);
    return k;
}

static inline jwk_set *set_of(jwk *k)
{
    jwk_set *s = jwk_set_new();
    assert_true(jwk_set_add(s, k));
    return s;
}

static inline slice bytes_of(const buf *b)
{
    return (slice){b->data, b->len};
}

/* header.payload.signature, with the signature of k over exactly these texts. */
static inline void forge(buf *out, slice header, slice payload, const jwk *k)
{
    buf signature = {0};
    out->len = 0;
    base64url_encode(out, header);
    buf_byte(out, '.');
    base64url_encode(out, payload);
    assert_int_equal(jwk_sign(k, bytes_of(out), &signature), 0);
    buf_byte(out, '.');
    base64url_encode(out, bytes_of(&signature));
    buf_free(&signature);
}

static inline jwt_code open_and_check(slice token, const jwk_set *s, jwt_policy policy)
{
    jwt_claims claims;
    if (policy.now_ms == 0)
        policy.now_ms = now;
    jwt_code code = jwt_open(reader, token, s, &claims);
    if (code != JWT_OK)
        return code;
    jwt_claims *copy = jwt_claims_copy(&claims);
    jwt_code direct = jwt_check(&claims, &policy), copied = jwt_check(copy, &policy);
    free(copy);
    assert_int_equal(direct, copied);
    return direct;
}

static inline void expect(jwt_code wanted, slice token, const jwk_set *s, jwt_policy policy)
{
    jwt_code got = open_and_check(token, s, policy);
    if (got != wanted)
        fail_msg("expected %s, got %s for %.*s", jwt_code_word(wanted), jwt_code_word(got),
                 (int)(token.n < 300 ? token.n : 300), token.p);
}

static const char good_payload[] = "{\"sub\":\"ann\",\"exp\":1700000060}";

static inline void expect_payload(jwt_code wanted, slice payload, jwt_policy policy)
{
    buf token = {0};
    forge(&token, SLICE("{\"alg\":\"HS256\"}"), payload, keys[JWK_HS256]);
    expect(wanted, bytes_of(&token), sets[JWK_HS256], policy);
    buf_free(&token);
}

static inline int make_keys(void **state)
{
    (void)state;
    static const char *const kids[] = {"rs", "ps", "es", "ed", "hs"};
    reader = jwt_reader_new();
    all = jwk_set_new();
    for (jwk_alg alg = 0; alg < JWK_ALGS; alg++) {
        keys[alg] = generate(alg, kids[alg]);
        sets[alg] = set_of(keys[alg]);
        jwk_set_add(all, keys[alg]);
    }
    return 0;
}

static inline int drop_keys(void **state)
{
    (void)state;
    for (jwk_alg alg = 0; alg < JWK_ALGS; alg++) {
        jwk_set_free(sets[alg]);
        jwk_drop(keys[alg]);
    }
    jwk_set_free(all);
    jwt_reader_free(reader);
    return 0;
}
