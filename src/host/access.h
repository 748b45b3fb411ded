/* One line and one count per finished request. */
#pragma once
#include "exchange.h"

void access_configure(bool log); /* from any thread */
/* For http_handler. */
void access_on_done(exchange *x, int status, uint64_t us, uint64_t bytes, void *arg);
