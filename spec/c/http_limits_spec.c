/* The limits of HTTP/1.1: sizes, times, rates, and the peers that try them. */
#include "http_rig.h"

#include "clock.h"
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

static void the_head_has_limits(void **state)
{
    (void)state;
    enum { ROOM = 40000 };
    char *text = mem_alloc(ROOM);
    static const struct {
        size_t line, value, count;
        int status;
    } rows[] = {{8000, 10, 1, 200},  {8300, 10, 1, 414}, {30000, 10, 1, 414}, {10, 16000, 1, 200},
                {10, 17000, 1, 431}, {10, 10, 99, 200},  {10, 10, 100, 431},  {10, 400, 60, 431}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = (size_t)sprintf(text, "GET /%0*d HTTP/1.1\r\nHost: a\r\n", (int)rows[i].line, 0);
        for (size_t k = 0; k < rows[i].count; k++)
            n += (size_t)sprintf(text + n, "X-%zu: %0*d\r\n", k, (int)rows[i].value, 0);
        n += (size_t)sprintf(text + n, "\r\n");
        for (size_t step = 100; step <= ROOM; step *= 20) {
            rig_answer a = rig_ask(&r, text, n, step);
            assert_int_equal(rig_status(&a), rows[i].status);
            assert_int_equal(a.closed, rows[i].status != 200);
            free(a.data);
        }
    }
    free(text);
}

static void a_declared_body_over_the_limit_is_refused_unread(void **state)
{
    (void)state;
    rig_answer a = rig_ask_text(&r, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                                    "Content-Length: 1048577\r\n\r\n");
    assert_int_equal(rig_status(&a), 413);
    assert_null(strstr(a.data, "100 Continue"));
    assert_true(a.closed);
    free(a.data);
}

static void a_chunked_body_over_the_limit_is_refused(void **state)
{
    (void)state;
    rig_answer a = {0};
    char *chunk = mem_alloc(65536);
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40 && !a.closed; i++) {
        rig_say(&r, fd, &a, "10000\r\n");
        rig_send(&r, fd, &a, chunk, 65536, 65536);
        rig_say(&r, fd, &a, "\r\n");
    }
    assert_int_equal(rig_status(&a), 413);
    assert_int_equal(r.last_body, BODY_LARGE);
    assert_true(a.closed);
    free(chunk);
    free(a.data);
    close(fd);
}

static void a_body_that_nobody_asks_for_is_held_back(void **state)
{
    (void)state;
    enum { SIZE = 8 * 1024 * 1024 };
    rig_answer a = {0};
    char *bytes = mem_alloc(SIZE);
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    size_t taken = 0;
    for (int quiet = 0; quiet < 20; quiet++) {
        ssize_t n = send(fd, bytes, SIZE, MSG_NOSIGNAL);
        rig_turn(&r, 1);
        taken += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet;
    }
    assert_in_range(taken, 65536, 1024 * 1024);
    close(fd);
    rig_turn(&r, 20);
    free(bytes);
    free(a.data);
}

static void twenty_thousand_one_byte_chunks_take_linear_time(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static const char head[] =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    char *text = mem_alloc(sizeof head + COUNT * 6 + 8);
    size_t n = (size_t)sprintf(text, "%s", head);
    for (int i = 0; i < COUNT; i++)
        n += (size_t)sprintf(text + n, "1\r\nx\r\n");
    n += (size_t)sprintf(text + n, "0\r\n\r\n");
    uint64_t before = uv_hrtime();
    rig_answer a = rig_ask(&r, text, n, 512);
    assert_non_null(rig_header(&a, "Content-Length: 20000\r\n"));
    assert_true(uv_hrtime() - before < 2000000000u);
    free(text);
    free(a.data);
}

/* Moves the clock, and gives the timer wheel the ticks it needs to notice. */
static void pass(uint64_t ms)
{
    clock_advance(ms);
    rig_turn(&r, 800);
}

static void a_slow_head_is_cut_by_total_time(void **state)
{
    (void)state;
    rig_answer a = {0}, silent = {0};
    int fd = rig_connect(&r), mute = rig_connect(&r);
    for (int i = 0; i < 5; i++) {
        rig_say(&r, fd, &a, "G");
        if (i == 0)
            rig_say(&r, fd, &a, "ET / HTTP/1.1\r\nHost: ");
        pass(1000);
    }
    assert_int_equal(a.len, 0);
    pass(6000);
    rig_pump(&r, fd, &a, 3);
    assert_int_equal(rig_status(&a), 408);
    assert_true(a.closed);
    rig_pump(&r, mute, &silent, 3);
    assert_int_equal(silent.len, 0);
    assert_true(silent.closed);
    close(fd);
    close(mute);
    free(a.data);
    free(silent.data);
}

static void an_idle_connection_is_closed_after_its_time(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_say(&r, fd, &a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    pass(70000);
    rig_pump(&r, fd, &a, 3);
    assert_false(a.closed);
    pass(8000);
    rig_pump(&r, fd, &a, 3);
    assert_true(a.closed);
    close(fd);
    free(a.data);
}

static void a_slow_body_is_cut_by_its_rate(void **state)
{
    (void)state;
    rig_answer slow = {0}, fast = {0};
    char kilo[2000] = {0};
    int fd = rig_connect(&r), other = rig_connect(&r);
    rig_say(&r, fd, &slow, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    rig_say(&r, other, &fast, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 4 && !slow.closed; i++) {
        rig_say(&r, fd, &slow, "x");
        rig_send(&r, other, &fast, kilo, sizeof kilo, sizeof kilo);
        pass(4000);
    }
    rig_pump(&r, fd, &slow, 3);
    rig_pump(&r, other, &fast, 3);
    assert_int_equal(rig_status(&slow), 408);
    assert_true(slow.closed);
    assert_int_equal(fast.len, 0);
    assert_false(fast.closed);
    close(fd);
    close(other);
    rig_turn(&r, 700);
    free(slow.data);
    free(fast.data);
}

static void a_client_that_never_reads_is_cut_and_memory_bounded(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    for (int i = 0; i < 50; i++) {
        static const char big[] = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_int_equal(send(fd, big, sizeof big - 1, 0), sizeof big - 1);
        rig_turn(&r, 1);
    }
    assert_int_equal(r.requests, 1);
    for (int i = 0; i < 3; i++)
        pass(12000);
    rig_turn(&r, 300);
    assert_int_equal(conn_pool_count(r.pool), 0);
    close(fd);
    free(a.data);
}

static void a_full_server_says_503(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect_as(&r, "the \"house\" is full");
    rig_say(&r, fd, &a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_pump(&r, fd, &a, 4);
    assert_int_equal(rig_status(&a), 503);
    assert_non_null(rig_header(&a, "Retry-After: 1\r\n"));
    assert_non_null(strstr(a.data, "{\"error\":\"the \\\"house\\\" is full\",\"code\":\"full\"}"));
    assert_true(a.closed);
    assert_int_equal(r.requests, 0);
    close(fd);
    free(a.data);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(the_head_has_limits),
        SPEC(a_declared_body_over_the_limit_is_refused_unread),
        SPEC(a_chunked_body_over_the_limit_is_refused),
        SPEC(a_body_that_nobody_asks_for_is_held_back),
        SPEC(twenty_thousand_one_byte_chunks_take_linear_time),
        SPEC(a_slow_head_is_cut_by_total_time),
        SPEC(an_idle_connection_is_closed_after_its_time),
        SPEC(a_slow_body_is_cut_by_its_rate),
        SPEC(a_client_that_never_reads_is_cut_and_memory_bounded),
        SPEC(a_full_server_says_503),
    };
    return cmocka_run_group_tests_name("limits of HTTP/1.1", tests, NULL, NULL);
}
