/* What a reload has come to, for whoever asks from another thread: generation, the last failure,
 * and how far the attempts are. Written by the main thread, read by workers, under a lock. */
#pragma once
#include "script.h"
#include <pthread.h>

typedef struct {
    pthread_mutex_t lock;
    uint64_t started; /* attempts */
    host_facts facts;
} reload_state;

void reload_state_init(reload_state *s, uint64_t generation);
void reload_state_deinit(reload_state *s);

/* The number of the attempt that will have seen every file as it is now; 0: the server is stopping,
 * there will be none. Whoever asks makes the main thread begin. */
uint64_t reload_state_ticket(reload_state *s);
void reload_state_begin(reload_state *s);
/* error NULL: it went well. */
void reload_state_end(reload_state *s, const char *error);
void reload_state_stop(reload_state *s);
void reload_state_look(reload_state *s, host_facts *out);
