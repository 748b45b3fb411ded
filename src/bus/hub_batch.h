/* Messages of a topic that go to a subscriber together, so that it takes them in one write; each
 * is encoded once per transport, for all that get it. On a worker's loop only. */
#pragma once
#include "hub.h"

/* So many, and so many bytes unless it is one: with large messages the first subscriber must not
 * get many before the last gets one. */
enum { HUB_TOGETHER = 64, HUB_TOGETHER_BYTES = 32 * 1024 };

typedef struct {
    frame *data;
    uint64_t version;
    hub_position position; /* in the topic that it is taken from */
    hub_position told;     /* to the client: of the topic it was published to */
    frame *name;           /* of that one; NULL: they are the same */
} hub_batch_message;

typedef struct hub_batch {
    hub_batch_message messages[HUB_TOGETHER];
    size_t n;
    frame *encoded[HUB_TRANSPORTS][HUB_TOGETHER];
    size_t encoded_n[HUB_TRANSPORTS];
    bool replay; /* encodings are looked up in, and left in, the topic's cache */
    size_t bytes;
    /* What is missing before it: for those without a position so many (0: nobody knows), for the
     * others the messages from and to these, if they don't have them. */
    bool gap;
    uint64_t lost;
    hub_position late_from, late_to;
} hub_batch;

/* Takes the caller's reference on data. */
hub_batch_message *hub_batch_add(hub_batch *b, frame *data, uint64_t version,
                                 hub_position position);
void hub_batch_free(hub_batch *b);
/* Messages from `from` to before `to` go to s, which is in one of the topic's lists: afterwards it
 * is in `live`, or paused, or gone. True: it is in `live`. */
bool hub_batch_offer(hub_topic *t, hub_subscriber *s, hub_batch *b, size_t from, size_t to);

/* Tells s of lost messages, and whether others follow at once; afterwards it is in `where`, or
 * gone: false. */
bool hub_batch_gap(list *where, hub_subscriber *s, uint64_t lost, bool more);

/* What replays encoded lately, so that thousands who come back together share it. Made at the first
 * replay, dropped by the second's tick when nobody has used it since. */
typedef struct hub_replay_cache hub_replay_cache;
void hub_replay_cache_age(hub_topic *t);
void hub_replay_cache_free(hub_topic *t);
