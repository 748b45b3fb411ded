/* Tokens: the published vectors, and every forgery that has a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "digest.h"
#include "tokens.h"
#include <openssl/evp.h>
#include <openssl/pem.h>

/* A forged header over a good payload, signed by the ES256 key. */
static void expect_header(jwt_code wanted, slice header)
{
    buf token = {0};
    forge(&token, header, SLICE(good_payload), keys[JWK_ES256]);
    expect(wanted, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    buf_free(&token);
}

static void each_algorithm_signs_and_verifies(void **state)
{
    (void)state;
    for (jwk_alg alg = 0; alg < JWK_ALGS; alg++) {
        buf token = {0};
        assert_int_equal(jwt_sign(keys[alg], (slice){0}, SLICE(good_payload), &token), 0);
        expect(JWT_OK, bytes_of(&token), sets[alg], (jwt_policy){0});
        expect(JWT_OK, bytes_of(&token), all, (jwt_policy){0});
        for (jwk_alg other = 0; other < JWK_ALGS; other++)
            if (other != alg)
                expect(JWT_UNKNOWN_KEY, bytes_of(&token), sets[other], (jwt_policy){0});
        buf_free(&token);
    }
}

static const char rsa_jwk[] =
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw"
    "-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LO"
    "L-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"
    "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\","
    "\"e\":\"AQAB\"}";

static void the_tokens_of_rfc_7515_verify(void **state)
{
    (void)state;
    static const struct {
        const char *key, *token;
    } rows[] = {
        {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
         "1qS0gZH75aKtMN3Yj0iPS"
         "4hcgUuTwjAzZr1Z9CAow\"}",
         "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
         "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
         "nVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
        {rsa_jwk,
         "eyJhbGciOiJSUzI1NiJ9."
         "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
         "nVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YK"
         "t_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARN"
         "PvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1ph"
         "CnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
         "eyJhbGciOiJFUzI1NiJ9."
         "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0c"
         "nVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6N"
         "U1Q"},
    };
    for (size_t i = 0; i < 3; i++) {
        jwk *k = from_json(rows[i].key);
        jwk_set *s = set_of(k);
        jwt_policy then = {.now_ms = 1300819379999, .issuer = SLICE("joe")};
        expect(JWT_OK, slice_of(rows[i].token), s, then);
        then.now_ms++;
        expect(JWT_EXPIRED, slice_of(rows[i].token), s, then);
        jwk_set_free(s);
        jwk_drop(k);
    }
}

static void the_ed25519_vectors_of_rfc_8037_hold(void **state)
{
    (void)state;
    jwk *k = from_json("{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                       "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
                       "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}");
    assert_true(slice_eq(jwk_kid(k), SLICE("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")));
    buf token = {0};
    forge(&token, SLICE("{\"alg\":\"EdDSA\"}"), SLICE("Example of Ed25519 signing"), k);
    assert_string_equal(
        buf_cstr(&token),
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpA"
        "r_MuM0KAg");
    jwk_set *s = set_of(k);
    jwt_claims claims;
    assert_int_equal(jwt_open_signed(reader, bytes_of(&token), s, &claims), JWT_OK);
    assert_true(slice_eq(claims.payload, SLICE("Example of Ed25519 signing")));
    assert_int_equal(jwt_open(reader, bytes_of(&token), s, &claims), JWT_MALFORMED);
    jwk_set_free(s);
    buf_free(&token);
    jwk_drop(k);
}

/* J01 */
static void alg_none_does_not_exist_in_any_spelling(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",   "{\"alg\":\"None\"}",
        "{\"alg\":\"NONE\"}",   "{\"alg\":\"nOnE\"}",
        "{\"alg\":\"none \"}",  "{\"alg\":\"\"}",
        "{\"alg\":null}",       "{\"alg\":false}",
        "{\"alg\":0}",          "{\"alg\":[\"none\"]}",
        "{\"alg\":{\"x\":1}}",  "{}",
        "{\"alg\":\"es256\"}",  "{\"alg\":\"ES256\\u0000\"}",
        "{\"alg\":\" ES256\"}", "{\"alg\":[\"ES256\"]}",
        "{\"ALG\":\"ES256\"}",  "{\"alg\":\"ES512\"}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        buf token = {0};
        expect_header(JWT_MALFORMED, slice_of(headers[i]));
        base64url_encode(&token, slice_of(headers[i]));
        buf_byte(&token, '.');
        base64url_encode(&token, SLICE(good_payload));
        expect(JWT_MALFORMED, bytes_of(&token), all, (jwt_policy){0});
        buf_byte(&token, '.');
        expect(JWT_MALFORMED, bytes_of(&token), all, (jwt_policy){0});
        buf_free(&token);
    }
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\"}"));
}

static void expect_hmac_forgery(jwk_alg alg, slice secret)
{
    buf token = {0};
    unsigned char mac[DIGEST_MAX];
    base64url_encode(&token, SLICE("{\"alg\":\"HS256\"}"));
    buf_byte(&token, '.');
    base64url_encode(&token, SLICE(good_payload));
    digest_hmac(DIGEST_SHA256, secret, bytes_of(&token), mac);
    buf_byte(&token, '.');
    base64url_encode(&token, (slice){(const char *)mac, 32});
    expect(JWT_SIGNATURE, bytes_of(&token), sets[alg], (jwt_policy){0});
    expect(JWT_UNKNOWN_KEY, bytes_of(&token), all, (jwt_policy){0});
    buf_free(&token);
}

/* J02 */
static void a_public_key_is_no_hmac_secret(void **state)
{
    (void)state;
    for (jwk_alg alg = JWK_RS256; alg < JWK_HS256; alg++) {
        buf pem = {0}, json = {0}, der = {0};
        assert_true(jwk_public_pem(keys[alg], &pem));
        assert_true(jwk_public_json(keys[alg], &json));
        expect_hmac_forgery(alg, bytes_of(&pem));
        expect_hmac_forgery(alg, (slice){pem.data, pem.len - 1});
        expect_hmac_forgery(alg, bytes_of(&json));
        BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
        EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        unsigned char *encoded = NULL;
        int n = i2d_PUBKEY(key, &encoded);
        expect_hmac_forgery(alg, (slice){(char *)encoded, (size_t)n});
        OPENSSL_free(encoded);
        EVP_PKEY_free(key);
        BIO_free(bio);
        buf_cstr(&json);
        const char *member = alg < JWK_ES256 ? "\"n\":\"" : "\"x\":\"";
        const char *text = strstr(json.data, member) + 5;
        slice number = {text, strcspn(text, "\"")};
        expect_hmac_forgery(alg, number);
        assert_true(base64url_decode(&der, number));
        expect_hmac_forgery(alg, bytes_of(&der));
        expect_hmac_forgery(alg, (slice){"", 0});
        buf_free(&pem);
        buf_free(&json);
        buf_free(&der);
    }
}

/* J03 */
static void a_token_does_not_bring_its_own_key(void **state)
{
    (void)state;
    jwk *mallory = generate(JWK_ES256, "");
    buf own = {0}, header = {0}, token = {0};
    assert_true(jwk_public_json(mallory, &own));
    slice good = SLICE(good_payload);
    static const char *const members[] = {
        "\"jku\":\"https://evil.example/jwks.json\"",
        "\"x5u\":\"https://evil.example/c.pem\"",
        "\"x5c\":[\"MIIB\"]",
        "\"jwk\":null",
    };
    buf_format(&header, "{\"alg\":\"ES256\",\"jwk\":%s}", buf_cstr(&own));
    forge(&token, bytes_of(&header), good, mallory);
    expect(JWT_MALFORMED, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        header.len = 0;
        buf_format(&header, "{\"alg\":\"ES256\",%s}", members[i]);
        expect_header(JWT_MALFORMED, bytes_of(&header));
        forge(&token, bytes_of(&header), good, mallory);
        expect(JWT_MALFORMED, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    }
    forge(&token, SLICE("{\"alg\":\"ES256\",\"iss\":\"https://evil.example\"}"), good, mallory);
    expect(JWT_SIGNATURE, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    buf_free(&own);
    buf_free(&header);
    buf_free(&token);
    jwk_drop(mallory);
}

/* J04 */
static void a_kid_is_a_plain_string_of_the_set(void **state)
{
    (void)state;
    static const char *const unknown[] = {
        "\"../../../../dev/null\"",
        "\"/dev/null\"",
        "\"' OR 1=1 --\"",
        "\"es\\u0000\"",
        "\"https://evil.example\"",
        "\"\"",
        "\"ES\"",
        "\"es \"",
        "\"|/bin/sh\"",
        "\"\\ud83d\\ude00\"",
    };
    static const char *const odd[] = {"1",          "null", "true", "[\"es\"]", "{\"kid\":\"es\"}",
                                      "\"\\ud83d\""};
    buf header = {0};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        header.len = 0;
        buf_format(&header, "{\"alg\":\"ES256\",\"kid\":%s}", unknown[i]);
        expect_header(JWT_UNKNOWN_KEY, bytes_of(&header));
    }
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        header.len = 0;
        buf_format(&header, "{\"alg\":\"ES256\",\"kid\":%s}", odd[i]);
        expect_header(JWT_MALFORMED, bytes_of(&header));
    }
    static const size_t lengths[] = {255, 256, 5000, 20480};
    for (size_t i = 0; i < 4; i++) {
        header.len = 0;
        buf_text(&header, "{\"alg\":\"ES256\",\"kid\":\"");
        memset(buf_reserve(&header, lengths[i]), 'k', lengths[i]);
        header.len += lengths[i];
        buf_text(&header, "\"}");
        expect_header(i == 0 ? JWT_UNKNOWN_KEY : JWT_MALFORMED, bytes_of(&header));
    }
    buf_free(&header);
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"kid\":\"es\"}"));
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"kid\":\"\\u0065s\"}"));
}

static void a_token_without_kid_needs_a_set_of_one_key(void **state)
{
    (void)state;
    buf token = {0};
    forge(&token, SLICE("{\"alg\":\"ES256\"}"), SLICE(good_payload), keys[JWK_ES256]);
    expect(JWT_OK, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    expect(JWT_UNKNOWN_KEY, bytes_of(&token), all, (jwt_policy){0});
    jwk_set *empty = jwk_set_new();
    expect(JWT_UNKNOWN_KEY, bytes_of(&token), empty, (jwt_policy){0});
    jwk_set_free(empty);
    buf_free(&token);
}

static void expect_signature(jwt_code wanted, jwk_alg alg, slice text, slice signature)
{
    buf token = {0};
    buf_append_slice(&token, text);
    buf_byte(&token, '.');
    base64url_encode(&token, signature);
    expect(wanted, bytes_of(&token), sets[alg], (jwt_policy){0});
    buf_free(&token);
}

/* J05 */
static void a_damaged_signature_is_refused(void **state)
{
    (void)state;
    for (jwk_alg alg = 0; alg < JWK_ALGS; alg++) {
        buf text = {0}, sig = {0}, odd = {0};
        buf_format(&odd, "{\"alg\":\"%s\"}", jwk_alg_name(alg));
        base64url_encode(&text, bytes_of(&odd));
        buf_byte(&text, '.');
        base64url_encode(&text, SLICE(good_payload));
        assert_int_equal(jwk_sign(keys[alg], bytes_of(&text), &sig), 0);
        for (size_t i = 0; i < sig.len; i += 1 + sig.len / 40) {
            sig.data[i] ^= 0x10;
            expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), bytes_of(&sig));
            sig.data[i] ^= 0x10;
        }
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), (slice){sig.data, sig.len - 1});
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), (slice){sig.data + 1, sig.len - 1});
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), (slice){sig.data, 0});
        odd.len = 0;
        buf_append_slice(&odd, bytes_of(&sig));
        buf_byte(&odd, '\0');
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), bytes_of(&odd));
        odd.len = 0;
        buf_byte(&odd, '\0');
        buf_append_slice(&odd, bytes_of(&sig));
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), bytes_of(&odd));
        memset(odd.data, 0, odd.len);
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), (slice){odd.data, sig.len});
        memset(odd.data, 0xff, odd.len);
        expect_signature(JWT_SIGNATURE, alg, bytes_of(&text), (slice){odd.data, sig.len});
        text.data[text.len - 1] ^= 1; /* the payload's last character */
        buf other = {0};
        buf_append_slice(&other, bytes_of(&text));
        assert_int_not_equal(open_and_check(bytes_of(&other), sets[alg], (jwt_policy){0}), JWT_OK);
        text.data[text.len - 1] ^= 1;
        expect_signature(JWT_OK, alg, bytes_of(&text), bytes_of(&sig));
        buf_free(&other);
        buf_free(&text);
        buf_free(&sig);
        buf_free(&odd);
    }
}

static void an_ecdsa_signature_in_der_is_refused(void **state)
{
    (void)state;
    buf text = {0}, pem = {0};
    base64url_encode(&text, SLICE("{\"alg\":\"ES256\"}"));
    buf_byte(&text, '.');
    base64url_encode(&text, SLICE(good_payload));
    assert_true(jwk_private_pem(keys[JWK_ES256], &pem));
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char der[80];
    size_t n = sizeof der;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &n, (unsigned char *)text.data, text.len), 1);
    expect_signature(JWT_SIGNATURE, JWK_ES256, bytes_of(&text), (slice){(char *)der, n});
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    BIO_free(bio);
    buf_free(&text);
    buf_free(&pem);
}

/* J06 */
static void the_text_form_has_one_spelling(void **state)
{
    (void)state;
    buf token = {0}, odd = {0};
    forge(&token, SLICE("{\"alg\":\"HS256\"}"), SLICE("{\"exp\":1700000060 }"), keys[JWK_HS256]);
    slice good = bytes_of(&token);
    expect(JWT_OK, good, sets[JWK_HS256], (jwt_policy){0});
    static const char *const tails[] = {"=", "==", "\n", " ", ".", "\r\n", "%3D", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        odd.len = 0;
        buf_append_slice(&odd, good);
        buf_text(&odd, tails[i]);
        expect(JWT_MALFORMED, bytes_of(&odd), sets[JWK_HS256], (jwt_policy){0});
    }
    char *last = token.data + token.len - 1, kept = *last;
    for (int bit = 1; bit < 4; bit++) { /* the two bits that carry nothing */
        static const char letters[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        *last = letters[(strchr(letters, kept) - letters) ^ bit];
        expect(JWT_MALFORMED, good, sets[JWK_HS256], (jwt_policy){0});
    }
    *last = kept;
    static const char junk[] = "=+/ \n\r\t\0%~";
    for (size_t at = 0; at < token.len; at += 7)
        for (size_t i = 0; i < sizeof junk - 1; i++) {
            kept = token.data[at];
            token.data[at] = junk[i];
            expect(JWT_MALFORMED, good, sets[JWK_HS256], (jwt_policy){0});
            token.data[at] = kept;
        }
    expect(JWT_OK, good, sets[JWK_HS256], (jwt_policy){0});
    buf_free(&token);
    buf_free(&odd);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(each_algorithm_signs_and_verifies),
        cmocka_unit_test(the_tokens_of_rfc_7515_verify),
        cmocka_unit_test(the_ed25519_vectors_of_rfc_8037_hold),
        cmocka_unit_test(alg_none_does_not_exist_in_any_spelling),
        cmocka_unit_test(a_public_key_is_no_hmac_secret),
        cmocka_unit_test(a_token_does_not_bring_its_own_key),
        cmocka_unit_test(a_kid_is_a_plain_string_of_the_set),
        cmocka_unit_test(a_token_without_kid_needs_a_set_of_one_key),
        cmocka_unit_test(a_damaged_signature_is_refused),
        cmocka_unit_test(an_ecdsa_signature_in_der_is_refused),
        cmocka_unit_test(the_text_form_has_one_spelling),
    };
    return cmocka_run_group_tests(specs, make_keys, drop_keys);
}
