/* All reads go through here so that no one timestamp of a request mixes clocks, and a spec can jump
 * 30 s without waiting. What must never happen: a timeout computed from the wall clock. */
#include "clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t shift_ms;

static uint64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t clock_us(void)
{
    return read_us(CLOCK_MONOTONIC) + atomic_load_explicit(&shift_ms, memory_order_relaxed) * 1000u;
}

uint64_t clock_ms(void)
{
    return clock_us() / 1000u;
}

int64_t clock_wall_ms(void)
{
    return (int64_t)(read_us(CLOCK_REALTIME) / 1000u +
                     atomic_load_explicit(&shift_ms, memory_order_relaxed));
}

uint64_t clock_thread_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process_us(void)
{
    return read_us(CLOCK_PROCESS_CPUTIME_ID);
}

void clock_advance(uint64_t ms)
{
    atomic_fetch_add(&shift_ms, ms);
}
