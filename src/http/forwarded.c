/* The table of proxies is the process's, written before threads start and only read after. A
 * request's address is found when it is first asked for: without trusted proxies that costs one
 * comparison. Rejected: to believe the left-most hop (anybody writes it), and a number of hops
 * instead of addresses (wrong as soon as one client comes another way). */
#include "forwarded.h"

#include "address_rule.h"
#include "http_internal.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { PROXIES_MAX = 100, HOPS_MAX = 32, ADDRESS_MAX = 64, HOST_MAX = 255 };

static address_range proxies[PROXIES_MAX];
static size_t proxy_count;
static bool unix_too;

void forwarded_trust_nobody(void)
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
    forwarded_trust_nobody();
    for (; *items != NULL; items++)
        if (trust(*items, error, error_size) != 0)
            return -1;
    return 0;
}

/* Addresses --------------------------------------------------------------------------------- */

static bool parse(slice text, struct sockaddr_in6 *out)
{
    char copy[ADDRESS_MAX];
    *out = (struct sockaddr_in6){.sin6_family = AF_INET6};
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, &out->sin6_addr.s6_addr[12]) == 1) {
        memset(&out->sin6_addr.s6_addr[10], 0xff, 2);
        return true;
    }
    return inet_pton(AF_INET6, copy, &out->sin6_addr) == 1;
}

static bool is_proxy(const struct sockaddr_in6 *address)
{
    for (size_t i = 0; i < proxy_count; i++)
        if (address_in_range((const struct sockaddr *)address, &proxies[i]))
            return true;
    return false;
}

static bool peer_is_proxy(slice peer)
{
    struct sockaddr_in6 address;
    if (slice_eq(peer, SLICE("unix")))
        return unix_too;
    return parse(peer, &address) && is_proxy(&address);
}

/* One client, one name: ::ffff:1.2.3.4 is 1.2.3.4. */
static slice name_of(exchange *x, const struct sockaddr_in6 *address)
{
    char text[INET6_ADDRSTRLEN];
    if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr))
        inet_ntop(AF_INET, &address->sin6_addr.s6_addr[12], text, sizeof text);
    else
        inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    size_t n = strlen(text);
    return (slice){arena_copy(&x->arena, text, n), n};
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

/* 'for="[::1]:80";proto=https': the address; "" when there is none. */
static slice forwarded_node(slice element)
{
    while (element.n > 0) {
        const char *end = memchr(element.p, ';', element.n);
        size_t n = end != NULL ? (size_t)(end - element.p) : element.n;
        slice pair = trim((slice){element.p, n});
        if (pair.n > 4 && slice_ieq((slice){pair.p, 4}, SLICE("for="))) {
            slice node = {pair.p + 4, pair.n - 4};
            if (node.n > 1 && node.p[0] == '"' && node.p[node.n - 1] == '"')
                node = (slice){node.p + 1, node.n - 2};
            return node;
        }
        element = end != NULL ? (slice){end + 1, element.n - n - 1} : (slice){0};
    }
    return (slice){"", 0};
}

/* Walks from the nearest hop to the first that is no proxy. False: the walk is over. */
static bool walk(exchange *x, slice hops, bool nodes, int *left, slice *peer)
{
    slice item;
    struct sockaddr_in6 address;
    while (take_last(&hops, &item)) {
        if ((*left)-- == 0 || !parse(without_port(nodes ? forwarded_node(item) : item), &address))
            return false;
        *peer = name_of(x, &address);
        if (!is_proxy(&address))
            return false;
    }
    return true;
}

static slice client_of(exchange *x, slice peer)
{
    bool nodes = exchange_header(x, SLICE("x-forwarded-for")).p == NULL;
    slice name = nodes ? SLICE("forwarded") : SLICE("x-forwarded-for");
    int left = HOPS_MAX;
    for (size_t i = x->header_count; i > 0; i--) {
        const http_header *h = &x->headers[i - 1];
        if (slice_ieq(h->name, name) && !walk(x, h->value, nodes, &left, &peer))
            break;
    }
    return peer;
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
    peer.p = arena_copy(&x->arena, peer.p, peer.n);
    x->peer = trusts_any() && peer_is_proxy(peer) ? client_of(x, peer) : peer;
    return x->peer;
}

/* The last value of the last header of that name, of a trusted proxy. */
static slice said(const exchange *x, slice name)
{
    slice value = {0}, item;
    if (!trusts_any() || x->hc == NULL || !peer_is_proxy(slice_of(conn_peer(x->hc->c))))
        return value;
    for (size_t i = 0; i < x->header_count; i++)
        if (slice_ieq(x->headers[i].name, name))
            value = x->headers[i].value;
    return take_last(&value, &item) ? item : (slice){0};
}

bool forwarded_is_tls(const exchange *x)
{
    slice scheme = said(x, SLICE("x-forwarded-proto"));
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

slice forwarded_host(const exchange *x)
{
    slice host = said(x, SLICE("x-forwarded-host"));
    return is_host(host) ? host : exchange_header(x, SLICE("host"));
}
