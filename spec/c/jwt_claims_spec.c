/* What a signed token may say: times, issuer, audience, type, form and size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokens.h"

/* A forged header over a good payload, signed by the ES256 key. */
static void expect_header(jwt_code wanted, slice header)
{
    buf token = {0};
    forge(&token, header, SLICE(good_payload), keys[JWK_ES256]);
    expect(wanted, bytes_of(&token), sets[JWK_ES256], (jwt_policy){0});
    buf_free(&token);
}

/* J07 */
static void times_are_finite_numbers_in_range(void **state)
{
    (void)state;
    static const char *const odd[] = {
        "\"1700000060\"",
        "null",
        "true",
        "[]",
        "{}",
        "1e400",
        "-1",
        "-1e400",
        "253402300800",
        "1e300",
        "NaN",
        "inf",
        "+1",
        "01",
        "0x6553f100",
        "1.",
        ".5",
        "-",
        "1e",
        "--1",
        "1 2",
        "9223372036854775808",
    };
    static const char *const names[] = {"exp", "nbf", "iat"};
    buf payload = {0};
    for (size_t n = 0; n < 3; n++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            payload.len = 0;
            buf_format(&payload, "{\"%s\":%s}", names[n], odd[i]);
            expect_payload(JWT_MALFORMED, bytes_of(&payload),
                           (jwt_policy){.expiry_optional = true});
        }
    buf_free(&payload);
    jwt_policy p = {0}, optional = {.expiry_optional = true};
    expect_payload(JWT_MALFORMED, SLICE("{}"), p);
    expect_payload(JWT_OK, SLICE("{}"), optional);
    expect_payload(JWT_OK, SLICE("{\"exp\":1700000000.5}"), p);
    expect_payload(JWT_EXPIRED, SLICE("{\"exp\":1700000000}"), p);
    expect_payload(JWT_EXPIRED, SLICE("{\"exp\":0}"), optional);
    expect_payload(JWT_OK, SLICE("{\"exp\":1.70000006e9}"), p);
    expect_payload(JWT_OK, SLICE("{\"exp\":253402300799}"), p);
    expect_payload(JWT_OK, SLICE("{\"exp\":1700000060,\"nbf\":1700000000}"), p);
    expect_payload(JWT_NOT_YET, SLICE("{\"exp\":1700000060,\"nbf\":1700000001}"), p);
    expect_payload(JWT_OK, SLICE("{\"exp\":1700000060,\"iat\":1700000050}"), p);
}

static void leeway_stretches_both_ends(void **state)
{
    (void)state;
    jwt_policy p = {.leeway_ms = 30000};
    expect_payload(JWT_OK, SLICE("{\"exp\":1699999970.001}"), p);
    expect_payload(JWT_EXPIRED, SLICE("{\"exp\":1699999970}"), p);
    expect_payload(JWT_OK, SLICE("{\"exp\":1700000090,\"nbf\":1700000030}"), p);
    expect_payload(JWT_NOT_YET, SLICE("{\"exp\":1700000090,\"nbf\":1700000031}"), p);
}

/* J08 */
static void issuer_and_audience_are_exact(void **state)
{
    (void)state;
    slice want[] = {SLICE("app"), SLICE("other")};
    jwt_policy iss = {.issuer = SLICE("lunacast"), .expiry_optional = true};
    jwt_policy aud = {.audience = want, .audience_n = 2, .expiry_optional = true};
    jwt_policy none = {.expiry_optional = true};
    expect_payload(JWT_OK, SLICE("{\"iss\":\"lunacast\"}"), iss);
    expect_payload(JWT_OK, SLICE("{\"iss\":\"lun\\u0061cast\"}"), iss);
    expect_payload(JWT_ISSUER, SLICE("{}"), iss);
    expect_payload(JWT_ISSUER, SLICE("{\"iss\":\"lunacast2\"}"), iss);
    expect_payload(JWT_ISSUER, SLICE("{\"iss\":\"Lunacast\"}"), iss);
    expect_payload(JWT_ISSUER, SLICE("{\"iss\":\"\"}"), iss);
    expect_payload(JWT_ISSUER, SLICE("{\"iss\":\"lunacast/\"}"), iss);
    expect_payload(JWT_MALFORMED, SLICE("{\"iss\":[\"lunacast\"]}"), iss);
    expect_payload(JWT_MALFORMED, SLICE("{\"iss\":1}"), none);
    expect_payload(JWT_OK, SLICE("{\"aud\":\"app\"}"), aud);
    expect_payload(JWT_OK, SLICE("{\"aud\":\"other\"}"), aud);
    expect_payload(JWT_OK, SLICE("{\"aud\":[\"x\",\"app\"]}"), aud);
    expect_payload(JWT_AUDIENCE, SLICE("{\"aud\":\"ap\"}"), aud);
    expect_payload(JWT_AUDIENCE, SLICE("{\"aud\":\"application\"}"), aud);
    expect_payload(JWT_AUDIENCE, SLICE("{\"aud\":[\"appl\",\"APP\"]}"), aud);
    expect_payload(JWT_AUDIENCE, SLICE("{}"), aud);
    expect_payload(JWT_MALFORMED, SLICE("{\"aud\":[]}"), aud);
    expect_payload(JWT_MALFORMED, SLICE("{\"aud\":[\"app\",1]}"), aud);
    expect_payload(JWT_MALFORMED, SLICE("{\"aud\":{\"app\":1}}"), aud);
    expect_payload(JWT_AUDIENCE, SLICE("{\"aud\":\"app\"}"), none);
    expect_payload(JWT_OK, SLICE("{\"iss\":\"anybody\"}"), none);
}

/* J09 */
static void members_that_change_the_meaning_are_refused(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"crit\":[\"exp\"],\"exp\":1",
        "\"crit\":[]",
        "\"crit\":null",
        "\"b64\":false",
        "\"b64\":true",
        "\"cty\":\"JWT\"",
        "\"zip\":\"DEF\"",
        "\"enc\":\"A128GCM\"",
        "\"typ\":\"at+jwt\"",
        "\"typ\":\"JOSE\"",
        "\"typ\":1",
        "\"typ\":\"application/at+jwt\"",
    };
    buf header = {0};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        header.len = 0;
        buf_format(&header, "{\"alg\":\"ES256\",%s}", members[i]);
        expect_header(JWT_MALFORMED, bytes_of(&header));
    }
    buf_free(&header);
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"typ\":\"JWT\"}"));
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"typ\":\"jwt\"}"));
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"typ\":\"application/jwt\"}"));
    expect_header(JWT_OK, SLICE("{\"alg\":\"ES256\",\"x5t\":\"abc\",\"more\":{\"a\":[1]}}"));
}

static void a_required_type_keeps_kinds_of_tokens_apart(void **state)
{
    (void)state;
    buf token = {0};
    jwt_policy at = {.type = SLICE("at+jwt")};
    assert_int_equal(jwt_sign(keys[JWK_ES256], SLICE("at+jwt"), SLICE(good_payload), &token), 0);
    expect(JWT_OK, bytes_of(&token), all, at);
    expect(JWT_MALFORMED, bytes_of(&token), all, (jwt_policy){0});
    token.len = 0;
    assert_int_equal(jwt_sign(keys[JWK_ES256], (slice){0}, SLICE(good_payload), &token), 0);
    expect(JWT_MALFORMED, bytes_of(&token), all, at);
    forge(&token, SLICE("{\"alg\":\"ES256\"}"), SLICE(good_payload), keys[JWK_ES256]);
    expect(JWT_MALFORMED, bytes_of(&token), sets[JWK_ES256], at);
    forge(&token, SLICE("{\"alg\":\"ES256\",\"typ\":\"application/AT+JWT\"}"), SLICE(good_payload),
          keys[JWK_ES256]);
    expect(JWT_OK, bytes_of(&token), sets[JWK_ES256], at);
    buf_free(&token);
}

/* J10 */
static void duplicate_members_are_refused(void **state)
{
    (void)state;
    expect_header(JWT_MALFORMED, SLICE("{\"alg\":\"ES256\",\"alg\":\"ES256\"}"));
    expect_header(JWT_MALFORMED, SLICE("{\"alg\":\"none\",\"alg\":\"ES256\"}"));
    expect_header(JWT_MALFORMED, SLICE("{\"alg\":\"ES256\",\"\\u0061lg\":\"ES256\"}"));
    expect_header(JWT_MALFORMED, SLICE("{\"alg\":\"ES256\",\"x\":{\"a\":1,\"a\":1}}"));
    expect_payload(JWT_MALFORMED, SLICE("{\"exp\":1700000060,\"exp\":1800000000}"),
                   (jwt_policy){0});
    expect_payload(JWT_MALFORMED,
                   SLICE("{\"exp\":1700000060,\"r\":[{\"sub\":\"a\",\"s\\u0075b\":\"b\"}]}"),
                   (jwt_policy){0});
}

/* J11 */
static void a_payload_that_is_no_sound_object_is_refused(void **state)
{
    (void)state;
    static const slice odd[] = {
        {"", 0},
        {"[]", 2},
        {"null", 4},
        {"\"a\"", 3},
        {"1", 1},
        {"true", 4},
        {"{\"exp\":1700000060", 17},
        {"{\"exp\":1700000060}}", 19},
        {"{\"exp\":1700000060}x", 19},
        {"{'exp':1700000060}", 18},
        {"{\"exp\":1700000060,}", 19},
        {"{,\"exp\":1700000060}", 19},
        {"{\"exp\" 1700000060}", 18},
        {"{exp:1700000060}", 16},
        {"{\"exp\":1700000060,\"a\":\"\xff\"}", 26},
        {"{\"exp\":1700000060,\"a\":\"\xc0\xaf\"}", 27},
        {"{\"exp\":1700000060,\"a\":\"\xed\xa0\x80\"}", 28},
        {"{\"exp\":1700000060,\"a\":\"\xf4\x90\x80\x80\"}", 29},
        {"{\"exp\":1700000060,\"a\":\"\xe2\x82\"}", 27},
        {"{\"exp\":1700000060,\"a\":\"\n\"}", 26},
        {"{\"exp\":1700000060,\"a\":\"\0\"}", 26},
        {"{\"exp\":1700000060,\"a\":\"\\x\"}", 27},
        {"{\"exp\":1700000060,\"a\":\"\\ud800\"}", 31},
        {"{\"exp\":1700000060,\"a\":\"\\udc00\"}", 31},
        {"{\"exp\":1700000060,\"a\":\"\\ud800\\u0041\"}", 37},
        {"{\"exp\":1700000060,\"a\":\"\\u00g0\"}", 31},
        {"{\"exp\":1700000060,\"a\":tru}", 26},
        {"{\"exp\":1700000060,\"a\":[1,]}", 27},
        {"{\"exp\":1700000060/**/}", 22},
        {"\xef\xbb\xbf{\"exp\":1700000060}", 21},
        {"{\"exp\":1700000060}\0", 19},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        expect_payload(JWT_MALFORMED, odd[i], (jwt_policy){.expiry_optional = true});
    expect_payload(JWT_OK,
                   SLICE(" {\"exp\" : 1700000060 ,\n\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000"
                         "\\ud83d\\ude00\xf0\x9f\x98\x80\xe2\x82\xac\xc3\xa9\",\"b\":[],\"c\":{},"
                         "\"d\":[-0,0.5,1e3,1E+2,2e-1,null,false] }\r\n\t"),
                   (jwt_policy){0});
}

static void nesting_and_counts_are_bounded(void **state)
{
    (void)state;
    for (int depth = 31; depth < 3000; depth = depth < 33 ? depth + 1 : depth * 3) {
        buf payload = {0};
        buf_text(&payload, "{\"exp\":1700000060,\"a\":");
        for (int i = 0; i < depth; i++)
            buf_byte(&payload, '[');
        for (int i = 0; i < depth; i++)
            buf_byte(&payload, ']');
        buf_byte(&payload, '}');
        expect_payload(depth == 31 ? JWT_OK : JWT_MALFORMED, bytes_of(&payload), (jwt_policy){0});
        buf_free(&payload);
    }
    for (int members = 255; members <= 256; members++) {
        buf payload = {0};
        buf_text(&payload, "{\"exp\":1700000060");
        for (int i = 0; i < members; i++)
            buf_format(&payload, ",\"m%d\":%d", i, i);
        buf_byte(&payload, '}');
        expect_payload(members == 255 ? JWT_OK : JWT_MALFORMED, bytes_of(&payload),
                       (jwt_policy){0});
        buf_free(&payload);
    }
}

/* J12 */
static void size_is_checked_before_anything_else(void **state)
{
    (void)state;
    for (size_t n = 7000; n < 1 << 20; n = n * 3 / 2) {
        buf payload = {0}, token = {0};
        buf_text(&payload, "{\"exp\":1700000060,\"a\":\"");
        memset(buf_reserve(&payload, n), 'a', n);
        payload.len += n;
        buf_text(&payload, "\"}");
        forge(&token, SLICE("{\"alg\":\"HS256\"}"), bytes_of(&payload), keys[JWK_HS256]);
        expect(JWT_MALFORMED, bytes_of(&token), sets[JWK_HS256], (jwt_policy){0});
        buf_free(&payload);
        buf_free(&token);
    }
    buf payload = {0};
    buf_text(&payload, "{\"exp\":1700000060,\"a\":\"");
    memset(buf_reserve(&payload, 6000), 'a', 6000);
    payload.len += 6000;
    buf_text(&payload, "\"}");
    expect_payload(JWT_OK, bytes_of(&payload), (jwt_policy){0});
    buf_free(&payload);
    expect(JWT_MALFORMED, SLICE(""), all, (jwt_policy){0});
    expect(JWT_MALFORMED, SLICE("."), all, (jwt_policy){0});
    expect(JWT_MALFORMED, SLICE(".."), all, (jwt_policy){0});
    expect(JWT_MALFORMED, SLICE("..."), all, (jwt_policy){0});
    expect(JWT_MALFORMED, SLICE("a.b.c.d.e"), all, (jwt_policy){0});
}

static void any_prefix_or_flipped_bit_of_a_token_is_refused(void **state)
{
    (void)state;
    buf token = {0};
    assert_int_equal(jwt_sign(keys[JWK_HS256], (slice){0}, SLICE(good_payload), &token), 0);
    for (size_t n = 0; n < token.len; n++) {
        char *cut = malloc(n + 1); /* exact, so that ASan sees a read past it */
        memcpy(cut, token.data, n);
        assert_int_not_equal(open_and_check((slice){cut, n}, all, (jwt_policy){0}), JWT_OK);
        free(cut);
    }
    for (size_t i = 0; i < token.len * 8; i++) {
        token.data[i / 8] ^= (char)(1 << i % 8);
        assert_int_not_equal(open_and_check(bytes_of(&token), all, (jwt_policy){0}), JWT_OK);
        token.data[i / 8] ^= (char)(1 << i % 8);
    }
    expect(JWT_OK, bytes_of(&token), all, (jwt_policy){0});
    buf_free(&token);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(times_are_finite_numbers_in_range),
        cmocka_unit_test(leeway_stretches_both_ends),
        cmocka_unit_test(issuer_and_audience_are_exact),
        cmocka_unit_test(members_that_change_the_meaning_are_refused),
        cmocka_unit_test(a_required_type_keeps_kinds_of_tokens_apart),
        cmocka_unit_test(duplicate_members_are_refused),
        cmocka_unit_test(a_payload_that_is_no_sound_object_is_refused),
        cmocka_unit_test(nesting_and_counts_are_bounded),
        cmocka_unit_test(size_is_checked_before_anything_else),
        cmocka_unit_test(any_prefix_or_flipped_bit_of_a_token_is_refused),
    };
    return cmocka_run_group_tests(specs, make_keys, drop_keys);
}
