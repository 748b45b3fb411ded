/* A listening socket of one worker. TCP listeners are opened once per worker with SO_REUSEPORT, so
 * that the kernel spreads connections; a unix socket is opened once and shared by descriptor. */
#pragma once
#include "conn.h"

typedef struct listener listener;

/* An address from the config: "127.0.0.1:3000", "[::1]:3000", ":3000" or "*:3000" (all addresses,
 * both families), "localhost:3000", "unix:/run/lunacast.sock". */
typedef struct {
    char host[256]; /* or the socket's path */
    uint16_t port;  /* 0: the kernel picks */
    bool picked;    /* set by listen_open: it did */
    bool is_unix;
    bool tls;
    unsigned mode; /* of a unix socket; 0: what the umask leaves */
    bool opened; /* set by listen_open: the port is ours, and further sockets of it may be opened */
} listen_address;

/* 0, or -1 with a message that says what is wrong and what would be right. */
int listen_parse(const char *text, listen_address *address, char *error, size_t error_size);

/* Binds and listens. With port 0, address->port is set to the port that was picked, so that the
 * next worker binds the same. The descriptor, or -1 with a message: a taken port names the port and
 * `ss -ltnp 'sport = :PORT'`, the command that shows who holds it. A stale unix socket file (nobody
 * answers) is replaced; a live one is an error. */
int listen_open(listen_address *address, char *error, size_t error_size);

/* Accepts on fd, which it takes over and closes in listener_stop (so that the kernel refuses
 * further connections at once). on_conn gets each new connection with no owner yet: it must
 * conn_set_owner or close it. refusal: the worker is at max_conns, or the client at per_address,
 * and this one is from a reserve of 32: say 503 with this text and close; NULL: serve it. A client
 * that has used up its own reserve is cut without a word. With the reserve used up, or out of
 * descriptors, the listener pauses 100 ms instead of spinning, and logs it once a second at most.
 * tls: a reference is taken. */
listener *listener_start(conn_pool *pool, int fd, struct tls_context *tls,
                         void (*on_conn)(conn *c, const char *refusal, void *arg), void *arg);
void listener_set_tls(listener *l, struct tls_context *tls);
/* Gives on_conn what waits in the backlog, then stops accepting and closes its handles; freed in
 * the last close callback. */
void listener_stop(listener *l);
