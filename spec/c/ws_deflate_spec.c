/* permessage-deflate: the offers and examples of RFC 7692, and what a bomb may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ws_deflate.h"
#include <stdlib.h>
#include <zlib.h>

/* Bytes of literals with NULs inside. */
#define BYTES(literal) ((slice){literal, sizeof(literal) - 1})

static void expect_answer(const char *offer, const char *wanted)
{
    ws_deflate_terms terms = {0};
    buf answer = {0};
    ws_deflate_agree(slice_of(offer), &terms);
    if (terms.agreed)
        ws_deflate_answer(&terms, &answer);
    assert_string_equal(buf_cstr(&answer), wanted);
    buf_free(&answer);
}

#define TERMS "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static void an_offer_is_answered_with_terms_that_keep_no_context(void **state)
{
    (void)state;
    expect_answer("permessage-deflate", TERMS);
    expect_answer("permessage-deflate; client_max_window_bits", TERMS);
    expect_answer("permessage-deflate; client_max_window_bits=8", TERMS);
    expect_answer("permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                  TERMS);
    expect_answer(" x-webkit-deflate-frame ,permessage-deflate ; client_max_window_bits ", TERMS);
    expect_answer("other; a=\"b\", permessage-deflate", TERMS);
    expect_answer("", "");
    expect_answer("x-webkit-deflate-frame", "");
    expect_answer("permessage-deflated", "");
}

static void window_bits_are_answered_as_they_were_asked_for(void **state)
{
    (void)state;
    expect_answer("permessage-deflate; server_max_window_bits=15",
                  TERMS "; server_max_window_bits=15");
    expect_answer("permessage-deflate; server_max_window_bits=\"10\"",
                  TERMS "; server_max_window_bits=10");
    expect_answer("permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
                  TERMS "; server_max_window_bits=8");
}

static void an_offer_that_nobody_may_accept_gets_none_and_the_next_one_its_turn(void **state)
{
    (void)state;
    static const char *const impossible[] = {
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=1x",
        "permessage-deflate; server_max_window_bits=-9",
        "permessage-deflate; server_max_window_bits=9999999999",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; something_else",
        "permessage-deflate;",
    };
    for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
        buf both = {0};
        expect_answer(impossible[i], "");
        buf_format(&both, "%s, permessage-deflate", impossible[i]);
        expect_answer(buf_cstr(&both), TERMS);
        buf_free(&both);
    }
    expect_answer("permessage-deflate; server_max_window_bits=\"10", "");
    expect_answer("permessage-deflate \"x\"", "");
    expect_answer("permessage-deflate; server_max_window_bits=10, permessage-deflate",
                  TERMS "; server_max_window_bits=10");
}

static void a_client_with_a_small_window_is_sent_nothing_compressed(void **state)
{
    (void)state;
    for (int bits = 8; bits <= 15; bits++) {
        ws_deflate_terms terms = {.agreed = true, .server_bits = (uint8_t)bits};
        assert_int_equal(ws_deflate_may_send(&terms), bits == 15);
    }
    assert_true(ws_deflate_may_send(&(ws_deflate_terms){.agreed = true}));
    assert_false(ws_deflate_may_send(&(ws_deflate_terms){0}));
}

enum { MAX = 65536, TIMES = 10 };

static int inflate_exactly(slice in, size_t max, unsigned times, buf *out)
{
    const char *why = NULL;
    char *copy = malloc(in.n + 1); /* so that ASan sees a read past it */
    copy = realloc(copy, in.n > 0 ? in.n : 1);
    memcpy(copy, in.p, in.n);
    out->len = 0;
    int code = ws_inflate((slice){copy, in.n}, max, times, out, &why);
    assert_true(code == 0 || why != NULL);
    assert_true(out->len <= max + 1);
    free(copy);
    return code;
}

static void expect_text(slice in, const char *wanted)
{
    buf out = {0};
    assert_int_equal(inflate_exactly(in, MAX, TIMES, &out), 0);
    assert_string_equal(buf_cstr(&out), wanted);
    buf_free(&out);
}

static void the_examples_of_the_rfc_are_read(void **state)
{
    (void)state;
    expect_text(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello");
    expect_text(BYTES("\x00\x05\x00\xfa\xffHello\x00"), "Hello");
    expect_text(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello");
    expect_text(BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello");
    expect_text(BYTES("\x00"), "");
}

static void a_message_does_not_see_the_one_before_it(void **state)
{
    (void)state;
    buf out = {0};
    expect_text(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello");
    /* "Hello" as a reference to the last message (RFC 7692, 7.2.3.2) */
    assert_int_equal(inflate_exactly(BYTES("\xf2\x00\x11\x00\x00"), MAX, TIMES, &out), WS_BAD_DATA);
    buf_free(&out);
}

static void what_is_no_deflate_is_refused(void **state)
{
    (void)state;
    buf out = {0};
    assert_int_equal(inflate_exactly(BYTES("\xff\xff\xff"), MAX, TIMES, &out), WS_BAD_DATA);
    assert_int_equal(inflate_exactly(BYTES(""), MAX, TIMES, &out), WS_BAD_DATA);
    assert_int_equal(inflate_exactly(BYTES("\x00\x05\x00\xfa\xff"), MAX, TIMES, &out), WS_BAD_DATA);
    assert_int_equal(inflate_exactly(BYTES("\xf2\x48\xcd\xc9"), MAX, TIMES, &out), WS_BAD_DATA);
    expect_text(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello");
    buf_free(&out);
}

/* The payload of a server's frame, compressed by this module. */
static slice payload_of(const frame *f)
{
    size_t head = (uint8_t)f->data[1] == 127 ? 10 : (uint8_t)f->data[1] == 126 ? 4 : 2;
    return (slice){f->data + head, f->len - head};
}

static void a_bomb_ends_at_the_limit(void **state)
{
    (void)state;
    size_t n = 64u << 20;
    buf out = {0};
    char *zeros = calloc(1, n);
    frame *f = ws_deflate_frame(WS_BINARY, (slice){zeros, n});
    assert_non_null(f);
    assert_true(f->len < 400000);
    assert_int_equal(inflate_exactly(payload_of(f), MAX, TIMES, &out), WS_TOO_LARGE);
    assert_true(out.cap <= 4 * MAX);
    assert_int_equal(inflate_exactly(payload_of(f), MAX, 0, &out), WS_TOO_LARGE);
    frame_drop(f);
    buf_free(&out);
    free(zeros);
}

static void a_message_may_grow_ten_times_or_to_four_kilobytes(void **state)
{
    (void)state;
    buf out = {0};
    char zeros[8192] = {0};
    frame *small = ws_deflate_frame(WS_BINARY, (slice){zeros, 4096});
    frame *more = ws_deflate_frame(WS_BINARY, (slice){zeros, 4097});
    assert_int_equal(inflate_exactly(payload_of(small), MAX, TIMES, &out), 0);
    assert_int_equal(out.len, 4096);
    assert_int_equal(inflate_exactly(payload_of(small), 4095, TIMES, &out), WS_TOO_LARGE);
    assert_int_equal(inflate_exactly(payload_of(more), MAX, TIMES, &out), WS_TOO_LARGE);
    assert_int_equal(inflate_exactly(payload_of(more), MAX, 0, &out), 0);
    assert_int_equal(out.len, 4097);
    assert_int_equal(inflate_exactly(payload_of(more), 4096, 0, &out), WS_TOO_LARGE);
    frame_drop(small);
    frame_drop(more);
    buf_free(&out);
}

static void a_frame_says_that_it_is_compressed_and_ends_without_the_flush(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof text);
    frame *f = ws_deflate_frame(WS_TEXT, (slice){text, sizeof text});
    assert_int_equal((uint8_t)f->data[0], 0xc1);
    slice payload = payload_of(f);
    assert_true(payload.n < 20);
    assert_int_not_equal((uint8_t)payload.p[payload.n - 1], 0xff);
    frame_drop(f);
}

static void what_does_not_get_smaller_is_left_alone(void **state)
{
    (void)state;
    char noise[600];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)rand();
    assert_null(ws_deflate_frame(WS_BINARY, (slice){noise, sizeof noise}));
    assert_null(ws_deflate_frame(WS_TEXT, SLICE("")));
    assert_null(ws_deflate_frame(WS_TEXT, SLICE("xy")));
}

/* Sizes around each form of a length, from monotony to near noise. */
static void whatever_is_written_is_read_again(void **state)
{
    (void)state;
    buf out = {0};
    int packed = 0;
    for (int round = 0; round < 200; round++) {
        size_t n = (size_t)(rand() % 70000);
        int letters = 1 + rand() % 60;
        char *data = malloc(n + 1);
        for (size_t i = 0; i < n; i++)
            data[i] = (char)(rand() % letters);
        frame *f = ws_deflate_frame(WS_BINARY, (slice){data, n});
        if (f != NULL) {
            packed++;
            assert_int_equal(inflate_exactly(payload_of(f), n, 0, &out), 0);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, data, n);
        }
        frame_drop(f);
        free(data);
    }
    assert_true(packed > 150);
    buf_free(&out);
}

static int free_thread(void **state)
{
    (void)state;
    ws_deflate_thread_exit();
    return 0;
}

int main(void)
{
    srand(7692);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offer_is_answered_with_terms_that_keep_no_context),
        cmocka_unit_test(window_bits_are_answered_as_they_were_asked_for),
        cmocka_unit_test(an_offer_that_nobody_may_accept_gets_none_and_the_next_one_its_turn),
        cmocka_unit_test(a_client_with_a_small_window_is_sent_nothing_compressed),
        cmocka_unit_test(the_examples_of_the_rfc_are_read),
        cmocka_unit_test(a_message_does_not_see_the_one_before_it),
        cmocka_unit_test(what_is_no_deflate_is_refused),
        cmocka_unit_test(a_bomb_ends_at_the_limit),
        cmocka_unit_test(a_message_may_grow_ten_times_or_to_four_kilobytes),
        cmocka_unit_test(a_frame_says_that_it_is_compressed_and_ends_without_the_flush),
        cmocka_unit_test(what_does_not_get_smaller_is_left_alone),
        cmocka_unit_test(whatever_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, free_thread);
}
