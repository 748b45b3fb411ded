/* HTTP/1.1 as a client sees it, over socket pairs. */
#include "http_rig.h"

#include "clock.h"
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

static rig_answer ask(const char *data, size_t n, size_t step)
{
    rig_answer a = {0};
    int fd = rig_connect(&r);
    rig_send(&r, fd, &a, data, n, step);
    rig_pump(&r, fd, &a, 4);
    close(fd);
    rig_turn(&r, 1);
    return a;
}

static void say(int fd, rig_answer *a, const char *text)
{
    rig_send(&r, fd, a, text, strlen(text), strlen(text));
}

static void a_get_is_answered_and_the_connection_kept(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    for (int i = 1; i <= 3; i++) {
        say(fd, &a, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
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
        rig_answer a = ask(sized, sizeof sized - 1, step);
        assert_non_null(strstr(a.data, "\r\n\r\nhello world"));
        free(a.data);
        a = ask(chunks, sizeof chunks - 1, step);
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
    say(fd, &a, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
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

static void a_peer_that_leaves_abandons_its_exchange(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    say(fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
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
    say(fd, &a, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
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
    say(fd, &a, "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "0\r\n\r\n"));
    assert_int_equal(rig_count(&a, "6\r\npiece\n\r\n"), 3);
    assert_non_null(strstr(a.data, "Transfer-Encoding: chunked\r\n"));
    close(fd);
    free(a.data);
}

/* What the answer's head says, or NULL. */
static const char *header_of(const rig_answer *a, const char *line)
{
    const char *end = strstr(a->data, "\r\n\r\n"), *at = strstr(a->data, line);
    return at != NULL && at < end ? at : NULL;
}

static const char *body_of(const rig_answer *a)
{
    return strstr(a->data, "\r\n\r\n") + 4;
}

static rig_answer ask_text(const char *text)
{
    return ask(text, strlen(text), strlen(text));
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    rig_answer a = ask_text("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(header_of(&a, "Content-Length: 5\r\n"));
    assert_string_equal(body_of(&a), "");
    free(a.data);
    a = ask_text("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(rig_status(&a), 200);
    assert_string_equal(body_of(&a), "");
    assert_true(a.closed);
    free(a.data);
    a = ask_text("HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_null(strstr(a.data, "piece"));
    free(a.data);
}

static void a_sane_request_id_is_taken_over(void **state)
{
    (void)state;
    rig_answer a = ask_text("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc-1._Z\r\n\r\n");
    assert_non_null(header_of(&a, "X-Request-ID: abc-1._Z\r\n"));
    assert_string_equal(r.last_id, "abc-1._Z");
    free(a.data);
    a = ask_text("GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: a b\r\n\r\n");
    assert_null(header_of(&a, "X-Request-ID: a b\r\n"));
    assert_non_null(header_of(&a, "X-Request-ID: "));
    free(a.data);
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
            rig_answer a = ask(text, n, step);
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
    rig_answer a = ask_text("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
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
    say(fd, &a, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40 && !a.closed; i++) {
        say(fd, &a, "10000\r\n");
        rig_send(&r, fd, &a, chunk, 65536, 65536);
        say(fd, &a, "\r\n");
    }
    assert_int_equal(rig_status(&a), 413);
    assert_int_equal(r.last_body, BODY_LARGE);
    assert_true(a.closed);
    free(chunk);
    free(a.data);
    close(fd);
}

static void continue_is_said_when_the_body_is_asked_for(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    say(fd, &a,
        "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_true(rig_wait(&r, fd, &a, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(fd, &a, "hello");
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
    say(fd, &a, "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
    rig_send(&r, fd, &a, bytes, SIZE, SIZE);
    assert_true(rig_wait(&r, fd, &a, "\r\n\r\n8388608"));
    assert_int_equal(r.last_body, BODY_END);
    free(bytes);
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
    say(fd, &a, "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n");
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
    rig_answer a = ask(text, n, 512);
    assert_non_null(header_of(&a, "Content-Length: 20000\r\n"));
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
        say(fd, &a, "G");
        if (i == 0)
            say(fd, &a, "ET / HTTP/1.1\r\nHost: ");
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
    say(fd, &a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
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
    say(fd, &slow, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    say(other, &fast, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 4 && !slow.closed; i++) {
        say(fd, &slow, "x");
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

static void a_body_cut_by_the_peer_is_aborted_and_never_praised(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect(&r);
    say(fd, &a, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
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
    say(fd, &a, "GET /later HTTP/1.1\r\nHost: a\r\n\r\nGET /later HTTP/1.1\r\nHost: a\r\n\r\n");
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
    rig_answer a = ask_text("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(rig_status(&a), 500);
    free(a.data);
}

static void a_full_server_says_503(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = rig_connect_as(&r, true);
    say(fd, &a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_pump(&r, fd, &a, 4);
    assert_int_equal(rig_status(&a), 503);
    assert_non_null(header_of(&a, "Retry-After: 1\r\n"));
    assert_true(a.closed);
    assert_int_equal(r.requests, 0);
    close(fd);
    free(a.data);
}

static void draining_closes_idle_connections_and_lets_busy_ones_finish(void **state)
{
    (void)state;
    rig_answer idle = {0}, busy = {0};
    int one = rig_connect(&r), two = rig_connect(&r);
    say(one, &idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    say(two, &busy, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    conn_pool_each(r.pool, (void (*)(conn *, void *))(void *)http_conn_drain, NULL);
    rig_pump(&r, one, &idle, 4);
    assert_true(idle.closed);
    assert_true(rig_wait(&r, two, &busy, "later"));
    assert_non_null(header_of(&busy, "Connection: close\r\n"));
    rig_pump(&r, two, &busy, 4);
    assert_true(busy.closed);
    close(one);
    close(two);
    free(idle.data);
    free(busy.data);
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
    say(fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
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
    say(fd, &a, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
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
        SPEC(a_peer_that_leaves_abandons_its_exchange),
        SPEC(a_file_is_sent_whole),
        SPEC(chunks_are_framed_and_ended),
        SPEC(head_has_the_length_and_no_body),
        SPEC(a_sane_request_id_is_taken_over),
        SPEC(the_head_has_limits),
        SPEC(a_declared_body_over_the_limit_is_refused_unread),
        SPEC(a_chunked_body_over_the_limit_is_refused),
        SPEC(continue_is_said_when_the_body_is_asked_for),
        SPEC(pieces_are_read_as_they_come_with_a_bounded_window),
        SPEC(a_body_that_nobody_asks_for_is_held_back),
        SPEC(twenty_thousand_one_byte_chunks_take_linear_time),
        SPEC(a_slow_head_is_cut_by_total_time),
        SPEC(an_idle_connection_is_closed_after_its_time),
        SPEC(a_slow_body_is_cut_by_its_rate),
        SPEC(a_body_cut_by_the_peer_is_aborted_and_never_praised),
        SPEC(a_half_closed_client_still_gets_its_answer),
        SPEC(a_client_that_never_reads_is_cut_and_memory_bounded),
        SPEC(peers_vanish_in_every_state),
        SPEC(a_handler_that_never_answers_is_answered_for),
        SPEC(a_full_server_says_503),
        SPEC(draining_closes_idle_connections_and_lets_busy_ones_finish),
        SPEC(the_response_builder_refuses_what_would_split_an_answer),
        SPEC(no_lenient_flag_of_the_parser_is_set),
    };
    return cmocka_run_group_tests_name("HTTP/1.1", tests, NULL, NULL);
}
