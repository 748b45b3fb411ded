/* Messages in their envelopes. */
#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void says(slice channel, const char *position, slice data, const char *expected)
{
    buf out = {0};
    envelope_write(&out, channel, slice_of(position), data);
    assert_string_equal(buf_cstr(&out), expected);
    buf_free(&out);
}

static void json_goes_as_it_is_and_text_as_a_string(void **state)
{
    (void)state;
    says(SLICE("a\"b"), "1f:2", SLICE("{\"x\": 1e40}"),
         "{\"channel\":\"a\\\"b\",\"position\":\"1f:2\",\"data\":{\"x\": 1e40}}");
    says(SLICE("a"), "", SLICE("plain"), "{\"channel\":\"a\",\"data\":\"plain\"}");
    says(SLICE("a"), "", SLICE(""), "{\"channel\":\"a\",\"data\":\"\"}");
    says(SLICE("a"), "", SLICE("1} ,\"data\":{"),
         "{\"channel\":\"a\",\"data\":\"1} ,\\\"data\\\":{\"}");
    says(SLICE("a"), "", SLICE(" [1] "), "{\"channel\":\"a\",\"data\": [1] }");
}

static void other_bytes_go_as_base64(void **state)
{
    (void)state;
    says(SLICE("a"), "1:1", SLICE("\xff\xfe"),
         "{\"channel\":\"a\",\"position\":\"1:1\",\"base64\":\"//4=\"}");
    says(SLICE("\xff"), "1:1", SLICE("1"), "{\"position\":\"1:1\",\"data\":1}");
}

static void a_gap_says_how_many(void **state)
{
    (void)state;
    buf out = {0};
    envelope_gap(&out, SLICE("a"), 3);
    envelope_gap(&out, SLICE("b"), 0);
    assert_string_equal(buf_cstr(&out), "{\"channel\":\"a\",\"gap\":true,\"lost\":3}"
                                        "{\"channel\":\"b\",\"gap\":true}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(json_goes_as_it_is_and_text_as_a_string),
        cmocka_unit_test(other_bytes_go_as_base64),
        cmocka_unit_test(a_gap_says_how_many),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
