/* What one connection is subscribed to, and what becomes of it when the client reads more slowly
 * than it comes; the same for every transport that carries several topics. The connection embeds
 * it; its rows of hub_transport name the functions below. */
#pragma once
#include "audience.h"
#include "conn.h"
#include "hub.h"

typedef struct subscriptions subscriptions;

typedef struct {
    hub_class kind;
    /* May end the connection (subscriptions_leave). */
    void (*write)(subscriptions *all, frame *f);
    /* For policy "disconnect": false, and the connection has ended, when n bytes more of a topic
     * are too many for the client; a single message over the bound may go when nothing waits. */
    bool (*has_room)(subscriptions *all, slice topic, size_t n);
    /* So many messages (0: nobody knows) of this one's topic are missing before the next. May end
     * the connection. */
    void (*gap)(subscriptions *all, hub_subscriber *s, uint64_t lost);
    /* A topic is over (deleted, expired); it is no longer subscribed to. May be NULL. */
    void (*ended)(subscriptions *all, slice topic, const hub_transport *transport);
} subscriptions_ops;

struct subscriptions {
    list all;
    conn *c;
    hub_port *port;
    const subscriptions_ops *ops;
    audience_member *member; /* whose they are */
    size_t queue;            /* bytes that may wait here, and as many with the connection */
    size_t waiting_bytes;    /* of messages, in all queues here */
    uint16_t count;
    bool closed; /* there will be none any more */
};

enum { SUBSCRIPTIONS_MAX = 128 };

typedef struct {
    bool log;
    bool present;        /* the member is in the topic's room until the subscription ends */
    hub_log_start start; /* of a log */
} subscribing;

typedef struct {
    hub_position at; /* what comes follows on this; none: the topic keeps no history */
    hub_recovery recovery;
} subscribed;

/* The other fields are set by the caller. */
void subscriptions_init(subscriptions *all);
/* Once per topic; again in another way changes it. False: too many. */
bool subscriptions_add(subscriptions *all, slice topic, const hub_transport *transport,
                       const subscribing *how, subscribed *got);
bool subscriptions_remove(subscriptions *all, slice topic); /* false: it was not there */
void subscriptions_leave(subscriptions *all);
/* The client has taken all that was queued. */
void subscriptions_drained(subscriptions *all);
void subscriptions_each(const subscriptions *all, void (*fn)(slice topic, void *arg), void *arg);

/* For hub_transport. */
subscriptions *subscriptions_of(hub_subscriber *s);
void subscriptions_deliver(hub_subscriber *s, frame *encoded, uint64_t version);
size_t subscriptions_messages(hub_subscriber *s, frame *const *encoded, size_t n);
void subscriptions_gap(hub_subscriber *s, uint64_t lost);
void subscriptions_begun(hub_subscriber *s, hub_position at, hub_recovery recovery);
void subscriptions_end(hub_subscriber *s, slice topic);
