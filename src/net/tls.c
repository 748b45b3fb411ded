/* TLS by OpenSSL over a BIO of our own: it reads from the slice that the caller fed and appends to
 * the caller's output, so a session at rest keeps no buffers besides OpenSSL's own (which it
 * releases when they are empty), and no output can be forgotten after a call. Rejected: BIO_s_mem
 * pairs, which copy every byte twice and never shrink.
 *
 *   HANDSHAKE --tls_feed: finished--> READY --tls_feed: close_notify--> PEER_ENDED
 *      \________________\____ any error: FAILED, and nothing but tls_session_free counts
 *
 * A tls_context is an SSL_CTX under another name: OpenSSL counts its references, atomically. Each
 * session holds one. The thread that owns the connection is the only one to touch its session.
 *
 * What must never happen: an SSL call that sees the error queue of an earlier one (it would break
 * another connection, h2o #1448); input left unread after tls_feed; a question for a passphrase on
 * the terminal. */
#include "tls.h"

#include "clock.h"
#include "mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct tls_session {
    SSL *ssl;
    slice in;            /* what is left of the fed ciphertext, during a call */
    buf *out;            /* the caller's output, during a call */
    buf waiting;         /* plaintext written before the handshake was done */
    const char *failure; /* OpenSSL's words, static */
    tls_result state;
};

/* The BIO ------------------------------------------------------------------------------------ */

static int bio_take(BIO *bio, char *data, int room)
{
    tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->in.n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = s->in.n < (size_t)room ? s->in.n : (size_t)room;
    memcpy(data, s->in.p, n);
    s->in.p += n;
    s->in.n -= n;
    return (int)n;
}

static int bio_give(BIO *bio, const char *data, int n)
{
    tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_append(s->out, data, (size_t)n);
    return n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lunacast memory");
    if (bio_method == NULL)
        abort();
    BIO_meth_set_read(bio_method, bio_take);
    BIO_meth_set_write(bio_method, bio_give);
    BIO_meth_set_ctrl(bio_method, bio_control);
}

/* The context -------------------------------------------------------------------------------- */

static SSL_CTX *ctx_of(tls_context *c)
{
    return (SSL_CTX *)c;
}

static int refuse_passphrase(char *text, int size, int writing, void *arg)
{
    (void)text, (void)size, (void)writing, (void)arg;
    return -1;
}

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_n,
                   const unsigned char *offers, unsigned int offers_n, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned int at = 0; at < offers_n; at += 1u + offers[at]) {
        if (slice_eq((slice){(const char *)offers + at + 1, offers[at]}, SLICE("http/1.1"))) {
            *chosen = offers + at + 1;
            *chosen_n = offers[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason != NULL ? reason : "no reason given";
}

static BIO *open_file(const char *what, const char *file, char *error, size_t error_size)
{
    errno = 0;
    BIO *bio = BIO_new_file(file, "r");
    if (bio == NULL)
        snprintf(error, error_size,
                 "TLS %s %s can't be read: %s; check the path and that this user may read it", what,
                 file, errno != 0 ? strerror(errno) : openssl_reason());
    return bio;
}

static bool check_dates(X509 *cert, const char *file, char *error, size_t error_size)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0) {
        snprintf(error, error_size, "TLS certificate %s has expired; renew it", file);
        return false;
    }
    if (X509_cmp_time(X509_get0_notBefore(cert), &now) >= 0) {
        snprintf(error, error_size,
                 "TLS certificate %s is not valid yet; check this machine's clock, or use the "
                 "certificate that is in force now",
                 file);
        return false;
    }
    return true;
}

static bool load_certificate(SSL_CTX *ctx, const char *file, char *error, size_t error_size)
{
    BIO *bio = open_file("certificate", file, error, error_size);
    if (bio == NULL)
        return false;
    BIO_free(bio);
    if (SSL_CTX_use_certificate_chain_file(ctx, file) != 1) {
        snprintf(error, error_size,
                 "TLS certificate %s can't be used: %s; it must be PEM, the server's certificate "
                 "first, then its issuers, with an RSA key of 2048 bits or an EC key",
                 file, openssl_reason());
        return false;
    }
    return check_dates(SSL_CTX_get0_certificate(ctx), file, error, error_size);
}

static bool load_key(SSL_CTX *ctx, const char *file, const char *cert_file, char *error,
                     size_t error_size)
{
    BIO *bio = open_file("key", file, error, error_size);
    if (bio == NULL)
        return false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, NULL);
    BIO_free(bio);
    bool fits = false;
    if (key == NULL)
        snprintf(error, error_size,
                 "TLS key %s can't be used: %s; it must be a PEM private key without a passphrase "
                 "(take one off with: openssl pkey -in %s -out NEW)",
                 file, openssl_reason(), file);
    else if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
        snprintf(error, error_size,
                 "TLS key %s does not belong to certificate %s; name the key that the certificate "
                 "was made for",
                 file, cert_file);
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        snprintf(error, error_size, "TLS key %s can't be used: %s", file, openssl_reason());
    else
        fits = true;
    EVP_PKEY_free(key);
    return fits;
}

static bool set_policy(SSL_CTX *ctx)
{
    /* Client's order of ciphers: all of these are good, and it knows whether it has AES in
     * hardware. TLS 1.3's own three suites are good as they come. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* Resumption by tickets only: a server-side cache would be memory that peers fill. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    static const unsigned char id[] = "lunacast";
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
           SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1) == 1;
}

tls_context *tls_context_new(const char *cert_file, const char *key_file, char *error,
                             size_t error_size)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool good = ctx != NULL && set_policy(ctx);
    if (!good)
        snprintf(error, error_size, "TLS can't be set up: %s", openssl_reason());
    good = good && load_certificate(ctx, cert_file, error, error_size) &&
           load_key(ctx, key_file, cert_file, error, error_size);
    ERR_clear_error();
    if (good)
        return (tls_context *)ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool set_client_policy(SSL_CTX *ctx, bool verify)
{
    static const unsigned char http11[] = "\x08http/1.1";
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_alpn_protos(ctx, http11, sizeof http11 - 1) == 0;
}

static bool load_authorities(SSL_CTX *ctx, const char *file, char *error, size_t error_size)
{
    bool own = file != NULL && *file != '\0';
    BIO *bio = own ? open_file("authorities (client.ca)", file, error, error_size) : NULL;
    if (own && bio == NULL)
        return false;
    BIO_free(bio);
    if ((own ? SSL_CTX_load_verify_file(ctx, file) : SSL_CTX_set_default_verify_paths(ctx)) == 1)
        return true;
    snprintf(error, error_size,
             "TLS authorities (client.ca) %s can't be used: %s; they must be certificates in PEM",
             own ? file : "of the system", openssl_reason());
    return false;
}

tls_context *tls_context_new_client(const char *ca_file, bool verify, char *error,
                                    size_t error_size)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool good = ctx != NULL && set_client_policy(ctx, verify);
    if (!good)
        snprintf(error, error_size, "TLS can't be set up: %s", openssl_reason());
    good = good && (!verify || load_authorities(ctx, ca_file, error, error_size));
    ERR_clear_error();
    if (good)
        return (tls_context *)ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

tls_context *tls_context_hold(tls_context *c)
{
    SSL_CTX_up_ref(ctx_of(c));
    return c;
}

void tls_context_drop(tls_context *c)
{
    SSL_CTX_free(ctx_of(c));
}

/* The session -------------------------------------------------------------------------------- */

static tls_session *new_session(tls_context *c)
{
    pthread_once(&bio_once, make_bio_method);
    tls_session *s = mem_alloc(sizeof *s);
    s->ssl = SSL_new(ctx_of(c));
    BIO *bio = BIO_new(bio_method);
    if (s->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        tls_session_free(s);
        return NULL;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    return s;
}

tls_session *tls_session_new(tls_context *c)
{
    tls_session *s = new_session(c);
    if (s != NULL)
        SSL_set_accept_state(s->ssl);
    return s;
}

/* A name is asked for and must be in the certificate; an address must be there as an address. */
static bool expect_peer(SSL *ssl, const char *host)
{
    struct in6_addr address;
    bool is_address =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    X509_VERIFY_PARAM *rules = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1;
    return SSL_set_tlsext_host_name(ssl, host) == 1 &&
           X509_VERIFY_PARAM_set1_host(rules, host, 0) == 1;
}

tls_session *tls_session_new_client(tls_context *c, const char *host)
{
    tls_session *s = new_session(c);
    if (s == NULL)
        return NULL;
    SSL_set_connect_state(s->ssl);
    if (expect_peer(s->ssl, host))
        return s;
    tls_session_free(s);
    return NULL;
}

void tls_session_free(tls_session *s)
{
    if (s == NULL)
        return;
    SSL_free(s->ssl);
    buf_free(&s->waiting);
    free(s);
}

/* A browser that was given http:// for this port deserves to be told; it can't read an alert. */
static void answer_plain_http(buf *out)
{
    static const char body[] = "This port speaks HTTPS: use https:// in the address.\n";
    buf_format(out,
               "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
               "Connection: close\r\n\r\n%s",
               sizeof body - 1, body);
}

/* What a call that returned no data means. */
static tls_result settle(tls_session *s, int status)
{
    int why = SSL_get_error(s->ssl, status);
    if (why == SSL_ERROR_WANT_READ)
        return s->state = TLS_OK;
    if (why == SSL_ERROR_ZERO_RETURN)
        return s->state = TLS_PEER_ENDED;
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
        (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST))
        answer_plain_http(s->out);
    long verdict = SSL_get_verify_result(s->ssl);
    s->failure = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : openssl_reason();
    ERR_clear_error();
    return s->state = TLS_FAILED;
}

static tls_result encrypt(tls_session *s, slice plain)
{
    size_t written;
    ERR_clear_error();
    int status = plain.n == 0 ? 1 : SSL_write_ex(s->ssl, plain.p, plain.n, &written);
    if (status == 1)
        return TLS_OK;
    /* Our output takes everything and nothing renegotiates: to wait would be to wait for ever. */
    return settle(s, status) == TLS_PEER_ENDED ? TLS_PEER_ENDED : (s->state = TLS_FAILED);
}

static tls_result decrypt(tls_session *s, buf *plain)
{
    for (;;) {
        size_t n = 0;
        char *room = buf_reserve(plain, SSL3_RT_MAX_PLAIN_LENGTH);
        ERR_clear_error();
        int status = SSL_read_ex(s->ssl, room, SSL3_RT_MAX_PLAIN_LENGTH, &n);
        if (status != 1)
            return settle(s, status);
        plain->len += n;
    }
}

tls_result tls_feed(tls_session *s, slice cipher, buf *plain, buf *out)
{
    if (s->state != TLS_OK)
        return s->state;
    s->in = cipher;
    s->out = out;
    tls_result result = decrypt(s, plain);
    if (result == TLS_OK && s->waiting.len > 0 && SSL_is_init_finished(s->ssl)) {
        result = encrypt(s, (slice){s->waiting.data, s->waiting.len});
        buf_free(&s->waiting);
    }
    s->in = (slice){0};
    s->out = NULL;
    return result;
}

tls_result tls_write(tls_session *s, slice plain, buf *out)
{
    if (s->state == TLS_FAILED)
        return TLS_FAILED;
    if (!SSL_is_init_finished(s->ssl)) {
        buf_append_slice(&s->waiting, plain);
        return TLS_OK;
    }
    s->out = out;
    tls_result result = encrypt(s, plain);
    s->out = NULL;
    return result;
}

void tls_shutdown(tls_session *s, buf *out)
{
    if (s->state == TLS_FAILED || !SSL_is_init_finished(s->ssl))
        return;
    s->out = out;
    ERR_clear_error();
    SSL_shutdown(s->ssl);
    ERR_clear_error();
    s->out = NULL;
}

size_t tls_waiting(const tls_session *s)
{
    return s->waiting.len;
}

bool tls_ready(const tls_session *s)
{
    return s->state != TLS_FAILED && SSL_is_init_finished(s->ssl);
}

const char *tls_failure(const tls_session *s)
{
    return s->failure != NULL ? s->failure : "";
}
