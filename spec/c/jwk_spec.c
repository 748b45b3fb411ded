/* Keys and sets of keys: reading, showing, refusing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokens.h"
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

static void the_thumbprint_of_rfc_7638_is_the_default_kid(void **state)
{
    (void)state;
    const char *reason;
    const char json[] =
        "{\"kty\":\"RSA\",\"n\":"
        "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1R"
        "K7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_"
        "RN5w6Cf0h4Qy"
        "Q5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt"
        "-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\","
        "\"e\":\"AQAB\",\"alg\":\"RS256\"}";
    jwk *k = from_json(json);
    assert_true(slice_eq(jwk_kid(k), SLICE("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")));
    assert_int_equal(jwk_alg_of(k), JWK_RS256);
    assert_false(jwk_can_sign(k));
    jwk_drop(k);
    jwk_wish wish = {JWK_ALGS, SLICE("2011-04-29")};
    k = jwk_from_json(slice_of(json), wish, &reason);
    assert_true(slice_eq(jwk_kid(k), wish.kid));
    jwk_drop(k);
}

static const char rsa_jwk[] =
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw"
    "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LO"
    "L-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"
    "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\","
    "\"e\":\"AQAB\"}";

/* J13 */
static void a_rotated_key_verifies_until_it_is_removed(void **state)
{
    (void)state;
    jwk *old = generate(JWK_EDDSA, "old"), *young = generate(JWK_EDDSA, "new");
    jwk_set *s = set_of(old);
    buf token = {0};
    assert_int_equal(jwt_sign(old, (slice){0}, SLICE(good_payload), &token), 0);
    char before[32];
    memcpy(before, jwk_set_stamp(s).p, sizeof before);
    assert_true(jwk_set_add(s, young));
    assert_memory_not_equal(jwk_set_stamp(s).p, before, sizeof before);
    assert_false(jwk_set_add(s, young));
    expect(JWT_OK, bytes_of(&token), s, (jwt_policy){0});
    assert_true(jwk_set_remove(s, SLICE("old")));
    assert_false(jwk_set_remove(s, SLICE("old")));
    expect(JWT_UNKNOWN_KEY, bytes_of(&token), s, (jwt_policy){0});
    assert_memory_not_equal(jwk_set_stamp(s).p, before, sizeof before);
    assert_true(jwk_set_remove(s, SLICE("new")));
    assert_true(jwk_set_add(s, old));
    assert_memory_equal(jwk_set_stamp(s).p, before, sizeof before);
    jwk_set_free(s);
    jwk_drop(old);
    jwk_drop(young);
    buf_free(&token);
}

/* J15 */
static void a_served_set_has_public_members_only(void **state)
{
    (void)state;
    buf json = {0}, secret = {0};
    jwk_set_public_json(all, &json);
    buf_cstr(&json);
    static const char *const private[] = {"\"d\"",  "\"p\"", "\"q\"", "\"dp\"", "\"dq\"",
                                          "\"qi\"", "\"k\"", "oct",   "\"hs\""};
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        assert_null(strstr(json.data, private[i]));
    assert_false(jwk_public_json(keys[JWK_HS256], &secret));
    assert_false(jwk_public_pem(keys[JWK_HS256], &secret));
    assert_false(jwk_private_pem(keys[JWK_HS256], &secret));
    assert_int_equal(secret.len, 0);
    size_t skipped;
    const char *reason;
    jwk_set *again = jwk_set_from_json(bytes_of(&json), &skipped, &reason);
    assert_non_null(again);
    assert_int_equal(skipped, 0);
    assert_int_equal(jwk_set_count(again), 4);
    for (jwk_alg alg = 0; alg < JWK_HS256; alg++) {
        buf token = {0}, pem = {0};
        assert_int_equal(jwt_sign(keys[alg], (slice){0}, SLICE(good_payload), &token), 0);
        expect(JWT_OK, bytes_of(&token), again, (jwt_policy){0});
        jwk *public = jwk_set_find(again, jwk_kid(keys[alg]));
        assert_int_equal(jwk_alg_of(public), alg);
        assert_false(jwk_can_sign(public));
        assert_int_equal(jwk_sign(public, SLICE("x"), &pem), -1);
        assert_false(jwk_private_pem(public, &pem));
        buf_free(&token);
        buf_free(&pem);
    }
    jwk_set_free(again);
    buf_free(&json);
}

static void a_foreign_set_gives_no_secrets_and_skips_what_it_does_not_know(void **state)
{
    (void)state;
    size_t skipped;
    const char *reason;
    slice json = SLICE("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":"
                       "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_"
                       "T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},"
                       "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\","
                       "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
                       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                       "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\","
                       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                       "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_"
                       "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                       "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"enc\",\"use\":\"enc\","
                       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                       "{\"kty\":\"new\"},{},1,null,\"x\"],\"more\":1}");
    jwk_set *s = jwk_set_from_json(json, &skipped, &reason);
    assert_non_null(s);
    assert_int_equal(jwk_set_count(s), 1);
    assert_int_equal(skipped, 9);
    assert_false(jwk_can_sign(jwk_set_find(s, SLICE("e"))));
    jwk_set_free(s);
    static const char *const odd[] = {
        "", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[}", "{\"keys\":1}"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_null(jwk_set_from_json(slice_of(odd[i]), &skipped, &reason));
    buf big = {0};
    memset(buf_reserve(&big, 300000), ' ', 300000);
    big.len = 300000;
    buf_text(&big, "{\"keys\":[]}");
    assert_null(jwk_set_from_json(bytes_of(&big), &skipped, &reason));
    assert_string_equal(reason, "it is longer than 256 KiB");
    buf_free(&big);
}

static void a_set_is_bounded(void **state)
{
    (void)state;
    jwk_set *s = jwk_set_new();
    const char *reason;
    char secret[33];
    for (int i = 0; i < JWK_SET_MAX + 1; i++) {
        snprintf(secret, sizeof secret, "%032d", i);
        buf json = {0};
        buf_text(&json, "{\"kty\":\"oct\",\"k\":\"");
        base64url_encode(&json, slice_of(secret));
        buf_text(&json, "\"}");
        jwk *k = jwk_from_json(bytes_of(&json), (jwk_wish){.alg = JWK_ALGS}, &reason);
        assert_int_equal(jwk_set_add(s, k), i < JWK_SET_MAX);
        jwk_drop(k);
        buf_free(&json);
    }
    assert_int_equal(jwk_set_count(s), JWK_SET_MAX);
    jwk_set_free(s);
}

static void private_keys_survive_their_pem(void **state)
{
    (void)state;
    for (jwk_alg alg = 0; alg < JWK_HS256; alg++) {
        buf pem = {0}, public = {0}, token = {0};
        const char *reason;
        assert_true(jwk_private_pem(keys[alg], &pem));
        assert_true(jwk_public_pem(keys[alg], &public));
        jwk *k = jwk_from_pem(bytes_of(&pem), (jwk_wish){alg, jwk_kid(keys[alg])}, &reason);
        jwk *p = jwk_from_pem(bytes_of(&public), (jwk_wish){alg, jwk_kid(keys[alg])}, &reason);
        assert_non_null(k);
        assert_non_null(p);
        assert_true(jwk_can_sign(k));
        assert_false(jwk_can_sign(p));
        assert_int_equal(jwt_sign(k, (slice){0}, SLICE(good_payload), &token), 0);
        expect(JWT_OK, bytes_of(&token), all, (jwt_policy){0});
        jwk_set *s = set_of(p);
        expect(JWT_OK, bytes_of(&token), s, (jwt_policy){0});
        jwk_set_free(s);
        jwk_drop(k);
        jwk_drop(p);
        buf_free(&pem);
        buf_free(&public);
        buf_free(&token);
    }
}

static void expect_no_pem(EVP_PKEY *key, const char *words)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key);
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    const char *reason = "";
    assert_null(jwk_from_pem((slice){data, (size_t)n}, (jwk_wish){.alg = JWK_ALGS}, &reason));
    if (strstr(reason, words) == NULL)
        fail_msg("expected \"%s\" in: %s", words, reason);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void weak_and_foreign_kinds_of_keys_are_refused(void **state)
{
    (void)state;
    expect_no_pem(EVP_RSA_gen(1024), "2048 to 8192");
    expect_no_pem(EVP_EC_gen("P-384"), "not P-256");
    expect_no_pem(EVP_EC_gen("secp256k1"), "not P-256");
    expect_no_pem(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), "kind");
    expect_no_pem(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), "kind");
    const char *reason;
    jwk_wish any = {.alg = JWK_ALGS};
    assert_null(jwk_from_pem(SLICE("not a key"), any, &reason));
    assert_null(jwk_from_pem(SLICE(""), any, &reason));
    assert_null(jwk_generate(JWK_RS256, 1024, (slice){0}, NULL, &reason));
    assert_null(jwk_generate(JWK_RS256, 16384, (slice){0}, NULL, &reason));
}

static void an_rsa_key_that_can_be_factored_is_refused(void **state)
{
    (void)state;
    /* n = M k + 65537^7, M the product of the primes up to 167: the mark of CVE-2017-15361. */
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *m = BN_new(), *k = BN_new(), *n = BN_new();
    BN_one(m);
    for (unsigned p = 2; p <= 167; p++) {
        bool prime = true;
        for (unsigned d = 2; d * d <= p; d++)
            prime = prime && p % d != 0;
        if (prime)
            BN_mul_word(m, p);
    }
    BN_rand(k, 2056 - BN_num_bits(m), BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY);
    BN_mul(n, m, k, ctx);
    BN_one(k);
    for (int i = 0; i < 7; i++)
        BN_mul_word(k, 65537);
    BN_add(n, n, k);
    for (int plain = 0; plain < 2; plain++) {
        unsigned char bytes[300];
        buf json = {0};
        const char *reason = "";
        buf_text(&json, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
        base64url_encode(&json, (slice){(char *)bytes, (size_t)BN_bn2bin(n, bytes)});
        buf_text(&json, "\"}");
        jwk *key = jwk_from_json(bytes_of(&json), (jwk_wish){.alg = JWK_ALGS}, &reason);
        assert_int_equal(key != NULL, plain);
        assert_true(plain || strstr(reason, "can be broken") != NULL);
        jwk_drop(key);
        buf_free(&json);
        BN_add_word(n, 2);
    }
    BN_free(m);
    BN_free(k);
    BN_free(n);
    BN_CTX_free(ctx);
}

static void odd_jwks_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{}", "its kind"},
        {"{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", "32 to 1024 bytes"},
        {"{\"kty\":\"oct\",\"k\":\"c2hvcnQ=\"}", "base64url"},
        {"{\"kty\":\"oct\"}", "base64url"},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "2048 to 8192"},
        {"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", "make no key"},
        {"{\"kty\":\"RSA\",\"n\":5,\"e\":\"AQAB\"}", "make no key"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
         "make no key"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83O\",\"y\":\"f83O\"}", "make no key"},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"f83O\",\"y\":\"f83O\"}", "its kind"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qY\"}", "make no key"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_"
         "9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
         "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
         "make no key"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"RS256\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "does not have that alg"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"none\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "its alg is not"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"key_ops\":[\"deriveKey\"],"
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "not signatures"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "kid must be"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":7,"
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         "kid must be"},
        {"{\"kty\":\"oct\",\"kty\":\"oct\"}", "not a JSON object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *reason = "";
        jwk *k = jwk_from_json(slice_of(rows[i][0]), (jwk_wish){.alg = JWK_ALGS}, &reason);
        if (k != NULL || strstr(reason, rows[i][1]) == NULL)
            fail_msg("expected \"%s\", got \"%s\" for %s", rows[i][1], reason, rows[i][0]);
    }
    const char *reason;
    assert_null(jwk_from_json(slice_of(rsa_jwk), (jwk_wish){.alg = JWK_ES256}, &reason));
    jwk *k = jwk_from_json(slice_of(rsa_jwk), (jwk_wish){.alg = JWK_PS256}, &reason);
    assert_int_equal(jwk_alg_of(k), JWK_PS256);
    jwk_drop(k);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(the_thumbprint_of_rfc_7638_is_the_default_kid),
        cmocka_unit_test(a_rotated_key_verifies_until_it_is_removed),
        cmocka_unit_test(a_served_set_has_public_members_only),
        cmocka_unit_test(a_foreign_set_gives_no_secrets_and_skips_what_it_does_not_know),
        cmocka_unit_test(a_set_is_bounded),
        cmocka_unit_test(private_keys_survive_their_pem),
        cmocka_unit_test(weak_and_foreign_kinds_of_keys_are_refused),
        cmocka_unit_test(an_rsa_key_that_can_be_factored_is_refused),
        cmocka_unit_test(odd_jwks_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(specs, make_keys, drop_keys);
}
