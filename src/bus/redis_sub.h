/* The process's one subscribe link: which channels this node hears, and what comes over them. Lives
 * on one loop; join and leave may be called from any thread. */
#pragma once
#include "redis_link.h"

typedef struct redis_sub redis_sub;

/* All on the loop. A name is without the channel prefix. */
typedef struct {
    void (*on_joined)(void *arg, slice name); /* from now on nothing is missed */
    void (*on_message)(void *arg, slice name, slice payload);
    /* The same of a name that fits a joined one that ends in a star. */
    void (*on_fitting)(void *arg, slice pattern, slice name, slice payload);
    /* Every name that is wanted now; asked after each (re)connection. */
    void (*each_name)(void *arg, void (*fn)(slice name, void *fn_arg), void *fn_arg);
    void (*on_relinked)(void *arg); /* all of these are joined */
    void *arg;
} redis_sub_events;

redis_sub *redis_sub_open(const redis_options *options, slice channel_prefix, uv_loop_t *loop,
                          const redis_sub_events *events);
void redis_sub_join(redis_sub *s, slice name);
void redis_sub_leave(redis_sub *s, slice name);
/* On the loop. join and leave are harmless from then on. */
void redis_sub_close(redis_sub *s);
/* After the loop has run dry and nobody calls join or leave any more. */
void redis_sub_free(redis_sub *s);
