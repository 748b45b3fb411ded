/* Runs a function once, later in this turn of the loop or early in the next: answers that are known
 * already, writes that shall share a system call. */
#pragma once
#include <stdbool.h>
#include <uv.h>

typedef struct soon {
    uv_idle_t idle;
    uv_check_t check;
    void (*fn)(void *arg);
    void (*on_closed)(void *arg);
    void *arg;
    int open;
    bool armed;
} soon;

void soon_init(soon *s, uv_loop_t *loop, void (*fn)(void *arg), void *arg);
void soon_arm(soon *s); /* harmless when armed; fn may arm it again */
/* fn is not called any more; on_closed(arg) when the owner may free the struct. */
void soon_close(soon *s, void (*on_closed)(void *arg));
