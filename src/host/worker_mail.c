/* A worker's mail: what other threads want of it. They write it under its lock and wake the loop;
 * the worker takes all of it at once. */
#include "worker_private.h"

#include "control.h"
#include "listener.h"
#include "tls.h"
#include <stdio.h>

static void take_tls(worker *w, struct tls_context *tls)
{
    for (size_t i = 0; i < w->listener_count && !w->stopping; i++) {
        if (w->listener_tls[i])
            listener_set_tls(w->listeners[i], tls);
    }
    if (tls != NULL)
        tls_context_drop(tls);
}

static void tell_outcome(worker *w, reload_outcome outcome)
{
    control_reload_ended(w->shared->host);
    if (w->services.worker != 0)
        return;
    if (outcome == RELOAD_GOOD)
        dispatcher_reloaded(w->dispatcher);
    else if (outcome == RELOAD_REFUSED)
        dispatcher_refused(w->dispatcher);
}

/* Rehearsals -------------------------------------------------------------------------------- */

static void on_rehearsed(void *arg, const char *problem)
{
    worker *w = arg;
    rehearsal *r = w->rehearsal;
    r->result = problem != NULL ? -1 : 0;
    if (problem != NULL)
        snprintf(r->error, r->error_size, "%s", problem);
    r->ended = true;
    uv_async_send(&w->wake); /* the task is not quite over yet */
}

static void begin_rehearsal(worker *w, rehearsal *r)
{
    w->rehearsal = r;
    vm_adopt(dispatcher_vm(r->next));
    dispatcher_prepare(r->next, on_rehearsed, w);
}

static void look_after_rehearsal(worker *w, bool give_up)
{
    rehearsal *r = w->rehearsal;
    if (r == NULL)
        return;
    if (give_up)
        task_cancel_vm(dispatcher_vm(r->next), false);
    if (!r->ended)
        return;
    w->rehearsal = NULL;
    uv_sem_post(&r->done);
}

/* libuv's own clock can't be moved, but each of its timers can be started anew. */
static void bring_forward(uv_handle_t *handle, void *arg)
{
    uint64_t ms = *(uint64_t *)arg;
    if (handle->type != UV_TIMER || !uv_is_active(handle))
        return;
    uv_timer_t *timer = (uv_timer_t *)handle;
    uint64_t left = uv_timer_get_due_in(timer);
    uv_timer_start(timer, timer->timer_cb, left > ms ? left - ms : 0, timer->repeat);
}

void worker_on_wake(uv_async_t *async)
{
    worker *w = async->data;
    pthread_mutex_lock(&w->mail.lock);
    mail m = w->mail; /* its lock is not used */
    w->mail.tls_changed = w->mail.reload_ended = w->mail.end_rehearsal = false;
    w->mail.tls = NULL;
    w->mail.next = NULL;
    w->mail.rehearsal = NULL;
    w->mail.advance_ms = 0;
    pthread_mutex_unlock(&w->mail.lock);
    if (m.tls_changed)
        take_tls(w, m.tls);
    look_after_rehearsal(w, m.end_rehearsal);
    if (m.rehearsal != NULL)
        begin_rehearsal(w, m.rehearsal);
    if (m.next != NULL) {
        worker_take_scripts(w, m.next);
        uv_sem_post(m.swapped);
    }
    if (m.reload_ended)
        tell_outcome(w, m.outcome);
    if (m.stop)
        worker_begin_stop(w, m.drain_ms);
    if (m.advance_ms > 0)
        uv_walk(&w->loop, bring_forward, &m.advance_ms);
}

void worker_advance(worker *w, uint64_t ms)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.advance_ms += ms;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}

void worker_stop(worker *w, uint64_t drain_ms)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.stop = true;
    w->mail.drain_ms = drain_ms;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}

void worker_set_tls(worker *w, struct tls_context *tls)
{
    pthread_mutex_lock(&w->mail.lock);
    struct tls_context *before = w->mail.tls;
    w->mail.tls = tls_context_hold(tls);
    w->mail.tls_changed = true;
    pthread_mutex_unlock(&w->mail.lock);
    if (before != NULL)
        tls_context_drop(before);
    uv_async_send(&w->wake);
}

void worker_rehearse(worker *w, rehearsal *r)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.rehearsal = r;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}

void worker_end_rehearsal(worker *w)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.end_rehearsal = true;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}

void worker_swap(worker *w, dispatcher *next, uv_sem_t *done)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.next = next;
    w->mail.swapped = done;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}

void worker_reloaded(worker *w, reload_outcome outcome)
{
    pthread_mutex_lock(&w->mail.lock);
    w->mail.reload_ended = true;
    w->mail.outcome = outcome;
    pthread_mutex_unlock(&w->mail.lock);
    uv_async_send(&w->wake);
}
