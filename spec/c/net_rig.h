/* A loop, a pool and an owner that records what it is told, for the specs of connections and
 * listeners. */
#pragma once
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

static inline void stop_listening(void)
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

static inline void on_data(conn *c, const char *data, size_t n)
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

static inline void on_drain(conn *c)
{
    (void)c;
    seen.drained++;
}

static inline void on_deadline(conn *c)
{
    (void)c;
    seen.deadlines++;
}

static inline void on_close(conn *c)
{
    (void)c;
    seen.closed++;
}

static const conn_ops ops = {on_data, on_drain, on_deadline, on_close};

static inline int start(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    pool = conn_pool_new(&loop, &limits);
    return 0;
}

static inline int stop(void **state)
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

static inline conn *connect_pair(int *peer)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *peer = pair[1];
    conn *c = conn_open(pool, pair[0], NULL);
    conn_set_owner(c, &ops, NULL);
    return c;
}

static inline void turn(int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000u;
    do {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    } while (uv_hrtime() < end);
}

static inline size_t drain_peer(int fd)
{
    static char bytes[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        total += (size_t)n;
    return total;
}

/* The peer's view: 0 at the end, -1 with errno. */
static inline ssize_t peer_result(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0);
}

static inline int listen_on(const char *text, listen_address *address)
{
    char error[256] = "";
    assert_int_equal(listen_parse(text, address, error, sizeof error), 0);
    int fd = listen_open(address, error, sizeof error);
    if (fd < 0)
        print_error("%s\n", error);
    assert_true(fd >= 0);
    return fd;
}

static inline int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct {
    int accepted, refused;
    char peer[64];
    conn *last;
} greeted;

static inline void on_conn(conn *c, const char *refusal, void *arg)
{
    (void)arg;
    greeted.accepted++;
    greeted.refused += refusal != NULL;
    greeted.last = c;
    snprintf(greeted.peer, sizeof greeted.peer, "%s", conn_peer(c));
    conn_set_owner(c, &ops, NULL);
}

static inline void serve(int fd)
{
    memset(&greeted, 0, sizeof greeted);
    listening = listener_start(pool, fd, NULL, on_conn, NULL);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)
