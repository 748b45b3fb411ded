/* The table of proxies is the process's, written before threads start and only read after. A
 * request's address is found when it is first asked for: without trusted proxies that costs one
 * comparison. Rejected: to believe the left-most hop (anybody writes it), and a number of hops
 * instead of addresses (wrong as soon as one client comes another way). */
#include "forwarded.h"

#include "http_internal.h"
#include <stdio.h>

enum { PROXIES_MAX = 100, HOPS_MAX = 32, HOST_MAX = 255 };

static address_range proxies[PROXIES_MAX];
static size_t proxy_count;
static bool unix_too;

static void trust_nobody(void)
{
    proxy_count = 0;
    unix_too = false;
}

static int trust(const char *item, char *error, size_t error_size)
{
    if (strcmp(item, "unix") == 0) {
        unix_too = true;
        return 0;
    }
    if (proxy_count == PROXIES_MAX) {
        snprintf(error, error_size, "proxy.trusted has more than %d items", PROXIES_MAX);
        return -1;
    }
    if (!address_range_parse(slice_of(item), &proxies[proxy_count])) {
        snprintf(error, error_size,
                 "proxy.trusted: \"%s\" is no address, no block such as 10.0.0.0/8, and not "
                 "\"unix\"",
                 item);
        return -1;
    }
    proxy_count++;
    return 0;
}

int forwarded_trust(const char *const *items, char *error, size_t error_size)
{
    trust_nobody();
    for (; *items != NULL; items++)
        if (trust(*items, error, error_size) != 0)
            return -1;
    return 0;
}

/* Addresses --------------------------------------------------------------------------------- */

static bool is_proxy(const uint8_t address[ADDRESS_BYTES])
{
    for (size_t i = 0; i < proxy_count; i++)
        if (address_in_range(address, &proxies[i]))
            return true;
    return false;
}

static bool peer_is_proxy(slice peer)
{
    uint8_t address[ADDRESS_BYTES];
    if (slice_eq(peer, SLICE("unix")))
        return unix_too;
    return address_parse(peer, address) && is_proxy(address);
}

bool forwarded_is_shared(const uint8_t address[ADDRESS_BYTES])
{
    return address_is_loopback(address) || is_proxy(address);
}

static slice name_of(exchange *x, const uint8_t address[ADDRESS_BYTES])
{
    char text[ADDRESS_TEXT];
    address_print(address, text);
    return (slice){arena_copy(&x->arena, text, strlen(text)), strlen(text)};
}

/* Lists --------------------------------------------------------------------------------------- */

static slice trim(slice s)
{
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Takes the last item from a list separated by commas. */
static bool take_last(slice *items, slice *item)
{
    if (items->p == NULL)
        return false;
    size_t from = items->n;
    while (from > 0 && items->p[from - 1] != ',')
        from--;
    *item = trim((slice){items->p + from, items->n - from});
    *items = from > 0 ? (slice){items->p, from - 1} : (slice){0};
    return true;
}

/* "1.2.3.4:80", "[::1]:80" and "[::1]" are addresses too. */
static slice without_port(slice hop)
{
    if (hop.n > 0 && hop.p[0] == '[') {
        const char *end = memchr(hop.p, ']', hop.n);
        return end != NULL ? (slice){hop.p + 1, (size_t)(end - hop.p - 1)} : (slice){0};
    }
    const char *colon = memchr(hop.p, ':', hop.n);
    if (colon == NULL || memchr(colon + 1, ':', hop.n - (size_t)(colon + 1 - hop.p)) != NULL)
        return hop;
    return (slice){hop.p, (size_t)(colon - hop.p)};
}

/* Of 'for="[::1]:80";proto=https' the value with that name; "" when there is none. */
static slice value_of(slice element, slice name)
{
    while (element.n > 0) {
        const char *end = memchr(element.p, ';', element.n);
        size_t n = end != NULL ? (size_t)(end - element.p) : element.n;
        slice pair = trim((slice){element.p, n});
        if (pair.n > name.n && pair.p[name.n] == '=' && slice_ieq((slice){pair.p, name.n}, name)) {
            slice value = {pair.p + name.n + 1, pair.n - name.n - 1};
            if (value.n > 1 && value.p[0] == '"' && value.p[value.n - 1] == '"')
                value = (slice){value.p + 1, value.n - 2};
            return value;
        }
        element = end != NULL ? (slice){end + 1, element.n - n - 1} : (slice){0};
    }
    return (slice){"", 0};
}

/* Walks from the nearest hop to the first that is no proxy. False: the walk is over. */
static bool walk(exchange *x, slice hops, bool elements, int *left)
{
    slice item;
    uint8_t address[ADDRESS_BYTES];
    while (take_last(&hops, &item)) {
        if ((*left)-- == 0)
            return false;
        if (elements) {
            x->hop = item;
            item = value_of(item, SLICE("for"));
        }
        if (!address_parse(without_port(item), address))
            return false;
        x->peer = name_of(x, address);
        if (!is_proxy(address))
            return false;
    }
    return true;
}

static void find_client(exchange *x)
{
    bool elements = exchange_header(x, SLICE("x-forwarded-for")).p == NULL;
    slice name = elements ? SLICE("forwarded") : SLICE("x-forwarded-for");
    int left = HOPS_MAX;
    for (size_t i = x->header_count; i > 0; i--) {
        const http_header *h = &x->headers[i - 1];
        if (slice_ieq(h->name, name) && !walk(x, h->value, elements, &left))
            break;
    }
}

/* What is asked ------------------------------------------------------------------------------- */

static bool trusts_any(void)
{
    return proxy_count > 0 || unix_too;
}

slice forwarded_peer(exchange *x)
{
    if (x->peer.p != NULL || x->hc == NULL)
        return x->peer.p != NULL ? x->peer : SLICE("gone");
    slice peer = slice_of(conn_peer(x->hc->c));
    x->peer = (slice){arena_copy(&x->arena, peer.p, peer.n), peer.n};
    if (trusts_any() && peer_is_proxy(peer))
        find_client(x);
    return x->peer;
}

slice forwarded_network(exchange *x)
{
    uint8_t address[ADDRESS_BYTES];
    slice peer = forwarded_peer(x);
    if (memchr(peer.p, ':', peer.n) == NULL || !address_parse(peer, address))
        return peer;
    address_network(address);
    slice name = name_of(x, address);
    char *text = arena_alloc(&x->arena, name.n + 3);
    memcpy(text, name.p, name.n);
    memcpy(text + name.n, "/64", 3);
    return (slice){text, name.n + 3};
}

/* What a trusted proxy says by the last value of the last header of that name, or else by a pair of
 * Forwarded. */
static slice said(exchange *x, slice header, slice pair)
{
    slice value = {0}, item;
    if (!trusts_any() || x->hc == NULL || !peer_is_proxy(slice_of(conn_peer(x->hc->c))))
        return value;
    for (size_t i = 0; i < x->header_count; i++)
        if (slice_ieq(x->headers[i].name, header))
            value = x->headers[i].value;
    if (take_last(&value, &item))
        return item;
    forwarded_peer(x);
    return value_of(x->hop, pair);
}

bool forwarded_is_tls(exchange *x)
{
    slice scheme = said(x, SLICE("x-forwarded-proto"), SLICE("proto"));
    if (slice_ieq(scheme, SLICE("https")) || slice_ieq(scheme, SLICE("http")))
        return scheme.n == 5;
    return x->hc != NULL && conn_is_tls(x->hc->c);
}

static bool is_host(slice text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  ".-_:[]";
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '\0' || strchr(allowed, text.p[i]) == NULL)
            return false;
    return text.n > 0 && text.n <= HOST_MAX;
}

slice forwarded_host(exchange *x)
{
    slice host = said(x, SLICE("x-forwarded-host"), SLICE("host"));
    return is_host(host) ? host : exchange_header(x, SLICE("host"));
}
