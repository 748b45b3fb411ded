/* What audience.c (members and their times) and audience_bus.c (questions between workers and
 * nodes) share. */
#pragma once
#include "audience.h"
#include "buf.h"

enum { AUDIENCE_NODES_MAX = 64, AUDIENCE_NODE_MAX = 16 };

struct audience {
    uv_timer_t timer;
    hub_port *port; /* NULL: none */
    int worker;
    bool cluster;
    list members;
    size_t count;
    map by_id, rooms;
    due_heap due;
    /* audience_news.c's */
    list news, changed; /* changed: audience_room.changed_link */
    size_t news_count;
    void (*on_news)(void *arg);
    void *news_arg;
    bool telling;
    /* audience_bus.c's */
    hub_subscriber commands, answers;
    list questions;                                    /* by time */
    char peers[AUDIENCE_NODES_MAX][AUDIENCE_NODE_MAX]; /* other nodes, as they were heard */
    unsigned peer_count;
};

/* Who is in a topic, or is a user. Freed when nobody is in it and everybody knows. */
typedef struct audience_room {
    map_node node;
    list places;       /* audience_place.room_link */
    list changed_link; /* in home->changed */
    size_t count;
    bool of_user;
    char name[];
} audience_room;

typedef struct audience_place {
    list room_link, member_link;
    audience_room *room;
    audience_member *member;
} audience_place;

void audience_enter_user(audience_member *m);
void audience_exit_user(audience_member *m);
void audience_exit_all(audience_member *m);
/* Unchanged and empty rooms go. */
void audience_release_room(audience *a, audience_room *r);
void audience_free_rooms(audience *a);

void audience_room_changed(audience *a, audience_room *r);
void audience_add_news(audience_member *m, audience_kind kind, slice topic,
                       const audience_end *why);
void audience_free_news(audience *a);

/* The timer is set anew to what is due first. */
void audience_plan(audience *a);
void audience_end_member(audience_member *m, const audience_end *why);

void audience_bus_open(audience *a);
void audience_bus_close(audience *a);
/* When the first question has waited long enough (clock_ms); 0: none waits. */
uint64_t audience_bus_due(const audience *a);
void audience_bus_tick(audience *a, uint64_t now);
