/* The only source of time. Durations are measured on the monotonic clock; the wall clock is for
 * what people and tokens see. A test may move both forward (clock_advance). */
#pragma once
#include <stdint.h>

uint64_t clock_ms(void);         /* monotonic milliseconds */
uint64_t clock_us(void);         /* monotonic microseconds */
int64_t clock_wall_ms(void);     /* Unix milliseconds, UTC */
uint64_t clock_thread_us(void);  /* CPU time of the calling thread */
uint64_t clock_process_us(void); /* CPU time of the whole process */
void clock_advance(uint64_t ms); /* tests only; never back */
