/* HTTP/1.1 as a client sees it, over socket pairs. */
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
    };
    return cmocka_run_group_tests_name("HTTP/1.1", tests, NULL, NULL);
}
