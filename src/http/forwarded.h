/* Who sent a request, and how, behind proxies: the one place where X-Forwarded-For, -Proto and
 * -Host, and Forwarded's for=, are believed, and only of peers that the setting proxy.trusted
 * names. Of the hops, the last one that is no trusted proxy is the client: whatever stands left of
 * it may be made up. */
#pragma once
#include "exchange.h"

/* Before threads start: addresses and blocks (10.0.0.0/8, ::1), or "unix" for unix sockets. -1 with
 * a message: an item is none. */
int forwarded_trust(const char *const *items, char *error, size_t error_size);
void forwarded_trust_nobody(void);

/* The client's address; "unix", or "gone". Lives as long as the exchange. */
slice forwarded_peer(exchange *x);
bool forwarded_is_tls(const exchange *x);
/* The Host that the client asked for; p == NULL: none. */
slice forwarded_host(const exchange *x);
