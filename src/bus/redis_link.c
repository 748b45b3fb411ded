/* A link to Redis that never gives up.
 *
 *            +------------------------------- fail -------------------------------+
 *            v                                                                     |
 *        BACKOFF --try_connect--> RESOLVING --> CONNECTING --on_open--> LOGIN --> READY
 *            |                                                                     |
 *            +----------------------- redis_link_close: CLOSED <-------------------+
 *
 * Commands of one turn of the loop leave in one write; their answers come in order, so the list of
 * sent commands is all the matching there is. Until the link is READY commands wait, bounded in
 * number and bytes; two seconds after it was asked each one is answered, if only with a failure. A
 * sent command that is answered late leaves its place in the list behind (a blank), so that the
 * order holds. A frozen Redis is noticed by silence: the link asks after a second without a word
 * and gives up after three.
 * Pauses between attempts grow from 0.1 to 5 s, with jitter; while somebody waits they stay under
 * half a second, so that all works again within a second of Redis's return.
 *
 * Owned by its loop; held by the store's port, the bus and the VM's services. All failures are
 * answered from `run`, later in the turn, so no callback runs inside a call of ours. What must
 * never happen: a command without its one answer; a command sent twice. */
#include "redis_link.h"

#include "clock.h"
#include "list.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis_address.h"
#include "redis_login.h"
#include "redis_queue.h"
#include "redis_said.h"
#include "soon.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 100 };

typedef enum { BACKOFF, RESOLVING, CONNECTING, LOGIN, READY, CLOSED } link_state;

struct redis_link {
    list shared; /* in the process's table */
    const redis_options *options;
    uv_loop_t *loop;
    const redis_subscriber *subscriber; /* NULL: a command link */
    redis_subscriber subscriber_copy;
    int holds, open; /* open: handles */
    link_state state;
    uint64_t state_since, retry_at, ticked_at;
    uint64_t awaiting; /* since when an answer is due; 0: none is */
    unsigned attempts;
    redis_wire *wire;
    redis_login login;
    redis_address address;
    redis_queue queue;
    uv_timer_t tick;
    bool quick; /* the tick runs at its fast pace */
    bool was_ready;
    soon run;
    char problem[400];
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static list table = {&table, &table};

static bool try_next_address(redis_link *l);

static void set_state(redis_link *l, link_state state)
{
    if ((l->state == READY) != (state == READY))
        metrics_add(METRIC_REDIS_CONNECTED, state == READY ? 1 : -1);
    l->state = state;
    l->state_since = clock_ms();
}

/* Commands ------------------------------------------------------------------------------------ */

static void tick_quickly(redis_link *l, bool quick);

static void note_awaiting(redis_link *l)
{
    if (l->awaiting == 0)
        l->awaiting = clock_ms();
    tick_quickly(l, true);
}

/* Somebody waits: the pause gets short. */
static void hurry(redis_link *l)
{
    uint64_t at = l->state_since + REDIS_BACKOFF_ASKED_MS;
    if (l->state == BACKOFF && l->retry_at > at)
        l->retry_at = at;
    tick_quickly(l, true);
}

void redis_link_send(redis_link *l, size_t argc, const slice *argv, redis_done done, void *arg)
{
    size_t size = redis_command_size(argc, argv);
    const char *problem = l->state == CLOSED ? "the link to Redis is closing"
                          : redis_queue_is_full(&l->queue, size)
                              ? "too many commands wait for Redis: try again"
                              : NULL;
    redis_command *c = redis_queue_new(&l->queue, argv[0], size, done, arg);
    uv_ref((uv_handle_t *)&l->tick); /* until the queue is empty again */
    if (problem != NULL) {
        redis_queue_fail(&l->queue, c, problem, false);
        soon_arm(&l->run);
    } else if (l->state == READY) {
        redis_wire_command(l->wire, argc, argv);
        list_append(&l->queue.sent, &c->link);
        note_awaiting(l);
        soon_arm(&l->run);
    } else {
        redis_command_write(&c->bytes, argc, argv);
        list_append(&l->queue.waiting, &c->link);
        hurry(l);
    }
}

void redis_link_push(redis_link *l, size_t argc, const slice *argv)
{
    if (l->state != READY)
        return;
    redis_wire_command(l->wire, argc, argv);
    note_awaiting(l);
    soon_arm(&l->run);
}

static void send_waiting(redis_link *l)
{
    while (!list_empty(&l->queue.waiting)) {
        redis_command *c = LIST_ENTRY(l->queue.waiting.next, redis_command, link);
        redis_wire_append(l->wire, (slice){c->bytes.data, c->bytes.len});
        buf_free(&c->bytes);
        list_remove(&c->link);
        list_append(&l->queue.sent, &c->link);
        note_awaiting(l);
    }
    redis_wire_flush(l->wire);
}

/* Failing and coming back --------------------------------------------------------------------- */

static uint64_t pause_ms(redis_link *l)
{
    unsigned shift = l->attempts < 6 ? l->attempts : 6;
    uint64_t pause = (uint64_t)REDIS_BACKOFF_MS << shift;
    uint64_t most = l->subscriber != NULL || !list_empty(&l->queue.waiting) ? REDIS_BACKOFF_ASKED_MS
                                                                            : REDIS_BACKOFF_MAX_MS;
    if (pause > most)
        pause = most;
    return pause * 3 / 4 + clock_us() % (pause / 4 + 1); /* jitter: nodes come back apart */
}

static void drop_wire(redis_link *l)
{
    if (l->wire != NULL)
        redis_wire_close(l->wire);
    l->wire = NULL;
    l->awaiting = 0;
}

static void fail(redis_link *l, const char *why)
{
    bool was_ready = l->state == READY;
    drop_wire(l);
    if (l->state == CONNECTING && try_next_address(l))
        return;
    redis_address_clear(&l->address);
    snprintf(l->problem, sizeof l->problem, "Redis at %s: %s", l->options->name, why);
    redis_say_problem(l->problem);
    if (was_ready && clock_ms() > l->state_since + REDIS_SETTLED_MS)
        l->attempts = 0; /* one that greets and hangs up gets no quick retries */
    set_state(l, BACKOFF);
    l->retry_at = l->state_since + pause_ms(l);
    l->attempts++;
    redis_queue_fail_all(&l->queue, &l->queue.sent, l->problem, true);
    soon_arm(&l->run);
    tick_quickly(l, true);
    if (was_ready && l->subscriber != NULL && l->subscriber->on_lost != NULL)
        l->subscriber->on_lost(l, l->subscriber->arg);
}

static void become_ready(redis_link *l)
{
    set_state(l, READY);
    if (l->was_ready)
        metrics_add(METRIC_REDIS_RECONNECTS, 1);
    l->was_ready = true;
    l->awaiting = 0;
    l->problem[0] = '\0';
    redis_address_clear(&l->address);
    redis_say_ready(l->options->name);
    send_waiting(l);
    if (l->subscriber != NULL)
        l->subscriber->on_ready(l, l->subscriber->arg);
}

/* Events of the wire -------------------------------------------------------------------------- */

static void on_open(void *arg)
{
    redis_link *l = arg;
    set_state(l, LOGIN);
    redis_login_start(&l->login, l->options, l->wire);
    redis_wire_flush(l->wire);
}

static void on_login_reply(redis_link *l, const redisReply *reply)
{
    const char *problem = redis_login_reply(&l->login, l->options, reply);
    if (problem != NULL)
        fail(l, problem);
    else if (redis_login_done(&l->login))
        become_ready(l);
}

/* A failover turned the server into a replica, or it wants a login: another one may serve us. */
static bool must_leave(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           (strncmp(reply->str, "READONLY ", 9) == 0 || strncmp(reply->str, "NOAUTH ", 7) == 0);
}

/* An idle link keeps no loop alive; the wire is never counted, since the tick is while it matters.
 */
static void rest(redis_link *l)
{
    if (l->queue.count == 0 && l->state != CLOSED)
        uv_unref((uv_handle_t *)&l->tick);
}

static void on_answer(redis_link *l, const redisReply *reply)
{
    redis_done done;
    void *done_arg;
    if (!redis_queue_take(&l->queue, &done, &done_arg)) {
        fail(l, "it sent a reply that nobody asked for");
        return;
    }
    l->awaiting = list_empty(&l->queue.sent) ? 0 : clock_ms();
    l->holds++; /* done may close the link */
    if (done != NULL)
        done(reply, NULL, false, done_arg);
    rest(l);
    if (l->state == READY && must_leave(reply))
        fail(l, reply->str);
    redis_link_close(l);
}

static void on_reply(void *arg, redisReply *reply)
{
    redis_link *l = arg;
    if (l->state == LOGIN) {
        on_login_reply(l, reply);
    } else if (l->subscriber != NULL && reply->type == REDIS_REPLY_ERROR) {
        fail(l, reply->str);
    } else if (l->subscriber != NULL) {
        l->awaiting = 0;
        l->subscriber->on_push(l, reply, l->subscriber->arg);
    } else {
        on_answer(l, reply);
    }
}

static void on_lost(void *arg, const char *why)
{
    fail(arg, why);
}

/* Connecting ---------------------------------------------------------------------------------- */

static void open_wire(redis_link *l, const struct sockaddr *address)
{
    static const redis_wire_events events = {on_open, on_reply, on_lost};
    const char *why = NULL;
    set_state(l, CONNECTING);
    l->wire = redis_wire_open(l->loop, l->options->path, address, &events, l, &why);
    if (l->wire == NULL)
        fail(l, why);
}

static bool try_next_address(redis_link *l)
{
    const struct sockaddr *next = redis_address_next(&l->address);
    if (next != NULL)
        open_wire(l, next);
    return next != NULL;
}

static void on_found(void *arg, const char *problem)
{
    redis_link *l = arg;
    if (problem != NULL)
        fail(l, problem);
    else if (!try_next_address(l))
        fail(l, "the host name has no address");
}

static void try_connect(redis_link *l)
{
    if (l->options->path != NULL) {
        open_wire(l, NULL);
        return;
    }
    set_state(l, RESOLVING);
    redis_address_find(&l->address, l->options, l->loop, on_found, l);
}

/* Time ---------------------------------------------------------------------------------------- */

static void check_silence(redis_link *l, uint64_t now)
{
    static const slice ping = {"PING", 4};
    uint64_t heard = redis_wire_last_read(l->wire);
    if (l->awaiting != 0 && now > l->awaiting + REDIS_SILENCE_MS && now > heard + REDIS_SILENCE_MS)
        fail(l, "no answer for 3 s");
    else if (l->awaiting == 0 && now >= heard + REDIS_PING_MS && l->subscriber != NULL)
        redis_link_push(l, 1, &ping);
    else if (l->awaiting == 0 && now >= heard + REDIS_PING_MS)
        redis_link_send(l, 1, &ping, NULL, NULL);
}

static void check_state(redis_link *l, uint64_t now)
{
    if (l->state == READY)
        check_silence(l, now);
    else if (l->state == BACKOFF && now >= l->retry_at)
        try_connect(l);
    else if ((l->state == CONNECTING || l->state == LOGIN) &&
             now > l->state_since + REDIS_SILENCE_MS)
        fail(l, l->state == LOGIN ? "it accepted, but did not answer within 3 s"
                                  : "no connection within 3 s");
}

static void on_tick(uv_timer_t *timer)
{
    redis_link *l = timer->data;
    uint64_t now = clock_ms(), pace = l->quick ? TICK_MS : REDIS_PING_MS;
    bool late = now > l->ticked_at + pace + 1000;
    l->ticked_at = now;
    /* We were stopped or busy: what came meanwhile is read before anything is judged late. */
    if (late && l->awaiting != 0)
        l->awaiting = now;
    if (late)
        return;
    if (redis_queue_expire(&l->queue, now,
                           l->problem[0] != '\0' ? l->problem : "Redis is not reached yet"))
        soon_arm(&l->run);
    check_state(l, now);
    tick_quickly(l, l->state != READY || l->awaiting != 0 || l->queue.count > 0);
}

static void tick_quickly(redis_link *l, bool quick)
{
    if (l->quick == quick || l->state == CLOSED)
        return;
    uint64_t pace = quick ? TICK_MS : REDIS_PING_MS;
    l->quick = quick;
    l->ticked_at = clock_ms();
    uv_timer_start(&l->tick, on_tick, pace, pace);
}

/* Opening and closing ------------------------------------------------------------------------- */

static void on_part_closed(void *arg)
{
    redis_link *l = arg;
    if (--l->open == 0)
        free(l);
}

static void on_tick_closed(uv_handle_t *timer)
{
    on_part_closed(timer->data);
}

static void on_run(void *arg)
{
    redis_link *l = arg;
    bool was_closed = l->state == CLOSED;
    l->holds += was_closed ? 0 : 1; /* an answer may close the link */
    redis_queue_answer_failed(&l->queue);
    rest(l);
    if (!was_closed)
        redis_link_close(l);
    if (l->wire != NULL)
        redis_wire_flush(l->wire);
    if (l->state == CLOSED && list_empty(&l->queue.failed)) {
        soon_close(&l->run, on_part_closed);
        uv_close((uv_handle_t *)&l->tick, on_tick_closed);
    }
}

static redis_link *new_link(const redis_options *options, uv_loop_t *loop,
                            const redis_subscriber *subscriber)
{
    redis_link *l = mem_alloc(sizeof *l);
    l->options = options;
    l->loop = loop;
    l->holds = 1;
    l->open = 2;
    list_init(&l->shared);
    redis_queue_init(&l->queue);
    if (subscriber != NULL) {
        l->subscriber_copy = *subscriber;
        l->subscriber = &l->subscriber_copy;
    }
    uv_timer_init(loop, &l->tick);
    uv_unref((uv_handle_t *)&l->tick);
    l->tick.data = l;
    soon_init(&l->run, loop, on_run, l);
    try_connect(l);
    tick_quickly(l, true);
    return l;
}

redis_link *redis_link_open(const redis_options *options, uv_loop_t *loop)
{
    redis_link *found = NULL;
    pthread_mutex_lock(&table_lock);
    LIST_FOR_EACH (node, &table) {
        redis_link *l = LIST_ENTRY(node, redis_link, shared);
        if (l->options == options && l->loop == loop)
            found = l;
    }
    pthread_mutex_unlock(&table_lock);
    if (found != NULL) {
        found->holds++; /* its loop is ours: nobody closes it meanwhile */
        return found;
    }
    found = new_link(options, loop, NULL);
    pthread_mutex_lock(&table_lock);
    list_append(&table, &found->shared);
    pthread_mutex_unlock(&table_lock);
    return found;
}

redis_link *redis_link_open_subscriber(const redis_options *options, uv_loop_t *loop,
                                       const redis_subscriber *subscriber)
{
    return new_link(options, loop, subscriber);
}

void redis_link_close(redis_link *l)
{
    if (--l->holds > 0)
        return;
    pthread_mutex_lock(&table_lock);
    list_remove(&l->shared);
    pthread_mutex_unlock(&table_lock);
    drop_wire(l);
    redis_address_clear(&l->address);
    snprintf(l->problem, sizeof l->problem, "the link to Redis is closing");
    set_state(l, CLOSED);
    redis_queue_fail_all(&l->queue, &l->queue.waiting, l->problem, false);
    redis_queue_fail_all(&l->queue, &l->queue.sent, l->problem, true);
    soon_arm(&l->run);
}

bool redis_link_ready(const redis_link *l)
{
    return l->state == READY;
}

const char *redis_link_problem(const redis_link *l)
{
    if (l->state == READY)
        return NULL;
    return l->problem[0] != '\0' ? l->problem : "Redis is not reached yet";
}
