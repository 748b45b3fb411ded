/* Key agreement, HKDF and sealed messages: published vectors, and each way to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agree.h"
#include "base64url.h"
#include "hkdf.h"
#include "mem.h"
#include "seal.h"
#include <stdio.h>
#include <stdlib.h>

static buf unhex(const char *text)
{
    buf out = {0};
    assert_true(hex_decode(&out, slice_of(text)));
    return out;
}

static slice view(const buf *b)
{
    return (slice){b->data, b->len};
}

static void expect_hex(const void *bytes, size_t n, const char *text)
{
    buf out = {0};
    hex_encode(&out, (slice){bytes, n});
    assert_string_equal(buf_cstr(&out), text);
    buf_free(&out);
}

/* HKDF ---------------------------------------------------------------------------------------- */

static void hkdf_is_that_of_rfc_5869(void **state)
{
    (void)state;
    static const char *rows[][4] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
         "f0f1f2f3f4f5f6f7f8f9",
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2"
         "c2d"
         "2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
         "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8"
         "c8d"
         "8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
         "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbd"
         "cdd"
         "dedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65"
         "e59"
         "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char out[128];
        size_t n = strlen(rows[i][3]) / 2;
        buf secret = unhex(rows[i][0]), salt = unhex(rows[i][1]), info = unhex(rows[i][2]);
        hkdf_sha256(view(&secret), view(&salt), view(&info), out, n);
        expect_hex(out, n, rows[i][3]);
        buf_free(&secret);
        buf_free(&salt);
        buf_free(&info);
    }
}

static void hkdf_gives_every_length_up_to_its_most(void **state)
{
    (void)state;
    unsigned char *all = mem_alloc(HKDF_MAX), *part = mem_alloc(HKDF_MAX);
    hkdf_sha256(SLICE("secret"), SLICE("salt"), SLICE("info"), all, HKDF_MAX);
    for (size_t n = 1; n <= HKDF_MAX; n += 101) {
        hkdf_sha256(SLICE("secret"), SLICE("salt"), SLICE("info"), part, n);
        assert_memory_equal(all, part, n);
    }
    free(all);
    free(part);
}

/* Agreement ----------------------------------------------------------------------------------- */

static bool agree(agree_curve curve, const char *private, const char *public,
                  unsigned char out[AGREE_SECRET_SIZE])
{
    buf mine = unhex(private), theirs = unhex(public);
    agree_pair *p = agree_pair_from_private(curve, view(&mine));
    assert_non_null(p);
    bool good = agree_secret(p, view(&theirs), out);
    agree_pair_free(p);
    buf_free(&mine);
    buf_free(&theirs);
    return good;
}

#define P256_D "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534"
#define P256_X "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
#define P256_Y "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac"

static void agreement_is_that_of_nist_and_rfc_7748(void **state)
{
    (void)state;
    unsigned char out[AGREE_SECRET_SIZE];
    assert_true(agree(AGREE_P256, P256_D, "04" P256_X P256_Y, out));
    expect_hex(out, sizeof out, "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b");
    assert_true(agree(AGREE_X25519,
                      "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", out));
    expect_hex(out, sizeof out, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
}

/* spec/protocol/vectors.json */
static void agreement_is_that_of_the_protocol(void **state)
{
    (void)state;
    unsigned char out[AGREE_SECRET_SIZE];
    assert_true(agree(AGREE_P256,
                      "6ccef90ea445a4f9349e31aeb3b8d2f69ba6434d27eaf354e603999992d5ee85",
                      "045d5b6dc51a89b7048a29dcadeeaf0ece192ee99d01289fe2a43762659bfcd0512d2b05e05a"
                      "0490f3bbfb8a82dc923cbf28f28da2a96c6b91ebc4cc6124b0780e",
                      out));
    expect_hex(out, sizeof out, "1d6176493d56fdbf72231ae74beafde311850e6df1bdcfff8cf4ede435a1aaa6");
    assert_true(agree(AGREE_P256,
                      "e79321356bcc0e75570b255025d091f862841709bfaddf5754679d99080514a8",
                      "04877d70af1e5d96324b7f25be991b1b06a5738d5ae2beb002ff4713bf960890a767f8858020"
                      "1196f6d57c7cc4949896050a04281cde920115f6d28a019b70bfd7",
                      out));
    expect_hex(out, sizeof out, "1d6176493d56fdbf72231ae74beafde311850e6df1bdcfff8cf4ede435a1aaa6");
    assert_true(agree(AGREE_X25519,
                      "4f242246c58e5b36d2e53e1d53b258879c0c5499daabbc01934cd4b8597167d1",
                      "835d04721caa9c947739c0a32c52c5e4161b1cfa97f6d42781f4ee39fbf6aa46", out));
    expect_hex(out, sizeof out, "67025eed144c72d0417c1bfa397893dbcb4a5d5c0e8c37b5dc0950f290b1a06c");
    assert_true(agree(AGREE_X25519,
                      "a8f18de2545934377afeb5f4616c689a639621f73e58a2288467d166d8943eb2",
                      "1b812d3fe06b7b1244cd5e305e39159f1385faae7e5bd1f713b258141cd60269", out));
    expect_hex(out, sizeof out, "67025eed144c72d0417c1bfa397893dbcb4a5d5c0e8c37b5dc0950f290b1a06c");
}

static void two_pairs_agree(void **state)
{
    (void)state;
    for (agree_curve curve = AGREE_P256; curve < AGREE_CURVES; curve++) {
        unsigned char one[AGREE_SECRET_SIZE], other[AGREE_SECRET_SIZE];
        agree_pair *a = agree_pair_new(curve), *b = agree_pair_new(curve);
        buf from_a = {0}, from_b = {0};
        slice raw_a, raw_b;
        agree_public_raw(a, &from_a);
        agree_public_spki(b, &from_b);
        assert_true(agree_raw_of(curve, view(&from_a), &raw_a));
        assert_true(agree_raw_of(curve, view(&from_b), &raw_b));
        assert_int_equal(raw_b.n, agree_raw_size(curve));
        assert_true(agree_secret(a, raw_b, one));
        assert_true(agree_secret(b, raw_a, other));
        assert_memory_equal(one, other, sizeof one);
        agree_pair_free(a);
        agree_pair_free(b);
        buf_free(&from_a);
        buf_free(&from_b);
    }
}

static void a_point_off_the_curve_is_refused(void **state)
{
    (void)state;
    static const char *points[] = {
        /* y changed by one; the origin; x not below the prime; infinity; the frame cut; compressed
         */
        "04" P256_X "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ad",
        "040000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000"
        "000000000000000000000000000000000000",
        "04ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" P256_Y,
        "00",
        "",
        "04" P256_X "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4",
        "02" P256_X,
        "06" P256_X P256_Y,
    };
    unsigned char out[AGREE_SECRET_SIZE];
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_false(agree(AGREE_P256, P256_D, points[i], out));
}

/* The points of low order: whoever sends one knows the secret. */
static void a_point_of_low_order_is_refused(void **state)
{
    (void)state;
    static const char *points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "",
        "01",
    };
    unsigned char out[AGREE_SECRET_SIZE];
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_false(agree(AGREE_X25519, P256_D, points[i], out));
}

static void a_private_half_that_is_no_number_of_the_curve_is_refused(void **state)
{
    (void)state;
    static const char *numbers[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a5",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buf bytes = unhex(numbers[i]);
        assert_null(agree_pair_from_private(AGREE_P256, view(&bytes)));
        buf_free(&bytes);
    }
}

static void a_frame_of_another_curve_is_no_key(void **state)
{
    (void)state;
    slice raw;
    buf spki = {0};
    agree_pair *p = agree_pair_new(AGREE_P256);
    agree_public_spki(p, &spki);
    assert_false(agree_raw_of(AGREE_X25519, view(&spki), &raw));
    for (size_t i = 0; i < 26; i++) {
        spki.data[i] ^= 1;
        assert_false(agree_raw_of(AGREE_P256, view(&spki), &raw));
        spki.data[i] ^= 1;
    }
    buf_byte(&spki, 0);
    assert_false(agree_raw_of(AGREE_P256, view(&spki), &raw));
    assert_int_equal(agree_curve_find(SLICE("P-384")), AGREE_CURVES);
    agree_pair_free(p);
    buf_free(&spki);
}

/* Sealing ------------------------------------------------------------------------------------- */

static seal_way way_of(const char *key, const char *nonce)
{
    seal_way w = {.last = 0};
    buf k = unhex(key), n = unhex(nonce);
    memcpy(w.key, k.data, sizeof w.key);
    memcpy(w.iv, n.data, sizeof w.iv);
    w.iv[SEAL_IV_SIZE - 1] ^= 1; /* of the first message */
    buf_free(&k);
    buf_free(&n);
    return w;
}

#define GCM_KEY "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define GCM_PLAIN                                                                    \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809" \
    "532fcf0e2449a6b525b16aedf5aa0de657ba637b39"

static void sealing_is_that_of_nist(void **state)
{
    (void)state;
    uint64_t number;
    buf out = {0}, plain = unhex(GCM_PLAIN),
        aad = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    seal_way w = way_of(GCM_KEY, "cafebabefacedbaddecaf888"), in = w;
    assert_true(seal_close(&w, view(&plain), view(&aad), &number, &out));
    assert_int_equal(number, 1);
    expect_hex(
        out.data, out.len,
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10"
        "56828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
    buf back = {0};
    assert_int_equal(seal_open(&in, 1, view(&out), view(&aad), &back), SEAL_OK);
    assert_true(slice_eq(view(&back), view(&plain)));
    buf_free(&out);
    buf_free(&back);
    buf_free(&plain);
    buf_free(&aad);
}

static seal_way any_way(void)
{
    seal_way w;
    unsigned char seed[SEAL_SEED_SIZE];
    hkdf_sha256(SLICE("secret"), SLICE(""), SLICE("client"), seed, sizeof seed);
    seal_way_init(&w, seed);
    return w;
}

static void a_message_changed_in_any_bit_is_refused(void **state)
{
    (void)state;
    uint64_t number;
    buf sealed = {0}, out = {0};
    seal_way w = any_way(), in = w;
    assert_true(seal_close(&w, SLICE("hello"), SLICE("place"), &number, &sealed));
    for (size_t bit = 0; bit < sealed.len * 8; bit++) {
        sealed.data[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(seal_open(&in, 1, view(&sealed), SLICE("place"), &out), SEAL_BROKEN);
        sealed.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t n = 0; n < sealed.len; n++)
        assert_int_equal(seal_open(&in, 1, (slice){sealed.data, n}, SLICE("place"), &out),
                         SEAL_BROKEN);
    assert_int_equal(seal_open(&in, 1, view(&sealed), SLICE("Place"), &out), SEAL_BROKEN);
    assert_int_equal(seal_open(&in, 1, view(&sealed), SLICE(""), &out), SEAL_BROKEN);
    assert_int_equal(seal_open(&in, 2, view(&sealed), SLICE("place"), &out), SEAL_BROKEN);
    assert_int_equal(seal_open(&in, UINT64_MAX, view(&sealed), SLICE("place"), &out), SEAL_BROKEN);
    assert_int_equal(out.len, 0);
    assert_int_equal(seal_open(&in, 1, view(&sealed), SLICE("place"), &out), SEAL_OK);
    assert_int_equal(seal_open(&in, 1, view(&sealed), SLICE("place"), &out), SEAL_REPLAY);
    assert_int_equal(seal_open(&in, 0, view(&sealed), SLICE("place"), &out), SEAL_REPLAY);
    buf_free(&sealed);
    buf_free(&out);
}

static void the_other_direction_has_another_key(void **state)
{
    (void)state;
    uint64_t number;
    buf sealed = {0}, out = {0};
    seal_way w = any_way(), other;
    unsigned char seed[SEAL_SEED_SIZE];
    hkdf_sha256(SLICE("secret"), SLICE(""), SLICE("server"), seed, sizeof seed);
    seal_way_init(&other, seed);
    assert_true(seal_close(&w, SLICE(""), SLICE(""), &number, &sealed));
    assert_int_equal(sealed.len, SEAL_TAG_SIZE);
    assert_int_equal(seal_open(&other, 1, view(&sealed), SLICE(""), &out), SEAL_BROKEN);
    buf_free(&sealed);
    buf_free(&out);
}

static void a_key_ends_before_a_number_could_repeat(void **state)
{
    (void)state;
    uint64_t number;
    buf out = {0};
    seal_way w = any_way();
    w.last = SEAL_MESSAGES_MAX - 1;
    assert_true(seal_close(&w, SLICE("x"), SLICE(""), &number, &out));
    size_t n = out.len;
    assert_false(seal_close(&w, SLICE("x"), SLICE(""), &number, &out));
    assert_false(seal_text_close(&w, SLICE("x"), &out));
    assert_int_equal(out.len, n);
    buf_free(&out);
}

/* As text ------------------------------------------------------------------------------------- */

static void texts_follow_each_other(void **state)
{
    (void)state;
    seal_way w = any_way(), in = w;
    for (int i = 1; i <= 12; i++) {
        char plain[32], head[32];
        buf sealed = {0}, out = {0};
        snprintf(plain, sizeof plain, "message %d", i);
        int n = snprintf(head, sizeof head, "sealed:%d:", i);
        assert_true(seal_text_close(&w, slice_of(plain), &sealed));
        assert_memory_equal(sealed.data, head, (size_t)n);
        assert_int_equal(seal_text_open(&in, view(&sealed), &out), SEAL_OK);
        assert_true(slice_eq(view(&out), slice_of(plain)));
        assert_int_equal(seal_text_open(&in, view(&sealed), &out), SEAL_REPLAY);
        buf_free(&sealed);
        buf_free(&out);
    }
}

static void a_hole_in_the_numbers_is_told(void **state)
{
    (void)state;
    buf first = {0}, second = {0}, out = {0};
    seal_way w = any_way(), in = w;
    assert_true(seal_text_close(&w, SLICE("1"), &first));
    assert_true(seal_text_close(&w, SLICE("2"), &second));
    assert_int_equal(seal_text_open(&in, view(&second), &out), SEAL_MISSING);
    assert_int_equal(seal_text_open(&in, view(&first), &out), SEAL_OK);
    assert_int_equal(seal_text_open(&in, view(&second), &out), SEAL_OK);
    buf_free(&first);
    buf_free(&second);
    buf_free(&out);
}

static void a_text_has_one_spelling(void **state)
{
    (void)state;
    buf sealed = {0}, out = {0};
    seal_way w = any_way(), in = w;
    assert_true(seal_text_close(&w, SLICE("hello"), &sealed));
    const char *data = buf_cstr(&sealed) + strlen("sealed:1:");
    static const char *forms[] = {"sealed:01:%s", "sealed:+1:%s",
                                  "sealed:1:%s=", "sealed:1:%s ",
                                  "Sealed:1:%s",  "sealed::%s",
                                  "sealed:%s",    "sealed:0:%s",
                                  "sealed:1",     "sealed:1:",
                                  "sealed:-1:%s", "sealed: 1:%s",
                                  "seal",         "",
                                  "sealed:1::%s", "sealed:1:x%s"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        buf text = {0};
        const char *place = strstr(forms[i], "%s");
        size_t n = place != NULL ? (size_t)(place - forms[i]) : strlen(forms[i]);
        buf_append(&text, forms[i], n);
        if (place != NULL) {
            buf_text(&text, data);
            buf_text(&text, place + 2);
        }
        assert_int_equal(seal_text_open(&in, view(&text), &out), SEAL_BROKEN);
        buf_free(&text);
    }
    static const char huge[] = "sealed:99999999999999999999:AAAA";
    assert_int_equal(seal_text_open(&in, slice_of(huge), &out), SEAL_BROKEN);
    assert_int_equal(out.len, 0);
    assert_int_equal(seal_text_open(&in, view(&sealed), &out), SEAL_OK);
    buf_free(&sealed);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hkdf_is_that_of_rfc_5869),
        cmocka_unit_test(hkdf_gives_every_length_up_to_its_most),
        cmocka_unit_test(agreement_is_that_of_nist_and_rfc_7748),
        cmocka_unit_test(agreement_is_that_of_the_protocol),
        cmocka_unit_test(two_pairs_agree),
        cmocka_unit_test(a_point_off_the_curve_is_refused),
        cmocka_unit_test(a_point_of_low_order_is_refused),
        cmocka_unit_test(a_private_half_that_is_no_number_of_the_curve_is_refused),
        cmocka_unit_test(a_frame_of_another_curve_is_no_key),
        cmocka_unit_test(sealing_is_that_of_nist),
        cmocka_unit_test(a_message_changed_in_any_bit_is_refused),
        cmocka_unit_test(the_other_direction_has_another_key),
        cmocka_unit_test(a_key_ends_before_a_number_could_repeat),
        cmocka_unit_test(texts_follow_each_other),
        cmocka_unit_test(a_hole_in_the_numbers_is_told),
        cmocka_unit_test(a_text_has_one_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
