/* Connections and listeners: bytes, batches, queues, closing, deadlines, addresses. */
#include "clock.h"
#include "listener.h"
#include "mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uv_loop_t loop;
static conn_pool *pool;
static const conn_limits limits = {
    .write_stall_ms = 30000, .linger_ms = 1000, .handshake_ms = 10000, .max_conns = 20};

static listener *listening;

static void stop_listening(void)
{
    listener_stop(listening);
    listening = NULL;
}

/* An owner that records what it is told. */
static struct {
    char data[4096];
    size_t len, calls;
    int ended, drained, deadlines, closed;
    void (*react)(conn *c);
} seen;

static void on_data(conn *c, const char *data, size_t n)
{
    seen.calls++;
    seen.ended += n == 0;
    if (n > 0 && seen.len + n < sizeof seen.data) {
        memcpy(seen.data + seen.len, data, n);
        seen.len += n;
    }
    if (seen.react != NULL)
        seen.react(c);
}

static void on_drain(conn *c)
{
    (void)c;
    seen.drained++;
}

static void on_deadline(conn *c)
{
    (void)c;
    seen.deadlines++;
}

static void on_close(conn *c)
{
    (void)c;
    seen.closed++;
}

static const conn_ops ops = {on_data, on_drain, on_deadline, on_close};

static int start(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    pool = conn_pool_new(&loop, &limits);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    if (listening != NULL)
        stop_listening();
    conn_pool_close(pool);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(conn_pool_count(pool), 0);
    conn_pool_free(pool);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(frame_alive(), 0);
    return 0;
}

static conn *connect_pair(int *peer)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *peer = pair[1];
    conn *c = conn_open(pool, pair[0], NULL);
    conn_set_owner(c, &ops, NULL);
    return c;
}

static void turn(int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000u;
    do {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    } while (uv_hrtime() < end);
}

static size_t drain_peer(int fd)
{
    static char bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        total += (size_t)n;
    return total;
}

/* The peer's view: 0 at the end, -1 with errno. */
static ssize_t peer_result(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0);
}

static void bytes_arrive_and_the_end_is_told(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    turn(2);
    assert_memory_equal(seen.data, "abc", 3);
    shutdown(peer, SHUT_WR);
    turn(2);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.closed, 0);
    conn_write(c, "still", 5);
    assert_int_equal(drain_peer(peer), 5);
    conn_close(c);
    turn(2);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(peer_result(peer), 0);
    close(peer);
}

static void answer_in_many_writes(conn *c)
{
    for (int i = 0; i < 100; i++)
        conn_write(c, "0123456789", 10);
    memcpy(conn_reserve(c, 10), "abcdefghij", 10);
    conn_commit(c, 10);
    assert_int_equal(conn_queued(c), 1010);
}

static void what_is_written_in_on_data_leaves_in_one_packet(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    conn *c = conn_open(pool, pair[0], NULL);
    conn_set_owner(c, &ops, NULL);
    seen.react = answer_in_many_writes;
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    turn(2);
    char bytes[2000];
    assert_int_equal(recv(pair[1], bytes, sizeof bytes, 0), 1010);
    assert_int_equal(recv(pair[1], bytes, sizeof bytes, 0), -1);
    assert_int_equal(conn_queued(c), 0);
    close(pair[1]);
}

static void frames_are_kept_by_reference_and_arrive_in_order(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(100000);
    frame *f = frame_new(bytes, 100000);
    for (int i = 0; i < 10; i++) {
        conn_write_frame(c, f);
        conn_write(c, "tail", 4);
    }
    assert_int_equal(frame_alive(), 1);
    frame_drop(f);
    assert_int_equal(frame_alive(), 1);
    assert_true(conn_queued(c) > 500000);
    size_t total = 0;
    for (int i = 0; i < 200 && total < 1000040; i++) {
        total += drain_peer(peer);
        turn(1);
    }
    assert_int_equal(total, 1000040);
    assert_int_equal(conn_queued(c), 0);
    assert_int_equal(seen.drained, 1);
    assert_int_equal(frame_alive(), 0);
    free(bytes);
    close(peer);
}

static void a_paused_connection_is_held_back_and_goes_on(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_pause(c);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    turn(3);
    assert_int_equal(seen.calls, 0);
    conn_resume(c);
    turn(3);
    assert_int_equal(seen.len, 3);
    close(peer);
}

static void closing_flushes_first(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(1000000);
    conn_write(c, bytes, 1000000);
    assert_true(conn_queued(c) > 0);
    conn_close(c);
    conn_write(c, "never", 5);
    size_t total = 0;
    for (int i = 0; i < 200 && total < 1000000; i++) {
        total += drain_peer(peer);
        turn(1);
    }
    assert_int_equal(total, 1000000);
    turn(2);
    assert_int_equal(peer_result(peer), 0);
    assert_int_equal(seen.closed, 0);
    close(peer);
    turn(3);
    assert_int_equal(seen.closed, 1);
    free(bytes);
}

static void lingering_ends_after_its_time(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_close(c);
    turn(2);
    assert_int_equal(seen.closed, 0);
    assert_int_equal(send(peer, "ignored", 7, 0), 7);
    turn(1700);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(seen.calls, 0);
    close(peer);
}

static void a_stalled_write_is_cut_and_progress_prevents_it(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(4000000);
    conn_write(c, bytes, 4000000);
    for (int i = 0; i < 3; i++) {
        clock_advance(20000);
        turn(300);
        assert_true(drain_peer(peer) > 0);
        turn(300);
    }
    assert_int_equal(seen.closed, 0);
    clock_advance(31000);
    turn(800);
    assert_int_equal(seen.closed, 1);
    free(bytes);
    close(peer);
}

static void deadlines_come_once_and_can_be_moved(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_deadline(c, 5000);
    conn_deadline(c, 60000);
    clock_advance(10000);
    turn(800);
    assert_int_equal(seen.deadlines, 0);
    conn_deadline(c, 5000);
    clock_advance(6000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    conn_deadline(c, 5000);
    conn_deadline(c, 0);
    clock_advance(300000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    conn_deadline(c, 300000); /* beyond one turn of the wheel */
    clock_advance(299000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    turn(1000);
    assert_int_equal(seen.deadlines, 2);
    close(peer);
}

static void move_deadline(conn *c)
{
    conn_deadline(c, 10000);
}

static void bytes_that_waited_while_we_were_stopped_count_before_deadlines(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_deadline(c, 10000);
    turn(600);
    seen.react = move_deadline;
    assert_int_equal(send(peer, "x", 1, 0), 1);
    clock_advance(3600000);
    turn(1000);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.deadlines, 0);
    close(peer);
}

static int listen_on(const char *text, listen_address *address)
{
    char error[256] = "";
    assert_int_equal(listen_parse(text, address, error, sizeof error), 0);
    int fd = listen_open(address, error, sizeof error);
    if (fd < 0)
        print_error("%s\n", error);
    assert_true(fd >= 0);
    return fd;
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct {
    int accepted, full;
    char peer[64];
    conn *last;
} greeted;

static void on_conn(conn *c, bool full, void *arg)
{
    (void)arg;
    greeted.accepted++;
    greeted.full += full;
    greeted.last = c;
    snprintf(greeted.peer, sizeof greeted.peer, "%s", conn_peer(c));
    conn_set_owner(c, &ops, NULL);
}

static void serve(int fd)
{
    memset(&greeted, 0, sizeof greeted);
    listening = listener_start(pool, fd, NULL, on_conn, NULL);
}

static void an_aborted_tcp_connection_is_reset(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    int peer = dial(address.port);
    turn(3);
    assert_string_equal(greeted.peer, "127.0.0.1");
    conn_write(greeted.last, "half", 4);
    conn_abort(greeted.last);
    turn(3);
    drain_peer(peer);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(errno, ECONNRESET);
    close(peer);
    stop_listening();
    close(fd);
}

static void a_reset_by_the_peer_is_noticed_even_when_paused_or_ended(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    struct linger hard = {1, 0};
    for (int kind = 0; kind < 3; kind++) {
        int peer = dial(address.port);
        turn(3);
        if (kind == 1) {
            conn_pause(greeted.last);
            assert_int_equal(send(peer, "x", 1, 0), 1);
        } else if (kind == 2) {
            shutdown(peer, SHUT_WR);
        }
        turn(3);
        setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(peer);
        turn(3);
        assert_int_equal(seen.closed, kind + 1);
    }
    stop_listening();
    close(fd);
}

static void two_hundred_connections_come_and_go_without_a_trace(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    struct linger hard = {1, 0};
    for (int i = 0; i < 200; i++) {
        int peer = dial(address.port);
        if (i % 2 == 0)
            setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(peer);
        if (i % 10 == 9)
            turn(1);
        conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_close, NULL);
    }
    turn(10);
    conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_close, NULL);
    turn(10);
    assert_int_equal(conn_pool_count(pool), 0);
    stop_listening();
    close(fd);
}

static void a_flood_meets_the_reserve_and_then_a_pause(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address), peers[80];
    serve(fd);
    for (int i = 0; i < 80; i++)
        peers[i] = dial(address.port);
    turn(50);
    assert_int_equal(greeted.accepted, 20 + 32);
    assert_int_equal(greeted.full, 32);
    for (int i = 0; i < 52; i++)
        close(peers[i]);
    conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_abort, NULL);
    turn(300);
    assert_int_equal(greeted.accepted, 80);
    for (int i = 52; i < 80; i++)
        close(peers[i]);
    stop_listening();
    close(fd);
}

static void without_descriptors_the_listener_pauses_and_recovers(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    turn(3);
    memset(&greeted, 0, sizeof greeted);
    int first = dial(address.port), second = dial(address.port);
    struct rlimit before, tight;
    getrlimit(RLIMIT_NOFILE, &before);
    tight = before;
    int lowest_free = dup(0);
    close(lowest_free);
    tight.rlim_cur = (rlim_t)lowest_free;
    setrlimit(RLIMIT_NOFILE, &tight);
    uint64_t cpu = clock_thread_us();
    for (int i = 0; i < 20; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(clock_thread_us() - cpu < 100000);
    assert_int_equal(greeted.accepted, 0);
    assert_int_equal(peer_result(first), 0); /* the spare descriptor told it */
    turn(300);
    assert_int_equal(greeted.accepted, 1);
    close(first);
    close(second);
    stop_listening();
    close(fd);
}

static void workers_share_a_port_and_strangers_are_told_who_holds_it(void **state)
{
    (void)state;
    listen_address address, stranger = {0};
    char error[256], port[16];
    int one = listen_on("127.0.0.1:0", &address);
    int two = listen_open(&address, error, sizeof error);
    assert_true(two >= 0);
    stranger = address;
    stranger.opened = false;
    assert_int_equal(listen_open(&stranger, error, sizeof error), -1);
    snprintf(port, sizeof port, "%u", address.port);
    assert_non_null(strstr(error, port));
    assert_non_null(strstr(error, "ss -ltnp"));
    close(one);
    close(two);
}

static void a_unix_socket_is_shared_replaced_when_stale_and_kept_when_alive(void **state)
{
    (void)state;
    char text[64], error[256];
    listen_address address;
    snprintf(text, sizeof text, "unix:/tmp/lunacast-net-%d.sock", (int)getpid());
    int fd = listen_on(text, &address);
    serve(fd);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, text + 5);
    int peer = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof to), 0);
    turn(3);
    assert_string_equal(greeted.peer, "unix");
    listen_address again = address;
    assert_int_equal(listen_open(&again, error, sizeof error), -1);
    assert_non_null(strstr(error, "taken"));
    stop_listening();
    turn(2);
    close(fd);
    close(peer);
    fd = listen_on(text, &again);
    close(fd);
    unlink(text + 5);
}

static void addresses_are_read_and_faults_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port; /* -1: refused */
    } rows[] = {{"127.0.0.1:3000", "127.0.0.1", 3000},
                {"[::1]:80", "::1", 80},
                {":3000", "", 3000},
                {"*:0", "", 0},
                {"localhost:1", "localhost", 1},
                {"unix:/run/x.sock", "/run/x.sock", 0},
                {"3000", NULL, -1},
                {"a:", NULL, -1},
                {"a:-1", NULL, -1},
                {"a:65536", NULL, -1},
                {"a:80x", NULL, -1},
                {"::1:80", NULL, -1},
                {"unix:", NULL, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        listen_address address;
        char error[400] = "";
        int result = listen_parse(rows[i].text, &address, error, sizeof error);
        assert_int_equal(result, rows[i].port < 0 ? -1 : 0);
        if (result != 0) {
            assert_non_null(strstr(error, rows[i].text));
            continue;
        }
        assert_string_equal(address.host, rows[i].host);
        assert_int_equal(address.port, rows[i].port);
    }
}

static void all_addresses_take_both_families(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("*:0", &address);
    serve(fd);
    int peer = dial(address.port);
    turn(3);
    assert_string_equal(greeted.peer, "127.0.0.1");
    close(peer);
    stop_listening();
    close(fd);
}

static void a_bad_descriptor_gives_no_connection(void **state)
{
    (void)state;
    assert_null(conn_open(pool, open("/dev/null", O_RDWR), NULL));
    assert_null(conn_open(pool, -1, NULL));
    assert_int_equal(conn_pool_count(pool), 0);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(bytes_arrive_and_the_end_is_told),
        SPEC(what_is_written_in_on_data_leaves_in_one_packet),
        SPEC(frames_are_kept_by_reference_and_arrive_in_order),
        SPEC(a_paused_connection_is_held_back_and_goes_on),
        SPEC(closing_flushes_first),
        SPEC(lingering_ends_after_its_time),
        SPEC(a_stalled_write_is_cut_and_progress_prevents_it),
        SPEC(deadlines_come_once_and_can_be_moved),
        SPEC(bytes_that_waited_while_we_were_stopped_count_before_deadlines),
        SPEC(an_aborted_tcp_connection_is_reset),
        SPEC(a_reset_by_the_peer_is_noticed_even_when_paused_or_ended),
        SPEC(two_hundred_connections_come_and_go_without_a_trace),
        SPEC(a_flood_meets_the_reserve_and_then_a_pause),
        SPEC(without_descriptors_the_listener_pauses_and_recovers),
        SPEC(workers_share_a_port_and_strangers_are_told_who_holds_it),
        SPEC(a_unix_socket_is_shared_replaced_when_stale_and_kept_when_alive),
        SPEC(addresses_are_read_and_faults_explained),
        SPEC(all_addresses_take_both_families),
        SPEC(a_bad_descriptor_gives_no_connection),
    };
    return cmocka_run_group_tests_name("connections and listeners", tests, NULL, NULL);
}
