/* Who is connected: every WebSocket and stream of a worker, whose it is, until when it may stay,
 * and what it has been sent. Each transport embeds an audience_member, so that whoever wants to
 * list, expire, disconnect or revoke needs to know nothing of transports.
 *
 *   exchange taken -> audience_join -> [audience_identify ...] -> audience_leave
 *                                          \-- expired, revoked, disconnected: ops->end --/
 *
 * One audience per worker, on its thread only. Workers and nodes ask each other by messages on a
 * topic of the hub (audience_bus.c). What must never happen: a member that is freed before it has
 * left; a member with an expired or revoked token that stays. */
#pragma once
#include "buf.h"
#include "conn.h"
#include "due.h"
#include "hub.h"
#include "map.h"
#include "slice.h"

enum { AUDIENCE_ID_MAX = 32 };

/* Whose connection it is. Empty texts: unknown. Times are Unix seconds. */
typedef struct {
    slice user, tenant, jti;
    int64_t issued;  /* of the token; 0: now */
    int64_t expires; /* 0: never */
} audience_identity;

/* Why a connection ends, for its client: a WebSocket's close code and reason, and the code in the
 * last event of an SSE stream. */
typedef struct {
    int code;
    slice word;   /* "expired" */
    slice reason; /* "": the word */
} audience_end;

extern const audience_end audience_expired, audience_revoked, audience_kicked, audience_overloaded,
    audience_going_away;

typedef struct audience audience;
typedef struct audience_member audience_member;

typedef struct {
    const char *transport; /* "ws", "sse", "mixed" */
    /* Ends the connection; afterwards the member has left, or will with its connection. */
    void (*end)(audience_member *m, const audience_end *why);
    /* Each topic it is subscribed to. fn may not change that. */
    void (*each_topic)(const audience_member *m, void (*fn)(slice topic, void *arg), void *arg);
    /* And absent from it. False: it was not subscribed. */
    bool (*unsubscribe)(audience_member *m, slice topic);
    void (*say)(audience_member *m, slice text); /* NULL: it takes no texts */
} audience_ops;

struct audience_member {
    audience *home; /* NULL: not joined */
    const audience_ops *ops;
    conn *conn;
    list link; /* in home->members */
    map_node by_id;
    due_node due;                /* when it expires */
    list places;                 /* in rooms: the topics where it is present */
    struct audience_place *user; /* in the room of its user's connections */
    char *data;                  /* what the others see of it; JSON; NULL: nothing */
    char *texts;                 /* user, tenant and jti, one behind the other */
    uint16_t user_n, tenant_n, jti_n;
    bool ended, revoked;             /* told to end; to be told that it is revoked */
    int64_t issued, expires, opened; /* Unix seconds */
    uint64_t opened_ms;              /* clock_ms */
    uint64_t delivered;              /* messages; counted by the transport */
    int expire_code;                 /* 0: the token's end */
    char *expire_reason;
    char id[AUDIENCE_ID_MAX + 1];
};

/* An id of its own over all nodes; not a secret. */
void audience_make_id(char id[AUDIENCE_ID_MAX + 1]);

/* What a connection begins with. */
typedef struct {
    slice id; /* "": one is made */
    audience_identity who;
} audience_opening;

/* The transport's connection is open. `opening` may be NULL. */
void audience_join(audience_member *m, const audience_ops *ops, conn *c,
                   const audience_opening *opening);
/* Before the member is freed, and already when its closing has begun. `why` NULL: the peer went.
 * Harmless the second time. */
void audience_leave(audience_member *m, const audience_end *why);
/* Sets whose it is; a token that is over or revoked ends it in the loop's next turn. */
void audience_identify(audience_member *m, const audience_identity *who);
/* Ends it after ms (0: never) with a code and a reason of the owner's; takes the place of the
 * token's end. */
void audience_expire(audience_member *m, uint64_t ms, int code, slice reason);
slice audience_id(const audience_member *m);
audience_identity audience_identity_of(const audience_member *m);

/* Presence ---------------------------------------------------------------------------------- */

enum { AUDIENCE_DATA_MAX = 4096 };

/* It is present in a topic, until it exits or leaves; harmless the second time. */
void audience_enter(audience_member *m, slice topic);
void audience_exit(audience_member *m, slice topic);
/* What the others see of it, as JSON of at most AUDIENCE_DATA_MAX bytes; they hear of a change. */
void audience_set_data(audience_member *m, slice json);

/* A room is a topic with those who are present there by this worker, or, with the name that
 * audience_user_room gives, a user with all connections. */
slice audience_user_room(slice user, slice tenant, buf *out);
size_t audience_room_count(const audience *a, slice name);
/* {"count":N,"members":[{"connection","user","data"}, at most `limit`]} */
void audience_room_json(const audience *a, slice name, size_t limit, buf *out);

/* News -------------------------------------------------------------------------------------- */

typedef enum { AUDIENCE_CLOSED, AUDIENCE_SLOW, AUDIENCE_ENTERED, AUDIENCE_EXITED } audience_kind;

/* What has happened to a member, for whoever has policies: kept until it is taken, at most
 * AUDIENCE_NEWS_MAX of them. */
typedef struct {
    list link;
    audience_kind kind;
    const char *transport;
    char id[AUDIENCE_ID_MAX + 1];
    slice user, tenant, topic, data, reason; /* reason: also what was done about a slow one */
    int code;                                /* of a WebSocket's close */
    uint64_t open_ms, delivered, queued;
    char texts[];
} audience_news;

enum { AUDIENCE_NEWS_MAX = 10000 };

/* The client takes too slowly what is sent to it, and `done` ("skipped", "dropped", "closed" ...)
 * is what the transport does about it: one line in the log, the metric, and news. topic may be "".
 */
void audience_slow(audience_member *m, slice topic, size_t queued, const char *done);

/* fn is called once when there is something new; then audience_told, when all of it was taken. */
void audience_on_news(audience *a, void (*fn)(void *arg), void *arg);
void audience_told(audience *a);
void audience_tell(audience *a); /* calls it though nothing may be new: who listens has changed */
bool audience_busy(const audience *a);          /* something is new, or being told */
audience_news *audience_next_news(audience *a); /* the caller frees it; NULL: there is none */
/* A room that has changed since it was asked for: its name goes to out. False: there is none. */
bool audience_next_room(audience *a, buf *out);
/* Every room counts as changed; with `news` every member of a topic enters it once more. */
void audience_announce(audience *a, bool news);

/* Questions to all workers ------------------------------------------------------------------- */

typedef enum {
    AUDIENCE_LIST = 'l',
    AUDIENCE_END = 'e',         /* ends them as `end` says */
    AUDIENCE_UNSUBSCRIBE = 'u', /* from `topic` */
    AUDIENCE_IDENTIFY = 'i',    /* the one with `id` gets the identity, if it is of the same user */
    AUDIENCE_REVOKE = 'r',      /* the revocation is entered everywhere, whom it hits is ended */
    AUDIENCE_APPLY = 'a',       /* whom the table of revocations hits is ended */
    AUDIENCE_SAY = 's',         /* `text` goes to them, whatever they are subscribed to */
    AUDIENCE_ANNOUNCE = 'n',    /* who is present is told anew */
} audience_verb;

typedef struct {
    audience_verb verb;
    slice id, topic;       /* of whom; empty: any */
    slice text;            /* to be said */
    audience_identity who; /* of whom (its texts); what to become; what is revoked */
    audience_end end;
    int64_t until;  /* of a revocation, which concerns what was issued until who.issued */
    uint32_t limit; /* rows of each worker */
    bool all_nodes; /* else this process */
} audience_request;

typedef struct {
    uint64_t count; /* of connections that it was done to */
    slice rows;     /* AUDIENCE_LIST: JSON objects with commas between; lives during the call */
    unsigned nodes; /* that have answered */
    bool whole;     /* everybody known has answered */
} audience_answer;

/* For other nodes, of which one may be dead; and then for our own workers, which are only busy. */
enum { AUDIENCE_ANSWER_MS = 500, AUDIENCE_PATIENCE_MS = 4500 };

/* done comes once, later. */
void audience_ask(audience *a, const audience_request *r,
                  void (*done)(const audience_answer *answer, void *arg), void *arg);
/* How many nodes there are, as far as anybody knows; 0: unknown, every answer's time is waited for.
 */
void audience_set_nodes(unsigned nodes);

/* The worker's side ------------------------------------------------------------------------- */

/* The name of this process among the nodes. */
slice audience_node(void);
unsigned audience_workers(void); /* of this process, that are open */
/* Of the calling thread. The hub's port may be NULL; cluster: there may be other nodes. */
audience *audience_open(uv_loop_t *loop, hub_port *port, int worker, bool cluster);
/* After all its members have left; freed when its handles are closed. */
void audience_close(audience *a);
audience *audience_here(void); /* the calling thread's; NULL: none */
/* Ends every member of the calling thread's. */
void audience_end_all(const audience_end *why);
