/* Addresses as 16 bytes, those of IPv4 as ::ffff:a.b.c.d, so that one client has one name; and
 * which of them a request may be sent to: those of this machine, of private networks and of clouds'
 * metadata services are "internal", and whoever names a target from user input must not reach them.
 * Pure: no I/O. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_BYTES = 16, ADDRESS_TEXT = 46 };

typedef struct {
    uint8_t bytes[ADDRESS_BYTES];
    uint8_t bits;
} address_range;

/* False: it is none of IPv4 or IPv6. */
bool address_bytes(const struct sockaddr *address, uint8_t bytes[ADDRESS_BYTES]);
bool address_parse(slice text, uint8_t bytes[ADDRESS_BYTES]);
void address_print(const uint8_t bytes[ADDRESS_BYTES], char text[ADDRESS_TEXT]);
/* What one customer has, and what is counted as one client: an IPv4 address, a /64 of IPv6. */
void address_network(uint8_t bytes[ADDRESS_BYTES]);
bool address_is_loopback(const uint8_t bytes[ADDRESS_BYTES]);

/* "10.1.0.0/16", "127.0.0.1", "fd00::/8", "::1". */
bool address_range_parse(slice text, address_range *range);
bool address_in_range(const uint8_t bytes[ADDRESS_BYTES], const address_range *range);
/* Not a unicast address of the public internet. Anything but IPv4 and IPv6 counts as internal. */
bool address_is_internal(const struct sockaddr *address);
