/* What a worker that stops asks of the calling thread's streams of events (l_events.c). */
#pragma once
#include <stddef.h>

/* Tasks that go on without their clients (`keep`), and last events of theirs that are not on their
 * way yet. */
size_t events_unfinished(void);
void events_end_kept(void); /* cancels those tasks */
