/* Server-sent events byte by byte, read again by a decoder as strict as the standard's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sse_decoder.h"
#include "sse_event.h"
#include <stdlib.h>

#define BYTES(literal) ((slice){literal, sizeof(literal) - 1})

static void expect(sse_fields f, const char *wanted)
{
    buf out = {0};
    assert_null(sse_event(&out, &f));
    assert_string_equal(buf_cstr(&out), wanted);
    buf_free(&out);
}

static void fields_come_in_one_order(void **state)
{
    (void)state;
    expect((sse_fields){.data = SLICE("hi"), .retry = -1}, "data: hi\n\n");
    expect((sse_fields){.id = SLICE("7"), .event = SLICE("e"), .data = SLICE("x"), .retry = 1500},
           "id: 7\nretry: 1500\nevent: e\ndata: x\n\n");
    expect((sse_fields){.id = SLICE("a:1"), .retry = -1}, "id: a:1\n\n");
    expect((sse_fields){.data = SLICE(""), .retry = -1}, "data: \n\n");
    expect((sse_fields){.data = SLICE(" x"), .retry = 0}, "retry: 0\ndata:  x\n\n");
}

static void data_is_split_at_every_kind_of_line_end(void **state)
{
    (void)state;
    expect((sse_fields){.data = SLICE("a\nb\rc\r\nd\n\re"), .retry = -1},
           "data: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n");
    expect((sse_fields){.data = SLICE("a\n"), .retry = -1}, "data: a\ndata: \n\n");
    expect((sse_fields){.data = SLICE("\r\n"), .retry = -1}, "data: \ndata: \n\n");
    expect((sse_fields){.data = SLICE("x\nid: 1\n\nevent: y"), .retry = -1},
           "data: x\ndata: id: 1\ndata: \ndata: event: y\n\n");
}

static void what_is_no_text_is_replaced_and_a_byte_order_mark_is_data(void **state)
{
    (void)state;
    expect((sse_fields){.data = BYTES("a\xff\xe2\x82z"), .retry = -1},
           "data: a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\n\n");
    expect((sse_fields){.data = BYTES("\xef\xbb\xbfx"), .retry = -1}, "data: \xef\xbb\xbfx\n\n");
}

static void an_id_or_a_name_that_could_begin_a_line_is_refused(void **state)
{
    (void)state;
    static const slice bad[] = {SLICE_INIT("a\nb"), SLICE_INIT("\r"), SLICE_INIT("a\0b"),
                                SLICE_INIT("\xff")};
    buf out = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_non_null(sse_event(&out, &(sse_fields){.id = bad[i], .retry = -1}));
        assert_non_null(sse_event(&out, &(sse_fields){.event = bad[i], .retry = -1}));
        assert_int_equal(out.len, 0);
    }
}

static void whatever_is_sent_is_read_as_it_was_meant(void **state)
{
    (void)state;
    static const char letters[] = "ab: \n\r\0de:data\xc3\xa9\xff\xef\xbb\xbf";
    for (int round = 0; round < 2000; round++) {
        char data[40];
        size_t n = (size_t)(rand() % (int)sizeof data);
        for (size_t i = 0; i < n; i++)
            data[i] = letters[(size_t)rand() % (sizeof letters - 1)];
        sse_fields f = {.id = SLICE("9:4"), .event = SLICE("n"), .data = {data, n}, .retry = 7};
        buf out = {0};
        assert_null(sse_event(&out, &f));
        assert_true(sse_reads_as(&f, (slice){out.data, out.len}));
        buf_free(&out);
    }
}

int main(void)
{
    srand(9206);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_in_one_order),
        cmocka_unit_test(data_is_split_at_every_kind_of_line_end),
        cmocka_unit_test(what_is_no_text_is_replaced_and_a_byte_order_mark_is_data),
        cmocka_unit_test(an_id_or_a_name_that_could_begin_a_line_is_refused),
        cmocka_unit_test(whatever_is_sent_is_read_as_it_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
