/* Publish/subscribe on a lunacast server, for programs in C. One client is one WebSocket connection
 * that comes back by itself, with its subscriptions: where the server keeps a history nothing is
 * missed, and where something was, on_gap says so.
 *
 *     lunacast_options options = {.loop = loop, .url = "ws://localhost:8080/ws", .name = "ann"};
 *     lunacast *client;
 *     if (lunacast_new(&client, &options) != LUNACAST_OK) ...
 *     lunacast_subscribe(client, "news", &(lunacast_interest){.on_message = show}, NULL);
 *     lunacast_publish(client, "news", NULL, "{\"any\":\"JSON\"}", 14);
 *     lunacast_connect(client);
 *     uv_run(loop, UV_RUN_DEFAULT);
 *
 *     CLOSED --lunacast_connect--> CONNECTING --open--> OPEN --lost--> WAITING
 *                                       ^                                 |
 *                                       '--------------delay--------------'
 *     any --lunacast_close, revoked, kicked, a token refused that nobody can renew--> CLOSED
 *
 * Threads: everything happens on the thread of the loop; no function may be called from another.
 * Texts: UTF-8. `const char *` parameters end with NUL and are copied; what a callback is given
 * lives until it returns. JSON goes in and comes out as text: bring your own reader of payloads.
 * Callbacks may call every function here, lunacast_free included.
 * Signals: a program that writes to sockets ignores SIGPIPE (`signal(SIGPIPE, SIG_IGN)`). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lunacast lunacast;
typedef struct lunacast_subscription lunacast_subscription;

/* What functions return: 0, or one of these. */
typedef enum {
    LUNACAST_OK = 0,
    LUNACAST_BAD_URL = -1,      /* not ws://, wss://, http:// or https://, or not a URL */
    LUNACAST_BAD_ARGUMENT = -2, /* a needed one is missing, or holds what it can't */
    LUNACAST_BAD_JSON = -3,     /* not one JSON value */
    LUNACAST_TOO_LARGE = -4,    /* larger than max_message */
    LUNACAST_FULL = -5,         /* the queue of outgoing messages, or of questions, is full */
    LUNACAST_CLOSED = -6,       /* there is no connection (questions), or there will be none */
    LUNACAST_TWICE = -7,        /* there is a subscription to this topic in this session */
    LUNACAST_NO_TOKEN = -8,     /* there is no on_token to ask, and nobody has logged in */
    LUNACAST_TIMEOUT = -9,      /* the server did not answer in ask_ms */
    LUNACAST_BAD_TLS = -10,     /* the certificates of ca_file can't be used */
    LUNACAST_BAD_KEY = -11,     /* not a key, or not a set of keys (JWKS) */
    LUNACAST_NOT_SEALED = -12,  /* the payload came in the clear */
    LUNACAST_NOT_OPENED = -13,  /* not sealed with this key for this topic, or changed */
    LUNACAST_REPLAY = -14,      /* the payload has come before */
} lunacast_code;

/* The code in words, for people. Never NULL; not to be freed. */
const char *lunacast_text(int code);

typedef enum {
    LUNACAST_IS_CLOSED,
    LUNACAST_CONNECTING,
    LUNACAST_OPEN,
    LUNACAST_WAITING
} lunacast_state;

/* `size` bytes, without a NUL. data is NULL where there is none. */
typedef struct {
    const char *data;
    size_t size;
} lunacast_bytes;

/* What happens to a message for which the queue has no room. */
typedef enum {
    LUNACAST_REFUSE,      /* lunacast_publish returns LUNACAST_FULL */
    LUNACAST_DROP_OLDEST, /* the oldest published message makes room; lunacast_dropped counts it */
} lunacast_overflow;

/* Messages between this client and the server, below TLS or without it (docs/protocol.md, "Sealed
 * connections"): every connection has keys of its own, agreed on by this curve. */
typedef enum { LUNACAST_IN_THE_CLEAR, LUNACAST_SEAL_P256, LUNACAST_SEAL_X25519 } lunacast_seal;

/* Zero is the default everywhere. Texts are copied by lunacast_new. */
typedef struct {
    uv_loop_t *loop;     /* needed; must outlive the client */
    const char *url;     /* needed: "wss://example.org/ws" */
    const char *name;    /* of this client; NULL: none */
    const char *session; /* its session; NULL: the server's choice */
    bool token_in_query; /* the token goes into the URL (which ends up in logs), not a header */
    const char *ca_file; /* PEM file of the authorities to trust; NULL: the system's */
    bool insecure;       /* any certificate will do: for trials only */

    lunacast_seal seal;    /* LUNACAST_IN_THE_CLEAR */
    const char *seal_keys; /* JWKS: only a server that proves to have one of these; NULL: any */

    size_t queue_messages;      /* that wait to be sent; 1000 */
    size_t queue_bytes;         /* the same in bytes; 4 MiB */
    lunacast_overflow overflow; /* LUNACAST_REFUSE */
    size_t max_message;         /* bytes of a message, either way; 1 MiB */

    unsigned connect_ms;   /* until the connection is open; 10,000 */
    unsigned ping_ms;      /* between pings; 25,000 */
    unsigned pong_ms;      /* until a silent server is given up; 10,000 */
    unsigned ask_ms;       /* until a question counts as not answered; 10,000 */
    unsigned delay_ms;     /* bound of the first random delay before a reconnect; it doubles; 500 */
    unsigned delay_max_ms; /* up to this; 30,000 */
    unsigned busy_ms;      /* at least so long when the server says that it is too much; 5,000 */

    void *user; /* given to the callbacks below; each may be NULL */
    void (*on_state)(void *user, lunacast_state state);
    /* What went wrong: a stable word ("forbidden", "expired", "refused", "connect" ...; of a
     * sealed connection also "not_sealed", "not_opened", "replay", "out_of_order", "bad_key",
     * "untrusted") and words for people. The client goes on by itself, unless its state says
     * CLOSED. */
    void (*on_error)(void *user, const char *code, const char *text);
    /* Messages were missed: of a topic in a session, or (topic NULL) maybe of any without a
     * history. lost: how many, or -1. */
    void (*on_gap)(void *user, const char *topic, const char *session, int64_t lost);
    /* A token is needed: there is none, four fifths of its life are over, or the server refused
     * it. Answer with lunacast_set_token, now or later; the connection waits for it. Not called
     * after lunacast_login. NULL: that, or the token that was set is the only one. */
    void (*on_token)(void *user, lunacast *client);
} lunacast_options;

/* Makes a client, CLOSED. The caller owns it and frees it by lunacast_free. BAD_ARGUMENT, BAD_URL,
 * BAD_TLS, BAD_KEY (seal_keys): *out is NULL. */
int lunacast_new(lunacast **out, const lunacast_options *options);

/* The end at once: no callback is called any more, all subscriptions are gone. The memory goes when
 * the loop has closed the handles: run the loop once more before closing it. NULL is allowed. */
void lunacast_free(lunacast *client);

/* Begins to connect, at the next turn of the loop. OK also when it is on its way already. */
int lunacast_connect(lunacast *client);

/* Sends what waits, says good-bye and stays CLOSED. Subscriptions stay for the next
 * lunacast_connect. Without a connection, what waits to be sent is dropped. */
void lunacast_close(lunacast *client);

lunacast_state lunacast_get_state(const lunacast *client);

/* The server's id of the sealed connection; NULL: there is none. The client's, until the connection
 * ends. */
const char *lunacast_sealed(const lunacast *client);

/* Topics ------------------------------------------------------------------------------------ */

typedef struct {
    const char *topic;      /* of a pattern: the one it was published to */
    const char *session;    /* that the message names; NULL: none */
    const char *publisher;  /* NULL: the message names none */
    const char *position;   /* for `since`; NULL: the topic keeps no history */
    lunacast_bytes payload; /* JSON; no data: what was published has no member payload */
    lunacast_bytes json;    /* all that was published, JSON */
    bool base64;            /* it was no text: json is a string of base64 */
    lunacast_subscription *subscription;
} lunacast_message;

/* Of a subscription. Zero is the default; texts are copied. */
typedef struct {
    const char *session; /* NULL: the client's */
    const char *since;   /* the position to go on from; implies resume */
    unsigned history;    /* so many of the newest messages first (1,000 at most); implies resume */
    bool resume;         /* after a reconnect go on at the last position */
    bool presence;       /* be present in the topic, and be told of the others; implies resume */
    void *user;
    void (*on_message)(void *user, const lunacast_message *message); /* needed */
    /* JSON as docs/protocol.md has it: {"members","count"}, or a join or leave by its "type". */
    void (*on_presence)(void *user, lunacast_bytes event);
} lunacast_interest;

/* Subscribes, now or as soon as there is a connection, and again after each reconnect. A topic that
 * ends in '*' stands for all that begin so. A message that names no session is for all
 * subscriptions of its topic, and comes once where they have the same on_message and user. *out
 * (may be NULL) is the client's: it lives until lunacast_unsubscribe or lunacast_free.
 * BAD_ARGUMENT, TWICE, FULL (more than 128), CLOSED. What the server refuses comes by on_error. */
int lunacast_subscribe(lunacast *client, const char *topic, const lunacast_interest *interest,
                       lunacast_subscription **out);

/* The end of a subscription; the pointer is not valid any more, its callbacks come no more. */
void lunacast_unsubscribe(lunacast_subscription *subscription);

/* The position of the last message, to be kept for another day; NULL: there is none. The text is
 * the client's and lives until the next message. */
const char *lunacast_position(const lunacast_subscription *subscription);

/* Of the last (re)connect: 1 nothing was missed, 0 something was, -1 nobody knows. */
int lunacast_recovered(const lunacast_subscription *subscription);

/* Publishes `size` bytes of JSON, or queues them while there is no connection. session NULL: the
 * client's. A message counts as sent when the system has taken it: a connection that breaks then
 * may lose it. BAD_ARGUMENT, BAD_JSON, TOO_LARGE, FULL, CLOSED (after
 * lunacast_close). */
int lunacast_publish(lunacast *client, const char *topic, const char *session, const char *payload,
                     size_t size);

/* Messages that wait to be sent, and those that LUNACAST_DROP_OLDEST has dropped. */
size_t lunacast_waiting(const lunacast *client);
uint64_t lunacast_dropped(const lunacast *client);

/* This client's data in the presence of its topics: JSON, "null" for none; said again after each
 * reconnect. BAD_JSON, TOO_LARGE, FULL. */
int lunacast_set_data(lunacast *client, const char *json, size_t size);

/* Pictures ---------------------------------------------------------------------------------- */

/* A live picture's SVG, now and whenever it changes. No data: it is not there, and `code` says why
 * ("not_found": there is none, or no more); it is asked for again after a reconnect. */
typedef void (*lunacast_picture)(void *user, const char *path, lunacast_bytes svg,
                                 const char *code);

/* Follows the picture of a stream ("/stream/lamp", "/stream/ann/lamp"), now or as soon as there is
 * a connection, and again after each reconnect. BAD_ARGUMENT, TWICE, FULL (more than 128). */
int lunacast_watch(lunacast *client, const char *path, lunacast_picture picture, void *user);

/* The end of that; harmless when there is none of that path. */
void lunacast_unwatch(lunacast *client, const char *path);

/* Questions --------------------------------------------------------------------------------- */

/* The answer, once: code OK and the server's answer (JSON, docs/protocol.md), or CLOSED or TIMEOUT
 * and none. Not called after lunacast_free. What the server refuses comes by on_error, and here as
 * TIMEOUT. */
typedef void (*lunacast_answer)(void *user, int code, lunacast_bytes answer);

/* Who is there. CLOSED, FULL (64 wait already), BAD_ARGUMENT. */
int lunacast_presence(lunacast *client, const char *topic, const char *session,
                      lunacast_answer answer, void *user);

/* What was published, the oldest first: after `since` (NULL: all that is kept), up to `limit`
 * messages (0: 100). */
int lunacast_history(lunacast *client, const char *topic, const char *session, const char *since,
                     unsigned limit, lunacast_answer answer, void *user);

/* Tokens ------------------------------------------------------------------------------------ */

/* The token from now on: an open connection goes on with it (it must be of the same user, session
 * and tenant), later ones open with it. expires_in: seconds that it lives; 0: not known, it counts
 * as good until the server refuses it. BAD_ARGUMENT: characters that no token
 * has. FULL: it is for the next connection only, since the queue is full. */
int lunacast_set_token(lunacast *client, const char *token, unsigned expires_in);

/* From now on tokens are fetched from the server, by POST /auth/token: when there is none (also
 * before the first connection), before one expires, and when one was refused; now, where there is a
 * connection. The token of before is forgotten. session: that the tokens are bound to; NULL: none.
 * The texts are copied, and wiped by lunacast_clear_token and lunacast_free. BAD_ARGUMENT.
 *
 * What goes wrong comes by on_error: "wrong_password" and "invalid" (the client is CLOSED then,
 * unless it was open with an older token), another word of the server, "bad_answer" (not JSON, or
 * no token in it), "connect", "tls", "lost", "timeout": it tries again, as with connections. */
int lunacast_login(lunacast *client, const char *user, const char *password, const char *session);

/* Asks for a token, by lunacast_login's words or on_token, as if the one at hand were about to
 * expire. NO_TOKEN: there is nobody to ask. */
int lunacast_refresh_token(lunacast *client);

/* Forgets the token, and the login; an open connection keeps the token that it was opened with. */
void lunacast_clear_token(lunacast *client);

/* The token, NULL: there is none. The client's, until the next call that changes it. */
const char *lunacast_get_token(const lunacast *client);

/* There is a token, and its life is not over. */
bool lunacast_is_authenticated(const lunacast *client);

/* End to end -------------------------------------------------------------------------------- */

/* A key that clients share and the server does not have (docs/protocol.md, "End to end"): what is
 * published is sealed before, and opened in on_message. The caller owns keys and pairs, which
 * belong to no client. */
typedef struct lunacast_key lunacast_key;

/* From a text that lunacast_key_text gave; text NULL: a new one. BAD_KEY: *out is NULL. */
int lunacast_key_new(lunacast_key **out, const char *text);
/* Wipes it. NULL is allowed. */
void lunacast_key_free(lunacast_key *key);
/* The key, for those who are to share it. The text is the key's. */
const char *lunacast_key_text(const lunacast_key *key);

/* Seals a payload of JSON for that topic: *out is what to publish instead. It is the key's, until
 * its next call. BAD_JSON; BAD_KEY: this key has sealed enough (2^32 payloads). */
int lunacast_key_seal(lunacast_key *key, const char *topic, const char *payload, size_t size,
                      lunacast_bytes *out);
/* Opens a message's payload: *out is the JSON that was sealed. It is the key's, until its next
 * call. From each sender payloads are taken in their order, each once in each subscription; of more
 * than 1,000 of them the longest silent is forgotten. NOT_SEALED, NOT_OPENED, REPLAY: *out is
 * empty. */
int lunacast_key_open(lunacast_key *key, const lunacast_message *message, lunacast_bytes *out);

/* A key pair, by which two clients come to a shared key: each tells the other the public half. */
typedef struct lunacast_pair lunacast_pair;
lunacast_pair *lunacast_pair_new(lunacast_seal curve);
void lunacast_pair_free(lunacast_pair *pair); /* NULL is allowed */
/* The text is the pair's. */
const char *lunacast_pair_public(const lunacast_pair *pair);
/* The key shared with the owner of that public half. BAD_KEY: it is none of this curve. */
int lunacast_pair_agree(const lunacast_pair *pair, const char *other, lunacast_key **out);

#ifdef __cplusplus
}
#endif
