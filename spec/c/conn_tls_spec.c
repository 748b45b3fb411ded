/* HTTP over TLS through the real connection code: an OpenSSL client on the other end of the socket.
 */
#include "certs.h"
#include "clock.h"
#include "http_rig.h"
#include "tls.h"
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static rig r;
static tls_context *context;
static cert_pair files;
static SSL_CTX *client_context;

/* In place of OpenSSL's, which fails only when memory is out. */
static bool no_session;

SSL *SSL_new(SSL_CTX *ctx)
{
    SSL *(*made)(SSL_CTX *);
    *(void **)&made = dlsym(RTLD_NEXT, "SSL_new");
    return no_session ? NULL : made(ctx);
}

static int make_context(void **state)
{
    (void)state;
    char error[256] = "";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    certs_make(&files, key, -3600, 3600);
    EVP_PKEY_free(key);
    context = tls_context_new(files.cert, files.key, error, sizeof error);
    client_context = SSL_CTX_new(TLS_client_method());
    return context == NULL;
}

static int drop_context(void **state)
{
    (void)state;
    tls_context_drop(context);
    SSL_CTX_free(client_context);
    certs_remove(&files);
    return 0;
}

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

typedef struct {
    int fd;
    SSL *ssl;
    char data[256 * 1024];
    size_t len;
    int end; /* SSL_get_error of the last read */
} client;

static int connect_raw(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    http_conn_start(conn_open(r.pool, pair[0], context), &r.handler, NULL);
    return pair[1];
}

static void turn(client *c)
{
    rig_turn(&r, 1);
    ERR_clear_error();
    int n;
    while ((n = SSL_read(c->ssl, c->data + c->len, (int)(sizeof c->data - 1 - c->len))) > 0)
        c->len += (size_t)n;
    c->end = SSL_get_error(c->ssl, n);
    c->data[c->len] = '\0';
}

static client *connect_client(void)
{
    client *c = mem_alloc(sizeof *c);
    c->fd = connect_raw();
    c->ssl = SSL_new(client_context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
    for (int i = 0; i < 100 && !SSL_is_init_finished(c->ssl); i++)
        turn(c);
    assert_true(SSL_is_init_finished(c->ssl));
    return c;
}

static void say(client *c, const char *text)
{
    assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
    for (int i = 0; i < 5; i++)
        turn(c);
}

static void close_client(client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    free(c);
    rig_turn(&r, 5);
}

static void requests_are_answered_and_kept_alive(void **state)
{
    (void)state;
    client *c = connect_client();
    say(c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(c->data, "\r\n\r\nhello"));
    c->len = 0;
    say(c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
           "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 50 && strstr(c->data, "later") == NULL; i++)
        turn(c);
    assert_non_null(strstr(c->data, "\r\n\r\nabcHTTP/1.1 200 OK"));
    assert_non_null(strstr(c->data, "\r\n\r\nlater"));
    close_client(c);
}

static void nothing_is_said_in_the_clear_when_no_session_can_be_made(void **state)
{
    (void)state;
    int pair[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    no_session = true;
    conn *c = conn_open(r.pool, pair[0], context);
    no_session = false;
    assert_null(c);
    assert_int_equal(read(pair[1], &byte, 1), 0);
    close(pair[1]);
}

static void close_says_goodbye(void **state)
{
    (void)state;
    client *c = connect_client();
    say(c, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_int_equal(c->end, SSL_ERROR_ZERO_RETURN);
    close_client(c);
}

static void frames_reach_a_stream_in_order(void **state)
{
    (void)state;
    client *c = connect_client();
    say(c, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_non_null(strstr(c->data, "first\n"));
    c->len = 0;
    char *bytes = mem_alloc(40000);
    memset(bytes, 'p', 40000);
    frame *f = frame_new(bytes, 40000);
    for (int i = 0; i < 5; i++)
        conn_write_frame(r.streams[0], f);
    frame_drop(f);
    for (int i = 0; i < 50 && c->len < 200000; i++)
        turn(c);
    assert_int_equal(c->len, 200000);
    free(bytes);
    close_client(c);
}

enum { FRAMES = 60, FRAME_SIZE = 10000 };

/* Reads what is there and compares it with the frames, which have a letter each. */
static size_t read_frames(client *c, size_t at)
{
    static char bytes[16384];
    int n;
    rig_turn(&r, 1);
    ERR_clear_error();
    while ((n = SSL_read(c->ssl, bytes, sizeof bytes)) > 0) {
        for (int i = 0; i < n; i++, at++)
            assert_int_equal(bytes[i], 'A' + (int)(at / FRAME_SIZE));
    }
    return at;
}

static void a_client_that_is_behind_costs_references_and_gets_its_frames_in_order(void **state)
{
    (void)state;
    client *c = connect_client();
    frame *frames[FRAMES];
    char bytes[FRAME_SIZE];
    size_t held = 0, got = 0;
    say(c, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < FRAMES; i++) {
        memset(bytes, 'A' + i, FRAME_SIZE);
        frames[i] = frame_new(bytes, FRAME_SIZE);
        if (i % 7 == 3)
            conn_write(r.streams[0], bytes, FRAME_SIZE);
        else
            conn_write_frame(r.streams[0], frames[i]);
    }
    for (int i = 0; i < FRAMES; i++) {
        held += frames[i]->refs - 1;
        frame_drop(frames[i]);
    }
    assert_true(held > FRAMES / 3);
    /* The answer to a change of keys goes in front of what is still to be encrypted. */
    SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
    SSL_write(c->ssl, "x", 1);
    for (int i = 0; i < 2000 && got < FRAMES * FRAME_SIZE; i++)
        got = read_frames(c, got);
    assert_int_equal(got, FRAMES * FRAME_SIZE);
    assert_int_equal(conn_queued(r.streams[0]), 0);
    assert_int_equal(frame_alive(), 0);
    close_client(c);
}

static void an_end_without_close_notify_in_a_body_is_no_request(void **state)
{
    (void)state;
    client *c = connect_client();
    say(c, "POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_int_equal(r.requests, 1);
    shutdown(c->fd, SHUT_WR);
    rig_turn(&r, 5);
    assert_int_equal(r.abandoned, 1);
    assert_int_equal(conn_pool_count(r.pool), 0);
    close_client(c);
}

static void a_silent_or_slow_handshake_is_cut(void **state)
{
    (void)state;
    int silent = connect_raw(), slow = connect_raw();
    assert_int_equal(send(slow, "\026\003\001", 3, 0), 3);
    clock_advance(11000);
    rig_turn(&r, 800);
    assert_int_equal(conn_pool_count(r.pool), 0);
    close(silent);
    close(slow);
}

static void plain_http_on_the_tls_port_is_told_and_closed(void **state)
{
    (void)state;
    rig_answer a = {0};
    int fd = connect_raw();
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    rig_send(&r, fd, &a, text, sizeof text - 1, sizeof text);
    rig_pump(&r, fd, &a, 5);
    assert_true(a.closed);
    assert_int_equal(r.requests, 0);
    assert_int_equal(conn_pool_count(r.pool), 0);
    close(fd);
    free(a.data);
}

static void a_peer_that_vanishes_in_the_handshake_leaves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = connect_raw();
        if (i % 2)
            assert_int_equal(send(fd, "\026\003\001\002\000\001", 6, 0), 6);
        if (i % 3)
            rig_turn(&r, 1);
        close(fd);
    }
    rig_turn(&r, 5);
    assert_int_equal(conn_pool_count(r.pool), 0);
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(requests_are_answered_and_kept_alive),
        SPEC(nothing_is_said_in_the_clear_when_no_session_can_be_made),
        SPEC(close_says_goodbye),
        SPEC(frames_reach_a_stream_in_order),
        SPEC(a_client_that_is_behind_costs_references_and_gets_its_frames_in_order),
        SPEC(an_end_without_close_notify_in_a_body_is_no_request),
        SPEC(a_silent_or_slow_handshake_is_cut),
        SPEC(plain_http_on_the_tls_port_is_told_and_closed),
        SPEC(a_peer_that_vanishes_in_the_handshake_leaves_nothing),
    };
    return cmocka_run_group_tests_name("TLS connections", tests, make_context, drop_context);
}
