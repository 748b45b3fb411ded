/* One line for all workers, under one lock that is held for a few pointer moves.
 *
 *   gate_enter --room--> inside --gate_leave--> out
 *        \--none--> in line --another's gate_leave: uv_async--> on_turn: inside
 *                        \--gate_abandon--> on_gone
 *
 * A pass in line owns an async handle of its own loop, since only that thread may start its work;
 * the handle lives as long as the waiting, so nothing is left to close at the end of a worker.
 * Rejected: blocking in the thread pool until there is room, which would take its threads away from
 * files and the store. At most cores - 1 get in, and never all threads of the pool.
 *
 * What must never happen: a pass that is neither in line nor inside and still waited for. */
#include "gate.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static list line = {&line, &line};
static size_t inside, waiting;

static size_t room(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    size_t threads = text != NULL ? strtoul(text, NULL, 10) : 4;
    size_t cores = uv_available_parallelism();
    size_t least = threads < cores ? threads : cores;
    return least > 2 ? least - 1 : 1;
}

static void on_closed_turn(uv_handle_t *handle)
{
    gate_pass *p = handle->data;
    p->on_turn(p);
}

static void on_closed_gone(uv_handle_t *handle)
{
    gate_pass *p = handle->data;
    p->on_gone(p);
}

static void on_async(uv_async_t *handle)
{
    uv_close((uv_handle_t *)handle, on_closed_turn);
}

static gate_answer enter(gate_pass *p, uv_loop_t *loop, size_t longest)
{
    list_init(&p->link);
    if (inside < room()) {
        inside++;
        return GATE_OPEN;
    }
    if (waiting >= longest || uv_async_init(loop, &p->turn, on_async) != 0)
        return GATE_FULL;
    p->turn.data = p;
    list_append(&line, &p->link);
    waiting++;
    return GATE_WAIT;
}

gate_answer gate_enter(gate_pass *p, uv_loop_t *loop, size_t longest)
{
    pthread_mutex_lock(&lock);
    gate_answer answer = enter(p, loop, longest);
    pthread_mutex_unlock(&lock);
    return answer;
}

void gate_leave(void)
{
    pthread_mutex_lock(&lock);
    if (list_empty(&line)) {
        inside--;
    } else {
        gate_pass *next = LIST_ENTRY(line.next, gate_pass, link);
        list_remove(&next->link);
        waiting--;
        uv_async_send(&next->turn);
    }
    pthread_mutex_unlock(&lock);
}

bool gate_abandon(gate_pass *p)
{
    pthread_mutex_lock(&lock);
    bool in_line = !list_empty(&p->link);
    if (in_line) {
        list_remove(&p->link);
        waiting--;
    }
    pthread_mutex_unlock(&lock);
    if (in_line)
        uv_close((uv_handle_t *)&p->turn, on_closed_gone);
    return in_line;
}
