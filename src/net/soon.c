/* A check handle runs the function right after the poll; the idle handle keeps that poll from
 * blocking. Rejected: uv_async_send to oneself (a system call each time), a timer of 0 ms (runs
 * before the poll, so what the poll brings waits one turn more).
 * What must never happen: fn running inside soon_arm. */
#include "soon.h"

static void disarm(soon *s)
{
    s->armed = false;
    uv_idle_stop(&s->idle);
    uv_check_stop(&s->check);
}

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_check(uv_check_t *check)
{
    soon *s = check->data;
    disarm(s);
    s->fn(s->arg);
}

static void on_handle_closed(uv_handle_t *handle)
{
    soon *s = handle->data;
    if (--s->open == 0)
        s->on_closed(s->arg);
}

void soon_init(soon *s, uv_loop_t *loop, void (*fn)(void *arg), void *arg)
{
    *s = (soon){.fn = fn, .arg = arg, .open = 2};
    uv_idle_init(loop, &s->idle);
    uv_check_init(loop, &s->check);
    s->idle.data = s->check.data = s;
}

void soon_arm(soon *s)
{
    if (s->armed || uv_is_closing((uv_handle_t *)&s->idle))
        return;
    s->armed = true;
    uv_idle_start(&s->idle, on_idle);
    uv_check_start(&s->check, on_check);
}

void soon_close(soon *s, void (*on_closed)(void *arg))
{
    s->on_closed = on_closed;
    s->armed = false;
    uv_close((uv_handle_t *)&s->idle, on_handle_closed);
    uv_close((uv_handle_t *)&s->check, on_handle_closed);
}
