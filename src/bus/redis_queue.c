/* A sent command whose time is over is answered, and a blank takes its place for the reply that may
 * still come: replies are matched by order alone. Owned by the link. What must never happen: done
 * called twice, or from inside the call that sent the command. */
#include "redis_queue.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <ctype.h>
#include <stdlib.h>

void redis_queue_init(redis_queue *q)
{
    list_init(&q->waiting);
    list_init(&q->sent);
    list_init(&q->failed);
}

bool redis_queue_is_full(const redis_queue *q, size_t size)
{
    return q->count >= REDIS_QUEUE_MAX || q->bytes + size > REDIS_QUEUE_BYTES;
}

redis_command *redis_queue_new(redis_queue *q, slice name, size_t size, redis_done done, void *arg)
{
    redis_command *c = mem_alloc(sizeof *c);
    list_init(&c->link);
    c->done = done;
    c->arg = arg;
    c->size = size;
    c->started_us = clock_us();
    c->deadline = c->started_us / 1000 + REDIS_COMMAND_MS;
    for (size_t i = 0; i < name.n && i < sizeof c->name - 1; i++)
        c->name[i] = (char)toupper((unsigned char)name.p[i]);
    q->count++;
    q->bytes += size;
    return c;
}

static void free_command(redis_queue *q, redis_command *c)
{
    q->count--;
    q->bytes -= c->size;
    list_remove(&c->link);
    buf_free(&c->bytes);
    free(c);
}

void redis_queue_fail(redis_queue *q, redis_command *c, const char *problem, bool unsure)
{
    c->problem = problem;
    c->unsure = unsure;
    metrics_add(METRIC_REDIS_UNANSWERED, 1);
    list_remove(&c->link);
    list_append(&q->failed, &c->link);
}

void redis_queue_fail_all(redis_queue *q, list *commands, const char *problem, bool unsure)
{
    while (!list_empty(commands))
        redis_queue_fail(q, LIST_ENTRY(commands->next, redis_command, link), problem, unsure);
}

bool redis_queue_take(redis_queue *q, redis_done *done, void **arg)
{
    if (list_empty(&q->sent))
        return false;
    redis_command *c = LIST_ENTRY(q->sent.next, redis_command, link);
    *done = c->done;
    *arg = c->arg;
    metrics_time(METRIC_REDIS_SECONDS, slice_of(c->name), clock_us() - c->started_us);
    free_command(q, c);
    return true;
}

static void expire_waiting(redis_queue *q, uint64_t now, const char *problem)
{
    LIST_FOR_EACH_SAFE (node, &q->waiting) {
        redis_command *c = LIST_ENTRY(node, redis_command, link);
        if (c->deadline > now)
            return;
        redis_queue_fail(q, c, problem, false);
    }
}

static void expire_sent(redis_queue *q, uint64_t now)
{
    LIST_FOR_EACH_SAFE (node, &q->sent) {
        redis_command *c = LIST_ENTRY(node, redis_command, link);
        if (c->deadline > now)
            return;
        if (c->done == NULL)
            continue;
        redis_command *blank = redis_queue_new(q, slice_of(c->name), 0, NULL, NULL);
        blank->deadline = c->deadline;
        list_append(&c->link, &blank->link); /* before c */
        redis_queue_fail(q, c, "Redis did not answer within 2 s", true);
    }
}

bool redis_queue_expire(redis_queue *q, uint64_t now, const char *problem)
{
    expire_waiting(q, now, problem);
    expire_sent(q, now);
    return !list_empty(&q->failed);
}

void redis_queue_answer_failed(redis_queue *q)
{
    list failed;
    list_move(&q->failed, &failed);
    while (!list_empty(&failed)) {
        redis_command *c = LIST_ENTRY(failed.next, redis_command, link);
        if (c->done != NULL)
            c->done(NULL, c->problem, c->unsure, c->arg);
        free_command(q, c);
    }
}
