/* What hub.c (the process's side), hub_port.c (a worker's side), hub_value.c (newest values) and
 * hub_log.c (messages) share. */
#pragma once
#include "hub.h"
#include "hub_history.h"
#include "map.h"
#include <pthread.h>
#include <stdatomic.h>

enum { HUB_PORTS_MAX = 256 };

/* A topic as the process sees it; everything under hub.lock. It lives as long as a port listens. */
typedef struct topic_state {
    map_node node;
    list listeners; /* hub_topic.listener_link */
    size_t listener_count;
    frame *latest;
    uint64_t version;
    uint64_t expires_ms; /* clock_ms; 0: never */
    bool joined;         /* the remote delivers it (always true without a remote) */
    bool ended;          /* out of the map; its listeners have still to hear of it */
    hub_rule rule;
    /* hub_sync.c: with a remote, what this node knows of the history. Numbers are of readings. */
    list sync_link;                              /* in hub.syncs */
    uint64_t sync_wanted, sync_begun, sync_done; /* done 0: it knows nothing yet */
    bool reading, sync_failed;
    bool stale; /* its name is in a port's refresh or refresh_failed */
    list held;  /* messages that came out of their turn */
    size_t held_count, held_bytes;
    char name[];
} topic_state;

struct hub {
    pthread_mutex_t lock;
    map topics;
    _Atomic uint32_t max_fps; /* of hub_options; a reload may change them */
    _Atomic uint64_t keep_alive_ms;
    hub_remote remote;
    bool has_remote;
    hub_port *ports[HUB_PORTS_MAX];
    size_t port_count;
    uint64_t last_version;
    hub_rules rules;
    hub_histories histories;
    uint32_t pattern_lengths[HUB_TOPIC_MAX + 1]; /* hub_pattern.c: how many of each length */
    size_t pattern_count;
    list syncs;      /* topic_state.sync_link: whose history is to be read from the remote */
    size_t readings; /* under way */
    uint64_t last_sync;
};

/* A topic as one worker sees it. */
struct hub_topic {
    map_node node; /* in the port's map; the key is state->name */
    hub_port *port;
    topic_state *state;
    list listener_link, dirty_link; /* under hub.lock */
    bool dirty;                     /* under hub.lock */
    list log;                       /* hub_log.c's messages to be delivered; under hub.lock */
    size_t log_count, log_bytes;
    uint64_t log_lost;
    hub_position late_from,
        late_to;     /* left out since they waited for too long; told with the next */
    bool log_broken; /* more may be lost: the link to other nodes was down */
    bool log_behind; /* the history was read from the remote: who misses some of it gets it */
    /* The rest is the worker's own. */
    list subscribers; /* to values, that have the newest */
    list behind;      /* to values, that have an older one, until the slot opens */
    list due;         /* to values, that are still to be given the newest */
    list log_subscribers;
    struct hub_batch *batch; /* of messages, that is being given; NULL: none */
    list unserved;           /* of messages, that have not got the batch */
    list unfinished_link;    /* the turn was over before it was: in port->unfinished */
    uint64_t warned_ms;      /* of messages that were left out */
    list replays;            /* of messages, to be served from the history in the next turn */
    list paused;             /* of messages, that took less than they were given */
    bool replay_behind;      /* log_behind, taken over */
    list unbegun;            /* of messages, until the history is known well enough */
    struct hub_replay_cache *cache;      /* NULL: none */
    _Atomic size_t log_subscriber_count; /* as subscriber_count, which is of both kinds */
    _Atomic size_t subscriber_count;     /* written here, read by others under the lock */
    list watches;
    frame *latest;
    uint64_t version;
    frame *encoded[HUB_TRANSPORTS];
    uint64_t sent_ms;  /* of the last delivery */
    uint64_t slot_ms;  /* when it may deliver again, while it waits */
    uint32_t rate;     /* of its rule */
    list paced_link;   /* waits for its next slot (max_fps) */
    list quiet_link;   /* by sent_ms: whose keep-alive is due first */
    bool waiting_slot; /* in port->paced */
    bool delivering;   /* is being walked: not to be freed */
};

struct hub_port {
    hub *hub;
    uv_loop_t *loop;
    uv_async_t wake;
    uv_timer_t tick, pace;
    int open_handles;
    bool ticking, closing;
    map topics;
    list paced, quiet;
    list unfinished;              /* topics that go on in the next turn, each in its turn */
    size_t live_left, past_left;  /* bytes that this turn may still give, new ones and replayed */
    list dirty;                   /* hub_topic.dirty_link, under hub.lock */
    list refresh, refresh_failed; /* hub_refresh.c: names, under hub.lock */
    _Atomic bool has_mail;
    void (*on_refresh)(slice topic, void *arg);
    void *refresh_arg;
};

/* Under the lock: the port has to look. `from` is the calling worker's own port, which runs its
 * turn anyway; others are woken. */
void hub_mark(hub_topic *t, hub_port *from);
/* The second's tick goes on while there is something to look after. */
void hub_tick(hub_port *p);
/* The topic of that name, made when it is new; it must get a subscriber or a watch at once. */
hub_topic *hub_get_topic(hub_port *p, slice name);
/* Under the lock: a message for every worker that has subscribers to messages. */
void hub_log_append(topic_state *s, frame *data, uint64_t version, hub_position position,
                    hub_port *from);
/* Under the lock: the history of a live topic as this node knows it; NULL: it keeps none, or the
 * remote was not asked yet. */
hub_history *hub_history_of(hub *h, topic_state *s);
/* On the worker's loop, in a walk: subscribers that wait for the history are served, as far as the
 * turn allows. */
void hub_replay(hub_topic *t);
/* The turn has given so much to somebody. */
void hub_spend(size_t *left, size_t bytes);
/* Whoever begins to give things out of a callback of the loop begins a turn. */
void hub_begin_turn(hub_port *p);
/* Gives so many bytes to each of `from`, which goes to `to` before, as far as the turn allows. The
 * callback may put it elsewhere, and unsubscribe anyone. True: `from` is empty. */
bool hub_walk(hub_topic *t, list *from, list *to, size_t bytes,
              void (*give)(hub_topic *t, hub_subscriber *s));
/* The topic is not done: it has its turn again, behind the others. */
void hub_go_on_later(hub_topic *t);
/* The same for a pattern: the message keeps the name of its topic, and its position is only told.
 */
void hub_log_append_named(topic_state *s, slice name, frame *data, uint64_t version,
                          hub_position position, hub_port *from);
/* Under the lock: messages may have been missed. */
void hub_log_break(topic_state *s);
/* On the worker's loop: what has gathered goes to its subscribers. */
void hub_log_deliver(hub_topic *t);
void hub_log_clear(hub_topic *t); /* when there is no subscriber */
/* hub_value.c, on the worker's loop. The topic's value is another; to those that are due, as far as
 * the turn allows; what a new subscriber gets at once; a silent topic's value once more; at the
 * end. */
void hub_value_changed(hub_topic *t);
void hub_value_deliver(hub_topic *t);
void hub_value_greet(hub_topic *t, hub_subscriber *s);
void hub_value_keep_alive(hub_port *p, uint64_t now);
void hub_value_clear(hub_topic *t);
/* When nobody uses the topic any more it is freed. */
void hub_free_if_unused(hub_topic *t);
/* hub_watch.c, of a topic: the remote delivers it, and this number of reading is done; the topic is
 * over; the second's look after those that wait. */
void hub_watches_ready(hub_topic *t, uint64_t sync);
void hub_watches_end(hub_topic *t);
void hub_watches_check(hub_topic *t, uint64_t now);
/* Joins (creating the state) and leaves; both take the lock. */
void hub_listen(hub_topic *t, slice name);
void hub_unlisten(hub_topic *t);

/* hub_refresh.c. Under the lock: every live topic is queued. */
void hub_refresh_all(hub *h);
/* Begins for each name in the list, which is empty after; for none when the port closes. */
void hub_refresh_run(hub_port *p, list *names);
void hub_refresh_tick(hub_port *p); /* the same for those that have failed */

topic_state *hub_find_state(hub *h, slice name); /* under the lock */
void hub_mark_all(topic_state *s, hub_port *from);

/* hub_sync.c; all but hub_sync_run under the lock. */
/* The topic is live, and keeps a history. */
bool hub_sync_kept(const hub *h, const topic_state *s);
/* A reading that begins after now, which has the number that is returned. */
uint64_t hub_sync_want(hub *h, topic_state *s);
/* The same where one has failed. */
void hub_sync_retry(hub *h, topic_state *s);
/* Is this position known, so that who has it can be served? None always is, once anything is. */
bool hub_sync_knows(hub *h, topic_state *s, hub_position since);
/* A message from the remote that has a position. */
void hub_sync_receive(hub *h, topic_state *s, frame *data, hub_position position, int64_t time_ms);
void hub_sync_forget(topic_state *s);
/* Begins the readings that are wanted, on this port's link. */
void hub_sync_run(hub_port *p);
