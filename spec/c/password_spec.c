/* Passwords at rest. Small parameters, so that the spec is quick; the default once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "password.h"
#include <string.h>

static const password_params quick = {4, 8, 1};

static void a_password_matches_its_own_hash_only(void **state)
{
    (void)state;
    buf hash = {0}, again = {0};
    assert_int_equal(password_hash(SLICE("correct horse"), quick, &hash), 0);
    slice text = {hash.data, hash.len};
    assert_true(memcmp(hash.data, "$scrypt$ln=4,r=8,p=1$", 21) == 0);
    assert_int_equal(password_verify(SLICE("correct horse"), text), PASSWORD_MATCH);
    assert_int_equal(password_verify(SLICE("correct horsf"), text), PASSWORD_WRONG);
    assert_int_equal(password_verify(SLICE("correct hors"), text), PASSWORD_WRONG);
    assert_int_equal(password_verify(SLICE(""), text), PASSWORD_WRONG);
    assert_int_equal(password_hash(SLICE("correct horse"), quick, &again), 0);
    assert_false(slice_eq(text, (slice){again.data, again.len}));
    buf_free(&hash);
    buf_free(&again);
}

static void the_vector_of_rfc_7914_matches(void **state)
{
    (void)state;
    /* P = "pleaseletmein", S = "SodiumChloride", N = 16384, r = 8, p = 1, 64 bytes */
    slice hash = SLICE("$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
                       "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUk"
                       "Kpr55h6F3A1lHkDfzwF7RVdYhw");
    assert_int_equal(password_verify(SLICE("pleaseletmein"), hash), PASSWORD_MATCH);
    assert_int_equal(password_verify(SLICE("pleaseletmeout"), hash), PASSWORD_WRONG);
}

static void the_default_needs_128_mebibytes_and_gets_them(void **state)
{
    (void)state;
    buf hash = {0};
    assert_int_equal(password_hash(SLICE("x"), password_default, &hash), 0);
    slice text = {hash.data, hash.len};
    assert_int_equal(password_verify(SLICE("x"), text), PASSWORD_MATCH);
    assert_false(password_needs_rehash(text, password_default));
    assert_true(password_needs_rehash(text, quick));
    buf_free(&hash);
}

static void odd_passwords_are_refused(void **state)
{
    (void)state;
    buf hash = {0};
    char big[PASSWORD_MAX + 1];
    memset(big, 'p', sizeof big);
    assert_int_equal(password_hash(SLICE(""), quick, &hash), -1);
    assert_int_equal(password_hash((slice){"a\0b", 3}, quick, &hash), -1);
    assert_int_equal(password_hash((slice){big, sizeof big}, quick, &hash), -1);
    assert_int_equal(hash.len, 0);
    assert_int_equal(password_hash((slice){big, PASSWORD_MAX}, quick, &hash), 0);
    assert_int_equal(password_verify((slice){big, PASSWORD_MAX}, (slice){hash.data, hash.len}),
                     PASSWORD_MATCH);
    assert_int_equal(password_verify((slice){big, sizeof big}, (slice){hash.data, hash.len}),
                     PASSWORD_WRONG);
    buf_free(&hash);
}

static void a_stored_hash_can_not_ask_for_the_moon(void **state)
{
    (void)state;
#define TAIL "$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf044w"
    static const char *const odd[] = {
        "",
        "x",
        "$scrypt$",
        "$scrypt$ln=30,r=8,p=1" TAIL,
        "$scrypt$ln=20,r=8,p=1" TAIL,
        "$scrypt$ln=17,r=32,p=16" TAIL,
        "$scrypt$ln=17,r=8,p=99" TAIL,
        "$scrypt$ln=17,r=8,p=16" TAIL,
        "$scrypt$ln=0,r=8,p=1" TAIL,
        "$scrypt$ln=04,r=8,p=1" TAIL,
        "$scrypt$ln=4,r=8" TAIL,
        "$scrypt$ln=4,r=8,p=1,x=1" TAIL,
        "$scrypt$ln=4,r=8,p=1$$cCO9yzr9c0hGHAbNgf044w",
        "$scrypt$ln=4,r=8,p=1$U29kaXVtQ2hsb3JpZGU$",
        "$scrypt$ln=4,r=8,p=1$U29kaXVtQ2hsb3JpZGU",
        "$scrypt$ln=4,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9",
        "$scrypt$ln=4,r=8,p=1$U29kaXVtQ2hsb3JpZGU=$cCO9yzr9c0hGHAbNgf044w",
        "$scrypt$ln=4,r=8,p=1" TAIL "$",
        "$scrypt$ln=4,r=8,p=1" TAIL "==",
        "$argon2id$v=19$m=19456,t=2,p=1" TAIL,
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (password_verify(SLICE("x"), slice_of(odd[i])) != PASSWORD_BAD_HASH)
            fail_msg("not refused: %s", odd[i]);
        assert_true(password_needs_rehash(slice_of(odd[i]), quick));
    }
    assert_int_equal(password_verify(SLICE("x"), SLICE("$scrypt$ln=4,r=8,p=1" TAIL)),
                     PASSWORD_WRONG);
    assert_false(password_params_good((password_params){20, 8, 1}));
    assert_true(password_params_good((password_params){18, 8, 1}));
    assert_true(password_params_good((password_params){20, 4, 1}));
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(a_password_matches_its_own_hash_only),
        cmocka_unit_test(the_vector_of_rfc_7914_matches),
        cmocka_unit_test(the_default_needs_128_mebibytes_and_gets_them),
        cmocka_unit_test(odd_passwords_are_refused),
        cmocka_unit_test(a_stored_hash_can_not_ask_for_the_moon),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
