/* TLS 1.2 and 1.3 over memory: bytes in, bytes out, no socket. OpenSSL does the cryptography; this
 * file keeps its rules: the error queue is cleared before every call, reading goes on until
 * WANT_READ, and whatever a call left in the output is taken at once. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>

typedef struct tls_context tls_context; /* certificate and key; counted, shared by threads */
typedef struct tls_session tls_session; /* one connection */

/* PEM files. NULL with a message that names the file and the fault (missing, unreadable, key does
 * not match, expired). ALPN offers http/1.1; session tickets on; renegotiation and 0-RTT off. */
tls_context *tls_context_new(const char *cert_file, const char *key_file, char *error,
                             size_t error_size);
/* For connections that we open: the peer's certificate is checked against ca_file (PEM), or the
 * system's authorities where it is NULL or empty. NULL with a message. */
tls_context *tls_context_new_client(const char *ca_file, bool verify, char *error,
                                    size_t error_size);
tls_context *tls_context_hold(tls_context *c);
void tls_context_drop(tls_context *c);

tls_session *tls_session_new(tls_context *c); /* server side; holds c */
/* Our side opens: `host` is asked for by SNI and must be in the certificate. An empty tls_feed
 * begins the handshake. */
tls_session *tls_session_new_client(tls_context *c, const char *host);
void tls_session_free(tls_session *s);

typedef enum { TLS_OK, TLS_PEER_ENDED, TLS_FAILED } tls_result;
/* Ciphertext from the peer: appends the plaintext to `plain` and what must be sent (handshake,
 * alerts) to `out`, also when it fails. TLS_PEER_ENDED: close_notify came. */
tls_result tls_feed(tls_session *s, slice cipher, buf *plain, buf *out);
/* Plaintext to send: appends ciphertext to `out`. Before the handshake is done the bytes wait
 * inside (the caller's limits bound them) and leave with a later tls_feed. */
tls_result tls_write(tls_session *s, slice plain, buf *out);
/* close_notify. */
void tls_shutdown(tls_session *s, buf *out);
size_t tls_waiting(const tls_session *s); /* plaintext that waits for the handshake */
bool tls_ready(const tls_session *s);     /* the handshake is done */
/* Why the session failed, in OpenSSL's words (for the log); "" when it did not. */
const char *tls_failure(const tls_session *s);
