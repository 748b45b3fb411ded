/* Answers: compression, pieces, errors, and what is reported upward. */
#include "http_rig.h"

#include <zlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static rig r;

static int start(void **state)
{
    (void)state;
    rig_start(&r);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(rig_stop(&r), 0);
    return 0;
}

static rig_answer ask_page(const char *type, const char *accept)
{
    char text[300];
    snprintf(text, sizeof text, "GET /page?%s HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n", type,
             accept ? "Accept-Encoding: " : "", accept ? accept : "", accept ? "\r\n" : "");
    return rig_ask_text(&r, text);
}

static bool is_packed(const rig_answer *a)
{
    return strstr(a->data, "\r\nContent-Encoding: gzip\r\n") != NULL;
}

static void gzip_is_used_when_the_client_takes_it_and_it_pays(void **state)
{
    (void)state;
    static const struct {
        const char *type, *accept;
        bool packed;
    } rows[] = {{"text/plain", "gzip", true},
                {"text/plain", NULL, false},
                {"text/plain", "br", false},
                {"text/plain", "br, GZIP;q=0.5", true},
                {"text/plain", "gzip;q=0", false},
                {"text/plain", "gzip; q=0.000, *", false},
                {"text/plain", "*", true},
                {"text/plain", "*;q=0", false},
                {"text/plain", "identity", false},
                {"application/json", "gzip", true},
                {"image/svg+xml;charset=utf-8", "gzip", true},
                {"application/javascript", "gzip", true},
                {"image/png", "gzip", false},
                {"application/octet-stream", "gzip", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_answer a = ask_page(rows[i].type, rows[i].accept);
        assert_int_equal(is_packed(&a), rows[i].packed);
        assert_non_null(
            strstr(a.data, rows[i].packed ? "\r\nETag: W/\"abc\"\r\n" : "\r\nETag: \"abc\"\r\n"));
        free(a.data);
    }
}

static void packed_answers_unpack_to_what_was_sent(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        rig_answer a = ask_page("text/html", "gzip");
        char *body = strstr(a.data, "\r\n\r\n") + 4;
        static char plain[10000];
        z_stream z = {.next_in = (Bytef *)body,
                      .avail_in = (uInt)(a.len - (size_t)(body - a.data)),
                      .next_out = (Bytef *)plain,
                      .avail_out = sizeof plain};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, 5000);
        assert_int_equal(plain[4999], 't');
        inflateEnd(&z);
        assert_non_null(strstr(a.data, "\r\nVary: Accept-Encoding\r\n"));
        free(a.data);
    }
}

static void a_text_that_could_be_packed_varies(void **state)
{
    (void)state;
    rig_answer a = ask_page("text/html", NULL);
    assert_non_null(strstr(a.data, "\r\nVary: Accept-Encoding\r\n"));
    free(a.data);
    a = ask_page("image/png", "gzip");
    assert_null(strstr(a.data, "Vary"));
    free(a.data);
}

static void head_of_a_packed_answer_has_its_length(void **state)
{
    (void)state;
    rig_answer a = ask_page("text/html", "gzip");
    char line[64];
    snprintf(line, sizeof line, "\r\nContent-Length: %zu\r\n",
             a.len - (size_t)(strstr(a.data, "\r\n\r\n") + 4 - a.data));
    free(a.data);
    a = rig_ask_text(&r,
                     "HEAD /page?text/html HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_non_null(strstr(a.data, line));
    assert_string_equal(strstr(a.data, "\r\n\r\n"), "\r\n\r\n");
    free(a.data);
}

static void a_writer_waits_for_its_reader(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    static const char text[] = "GET /writer HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_true(send(fd, text, sizeof text - 1, 0) > 0);
    rig_turn(&r, 20);
    assert_true(r.written < 50);
    for (int i = 0; i < 5000 && r.done == 0; i++)
        rig_pump(&r, fd, &a, 2);
    rig_pump(&r, fd, &a, 10);
    assert_int_equal(r.written, 200);
    assert_true(r.most_queued < 300000);
    assert_true(r.last_bytes > 10000000);
    assert_memory_equal(a.data + a.len - 7, "\r\n0\r\n\r\n", 7);
    close(fd);
    free(a.data);
}

static void a_writer_whose_peer_leaves_is_abandoned(void **state)
{
    (void)state;
    int fd = rig_connect(&r);
    static const char text[] = "GET /writer HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_true(send(fd, text, sizeof text - 1, 0) > 0);
    rig_turn(&r, 10);
    close(fd);
    rig_turn(&r, 10);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(exchange_alive(), 0);
}

static void chunks_to_http_1_0_end_with_the_connection(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    static const char text[] = "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    rig_send(&r, fd, &a, text, sizeof text - 1, sizeof text);
    for (int i = 0; i < 500 && !a.closed; i++) {
        rig_turn(&r, 1);
        rig_pump(&r, fd, &a, 2);
    }
    assert_true(a.closed);
    assert_null(strstr(a.data, "Transfer-Encoding"));
    assert_string_equal(strstr(a.data, "\r\n\r\n"), "\r\n\r\npiece\npiece\npiece\n");
    close(fd);
    free(a.data);
}

static void a_file_that_cannot_be_read_is_a_500_and_a_short_one_a_reset(void **state)
{
    (void)state;
    strcpy(r.file, "/nonexistent");
    r.file_size = 1000;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    static const char text[] = "GET /file HTTP/1.1\r\nHost: a\r\n\r\n";
    rig_send(&r, fd, &a, text, sizeof text - 1, sizeof text);
    assert_true(rig_wait(&r, fd, &a, "500 Internal"));
    assert_false(a.closed);
    strcpy(r.file, "/proc/self/status"); /* shorter than promised */
    r.file_size = 10000000;
    rig_send(&r, fd, &a, text, sizeof text - 1, sizeof text);
    for (int i = 0; i < 200 && !a.closed; i++) {
        rig_turn(&r, 1);
        rig_pump(&r, fd, &a, 2);
    }
    assert_true(a.closed);
    assert_int_equal(r.last_status, 499);
    close(fd);
    free(a.data);
}

static void an_answer_that_breaks_off_never_looks_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "GET /twice HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (int i = 0; i < 2; i++) {
        rig_answer a = rig_ask_text(&r, texts[i]);
        assert_true(a.closed);
        assert_null(strstr(a.data, "0\r\n\r\n"));
        assert_int_equal(r.last_status, 499);
        assert_int_equal(exchange_alive(), 0);
        free(a.data);
    }
}

static void every_exchange_is_reported_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
                {"GET / HTTP/1.1\r\n\r\n", 400},
                {"BAD\r\n\r\n", 400},
                {"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", 200},
                {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 204},
                {"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", 500}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        r.done = 0;
        r.last_status = 0;
        rig_answer a = rig_ask_text(&r, rows[i].text);
        assert_int_equal(r.done, 1);
        assert_int_equal(r.last_status, rows[i].status);
        assert_int_equal(r.last_bytes, a.len);
        free(a.data);
    }
}

static void a_take_after_the_peer_left_gives_nothing(void **state)
{
    (void)state;
    int fd = rig_connect(&r);
    static const char text[] =
        "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /stream HTTP/1.1\r\nHost: "
        "a\r\n\r\n";
    assert_true(send(fd, text, sizeof text - 1, 0) > 0);
    shutdown(fd, SHUT_WR);
    rig_turn(&r, 30);
    assert_int_equal(r.stream_count, 0);
    assert_int_equal(conn_pool_count(r.pool), 0);
    close(fd);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(gzip_is_used_when_the_client_takes_it_and_it_pays),
        SPEC(packed_answers_unpack_to_what_was_sent),
        SPEC(a_text_that_could_be_packed_varies),
        SPEC(head_of_a_packed_answer_has_its_length),
        SPEC(a_writer_waits_for_its_reader),
        SPEC(a_writer_whose_peer_leaves_is_abandoned),
        SPEC(chunks_to_http_1_0_end_with_the_connection),
        SPEC(a_file_that_cannot_be_read_is_a_500_and_a_short_one_a_reset),
        SPEC(an_answer_that_breaks_off_never_looks_whole),
        SPEC(every_exchange_is_reported_once),
        SPEC(a_take_after_the_peer_left_gives_nothing),
    };
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
