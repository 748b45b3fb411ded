/* TLS over memory: a server session of ours against an OpenSSL client, no socket between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

static EVP_PKEY *ec_key, *rsa_key;
static cert_pair ec_pair, rsa_pair;
static tls_context *context;

typedef struct {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* the client's */
    tls_session *server;
    buf plain, cipher; /* what the server read; what it has to send */
    buf got;           /* what the client read */
    tls_result last;
    size_t chunk; /* most bytes given to the server at once; 0: random */
    int end;      /* SSL_get_error of the client's last read */
} pair;

static SSL_CTX *client_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    return ctx;
}

static void connect_client(pair *p, SSL_CTX *ctx, tls_context *c)
{
    p->ctx = ctx;
    p->ssl = SSL_new(ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_connect_state(p->ssl);
    p->server = tls_session_new(c);
    p->last = TLS_OK;
    p->chunk = 65536;
}

static void open_pair(pair *p)
{
    memset(p, 0, sizeof *p);
    connect_client(p, client_context(), context);
}

static void close_pair(pair *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    tls_session_free(p->server);
    buf_free(&p->plain);
    buf_free(&p->cipher);
    buf_free(&p->got);
}

static void client_read(pair *p)
{
    char data[4096];
    int n;
    ERR_clear_error();
    while ((n = SSL_read(p->ssl, data, sizeof data)) > 0)
        buf_append(&p->got, data, (size_t)n);
    p->end = SSL_get_error(p->ssl, n);
    ERR_clear_error();
}

static void feed_split(pair *p, const char *data, size_t n)
{
    while (n > 0) {
        size_t part = p->chunk ? p->chunk : 1 + (size_t)rand() % 97;
        part = part < n ? part : n;
        p->last = tls_feed(p->server, (slice){data, part}, &p->plain, &p->cipher);
        data += part;
        n -= part;
    }
}

/* Carries bytes between the two until neither has any. */
static void pump(pair *p)
{
    for (;;) {
        client_read(p);
        char *data;
        size_t n = (size_t)BIO_get_mem_data(p->out, &data);
        size_t back = p->cipher.len;
        if (n == 0 && back == 0)
            return;
        BIO_write(p->in, p->cipher.data, (int)back);
        buf_consume(&p->cipher, back);
        char *copy = malloc(n + 1);
        memcpy(copy, data, n);
        (void)BIO_reset(p->out);
        feed_split(p, copy, n);
        free(copy);
    }
}

static void client_write(pair *p, const char *text, size_t n)
{
    assert_int_equal(SSL_write(p->ssl, text, (int)n), (int)n);
}

static void a_handshake_and_bytes_both_ways(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    assert_false(tls_ready(p.server));
    pump(&p);
    assert_true(tls_ready(p.server));
    client_write(&p, "hello", 5);
    pump(&p);
    assert_int_equal(p.plain.len, 5);
    assert_memory_equal(p.plain.data, "hello", 5);
    assert_int_equal(tls_write(p.server, SLICE("world"), &p.cipher), TLS_OK);
    assert_true(p.cipher.len > 5);
    pump(&p);
    assert_int_equal(p.got.len, 5);
    assert_memory_equal(p.got.data, "world", 5);
    assert_string_equal(tls_failure(p.server), "");
    close_pair(&p);
}

static void exchange_a_mebibyte(int version, size_t chunk)
{
    pair p;
    open_pair(&p);
    p.chunk = chunk;
    SSL_set_max_proto_version(p.ssl, version);
    pump(&p);
    size_t n = chunk == 1 ? 40000 : 1 << 20;
    char *data = malloc(n);
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    client_write(&p, data, n);
    assert_int_equal(tls_write(p.server, (slice){data, n}, &p.cipher), TLS_OK);
    pump(&p);
    assert_int_equal(p.plain.len, n);
    assert_memory_equal(p.plain.data, data, n);
    assert_int_equal(p.got.len, n);
    assert_memory_equal(p.got.data, data, n);
    free(data);
    close_pair(&p);
}

static void any_split_of_the_bytes_gives_the_same_plaintext(void **state)
{
    (void)state;
    srand(20);
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        exchange_a_mebibyte(versions[i], 0);
        exchange_a_mebibyte(versions[i], 1);
        exchange_a_mebibyte(versions[i], 1 << 20);
    }
}

static void bytes_written_before_the_handshake_leave_after_it(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    assert_int_equal(tls_write(p.server, SLICE("early "), &p.cipher), TLS_OK);
    assert_int_equal(tls_write(p.server, SLICE("bird"), &p.cipher), TLS_OK);
    assert_int_equal(p.cipher.len, 0);
    pump(&p);
    assert_int_equal(p.got.len, 10);
    assert_memory_equal(p.got.data, "early bird", 10);
    close_pair(&p);
}

static void close_notify_from_the_peer_is_an_end(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    pump(&p);
    client_write(&p, "last", 4);
    SSL_shutdown(p.ssl);
    pump(&p);
    assert_int_equal(p.last, TLS_PEER_ENDED);
    assert_int_equal(p.plain.len, 4);
    assert_int_equal(tls_feed(p.server, SLICE("junk"), &p.plain, &p.cipher), TLS_PEER_ENDED);
    assert_int_equal(p.plain.len, 4);
    close_pair(&p);
}

static void a_stream_cut_anywhere_is_never_taken_for_an_end(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 60; cut++) {
        pair p;
        open_pair(&p);
        pump(&p);
        client_write(&p, "a body that is cut", 18);
        SSL_shutdown(p.ssl);
        char *data;
        size_t n = (size_t)BIO_get_mem_data(p.out, &data);
        assert_true(n > cut);
        feed_split(&p, data, n - 1 - cut);
        assert_int_equal(p.last, TLS_OK);
        close_pair(&p);
    }
}

static void our_shutdown_reaches_the_peer_as_close_notify(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    pump(&p);
    tls_write(p.server, SLICE("bye"), &p.cipher);
    tls_shutdown(p.server, &p.cipher);
    pump(&p);
    assert_int_equal(p.got.len, 3);
    assert_int_equal(p.end, SSL_ERROR_ZERO_RETURN);
    close_pair(&p);
}

static void a_shutdown_in_the_handshake_sends_nothing_and_leaves_no_error_behind(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    tls_shutdown(p.server, &p.cipher);
    assert_int_equal(p.cipher.len, 0);
    assert_int_equal(ERR_peek_error(), 0);
    close_pair(&p);
}

static void plain_http_is_answered_in_plain_http(void **state)
{
    (void)state;
    buf plain = {0}, out = {0};
    tls_session *s = tls_session_new(context);
    slice request = SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(tls_feed(s, request, &plain, &out), TLS_FAILED);
    buf_cstr(&out);
    assert_non_null(strstr(out.data, "HTTP/1.1 400 Bad Request\r\n"));
    assert_non_null(strstr(out.data, "Connection: close\r\n"));
    assert_string_equal(tls_failure(s), "http request");
    assert_int_equal(plain.len, 0);
    assert_int_equal(tls_write(s, SLICE("x"), &out), TLS_FAILED);
    size_t before = out.len;
    tls_shutdown(s, &out);
    assert_int_equal(out.len, before);
    assert_int_equal(ERR_peek_error(), 0);
    tls_session_free(s);
    buf_free(&plain);
    buf_free(&out);
}

static void junk_fails_and_never_hangs_or_answers_http(void **state)
{
    (void)state;
    static const slice junk[] = {
        {"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10},
        {"\x80\x09\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21},
        {"\x15\x03\x03\x00\x02\x02\x28", 7},
        {"\x17\x03\x03\x00\x04\x00\x00\x00\x00", 9},
        {"\x16\x03\x01\xff\xff\x01\x00\x00\x01\x00", 10},
    };
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        buf plain = {0}, out = {0};
        tls_session *s = tls_session_new(context);
        assert_int_equal(tls_feed(s, junk[i], &plain, &out), TLS_FAILED);
        assert_true(tls_failure(s)[0] != '\0');
        assert_false(out.len > 4 && memcmp(out.data, "HTTP", 4) == 0);
        assert_int_equal(plain.len, 0);
        assert_int_equal(tls_feed(s, SLICE("x"), &plain, &out), TLS_FAILED);
        tls_session_free(s);
        buf_free(&plain);
        buf_free(&out);
    }
}

static void a_damaged_record_fails_with_an_alert(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    pump(&p);
    client_write(&p, "hello", 5);
    char *data;
    size_t n = (size_t)BIO_get_mem_data(p.out, &data);
    data[n - 1] ^= 1;
    feed_split(&p, data, n);
    assert_int_equal(p.last, TLS_FAILED);
    assert_int_equal(p.plain.len, 0);
    assert_true(p.cipher.len > 0);
    assert_int_equal(ERR_peek_error(), 0);
    close_pair(&p);
}

static void an_error_of_one_connection_does_not_break_another(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    pump(&p);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
    client_write(&p, "still fine", 10);
    char *data;
    size_t n = (size_t)BIO_get_mem_data(p.out, &data);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
    feed_split(&p, data, n);
    assert_int_equal(p.last, TLS_OK);
    assert_int_equal(p.plain.len, 10);
    ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
    assert_int_equal(tls_write(p.server, SLICE("yes"), &p.cipher), TLS_OK);
    close_pair(&p);
}

static void old_versions_and_weak_suites_are_refused(void **state)
{
    (void)state;
    pair p;
    int old[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < 2; i++) {
        open_pair(&p);
        SSL_set_min_proto_version(p.ssl, old[i]);
        SSL_set_max_proto_version(p.ssl, old[i]);
        pump(&p);
        assert_int_equal(p.last, TLS_FAILED);
        close_pair(&p);
    }
    const char *weak[] = {"AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"};
    for (size_t i = 0; i < 3; i++) {
        open_pair(&p);
        SSL_set_max_proto_version(p.ssl, TLS1_2_VERSION);
        assert_int_equal(SSL_set_cipher_list(p.ssl, weak[i]), 1);
        pump(&p);
        assert_int_equal(p.last, TLS_FAILED);
        close_pair(&p);
    }
}

static slice negotiated(pair *p, const char *offers, size_t n)
{
    open_pair(p);
    SSL_set_alpn_protos(p->ssl, (const unsigned char *)offers, (unsigned)n);
    pump(p);
    assert_true(tls_ready(p->server));
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(p->ssl, &name, &len);
    return (slice){(const char *)name, len};
}

static void alpn_picks_http_1_1_and_ignores_other_offers(void **state)
{
    (void)state;
    pair p;
    assert_true(slice_eq(negotiated(&p, "\x02h2\x08http/1.1", 12), SLICE("http/1.1")));
    close_pair(&p);
    assert_int_equal(negotiated(&p, "\x02h2", 3).n, 0);
    close_pair(&p);
}

static void renegotiation_is_refused_and_the_connection_lives(void **state)
{
    (void)state;
    pair p;
    open_pair(&p);
    SSL_set_max_proto_version(p.ssl, TLS1_2_VERSION);
    pump(&p);
    SSL_renegotiate(p.ssl);
    SSL_do_handshake(p.ssl);
    char *data;
    size_t n = (size_t)BIO_get_mem_data(p.out, &data);
    feed_split(&p, data, n);
    (void)BIO_reset(p.out);
    assert_int_equal(p.last, TLS_OK);
    assert_true(tls_ready(p.server));
    assert_int_equal(tls_write(p.server, SLICE("here"), &p.cipher), TLS_OK);
    close_pair(&p);
}

static SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

static void a_session_is_resumed_by_ticket_without_early_data(void **state)
{
    (void)state;
    int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        pair p = {0}, q = {0};
        SSL_CTX *ctx = client_context();
        SSL_CTX_set_max_proto_version(ctx, versions[i]);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
        SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
        SSL_CTX_up_ref(ctx);
        connect_client(&p, ctx, context);
        pump(&p);
        assert_false(SSL_session_reused(p.ssl));
        assert_non_null(ticket);
        assert_int_equal(SSL_SESSION_get_max_early_data(ticket), 0);
        SSL_shutdown(p.ssl);
        pump(&p);
        connect_client(&q, ctx, context);
        SSL_set_session(q.ssl, ticket);
        pump(&q);
        assert_true(SSL_session_reused(q.ssl));
        close_pair(&p);
        close_pair(&q);
        SSL_SESSION_free(ticket);
        ticket = NULL;
    }
}

static void a_session_outlives_its_context(void **state)
{
    (void)state;
    char error[256];
    tls_context *c = tls_context_new(rsa_pair.cert, rsa_pair.key, error, sizeof error);
    assert_non_null(c);
    assert_ptr_equal(tls_context_hold(c), c);
    tls_context_drop(c);
    pair p = {0};
    connect_client(&p, client_context(), c);
    tls_context_drop(c);
    pump(&p);
    assert_true(tls_ready(p.server));
    close_pair(&p);
}

static void expect_refusal(const char *cert, const char *key, const char *file, const char *words)
{
    char error[512] = "";
    assert_null(tls_context_new(cert, key, error, sizeof error));
    if (strstr(error, file) == NULL || strstr(error, words) == NULL)
        fail_msg("expected %s and \"%s\" in: %s", file, words, error);
    assert_int_equal(ERR_peek_error(), 0);
}

static void bad_files_are_refused_with_their_name_and_the_remedy(void **state)
{
    (void)state;
    cert_pair p;
    certs_make(&p, ec_key, -7200, -3600);
    expect_refusal(p.cert, p.key, p.cert, "expired; renew it");
    cert_write(p.cert, ec_key, 3600, 7200);
    expect_refusal(p.cert, p.key, p.cert, "not valid yet");
    cert_write(p.cert, ec_key, -3600, 3600);
    expect_refusal(p.cert, "/nonexistent/key.pem", "/nonexistent/key.pem", "No such file");
    expect_refusal("/nonexistent/c.pem", p.key, "/nonexistent/c.pem", "No such file");
    expect_refusal(p.folder, p.key, p.folder, "must be PEM");
    expect_refusal(p.key, p.key, p.key, "must be PEM");
    expect_refusal(p.cert, p.cert, p.cert, "private key");
    key_write(p.key, rsa_key, NULL);
    expect_refusal(p.cert, p.key, p.key, "does not belong");
    EVP_PKEY *other = EVP_EC_gen("P-256");
    key_write(p.key, other, NULL);
    expect_refusal(p.cert, p.key, p.key, "does not belong");
    EVP_PKEY_free(other);
    key_write(p.key, ec_key, "secret");
    expect_refusal(p.cert, p.key, p.key, "passphrase");
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    cert_write(p.cert, weak, -3600, 3600);
    expect_refusal(p.cert, p.key, p.cert, "2048 bits");
    EVP_PKEY_free(weak);
    certs_remove(&p);
}

static int set_up(void **state)
{
    (void)state;
    char error[512];
    ec_key = EVP_EC_gen("P-256");
    rsa_key = EVP_RSA_gen(2048);
    certs_make(&ec_pair, ec_key, -3600, 3600);
    certs_make(&rsa_pair, rsa_key, -3600, 3600);
    context = tls_context_new(ec_pair.cert, ec_pair.key, error, sizeof error);
    return context == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    tls_context_drop(context);
    certs_remove(&ec_pair);
    certs_remove(&rsa_pair);
    EVP_PKEY_free(ec_key);
    EVP_PKEY_free(rsa_key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(a_handshake_and_bytes_both_ways),
        cmocka_unit_test(any_split_of_the_bytes_gives_the_same_plaintext),
        cmocka_unit_test(bytes_written_before_the_handshake_leave_after_it),
        cmocka_unit_test(close_notify_from_the_peer_is_an_end),
        cmocka_unit_test(a_stream_cut_anywhere_is_never_taken_for_an_end),
        cmocka_unit_test(our_shutdown_reaches_the_peer_as_close_notify),
        cmocka_unit_test(a_shutdown_in_the_handshake_sends_nothing_and_leaves_no_error_behind),
        cmocka_unit_test(plain_http_is_answered_in_plain_http),
        cmocka_unit_test(junk_fails_and_never_hangs_or_answers_http),
        cmocka_unit_test(a_damaged_record_fails_with_an_alert),
        cmocka_unit_test(an_error_of_one_connection_does_not_break_another),
        cmocka_unit_test(old_versions_and_weak_suites_are_refused),
        cmocka_unit_test(alpn_picks_http_1_1_and_ignores_other_offers),
        cmocka_unit_test(renegotiation_is_refused_and_the_connection_lives),
        cmocka_unit_test(a_session_is_resumed_by_ticket_without_early_data),
        cmocka_unit_test(a_session_outlives_its_context),
        cmocka_unit_test(bad_files_are_refused_with_their_name_and_the_remedy),
    };
    return cmocka_run_group_tests(specs, set_up, tear_down);
}
