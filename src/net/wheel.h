/* Deadlines of many connections on one timer: a hashed wheel with 250 ms ticks. Setting a deadline
 * later than the one before costs nothing: the entry stays where it is and is looked at again when
 * its slot comes round. */
#pragma once
#include "list.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { WHEEL_TICK_MS = 250, WHEEL_SLOTS = 512, WHEEL_JUMP_MS = 1500 };

typedef struct {
    list node;
    uint64_t due;  /* ms on the clock; 0: none */
    uint64_t tick; /* of the slot it lies in */
} wheel_entry;

typedef struct wheel {
    list slots[WHEEL_SLOTS];
    uv_timer_t timer;
    uint64_t now;     /* ms, refreshed once per turn of the loop */
    uint64_t loop_ms; /* uv_now when `now` was read */
    uint64_t tick;    /* last one that was worked off */
    uint64_t seen;    /* clock at the last tick */
    size_t linked;
    bool jumped; /* the last tick came far too late */
    void (*on_due)(wheel_entry *e);
} wheel;

void wheel_init(wheel *w, uv_loop_t *loop, void (*on_due)(wheel_entry *e));
void wheel_close(wheel *w, uv_close_cb on_closed); /* nothing may be linked any more */
void wheel_entry_init(wheel_entry *e);
/* on_due(e) is called once, at `due` (ms on the clock) or up to a tick later; 0 takes it away. */
void wheel_set(wheel *w, wheel_entry *e, uint64_t due);
void wheel_remove(wheel *w, wheel_entry *e); /* before e's memory goes */
/* Milliseconds on the monotonic clock, read at most once per turn of the loop. */
uint64_t wheel_now(wheel *w);
