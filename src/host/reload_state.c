/* Attempts to reload are serial, on the main thread; signals for it coalesce. A ticket is the
 * number of the next attempt that begins: one that runs may have read its files already.
 *
 *   ticket 7 asked for -> begin (7) -> end (7): everybody whose ticket is 7 or less has an answer
 *
 * What must never happen: a waiter whose ticket no attempt will reach (stop answers those). */
#include "reload_state.h"

#include "clock.h"
#include <stdio.h>

void reload_state_init(reload_state *s, uint64_t generation)
{
    pthread_mutex_init(&s->lock, NULL);
    s->facts.generation = generation;
    s->facts.since_ms = clock_wall_ms();
}

void reload_state_deinit(reload_state *s)
{
    pthread_mutex_destroy(&s->lock);
}

uint64_t reload_state_ticket(reload_state *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t ticket = s->facts.stopping ? 0 : s->started + 1;
    pthread_mutex_unlock(&s->lock);
    return ticket;
}

void reload_state_begin(reload_state *s)
{
    pthread_mutex_lock(&s->lock);
    s->started++;
    pthread_mutex_unlock(&s->lock);
}

void reload_state_end(reload_state *s, const char *error)
{
    host_facts *f = &s->facts;
    pthread_mutex_lock(&s->lock);
    f->attempts = s->started;
    if (error == NULL) {
        f->generation++;
        f->since_ms = clock_wall_ms();
        f->failed_ms = 0;
        f->error[0] = '\0';
    } else {
        if (f->failed_ms == 0)
            f->failed_ms = clock_wall_ms();
        snprintf(f->error, sizeof f->error, "%s", error);
    }
    pthread_mutex_unlock(&s->lock);
}

void reload_state_stop(reload_state *s)
{
    pthread_mutex_lock(&s->lock);
    s->facts.stopping = true;
    pthread_mutex_unlock(&s->lock);
}

void reload_state_look(reload_state *s, host_facts *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->facts;
    pthread_mutex_unlock(&s->lock);
}
