/* At most so many costly operations at once in the whole process, the others in a bounded line.
 * Password hashing goes through here: each hash takes a core and 128 MiB for half a second. */
#pragma once
#include "list.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

/* Embedded in the operation. */
typedef struct gate_pass {
    list link;
    uv_async_t turn;
    void (*on_turn)(struct gate_pass *p); /* it is p's turn; on its loop */
    void (*on_gone)(struct gate_pass *p); /* after gate_abandon: p may be freed; on its loop */
} gate_pass;

typedef enum {
    GATE_OPEN, /* go on at once */
    GATE_WAIT, /* on_turn will come */
    GATE_FULL, /* `longest` are waiting already; p is not used */
} gate_answer;

gate_answer gate_enter(gate_pass *p, uv_loop_t *loop, size_t longest);
/* By each who got through, once, from any thread. */
void gate_leave(void);
/* Takes p out of the line; false: its turn has come already. On p's loop. */
bool gate_abandon(gate_pass *p);
