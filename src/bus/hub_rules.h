/* What a topic is like, by the pattern of its name: a name, or a beginning and `*`. The exact name
 * wins, then the longest beginning. Rules come from a script as one list and are replaced as one.
 * Not thread-safe: the hub's lock guards them. */
#pragma once
#include "slice.h"
#include <stdint.h>

/* What is kept of a topic's messages; messages 0: nothing. */
typedef struct {
    uint32_t messages;
    size_t bytes;
    uint64_t age_ms;
} hub_history_limits;

/* What becomes of a subscriber to messages that takes them more slowly than they come. */
typedef enum {
    HUB_SLOW_DISCONNECT,  /* it is closed */
    HUB_SLOW_LATEST,      /* only the newest message waits for it */
    HUB_SLOW_DROP_OLDEST, /* a bounded queue, which loses the oldest */
    HUB_SLOW_PAUSE        /* the history keeps them until it takes more */
} hub_slow;

typedef enum { HUB_CLASS_WS, HUB_CLASS_SSE, HUB_CLASSES } hub_class;

typedef struct {
    bool log; /* messages and not a newest value */
    bool presence;
    hub_history_limits history;
    hub_slow slow[HUB_CLASSES]; /* by the kind of subscriber */
    uint32_t rate;              /* messages a second to one subscriber; 0: any */
    uint64_t max_wait_ms;       /* a message that waits for longer is left out; 0: for ever */
} hub_rule;

enum { HUB_RULES_MAX = 1000, HUB_HISTORY_MAX = 100000 };

typedef struct {
    struct hub_rule_entry *entries;
    size_t count;
} hub_rules;

/* Copies the pattern. False: too many. */
bool hub_rules_add(hub_rules *r, slice pattern, const hub_rule *rule);
/* The rule of a name; all zero where none says anything. */
hub_rule hub_rules_find(const hub_rules *r, slice name);
void hub_rules_free(hub_rules *r);
