/* What the files of the client share. client.c owns the connection and the states, inbox.c sorts
 * what comes, topics.c has the subscriptions, pictures.c the live pictures, queue.c what waits to
 * be sent, ask.c the questions, token.c the token and where it comes from, sealing.c the keys of a
 * sealed connection. shared_key.c (end to end) belongs to no client. */
#pragma once
#include "agree.h"
#include "buf.h"
#include "fetch.h"
#include "jwk.h"
#include "lunacast.h"
#include "message.h"
#include "seal.h"
#include "wire.h"

enum { SUBSCRIPTIONS_MAX = 128, ASKS_MAX = 64, PATH_MAX_BYTES = 512 };

typedef struct queued queued;
typedef struct ask ask;
typedef struct picture picture;

struct lunacast_subscription {
    lunacast *client;
    lunacast_subscription *next;
    lunacast_interest interest; /* its texts are owned */
    char *topic, *session;
    char *channel;  /* the server's word for it; NULL: not known yet */
    char *position; /* where a reconnect goes on */
    bool seen;      /* position is that of a message which was delivered */
    bool gone;      /* unsubscribed inside a callback: freed when that has returned */
    int recovered;
};

struct lunacast {
    lunacast_options options; /* its texts are owned */
    url_parts url;
    char *url_text;
    tls_context *tls;
    lunacast_state state;
    wire *wire;
    bool stopped, freed, token_wanted;
    bool token_newer; /* than the one that the connection under way was begun with */
    bool beginning;   /* what opens a connection goes out before what waits */
    unsigned handles, attempts, opened;
    uv_timer_t wait, refresh, asking;
    lunacast_subscription *subscriptions, *gone;
    unsigned subscribed, calls; /* calls: callbacks that have not returned */
    picture *pictures, *unwatched;
    unsigned watched;
    queued *first, *last;
    size_t queued, queued_bytes;
    uint64_t dropped;
    ask *asks, *asks_last;
    unsigned asked;
    char *data;              /* lunacast_set_data's */
    char *token, *login;     /* login: what is posted for a token; NULL: nobody has logged in */
    fetch *fetch;            /* of a token; NULL: none is under way */
    agree_pair *pair;        /* of the agreement under way */
    seal_channel *channel;   /* NULL: nothing is sealed yet */
    char *sealed_as;         /* the server's id of the connection */
    jwk_set *trusted;        /* NULL: every server is */
    uint64_t expires, renew; /* loop time, ms; UINT64_MAX: not known */
};

/* client.c */
void client_connect(lunacast *c); /* with the token at hand */
/* There will be no token now: for good, or until a later attempt. */
void client_no_token(lunacast *c, bool for_good);
void client_error(lunacast *c, const char *code, const char *text);
void client_gap(lunacast *c, const char *topic, const char *session, int64_t lost);
char *client_copy(const char *text); /* NULL for NULL */
void client_copy_into(const char **text);
void client_free_text(const char *text);
bool client_text_valid(const char *text, size_t max, bool needed);

/* inbox.c: one message of the server, in the clear. */
void inbox_take(lunacast *c, slice text);

/* sealing.c: all that goes to the server passes sealing_send, sealed where there are keys. */
void sealing_begin(lunacast *c);             /* says hello */
bool sealing_agree(lunacast *c, slice text); /* false: that was no answer to it; it is over */
void sealing_send(lunacast *c, slice text);
void sealing_open(lunacast *c, slice text);
void sealing_end(lunacast *c); /* keys go with their connection */
bool sealing_trust(lunacast *c, const char *keys);
void sealing_free(lunacast *c);
size_t sealing_size(const lunacast *c, size_t plain); /* what so many bytes are on the wire */

/* queue.c: a command is dropped with its connection, a publication waits for the next one. */
int queue_send(lunacast *c, slice text, bool command);
void queue_pump(lunacast *c);
void queue_flush(lunacast *c); /* all of it, before a good-bye */
void queue_drop_commands(lunacast *c);
void queue_clear(lunacast *c);

/* topics.c */
void topics_begin(lunacast *c); /* the connection is open */
bool topics_all_resume(const lunacast *c);
void topics_free(lunacast *c);
void topics_sweep(lunacast *c);
void topics_subscribed(lunacast *c, const message *m);
void topics_envelope(lunacast *c, const message *m);
void topics_published(lunacast *c, const message *m);
void topics_presence(lunacast *c, const message *m);

/* pictures.c */
void pictures_begin(lunacast *c);
void pictures_free(lunacast *c);
void pictures_sweep(lunacast *c);
void pictures_watching(lunacast *c, const message *m);
bool pictures_envelope(lunacast *c, const message *m); /* false: it is not of a picture */
void pictures_refused(lunacast *c, const message *m, const char *code);

/* ask.c */
bool ask_settle(lunacast *c, const message *m);
void ask_fail_all(lunacast *c, int code);
void ask_free_all(lunacast *c);
void ask_on_timer(uv_timer_t *timer);

/* token.c */
bool token_ready(lunacast *c); /* false: one is asked for, and lunacast_set_token goes on */
bool token_has_source(const lunacast *c);
void token_expire(lunacast *c);
void token_plan(lunacast *c);
void token_stop(lunacast *c); /* no refresh, no fetch */
void token_free(lunacast *c);
