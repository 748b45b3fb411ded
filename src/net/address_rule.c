/* One table of ranges, in IPv6 form, after the IANA registries of special-purpose addresses.
 * Addresses that carry an IPv4 address inside (mapped, NAT64, 6to4, Teredo) are either unwrapped
 * (mapped) or refused as a whole, so that no second notation of 127.0.0.1 slips through. */
#include "address_rule.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4(a, b, c, d, bits)                                                \
    {                                                                       \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + (bits) \
    }

static const address_range internal[] = {
    V4(0, 0, 0, 0, 8),                          /* this network */
    V4(10, 0, 0, 0, 8),                         /* private */
    V4(100, 64, 0, 0, 10),                      /* carrier's NAT; a cloud's metadata */
    V4(127, 0, 0, 0, 8),                        /* loopback */
    V4(169, 254, 0, 0, 16),                     /* link-local, metadata */
    V4(172, 16, 0, 0, 12),                      /* private */
    V4(192, 0, 0, 0, 24),                       /* protocol assignments */
    V4(192, 0, 2, 0, 24),                       /* documentation */
    V4(192, 88, 99, 0, 24),                     /* 6to4 relays */
    V4(192, 168, 0, 0, 16),                     /* private */
    V4(198, 18, 0, 0, 15),                      /* benchmarks */
    V4(198, 51, 100, 0, 24),                    /* documentation */
    V4(203, 0, 113, 0, 24),                     /* documentation */
    V4(224, 0, 0, 0, 4),                        /* multicast */
    V4(240, 0, 0, 0, 4),                        /* reserved, broadcast */
    {{0}, 96},                                  /* ::, ::1, IPv4-compatible */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* IPv4-translated */
    {{0, 0x64, 0xff, 0x9b}, 96},                /* NAT64 */
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48},          /* local NAT64 */
    {{1}, 64},                                  /* discard */
    {{0x20, 0x01}, 32},                         /* Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},             /* documentation */
    {{0x20, 0x02}, 16},                         /* 6to4 */
    {{0xfc}, 7},                                /* unique local */
    {{0xfe, 0x80}, 10},                         /* link-local */
    {{0xfe, 0xc0}, 10},                         /* site-local */
    {{0xff}, 8},                                /* multicast */
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const uint8_t bytes[ADDRESS_BYTES])
{
    return memcmp(bytes, mapped, sizeof mapped) == 0;
}

bool address_bytes(const struct sockaddr *address, uint8_t bytes[ADDRESS_BYTES])
{
    if (address->sa_family == AF_INET6) {
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
        return true;
    }
    memcpy(bytes, mapped, 12);
    if (address->sa_family == AF_INET)
        memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    return address->sa_family == AF_INET;
}

bool address_parse(slice text, uint8_t bytes[ADDRESS_BYTES])
{
    char copy[ADDRESS_TEXT];
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    memcpy(bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, bytes + sizeof mapped) == 1 ||
           inet_pton(AF_INET6, copy, bytes) == 1;
}

void address_print(const uint8_t bytes[ADDRESS_BYTES], char text[ADDRESS_TEXT])
{
    bool v4 = is_v4(bytes);
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + sizeof mapped : bytes, text, ADDRESS_TEXT);
}

void address_network(uint8_t bytes[ADDRESS_BYTES])
{
    if (!is_v4(bytes))
        memset(bytes + 8, 0, 8);
}

bool address_is_loopback(const uint8_t bytes[ADDRESS_BYTES])
{
    return is_v4(bytes) ? bytes[12] == 127 : memcmp(bytes, &in6addr_loopback, 16) == 0;
}

bool address_in_range(const uint8_t bytes[ADDRESS_BYTES], const address_range *range)
{
    size_t whole = range->bits / 8u;
    unsigned rest = range->bits % 8u;
    if (memcmp(bytes, range->bytes, whole) != 0)
        return false;
    unsigned mask = (0xff00u >> rest) & 0xff;
    return rest == 0 || ((bytes[whole] ^ range->bytes[whole]) & mask) == 0;
}

bool address_is_internal(const struct sockaddr *address)
{
    uint8_t bytes[ADDRESS_BYTES];
    if (!address_bytes(address, bytes))
        return true;
    for (size_t i = 0; i < sizeof internal / sizeof *internal; i++)
        if (address_in_range(bytes, &internal[i]))
            return true;
    return false;
}

/* Of "/16"; -1: none or not a number up to `most`. */
static int prefix_bits(const char *text, int most)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -1;
    long bits = strtol(text, &end, 10);
    return *end == '\0' && bits <= most ? (int)bits : -1;
}

bool address_range_parse(slice text, address_range *range)
{
    char copy[64];
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    char *slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    if (!address_parse(slice_of(copy), range->bytes))
        return false;
    bool v4 = strchr(copy, ':') == NULL;
    int most = v4 ? 32 : 128, bits = slash == NULL ? most : prefix_bits(slash + 1, most);
    range->bits = (uint8_t)(v4 ? bits + 96 : bits);
    return bits >= 0;
}
