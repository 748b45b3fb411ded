/* Who sent a request, and how, behind proxies: the one place where X-Forwarded-For, -Proto and
 * -Host, or Forwarded (RFC 7239), are believed, and only of peers that the setting proxy.trusted
 * names. Of the hops, the last one that is no trusted proxy is the client: whatever stands left of
 * it may be made up. Forwarded counts where there is no X-Forwarded-For: a proxy that writes the
 * one passes the other on as the client sent it. */
#pragma once
#include "address_rule.h"
#include "exchange.h"

/* Before threads start: addresses and blocks (10.0.0.0/8, ::1), or "unix" for unix sockets. -1 with
 * a message: an item is none. */
int forwarded_trust(const char *const *items, char *error, size_t error_size);

/* The client's address; "unix", or "gone". Lives as long as the exchange. */
slice forwarded_peer(exchange *x);
/* The same, but a /64 of IPv6 ("2001:db8:1:2::/64") is one client: what to count by. */
slice forwarded_network(exchange *x);
bool forwarded_is_tls(exchange *x);
/* The Host that the client asked for; p == NULL: none. */
slice forwarded_host(exchange *x);
/* Of this machine, or of a trusted proxy: many clients may be behind it. */
bool forwarded_is_shared(const uint8_t address[ADDRESS_BYTES]);
