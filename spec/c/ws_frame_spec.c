/* WebSocket frames: the tables of RFC 6455 byte by byte, and any split of the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ws_frame.h"
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT = 65536 };

static const char mask[4] = {0x37, (char)0xfa, 0x21, 0x3d};

/* A client's frame: `first` is the first byte as it is. */
static void put_frame(buf *out, int first, slice data)
{
    char header[WS_HEADER_MAX];
    size_t n = ws_put_header(header, WS_TEXT, false, data.n);
    header[0] = (char)first;
    header[1] = (char)(header[1] | 0x80);
    buf_append(out, header, n);
    buf_append(out, mask, sizeof mask);
    for (size_t i = 0; i < data.n; i++)
        buf_byte(out, (char)(data.p[i] ^ mask[i % 4]));
}

/* What the parser said of some bytes: "t:Hello c1000:bye !1002". */
static void say(buf *said, const ws_message *m)
{
    static const char kinds[] = "?tb?????cpo";
    buf_byte(said, kinds[m->opcode]);
    if (m->opcode == WS_CLOSE)
        buf_uint(said, (uint64_t)m->code);
    buf_byte(said, ':');
    if (m->data.n <= 40)
        buf_append_slice(said, m->data);
    else
        buf_uint(said, m->data.n);
    buf_byte(said, ' ');
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* step: bytes per call; 0: all at once; -1: random pieces. */
static void parse(buf *said, slice in, int step, bool deflate)
{
    ws_parser p = {.max_message = LIMIT, .deflate = deflate};
    ws_message m;
    ws_result result = WS_MORE;
    said->len = 0;
    while (in.n > 0 && result != WS_BAD) {
        size_t n = step == 0 ? in.n : least(in.n, step > 0 ? (size_t)step : 1 + (size_t)rand() % 7);
        char *piece = malloc(n); /* exactly, so that ASan sees a read past it */
        memcpy(piece, in.p, n);
        slice rest = {piece, n};
        while ((result = ws_parse(&p, &rest, &m)) == WS_READY)
            say(said, &m);
        free(piece);
        in = (slice){in.p + n, in.n - n};
    }
    if (result == WS_BAD) {
        buf_byte(said, '!');
        buf_uint(said, (uint64_t)p.code);
        assert_non_null(p.why);
        slice more = SLICE("x");
        assert_int_equal(ws_parse(&p, &more, &m), WS_BAD);
    }
    ws_parser_free(&p);
}

static void expect_deflate(slice in, const char *wanted, bool deflate)
{
    static const int steps[] = {0, 1, 2, 3, 7, -1, -1, -1};
    buf said = {0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        parse(&said, in, steps[i], deflate);
        assert_string_equal(buf_cstr(&said), wanted);
    }
    buf_free(&said);
}

static void expect(slice in, const char *wanted)
{
    expect_deflate(in, wanted, false);
}

static void expect_frames(const char *wanted, size_t count, const int *first, const slice *data)
{
    buf in = {0};
    for (size_t i = 0; i < count; i++)
        put_frame(&in, first[i], data[i]);
    expect((slice){in.data, in.len}, wanted);
    buf_free(&in);
}

#define FRAMES(wanted, first, data) \
    expect_frames(wanted, sizeof(first) / sizeof *(first), first, data)

static void the_examples_of_the_rfc_are_read(void **state)
{
    (void)state;
    expect(SLICE("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "t:Hello ");
    expect(SLICE("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "p:Hello ");
    expect(SLICE("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "o:Hello ");
    const int first[] = {0x01, 0x80};
    const slice data[] = {SLICE_INIT("Hel"), SLICE_INIT("lo")};
    FRAMES("t:Hello ", first, data);
}

static void control_frames_come_through_inside_a_message(void **state)
{
    (void)state;
    const int first[] = {0x02, 0x89, 0x00, 0x8a, 0x80, 0x81, 0x82, 0x88};
    const slice data[] = {SLICE_INIT("a"), SLICE_INIT("ping"), SLICE_INIT(""), SLICE_INIT("pong"),
                          SLICE_INIT("b"), SLICE_INIT(""),     SLICE_INIT(""), SLICE_INIT("")};
    FRAMES("p:ping o:pong b:ab t: b: c1005: ", first, data);
}

static void one_frame(int first, size_t n, const char *wanted)
{
    buf in = {0};
    char *data = calloc(1, n + 1);
    memset(data, 'x', n);
    put_frame(&in, first, (slice){data, n});
    expect((slice){in.data, in.len}, wanted);
    free(data);
    buf_free(&in);
}

static void lengths_around_each_form_are_read(void **state)
{
    (void)state;
    one_frame(0x81, 0, "t: ");
    one_frame(0x82, 125, "b:125 ");
    one_frame(0x82, 126, "b:126 ");
    one_frame(0x82, 127, "b:127 ");
    one_frame(0x82, 65535, "b:65535 ");
    one_frame(0x82, 65536, "b:65536 ");
    one_frame(0x89, 125, "p:125 ");
}

static void what_a_client_must_not_send_ends_it_at_the_first_byte_that_says_so(void **state)
{
    (void)state;
    static const struct {
        slice in;
        const char *wanted;
    } rows[] = {
        {SLICE_INIT("\x81\x05"), "!1002"}, /* not masked */
        {SLICE_INIT("\x81\x7e"), "!1002"}, /* not masked, longer */
        {SLICE_INIT("\xa1"), "!1002"},     /* RSV2 */
        {SLICE_INIT("\x91"), "!1002"},     /* RSV3 */
        {SLICE_INIT("\xc1"), "!1002"},     /* RSV1, nothing agreed on */
        {SLICE_INIT("\x83"), "!1002"},     /* reserved data opcodes */
        {SLICE_INIT("\x87"), "!1002"},
        {SLICE_INIT("\x8b"), "!1002"}, /* reserved control opcodes */
        {SLICE_INIT("\x8f"), "!1002"},
        {SLICE_INIT("\x09"), "!1002"}, /* fragmented control frames */
        {SLICE_INIT("\x08"), "!1002"},
        {SLICE_INIT("\x89\xfe"), "!1002"}, /* long control frames */
        {SLICE_INIT("\x88\xff"), "!1002"},
        {SLICE_INIT("\x80"), "!1002"}, /* stray continuations */
        {SLICE_INIT("\x00"), "!1002"},
        {SLICE_INIT("\x82\xfe\x00\x7d"), "!1002"},                         /* 125 in 16 bits */
        {SLICE_INIT("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"), "!1002"}, /* 65535 in 64 */
        {SLICE_INIT("\x82\xff\x80\x00\x00\x00\x00\x01\x00\x00"), "!1002"}, /* the top bit */
        {SLICE_INIT("\x82\xff\x40\x00\x00\x00\x00\x00\x00\x00"), "!1009"}, /* 2^62 */
        {SLICE_INIT("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x01"), "!1009"}, /* one too many */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(rows[i].in, rows[i].wanted);
    const int inside[] = {0x01, 0x81};
    const slice data[] = {SLICE_INIT("a"), SLICE_INIT("b")};
    FRAMES("!1002", inside, data);
}

static void fragments_count_together(void **state)
{
    (void)state;
    buf in = {0};
    char *half = calloc(1, LIMIT);
    put_frame(&in, 0x02, (slice){half, LIMIT});
    put_frame(&in, 0x80, (slice){half, 1});
    expect((slice){in.data, in.len}, "!1009");
    in.len = 0;
    put_frame(&in, 0x01, (slice){half, 0});
    for (int i = 1; i < WS_FRAGMENTS_MAX - 1; i++)
        put_frame(&in, 0x00, (slice){half, 0});
    put_frame(&in, 0x80, (slice){half, 0});
    expect((slice){in.data, in.len}, "t: ");
    in.data[in.len - 6] = 0x00;
    put_frame(&in, 0x80, (slice){half, 0});
    expect((slice){in.data, in.len}, "!1008");
    free(half);
    buf_free(&in);
}

static void text_must_be_utf8(void **state)
{
    (void)state;
    static const char *good[] = {"\xce\xba\xe1\xbd\xb9", "\xc2\x80",         "\xdf\xbf",
                                 "\xe0\xa0\x80",         "\xed\x9f\xbf",     "\xee\x80\x80",
                                 "\xef\xbf\xbf",         "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *wrong[] = {
        "\x80",         "\xbf",         "\xc0\xaf",         "\xc1\xbf",         "\xe0\x9f\xbf",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5",
        "\xff",         "\xce\xba\xce", "\xe1\xbd",         "\xf0\x90\x80",     "\xce\xce"};
    buf in = {0}, wanted = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        in.len = wanted.len = 0;
        put_frame(&in, 0x81, slice_of(good[i]));
        buf_format(&wanted, "t:%s ", good[i]);
        expect((slice){in.data, in.len}, buf_cstr(&wanted));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        in.len = 0;
        put_frame(&in, 0x81, slice_of(wrong[i]));
        expect((slice){in.data, in.len}, "!1007");
    }
    buf_free(&in);
    buf_free(&wanted);
}

static void a_character_may_be_cut_by_fragments_and_a_bad_byte_ends_it_at_once(void **state)
{
    (void)state;
    const int whole[] = {0x01, 0x00, 0x89, 0x80};
    const slice cut[] = {SLICE_INIT("\xf0"), SLICE_INIT("\x9f\x8c"), SLICE_INIT("!"),
                         SLICE_INIT("\x99")};
    FRAMES("p:! t:\xf0\x9f\x8c\x99 ", whole, cut);
    /* The frame announces 100 bytes; the second is wrong, and no third is needed. */
    const char begun[] = {(char)0x81, (char)(0x80 | 100), 0, 0, 0, 0, 'a', (char)0xff};
    expect((slice){begun, sizeof begun}, "!1007");
    const int binary[] = {0x82};
    const slice any[] = {SLICE_INIT("\xff\xfe")};
    FRAMES("b:\xff\xfe ", binary, any);
}

static void close_code(int code, const char *wanted)
{
    buf in = {0};
    const char data[2] = {(char)(code >> 8), (char)code};
    put_frame(&in, 0x88, (slice){data, 2});
    expect((slice){in.data, in.len}, wanted);
    buf_free(&in);
}

static void close_codes_are_those_of_the_registry(void **state)
{
    (void)state;
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                               1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const int wrong[] = {0,    1,    999,  1004, 1005, 1006, 1015,
                                1016, 1100, 2000, 2999, 5000, 65535};
    char wanted[16];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(wanted, sizeof wanted, "c%d: ", good[i]);
        close_code(good[i], wanted);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        close_code(wrong[i], "!1002");
    const int first[] = {0x88};
    const slice reason[] = {SLICE_INIT("\x03\xe8"
                                       "bye")},
                half[] = {SLICE_INIT("\x03")}, bad[] = {SLICE_INIT("\x03\xe8\xff")};
    FRAMES("c1000:bye ", first, reason);
    FRAMES("!1002", first, half);
    FRAMES("!1007", first, bad);
}

static void the_bit_of_compression_is_for_the_first_frame_of_a_message(void **state)
{
    (void)state;
    buf in = {0};
    put_frame(&in, 0x41, SLICE("\xff")); /* compressed: not text yet */
    put_frame(&in, 0x80, SLICE("\xfe"));
    expect_deflate((slice){in.data, in.len}, "t:\xff\xfe ", true);
    in.len = 0;
    put_frame(&in, 0x02, SLICE("a"));
    put_frame(&in, 0xc0, SLICE("b"));
    expect_deflate((slice){in.data, in.len}, "!1002", true);
    expect_deflate(SLICE("\xc9"), "!1002", true);
    buf_free(&in);
}

static void random_bytes_never_hold_more_than_the_limit(void **state)
{
    (void)state;
    ws_message m;
    char bytes[512];
    for (int round = 0; round < 3000; round++) {
        ws_parser p = {.max_message = 256, .deflate = round % 2 == 0};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)rand();
        bytes[0] = (char)(0x01 + 0x80 * (round % 3 == 0) + round % 2);
        bytes[1] = (char)(0x80 | (round % 120));
        slice in = {bytes, sizeof bytes};
        while (ws_parse(&p, &in, &m) == WS_READY)
            assert_true(m.data.n <= 256);
        assert_true(p.message.cap <= 512);
        ws_parser_free(&p);
    }
}

static void a_server_writes_unmasked_frames_of_the_shortest_form(void **state)
{
    (void)state;
    char h[WS_HEADER_MAX];
    assert_int_equal(ws_put_header(h, WS_TEXT, false, 5), 2);
    assert_memory_equal(h, "\x81\x05", 2);
    assert_int_equal(ws_put_header(h, WS_BINARY, true, 126), 4);
    assert_memory_equal(h, "\xc2\x7e\x00\x7e", 4);
    assert_int_equal(ws_put_header(h, WS_BINARY, false, 65535), 4);
    assert_int_equal(ws_put_header(h, WS_BINARY, false, 65536), 10);
    assert_memory_equal(h, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
    frame *f = ws_frame_new(WS_TEXT, false, SLICE("Hello"));
    assert_int_equal(f->len, 7);
    assert_memory_equal(f->data, "\x81\x05Hello", 7);
    frame_drop(f);
    char close[WS_CONTROL_MAX + 2];
    assert_int_equal(ws_put_close(close, 1000, SLICE("bye")), 7);
    assert_memory_equal(close,
                        "\x88\x05\x03\xe8"
                        "bye",
                        7);
    assert_int_equal(ws_put_close(close, WS_NO_CODE, SLICE("")), 2);
    assert_memory_equal(close, "\x88\x00", 2);
}

/* Fed byte by byte. */
static ws_result read_as_client(slice bytes, ws_message *m, char *text, size_t size)
{
    ws_parser p = {.max_message = 70000, .from_server = true};
    ws_result result = WS_MORE;
    for (size_t i = 0; i < bytes.n && result == WS_MORE; i++) {
        slice one = {bytes.p + i, 1};
        result = ws_parse(&p, &one, m);
    }
    if (result == WS_READY && m->data.n < size)
        memcpy(text, m->data.p, m->data.n);
    ws_parser_free(&p);
    return result;
}

static void a_client_reads_unmasked_frames_and_refuses_masked_ones(void **state)
{
    (void)state;
    ws_message m;
    char text[16];
    assert_int_equal(read_as_client(SLICE("\x81\x05Hello"), &m, text, sizeof text), WS_READY);
    assert_int_equal(m.data.n, 5);
    assert_memory_equal(text, "Hello", 5);
    assert_int_equal(read_as_client(SLICE("\x89\x00"), &m, text, sizeof text), WS_READY);
    assert_int_equal(m.opcode, WS_PING);
    assert_int_equal(read_as_client(SLICE("\x81\x85"), &m, text, sizeof text), WS_BAD);
    char large[4 + 300] = "\x81\x7e\x01\x2c";
    memset(large + 4, 'x', 300);
    slice all = {large, sizeof large};
    assert_int_equal(read_as_client(all, &m, text, sizeof text), WS_READY);
    assert_int_equal(m.data.n, 300);
}

static void what_a_client_writes_a_server_reads(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
    static const uint8_t key[WS_MASK_BYTES] = {1, 0x80, 0xff, 7};
    static char text[65536];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        buf bytes = {0};
        ws_parser p = {.max_message = sizeof text};
        ws_message m;
        ws_put_masked(&bytes, WS_TEXT, key, (slice){text, sizes[i]});
        slice in = {bytes.data, bytes.len};
        assert_int_equal(ws_parse(&p, &in, &m), WS_READY);
        assert_true(slice_eq(m.data, (slice){text, sizes[i]}));
        ws_parser_free(&p);
        buf_free(&bytes);
    }
}

static void a_long_reason_is_cut_at_the_end_of_a_character(void **state)
{
    (void)state;
    char close[WS_CONTROL_MAX + 2], reason[130];
    memset(reason, 'x', sizeof reason);
    memcpy(reason + 122, "\xe2\x82\xac", 3); /* bytes 122 to 124: 123 fit */
    assert_int_equal(ws_put_close(close, 1000, (slice){reason, sizeof reason}), 2 + 2 + 122);
}

static void the_handshake_has_the_answer_of_the_rfc(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_SIZE];
    ws_accept(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", WS_ACCEPT_SIZE);
    assert_true(ws_key_valid(SLICE("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_false(ws_key_valid(SLICE("")));
    assert_false(ws_key_valid(SLICE("dGhlIHNhbXBsZSBub25jZQ")));
    assert_false(ws_key_valid(SLICE("dGhlIHNhbXBsZSBub25j")));
}

int main(void)
{
    srand(6455);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfc_are_read),
        cmocka_unit_test(control_frames_come_through_inside_a_message),
        cmocka_unit_test(lengths_around_each_form_are_read),
        cmocka_unit_test(what_a_client_must_not_send_ends_it_at_the_first_byte_that_says_so),
        cmocka_unit_test(fragments_count_together),
        cmocka_unit_test(text_must_be_utf8),
        cmocka_unit_test(a_character_may_be_cut_by_fragments_and_a_bad_byte_ends_it_at_once),
        cmocka_unit_test(close_codes_are_those_of_the_registry),
        cmocka_unit_test(the_bit_of_compression_is_for_the_first_frame_of_a_message),
        cmocka_unit_test(random_bytes_never_hold_more_than_the_limit),
        cmocka_unit_test(a_server_writes_unmasked_frames_of_the_shortest_form),
        cmocka_unit_test(a_client_reads_unmasked_frames_and_refuses_masked_ones),
        cmocka_unit_test(what_a_client_writes_a_server_reads),
        cmocka_unit_test(a_long_reason_is_cut_at_the_end_of_a_character),
        cmocka_unit_test(the_handshake_has_the_answer_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
