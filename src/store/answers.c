/* See answers.h.
 *
 * An answer never comes before the call returns, so that a caller may set up what its callback
 * needs: an answer that is known at once waits in `ready` until later in the same turn of the loop
 * (soon.h). Rejected: answering at once, which would re-enter callers. Answers from other threads
 * lie in the mailbox, guarded by the lock; the wake is sent while the lock is held, so the port
 * can't be freed between the two. */
#include "answers.h"

static void drain(void *arg)
{
    answers *a = arg;
    list found;
    list_move(&a->ready, &found);
    while (!list_empty(&found)) {
        list *link = found.next;
        list_remove(link);
        a->answer(link);
    }
    a->after(a->port);
}

static void on_wake(uv_async_t *wake)
{
    answers *a = wake->data;
    list posted;
    pthread_mutex_lock(&a->lock);
    list_move(&a->mailbox, &posted);
    pthread_mutex_unlock(&a->lock);
    while (!list_empty(&posted)) {
        list *link = posted.next;
        list_remove(link);
        list_append(&a->ready, link);
    }
    drain(a);
}

void answers_init(answers *a, uv_loop_t *loop, void *port, void (*answer)(list *link),
                  void (*after)(void *port))
{
    *a = (answers){.port = port, .answer = answer, .after = after, .open = 2};
    list_init(&a->ready);
    list_init(&a->mailbox);
    pthread_mutex_init(&a->lock, NULL);
    uv_async_init(loop, &a->wake, on_wake);
    uv_unref((uv_handle_t *)&a->wake);
    a->wake.data = a;
    soon_init(&a->soon, loop, drain, a);
}

/* Only calls that wait for their answer keep the loop alive. */
void answers_count(answers *a, int by)
{
    a->pending += (size_t)by;
    if (a->pending > 0)
        uv_ref((uv_handle_t *)&a->wake);
    else
        uv_unref((uv_handle_t *)&a->wake);
}

void answers_add(answers *a, list *link)
{
    list_append(&a->ready, link);
    soon_arm(&a->soon);
}

void answers_post(answers *a, list *link)
{
    pthread_mutex_lock(&a->lock);
    list_append(&a->mailbox, link);
    uv_async_send(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

static void on_part_closed(void *arg)
{
    answers *a = arg;
    if (--a->open > 0)
        return;
    pthread_mutex_destroy(&a->lock);
    a->on_closed(a->port);
}

static void on_wake_closed(uv_handle_t *wake)
{
    on_part_closed(wake->data);
}

void answers_close(answers *a, void (*on_closed)(void *port))
{
    if (a->on_closed != NULL)
        return;
    a->on_closed = on_closed;
    uv_close((uv_handle_t *)&a->wake, on_wake_closed);
    soon_close(&a->soon, on_part_closed);
}
