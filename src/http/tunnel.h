/* Two connections joined back to back: what one says, the other hears. */
#pragma once
#include "conn.h"

/* Takes both over. Nothing for idle_ms (0: any time): both are closed. */
void tunnel_start(conn *a, conn *b, uint64_t idle_ms);
/* Closes those of the calling worker (shutdown). */
void tunnel_end_all(void);
