/* What a driver is, and what all drivers share: the operation, and the port that answers it on its
 * loop. Private to this folder. */
#pragma once
#include "answers.h"
#include "store.h"

typedef enum {
    STORE_GET,
    STORE_SET,
    STORE_ADD,
    STORE_CAS,
    STORE_DELETE,
    STORE_INCR,
    STORE_TTL,
    STORE_LIST,
    STORE_PING,
    STORE_KINDS
} store_kind;

enum { STORE_TEXT_MAX = 256 };

/* One call, from submit to its answer. Its bytes are copies, so that it may cross threads and be
 * sent twice. */
typedef struct store_op {
    list link;
    store_port *port;
    store_done done;
    void *arg;
    store_kind kind;
    unsigned limit;            /* list */
    int64_t ttl_ms, by;        /* set, add, cas, incr; incr */
    slice key, value, version; /* list: key is the prefix, version the cursor */
    store_notice notice;
    uint64_t started_us;
    store_result result;
    void (*release)(void *held); /* of what the result borrows */
    void *held;
    char text[STORE_TEXT_MAX]; /* of the message */
    char version_text[STORE_VERSION_MAX];
    char bytes[];
} store_op;

typedef struct store_driver {
    const char *name;
    /* Answers op in time, by store_op_finish or store_op_post; never before returning. */
    void (*submit)(store_op *op);
    void (*port_open)(store_port *p);  /* may be NULL */
    void (*port_close)(store_port *p); /* may be NULL: nothing new comes after it */
    void (*close)(store *s);           /* frees s */
} store_driver;

struct store {
    const store_driver *driver;
};

struct store_port {
    store *store;
    uv_loop_t *loop;
    void *link; /* the driver's, of this port */
    bool closing;
    answers answers;
};

/* The answer, on the port's loop. */
void store_op_finish(store_op *op, store_status status);
/* The same, at once: only from an event of the loop, never from inside submit. For results that
 * live no longer than the event. */
void store_op_answer(store_op *op, store_status status);
/* The same from another thread; op belongs to the port at once. */
void store_op_post(store_op *op, store_status status);
/* Sets the message that comes with a status; returns the status. */
store_status store_op_say(store_op *op, store_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The bytes that op holds, for bounds on queues. */
size_t store_op_size(const store_op *op);
void store_op_set_version(store_op *op, slice version);
