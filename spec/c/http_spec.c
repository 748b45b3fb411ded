/* HTTP/1.1 as a client sees it, over socket pairs. */
#include "http_rig.h"

#include "http_internal.h"
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

static void a_get_is_answered_and_the_connection_kept(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    for (int i = 1; i <= 3; i++) {
        rig_say(&r, fd, &a, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        rig_pump(&r, fd, &a, 3);
        assert_int_equal(rig_count(&a, "HTTP/1.1 200 OK\r\n"), i);
    }
    assert_int_equal(rig_count(&a, "hello"), 3);
    assert_false(a.closed);
    free(a.data);
    close(fd);
}

static void bodies_are_echoed_in_any_split(void **state)
{
    (void)state;
    static const char sized[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
    static const char chunks[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n";
    for (size_t step = 0; step < 20; step++) {
        rig_answer a = rig_ask(&r, sized, sizeof sized - 1, step);
        assert_non_null(strstr(a.data, "\r\n\r\nhello world"));
        free(a.data);
        a = rig_ask(&r, chunks, sizeof chunks - 1, step);
        assert_non_null(strstr(a.data, "\r\n\r\nhello world"));
        free(a.data);
    }
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    char text[64 * 600];
    size_t n = 0;
    for (int i = 0; i < 500; i++)
        n += (size_t)sprintf(text + n, "GET /%s HTTP/1.1\r\nHost: a\r\n\r\n",
                             i % 100 == 7 ? "later" : "hello");
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_send(&r, fd, &a, text, n, n);
    for (int i = 0; i < 100 && r.done < 500; i++) {
        rig_turn(&r, 5);
        rig_pump(&r, fd, &a, 2);
    }
    assert_int_equal(rig_count(&a, "HTTP/1.1 200 OK"), 500);
    assert_int_equal(rig_count(&a, "later"), 5);
    free(a.data);
    close(fd);
}

static void a_taken_connection_streams_frames(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "first\n"));
    assert_non_null(strstr(a.data, "Connection: close"));
    frame *f = frame_new("second\n", 7);
    conn_write_frame(r.streams[0], f);
    frame_drop(f);
    assert_true(rig_wait(&r, fd, &a, "second\n"));
    assert_int_equal(conn_queued(r.streams[0]), 0);
    close(fd);
    rig_turn(&r, 5);
    assert_null(r.streams[0]);
    free(a.data);
}

static void bytes_behind_the_request_go_to_the_new_owner(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\nleft over");
    assert_int_equal(r.stream_bytes, 9);
    close(fd);
    rig_turn(&r, 5);
    free(a.data);
}

static void a_peer_that_leaves_abandons_its_exchange(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_turn(&r, 2);
    close(fd);
    rig_turn(&r, 1200);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(r.last_status, 499);
    assert_int_equal(exchange_alive(), 0);
    free(a.data);
}

static void a_file_is_sent_whole(void **state)
{
    (void)state;
    strcpy(r.file, "/tmp/lunacast-spec-XXXXXX");
    int file = mkstemp(r.file);
    r.file_size = 1000000;
    char *bytes = mem_alloc(r.file_size);
    memset(bytes, 'f', r.file_size);
    bytes[r.file_size - 1] = '$';
    assert_int_equal(write(file, bytes, r.file_size), r.file_size);
    close(file);
    free(bytes);
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "f$"));
    assert_non_null(strstr(a.data, "Content-Length: 1000000\r\n"));
    close(fd);
    unlink(r.file);
    free(a.data);
}

static void chunks_are_framed_and_ended(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "0\r\n\r\n"));
    assert_int_equal(rig_count(&a, "6\r\npiece\n\r\n"), 3);
    assert_non_null(strstr(a.data, "Transfer-Encoding: chunked\r\n"));
    close(fd);
    free(a.data);
}

static const char *body_of(const rig_answer *a)
{
    return strstr(a->data, "\r\n\r\n") + 4;
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    rig_answer a = rig_ask_text(&r, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(rig_header(&a, "Content-Length: 5\r\n"));
    assert_string_equal(body_of(&a), "");
    free(a.data);
    a = rig_ask_text(&r, "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(rig_status(&a), 200);
    assert_string_equal(body_of(&a), "");
    assert_null(rig_header(&a, "Content-Length: ")); /* the GET has none */
    assert_true(a.closed);
    free(a.data);
    a = rig_ask_text(&r, "HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(strstr(a.data, "piece"));
    free(a.data);
}

static void a_sane_request_id_is_taken_over(void **state)
{
    (void)state;
    rig_answer a = rig_ask_text(&r, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc-1._Z\r\n\r\n");
    assert_non_null(rig_header(&a, "X-Request-ID: abc-1._Z\r\n"));
    assert_string_equal(r.last_id, "abc-1._Z");
    free(a.data);
    a = rig_ask_text(&r, "GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: a b\r\n\r\n");
    assert_null(rig_header(&a, "X-Request-ID: a b\r\n"));
    assert_non_null(rig_header(&a, "X-Request-ID: "));
    free(a.data);
}

static void continue_is_said_when_the_body_is_asked_for(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a,
            "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "HTTP/1.1 100 Continue\r\n\r\n"));
    rig_say(&r, fd, &a, "hello");
    assert_true(rig_wait(&r, fd, &a, "\r\n\r\nhello"));
    assert_non_null(strstr(a.data, "HTTP/1.1 200 OK\r\n"));
    assert_false(a.closed);
    free(a.data);
    close(fd);
}

static void pieces_are_read_as_they_come_with_a_bounded_window(void **state)
{
    (void)state;
    enum { SIZE = 8 * 1024 * 1024 };
    rig_answer a = {0};
    char *bytes = mem_alloc(SIZE);
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    rig_send(&r, fd, &a, bytes, SIZE, SIZE);
    assert_true(rig_wait(&r, fd, &a, "\r\n\r\n8388608"));
    assert_int_equal(r.last_body, BODY_END);
    free(bytes);
    free(a.data);
    close(fd);
}

static void a_body_cut_by_the_peer_is_aborted_and_never_praised(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    shutdown(fd, SHUT_WR);
    rig_pump(&r, fd, &a, 5);
    assert_int_equal(r.last_body, BODY_ABORTED);
    assert_int_equal(rig_status(&a), 400);
    assert_true(a.closed);
    close(fd);
    free(a.data);
}

static void a_half_closed_client_still_gets_its_answer(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a,
            "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100 && !a.closed; i++) {
        rig_turn(&r, 2);
        rig_pump(&r, fd, &a, 2);
    }
    assert_int_equal(rig_count(&a, "HTTP/1.1 200 OK"), 2);
    assert_true(a.closed);
    close(fd);
    free(a.data);
}

static void peers_vanish_in_every_state(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "G",
        "GET / HTTP/1.1\r\nHost",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "POST /pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\nGET / HT",
    };
    strcpy(r.file, "/proc/self/exe");
    r.file_size = 500000;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            int fd = rig_connect(&r);
            assert_true(send(fd, texts[i], strlen(texts[i]), 0) >= 0);
            if (round > 0)
                rig_turn(&r, 1);
            if (round > 1)
                shutdown(fd, SHUT_WR);
            close(fd);
        }
    }
    rig_turn(&r, 1500);
    assert_int_equal(conn_pool_count(r.pool), 0);
    assert_int_equal(exchange_alive(), 0);
    assert_int_equal(frame_alive(), 0);
}

static void a_handler_that_never_answers_is_answered_for(void **state)
{
    (void)state;
    rig_answer a = rig_ask_text(&r, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(rig_status(&a), 500);
    free(a.data);
}

static void drain_one(conn *c, void *arg)
{
    (void)arg;
    http_conn_drain(c);
}

static void draining_closes_idle_connections_and_lets_busy_ones_finish(void **state)
{
    (void)state;
    rig_answer idle = {0}, busy = {0}, late = {0};
    int one = rig_connect(&r), two = rig_connect(&r), three = rig_connect(&r);
    rig_say(&r, one, &idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_say(&r, two, &busy, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_say(&r, three, &late, "GET /la");
    conn_pool_each(r.pool, drain_one, NULL);
    assert_true(rig_wait(&r, two, &busy, "later"));
    assert_non_null(rig_header(&busy, "Connection: close\r\n"));
    rig_pump(&r, two, &busy, 4);
    assert_true(busy.closed);
    rig_say(&r, three, &late, "ter HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(rig_wait(&r, three, &late, "\r\n\r\nlater"));
    assert_non_null(rig_header(&late, "Connection: close\r\n"));
    rig_turn(&r, 600);
    rig_pump(&r, one, &idle, 4);
    assert_true(idle.closed);
    close(one);
    close(two);
    close(three);
    free(idle.data);
    free(busy.data);
    free(late.data);
}

static void the_response_builder_refuses_what_would_split_an_answer(void **state)
{
    (void)state;
    static const struct {
        slice name, value;
        int result;
    } rows[] = {{{"X-A", 3}, {"b", 1}, 0},          {{"X-A", 3}, {"", 0}, 0},
                {{"X-A", 3}, {"b\r\nC: d", 7}, -1}, {{"X-A", 3}, {"b\n", 2}, -1},
                {{"X-A", 3}, {"b\0c", 3}, -1},      {{"X A", 3}, {"b", 1}, -1},
                {{"X:", 2}, {"b", 1}, -1},          {{"", 0}, {"b", 1}, -1},
                {{"X\r", 2}, {"b", 1}, -1},         {{"Content-Length", 14}, {"5", 1}, -1},
                {{"date", 4}, {"x", 1}, -1},        {{"Transfer-Encoding", 17}, {"x", 1}, -1},
                {{"Set-Cookie", 10}, {"a=b", 3}, 0}};
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(r.last_exchange);
    exchange_status(r.last_exchange, 200);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(exchange_add_header(r.last_exchange, rows[i].name, rows[i].value),
                         rows[i].result);
    exchange_finish(r.last_exchange, SLICE("x"));
    exchange_release(r.last_exchange);
    rig_pump(&r, fd, &a, 3);
    assert_int_equal(rig_count(&a, "\r\nX-A: "), 2);
    close(fd);
    free(a.data);
}

static void no_lenient_flag_of_the_parser_is_set(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(r.last_exchange->hc->parser.lenient_flags, 0);
    close(fd);
    rig_turn(&r, 900);
    free(a.data);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(a_get_is_answered_and_the_connection_kept),
        SPEC(bodies_are_echoed_in_any_split),
        SPEC(pipelined_requests_are_answered_in_order),
        SPEC(a_taken_connection_streams_frames),
        SPEC(bytes_behind_the_request_go_to_the_new_owner),
        SPEC(a_peer_that_leaves_abandons_its_exchange),
        SPEC(a_file_is_sent_whole),
        SPEC(chunks_are_framed_and_ended),
        SPEC(head_has_the_length_and_no_body),
        SPEC(a_sane_request_id_is_taken_over),
        SPEC(continue_is_said_when_the_body_is_asked_for),
        SPEC(pieces_are_read_as_they_come_with_a_bounded_window),
        SPEC(a_body_cut_by_the_peer_is_aborted_and_never_praised),
        SPEC(a_half_closed_client_still_gets_its_answer),
        SPEC(peers_vanish_in_every_state),
        SPEC(a_handler_that_never_answers_is_answered_for),
        SPEC(draining_closes_idle_connections_and_lets_busy_ones_finish),
        SPEC(the_response_builder_refuses_what_would_split_an_answer),
        SPEC(no_lenient_flag_of_the_parser_is_set),
    };
    return cmocka_run_group_tests_name("HTTP/1.1", tests, NULL, NULL);
}
