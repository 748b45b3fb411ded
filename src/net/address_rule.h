/* Which addresses a request may be sent to: those of this machine, of private networks and of
 * clouds' metadata services are "internal", and whoever names a target from user input must not
 * reach them. Pure: no I/O. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct {
    uint8_t bytes[16]; /* IPv6; IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;
} address_range;

/* "10.1.0.0/16", "127.0.0.1", "fd00::/8", "::1". */
bool address_range_parse(slice text, address_range *range);
bool address_in_range(const struct sockaddr *address, const address_range *range);
/* Not a unicast address of the public internet. Anything but IPv4 and IPv6 counts as internal. */
bool address_is_internal(const struct sockaddr *address);
