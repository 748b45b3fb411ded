/* Bytes as text: the vectors of RFC 4648, and that each text but the one is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base64url.h"
#include <stdlib.h>

static void expect(bool (*decode)(buf *, slice), const char *text, const char *bytes)
{
    buf out = {0};
    bool good = decode(&out, slice_of(text));
    assert_int_equal(good, bytes != NULL);
    assert_int_equal(out.len, good ? strlen(bytes) : 0);
    if (out.len > 0)
        assert_memory_equal(out.data, bytes, out.len);
    buf_free(&out);
}

static void encodes(void (*encode)(buf *, slice), const char *bytes, const char *text)
{
    buf out = {0};
    encode(&out, slice_of(bytes));
    assert_string_equal(buf_cstr(&out), text);
    buf_free(&out);
}

static void the_vectors_of_rfc_4648_hold(void **state)
{
    (void)state;
    static const char *rows[][4] = {
        {"", "", "", ""},
        {"f", "Zg==", "Zg", "66"},
        {"fo", "Zm8=", "Zm8", "666f"},
        {"foo", "Zm9v", "Zm9v", "666f6f"},
        {"foob", "Zm9vYg==", "Zm9vYg", "666f6f62"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE", "666f6f6261"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
        {"\xfb\xff\xfe", "+//+", "-__-", "fbfffe"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        encodes(base64_encode, rows[i][0], rows[i][1]);
        expect(base64_decode, rows[i][1], rows[i][0]);
        encodes(base64url_encode, rows[i][0], rows[i][2]);
        expect(base64url_decode, rows[i][2], rows[i][0]);
        encodes(hex_encode, rows[i][0], rows[i][3]);
        expect(hex_decode, rows[i][3], rows[i][0]);
    }
    encodes(base64_bare_encode, "\xfb\xff", "+/8");
    expect(base64_bare_decode, "+/8", "\xfb\xff");
    expect(hex_decode, "FbFf", "\xfb\xff");
}

static void any_other_text_is_refused(void **state)
{
    (void)state;
    static const char *url[] = {"Zg==", "Zm8=", "Z",      "Zm9vY", "Zh",    "Zm9", "+//+", "Zm9v\n",
                                " Zg",  "Z g",  "Zg\xff", "Zm 9v", "Zm9v.", "=",   "====", "Zg="};
    for (size_t i = 0; i < sizeof url / sizeof *url; i++)
        expect(base64url_decode, url[i], NULL);
    static const char *plain[] = {"Zg",   "Zg=",  "Zh==",     "Zm9=",  "-__-",
                                  "====", "Z===", "Zg==Zg==", "Zm9v\n"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        expect(base64_decode, plain[i], NULL);
    expect(hex_decode, "abc", NULL);
    expect(hex_decode, "ag", NULL);
    expect(hex_decode, "0x", NULL);
    expect(hex_decode, "@a", NULL);
    buf out = {0};
    assert_false(base64url_decode(&out, (slice){"Zg\0v", 4}));
    buf_free(&out);
}

static void every_text_that_decodes_is_the_text_that_encodes(void **state)
{
    (void)state;
    srand(4648);
    unsigned accepted = 0;
    for (int i = 0; i < 200000; i++) {
        char text[7];
        size_t n = (size_t)rand() % sizeof text;
        for (size_t j = 0; j < n; j++)
            text[j] = (char)(rand() % 4 ? "ABCQgw-_048"[rand() % 11] : rand() % 256);
        buf bytes = {0}, again = {0};
        if (base64url_decode(&bytes, (slice){text, n})) {
            accepted++;
            base64url_encode(&again, (slice){bytes.data, bytes.len});
            assert_true(slice_eq((slice){text, n}, (slice){again.data, again.len}));
        }
        buf_free(&bytes);
        buf_free(&again);
    }
    assert_true(accepted > 10000);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_hold),
        cmocka_unit_test(any_other_text_is_refused),
        cmocka_unit_test(every_text_that_decodes_is_the_text_that_encodes),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
