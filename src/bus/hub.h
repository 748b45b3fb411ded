/* Topics; from a publisher to every subscriber on every worker (and, with a remote, on every node),
 * in one order per topic. A topic has a newest value, of which a slow subscriber skips some, and
 * messages (hub_meta.log), of which each one goes to each of those who subscribed to them; a topic
 * is used for one of the two. Where its rule keeps a history (hub_rules.h), each message has a
 * position, and who comes back with one gets what it missed.
 *
 *   publish -> hub (lock: order, newest value, who listens) -> mailbox of each worker that listens
 *           -> hub_port on that worker's loop -> encode once per transport -> subscribers
 *
 * With a remote (Redis): publish -> remote -> hub_receive on every node, then the same.
 * One hub per process, one hub_port per worker. The hub's lock is held for a few pointer moves,
 * never while Lua or a system call runs. What must never happen: an older version after a newer
 * one; a topic without subscribers kept past its life. */
#pragma once
#include "bucket.h"
#include "buf.h"
#include "frame.h"
#include "hub_position.h"
#include "hub_rules.h"
#include "list.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct hub hub;
typedef struct hub_port hub_port;
typedef struct hub_topic hub_topic; /* a topic as one worker sees it */
typedef struct hub_subscriber hub_subscriber;

enum {
    HUB_TOPIC_MAX = 255,
    HUB_DATA_MAX = 8 << 20, /* bytes of a value or message from a script */
    /* Messages that wait for a worker, per topic; the oldest are dropped, counted, and told as a
     * gap. */
    HUB_LOG_MESSAGES = 1000,
    HUB_LOG_BYTES = 1 << 20
};

/* What a transport needs of a subscription; embedded in the stream. */
struct hub_subscriber {
    list link;        /* in the topic's list */
    hub_topic *topic; /* NULL: not subscribed */
    const struct hub_transport *transport;
    bool log;              /* subscribed to messages */
    bool replaying;        /* what it is given now comes from the history: it sets the pace */
    bool more;             /* of a gap that is told now: messages follow at once */
    hub_position position; /* of the last message it took; none: the topic keeps no history */
    bucket rate;           /* of the topic's rule, for messages */
    bool over_rate;        /* it was told that some are left out */
    uint64_t waits_for;    /* of what the hub asks the remote before it can begin */
    uint32_t wanted;       /* hub_log_start.history, until it has begun */
};

/* What `begun` says of a subscriber that came with a position. */
typedef enum {
    HUB_FROM_NOW,     /* it came without one */
    HUB_RECOVERED,    /* all that it missed follows */
    HUB_NOT_RECOVERED /* something is lost for good; the newest follows */
} hub_recovery;

/* Of a position, when these are the newest one and the offset of the oldest that is kept. */
hub_recovery hub_recovery_of(hub_position since, hub_position newest, uint64_t first);

/* One per transport (mixed, sse, ws): how a value looks on the wire and how a subscriber takes it.
 */
typedef struct hub_transport {
    const char *name;
    /* Encodes for this transport; one call per value and worker. NULL: memory is out. */
    frame *(*encode)(slice topic, const frame *data, uint64_t version, hub_position position);
    /* The encoded value; the subscriber holds its own reference if it keeps it. May unsubscribe. */
    void (*deliver)(hub_subscriber *s, frame *encoded, uint64_t version);
    /* The topic has ended (deleted, expired): the subscriber is unsubscribed already. */
    void (*end)(hub_subscriber *s, slice topic);
    int index; /* 0 .. HUB_TRANSPORTS-1, the slot of the encoded cache */
    /* For hub_subscribe_log; NULL where there is none. The next messages of the topic, in order;
     * may unsubscribe, and returns n then. Less than n (a topic with history only): the subscriber
     * took so many and gets the others from the history after hub_resume. */
    size_t (*messages)(hub_subscriber *s, frame *const *encoded, size_t n);
    /* So many messages (0: nobody knows) were lost before the next one. */
    void (*gap)(hub_subscriber *s, uint64_t lost);
    /* Once, before all messages, of a topic with history: they follow on `at`. Before
     * hub_subscribe_log returns, or later when the remote has to be asked. May be NULL. */
    void (*begun)(hub_subscriber *s, hub_position at, hub_recovery recovery);
} hub_transport;

enum { HUB_TRANSPORTS = 9 };

typedef struct {
    uint32_t max_fps;       /* deliveries per topic and second; 0: no limit */
    uint64_t keep_alive_ms; /* the newest value is delivered again after this silence */
    size_t history_bytes;   /* of all histories of the process together */
} hub_options;

/* status 0, or -1 when the remote could not be reached. */
typedef void (*hub_published)(void *ctx, int status, hub_position position);

/* Pages of what a topic has kept. */
enum { HUB_PAGE_MAX = 1000 };

typedef struct {
    const hub_message *items;
    size_t n;
    hub_position position; /* of the newest message that there was; none: no history is kept */
    hub_past past;         /* of its epoch */
    hub_recovery recovery; /* of the position that was asked for */
} hub_history_page;

/* Once; -1: the remote is away. The page lives during the call. */
typedef void (*hub_history_done)(void *ctx, int status, const hub_history_page *page);

typedef struct {
    hub_position since; /* what follows on it; none, or of another epoch: all */
    size_t limit;       /* the newest so many of these, unless `oldest` */
    bool oldest;
    /* By a node that follows the topic: where there is nothing yet, its history begins, and so it
     * does when the remote has less than `since`. */
    bool follows;
    uint64_t epoch;  /* one that was never used */
    uint64_t age_ms; /* of the rule */
} hub_remote_query;

/* The link to other nodes; implemented over Redis (redis_bus.c). All calls from any worker's
 * thread. */
typedef struct hub_remote {
    void (*join)(void *arg, slice topic); /* this node now listens; then hub_joined */
    void (*leave)(void *arg, slice topic);
    /* payload is opaque to the remote. done(ctx, status) once, on port's loop; status 0 or -1. */
    void (*publish)(void *arg, hub_port *from, slice topic, slice payload, hub_published done,
                    void *ctx);
    /* A message of a topic that keeps a history: in one step it gets its position, is kept, and
     * goes to all nodes (hub_receive_kept). epoch: for a topic that has none. */
    void (*keep)(void *arg, hub_port *from, slice topic, slice data, const hub_rule *rule,
                 uint64_t epoch, hub_published done, void *ctx);
    /* What is kept, the oldest first; done on from's loop. */
    void (*read)(void *arg, hub_port *from, slice topic, const hub_remote_query *query,
                 hub_history_done done, void *ctx);
    void *arg;
    /* What `publish` calls the topic there. */
    void (*channel)(void *arg, slice topic, buf *out);
} hub_remote;

hub *hub_new(const hub_options *options);
void hub_set_pace(hub *h, uint32_t max_fps, uint64_t keep_alive_ms); /* from any thread */
void hub_set_remote(hub *h, const hub_remote *remote);               /* before the first port */
void hub_free(hub *h);                                               /* after all ports */
/* Takes the rules over, in place of those that were there; r is empty after. */
void hub_set_rules(hub *h, hub_rules *r);
hub_rule hub_rule_of(hub *h, slice topic);

/* From the remote, any thread. */
void hub_receive(hub *h, slice topic, slice payload);
void hub_receive_kept(hub *h, slice topic, slice data, hub_position position, int64_t time_ms);
/* A message to `topic`, for those who follow the pattern. */
void hub_receive_for(hub *h, slice pattern, slice topic, frame *data, hub_position position);
/* What hub_receive gets: the message of a payload; NULL: it is none. */
frame *hub_message_of(slice payload);
void hub_joined(hub *h, slice topic);
/* The link was lost, and is back with all topics joined again: every live topic is refreshed, since
 * messages may have been missed (hub_on_refresh). */
void hub_relinked(hub *h);
/* Calls fn for each topic this node listens to, under the hub's lock: fn copies and returns. */
void hub_each_topic(hub *h, void (*fn)(slice topic, void *arg), void *arg);

hub_port *hub_port_new(hub *h, uv_loop_t *loop);
void hub_port_close(hub_port *p); /* freed when its handles are closed */
hub *hub_of(hub_port *p);
/* Upward: the newest values of these topics must be read again from the store and published with
 * hub_publish_local. Called on one worker of the process. */
void hub_on_refresh(hub_port *p, void (*fn)(slice topic, void *arg), void *arg);
/* On that worker: the store could not be read; fn is called again with the second's tick. */
void hub_refresh_again(hub_port *p, slice topic);
/* Delivers what lies in the mailbox and what became due; also driven by the port's own handles. */
void hub_port_run(hub_port *p);

typedef struct {
    uint64_t version; /* the topic's value is replaced only by a higher one; 0: one more than now */
    uint64_t ttl_ms;  /* the topic ends after this time; 0: never */
    bool ended;       /* no value: the topic ends for all subscribers */
    bool log;         /* a message and not the newest value */
} hub_meta;

/* Takes its own reference on data. done may be NULL; it is called once, on p's loop, maybe at once.
 */
void hub_publish(hub_port *p, slice topic, frame *data, hub_meta meta, hub_published done,
                 void *ctx);
/* What hub_publish would send of a value to the remote, for who sends it there with something else
 * in one step. False: there is no remote, or the value has no version. */
bool hub_compose(hub *h, slice topic, slice data, hub_meta meta, buf *channel, buf *payload);
/* This node only: a value that was read from the store. */
void hub_publish_local(hub_port *p, slice topic, frame *data, hub_meta meta);

/* Keeps the topic live on this node, so that a value read from the store after on_ready can't miss
 * an update. on_ready(arg, 0) once on p's loop, maybe at once; -1: the remote is away. Watching
 * lasts until hub_unwatch, or 30 s when forgotten. */
typedef struct hub_watch hub_watch;
hub_watch *hub_watch_start(hub_port *p, slice topic, void (*on_ready)(void *arg, int status),
                           void *arg);
/* The same, and the node knows of all messages up to now, so that it can be said of a client that
 * had got to `since` on any node whether it missed some. */
hub_watch *hub_watch_since(hub_port *p, slice topic, hub_position since,
                           void (*on_ready)(void *arg, int status), void *arg);
void hub_unwatch(hub_watch *w);
/* The same at leisure (a finalizer must not touch the loop): gone within a second. */
void hub_watch_forget(hub_watch *w);

/* The newest value of a live topic: a reference for the caller, or NULL. */
frame *hub_latest(hub_port *p, slice topic, uint64_t *version);

/* Joins the topic; when it has a value, s gets it through deliver, before this returns or in the
 * same turn of the worker. */
void hub_subscribe(hub_port *p, slice topic, hub_subscriber *s, const hub_transport *transport);
typedef struct {
    hub_position since; /* the last message that it has; none: it has none */
    uint32_t history; /* so many of the newest ones first, when it has none or they don't follow */
    bool watched;     /* hub_watch_since has made sure that the node knows what there is */
} hub_log_start;

/* A name that ends in a star is a pattern: all topics that begin so, without a history.
 * Joins for the messages to come: each one, in order, none twice. What it missed comes in the
 * worker's next turn, so that the caller can write something before it. start may be NULL. */
void hub_subscribe_log(hub_port *p, slice topic, hub_subscriber *s, const hub_transport *transport,
                       const hub_log_start *start);
/* It takes messages again, after `messages` returned less than it was given. */
void hub_resume(hub_subscriber *s);
/* Is there room to subscribe to this name? Only patterns ("news.*") are bounded in number. */
bool hub_pattern_room(hub *h, slice topic);
void hub_unsubscribe(hub_subscriber *s); /* harmless when not subscribed */
/* The name of the topic that s is subscribed to; it lives as long as the subscription. */
slice hub_topic_of(const hub_subscriber *s);
size_t hub_subscriber_count(hub *h, slice topic);

/* History ----------------------------------------------------------------------------------- */

typedef struct {
    hub_position since; /* only what follows on it; none: all that there is */
    size_t limit;       /* up to HUB_PAGE_MAX */
    bool reverse;       /* the newest first */
} hub_history_query;

/* done on p's loop, maybe at once. */
void hub_read_history(hub_port *p, slice topic, const hub_history_query *query,
                      hub_history_done done, void *ctx);
