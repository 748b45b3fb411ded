/* Listeners: addresses, shared ports, floods, and no descriptors left. */
#include "conn_internal.h"
#include "net_rig.h"
#include <netinet/tcp.h>

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
    assert_int_equal(greeted.refused, 32);
    for (int i = 0; i < 52; i++)
        close(peers[i]);
    conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_abort, NULL);
    turn(300);
    assert_int_equal(greeted.accepted, 80);
    for (int i = 52; i < 80; i++)
        close(peers[i]);
    stop_listening();
}

static bool nobody(const uint8_t address[ADDRESS_BYTES])
{
    (void)address;
    return false;
}

static bool everybody(const uint8_t address[ADDRESS_BYTES])
{
    (void)address;
    return true;
}

static int dial_from(const char *source, uint16_t port)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void one_client_has_a_share_and_others_have_theirs(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address), greedy[40], other[3];
    pool->limits.max_conns = 1000;
    pool->limits.per_address = 3;
    pool->limits.is_shared = nobody;
    serve(fd);
    for (int i = 0; i < 40; i++)
        greedy[i] = dial_from("127.0.0.2", address.port);
    turn(20);
    assert_int_equal(greeted.accepted, 3 + 32);
    assert_int_equal(greeted.refused, 32);
    for (int i = 35; i < 40; i++)
        assert_true(peer_result(greedy[i]) == -1 && errno == ECONNRESET);
    for (int i = 0; i < 3; i++)
        other[i] = dial_from("127.0.0.3", address.port);
    turn(20);
    assert_int_equal(greeted.accepted, 3 + 32 + 3);
    assert_int_equal(greeted.refused, 32);
    for (int i = 0; i < 40; i++)
        close(greedy[i]);
    for (int i = 0; i < 3; i++)
        close(other[i]);
    conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_abort, NULL);
    turn(20);
    assert_int_equal(pool->clients.count, 0);
    int again = dial_from("127.0.0.2", address.port);
    turn(20);
    assert_int_equal(greeted.refused, 32);
    close(again);
    stop_listening();
}

static void an_address_that_many_share_has_no_limit(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address), peers[10];
    pool->limits.per_address = 3;
    pool->limits.is_shared = everybody;
    serve(fd);
    for (int i = 0; i < 10; i++)
        peers[i] = dial(address.port);
    turn(20);
    assert_int_equal(greeted.accepted, 10);
    assert_int_equal(greeted.refused, 0);
    /* What comes through it is somebody's own. */
    pool->limits.is_shared = nobody;
    conn *c = greeted.last;
    for (size_t i = 0; i < 2; i++) {
        conn_set_peer(c, i == 0 ? SLICE("2001:db8:1:2::7") : SLICE("2001:db8:1:2:ffff::8"));
        assert_int_equal(pool->clients.count, 1);
        assert_int_equal(conn_excess(c), 0);
    }
    for (int i = 0; i < 10; i++)
        close(peers[i]);
    conn_pool_each(pool, (void (*)(conn *, void *))(void *)conn_abort, NULL);
    turn(5);
    assert_int_equal(pool->clients.count, 0);
    stop_listening();
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

static void who_waits_in_the_backlog_at_the_end_is_still_served(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    turn(2);
    int peer = dial(address.port);
    stop_listening();
    assert_int_equal(greeted.accepted, 1);
    close(peer);
}

static void accepted_sockets_send_at_once_and_notice_lost_peers(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address), value = 0;
    serve(fd);
    int peer = dial(address.port);
    turn(3);
    socklen_t n = sizeof value;
    int accepted = greeted.last->fd;
    assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &value, &n), 0);
    assert_int_equal(value, 1);
    assert_int_equal(getsockopt(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n), 0);
    assert_int_equal(value, 30000);
    close(peer);
    stop_listening();
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(two_hundred_connections_come_and_go_without_a_trace),
        SPEC(a_flood_meets_the_reserve_and_then_a_pause),
        SPEC(one_client_has_a_share_and_others_have_theirs),
        SPEC(an_address_that_many_share_has_no_limit),
        SPEC(without_descriptors_the_listener_pauses_and_recovers),
        SPEC(workers_share_a_port_and_strangers_are_told_who_holds_it),
        SPEC(a_unix_socket_is_shared_replaced_when_stale_and_kept_when_alive),
        SPEC(addresses_are_read_and_faults_explained),
        SPEC(who_waits_in_the_backlog_at_the_end_is_still_served),
        SPEC(accepted_sockets_send_at_once_and_notice_lost_peers),
        SPEC(all_addresses_take_both_families),
    };
    return cmocka_run_group_tests_name("listeners", tests, NULL, NULL);
}
