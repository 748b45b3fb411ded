/* What audience.c (members and their times) and audience_bus.c (questions between workers and
 * nodes) share. */
#pragma once
#include "audience.h"
#include "buf.h"

struct audience {
    uv_timer_t timer;
    hub_port *port; /* NULL: none */
    int worker;
    bool cluster;
    list members;
    size_t count;
    map by_id, users;
    due_heap due;
    /* audience_bus.c's */
    hub_subscriber commands, answers;
    list questions; /* by time */
};

/* The members of one user of one tenant. */
typedef struct audience_user {
    map_node node; /* key: tenant's length, ':', tenant, user */
    list members;  /* audience_member.user_link */
    size_t count;
    char key[];
} audience_user;

/* The timer is set anew to what is due first. */
void audience_plan(audience *a);
void audience_end_member(audience_member *m, const audience_end *why);

void audience_bus_open(audience *a);
void audience_bus_close(audience *a);
/* When the first question has waited long enough (clock_ms); 0: none waits. */
uint64_t audience_bus_due(const audience *a);
void audience_bus_tick(audience *a, uint64_t now);
