/* The commands of a link: those that wait for the link, those that wait for their answer, and those
 * that have failed and are told so from the loop. */
#pragma once
#include "list.h"
#include "redis_link.h"
#include <stdint.h>

typedef struct {
    list link;
    redis_done done; /* NULL: nobody wants the answer */
    void *arg;
    uint64_t deadline, started_us;
    char name[16]; /* for the metrics */
    size_t size;
    bool unsure;
    const char *problem;
    buf bytes; /* while it waits for the link */
} redis_command;

typedef struct {
    list waiting, sent, failed;
    size_t count, bytes; /* of all three */
} redis_queue;

void redis_queue_init(redis_queue *q);
bool redis_queue_is_full(const redis_queue *q, size_t size);
redis_command *redis_queue_new(redis_queue *q, slice name, size_t size, redis_done done, void *arg);
/* problem lives until the command is answered. */
void redis_queue_fail(redis_queue *q, redis_command *c, const char *problem, bool unsure);
void redis_queue_fail_all(redis_queue *q, list *commands, const char *problem, bool unsure);
/* The oldest sent command goes; false: there is none. */
bool redis_queue_take(redis_queue *q, redis_done *done, void **arg);
/* Commands past their time fail; true: there were some. */
bool redis_queue_expire(redis_queue *q, uint64_t now, const char *problem);
void redis_queue_answer_failed(redis_queue *q);
