/* The answers to the calls of a port, on its loop: those that were found on the loop, and those
 * that other threads post. Embedded in a port; see answers.c. Private to this folder. */
#pragma once
#include "list.h"
#include "soon.h"
#include <pthread.h>

typedef struct answers {
    void *port;
    void (*answer)(list *link); /* one call's; the link is in no list */
    void (*after)(void *port);  /* when all that had come were answered */
    void (*on_closed)(void *port);
    size_t pending; /* calls that wait for their answer */
    list ready;     /* found on this loop */
    soon soon;
    uv_async_t wake;
    pthread_mutex_t lock; /* guards mailbox */
    list mailbox;         /* found on another thread */
    int open;             /* wake and soon, until they are closed */
} answers;

void answers_init(answers *a, uv_loop_t *loop, void *port, void (*answer)(list *link),
                  void (*after)(void *port));
/* Calls begin (by 1) and are answered (by -1). */
void answers_count(answers *a, int by);
/* On the loop's thread. */
void answers_add(answers *a, list *link);
/* From another thread. */
void answers_post(answers *a, list *link);
/* Once nothing is pending; harmless when it was called before. on_closed(port) when the port may be
 * freed. */
void answers_close(answers *a, void (*on_closed)(void *port));
