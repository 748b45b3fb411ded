/* May this request become a WebSocket? Everything that RFC 6455 4.2.1 asks of a client, and that
 * the page which asks is one of ours: a browser sends cookies along to any host, so a foreign
 * page's script could speak with its visitor's rights. A client without Origin is no browser. */
#include "ws.h"

#include "forwarded.h"

static bool next_token(slice *words, slice *token)
{
    while (words->n > 0 && strchr(", \t", *words->p) != NULL)
        *words = (slice){words->p + 1, words->n - 1};
    size_t n = 0;
    while (n < words->n && strchr(", \t", words->p[n]) == NULL)
        n++;
    *token = (slice){words->p, n};
    *words = (slice){words->p + n, words->n - n};
    return n > 0;
}

/* Is the word among those of all headers of that name? */
static bool has_token(const exchange *x, slice name, slice word)
{
    size_t count;
    const http_header *headers = exchange_headers(x, &count);
    for (size_t i = 0; i < count; i++) {
        slice words = headers[i].value, token;
        if (!slice_ieq(headers[i].name, name))
            continue;
        while (next_token(&words, &token)) {
            if (slice_ieq(token, word))
                return true;
        }
    }
    return false;
}

bool ws_wanted(const exchange *x)
{
    return has_token(x, SLICE("upgrade"), SLICE("websocket"));
}

static bool same_host(slice origin, slice host)
{
    static const slice schemes[] = {SLICE_INIT("http://"), SLICE_INIT("https://")};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        slice s = schemes[i];
        if (origin.n > s.n && slice_ieq((slice){origin.p, s.n}, s) &&
            slice_ieq((slice){origin.p + s.n, origin.n - s.n}, host))
            return true;
    }
    return false;
}

static bool origin_allowed(exchange *x, const ws_limits *limits)
{
    slice origin = exchange_header(x, SLICE("origin"));
    if (origin.p == NULL || same_host(origin, forwarded_host(x)))
        return true;
    for (const char *const *o = limits->origins; o != NULL && *o != NULL; o++) {
        if (strcmp(*o, "*") == 0 || slice_ieq(origin, slice_of(*o)))
            return true;
    }
    return false;
}

static bool has_body(const exchange *x)
{
    slice length = exchange_header(x, SLICE("content-length"));
    return exchange_header(x, SLICE("transfer-encoding")).p != NULL ||
           (length.p != NULL && !slice_eq(length, SLICE("0")));
}

const ws_refusal *ws_check(exchange *x)
{
    static const ws_refusal
        not_upgrade = {426, "upgrade_required",
                       "this is a WebSocket: ask with Connection: Upgrade and Upgrade: websocket"},
        version = {426, "bad_version", "Sec-WebSocket-Version must be 13"},
        request = {400, "bad_upgrade", "a WebSocket begins with GET and HTTP/1.1, without a body"},
        key = {400, "bad_key", "Sec-WebSocket-Key must be 16 bytes in base64"},
        origin = {403, "origin",
                  "pages of this origin may not open WebSockets here; the setting "
                  "ws.origins lists those that may"};
    if (!ws_wanted(x) || !has_token(x, SLICE("connection"), SLICE("upgrade")))
        return &not_upgrade;
    if (!slice_eq(exchange_method(x), SLICE("GET")) || exchange_minor(x) < 1 || has_body(x))
        return &request;
    if (!slice_eq(exchange_header(x, SLICE("sec-websocket-version")), SLICE("13")))
        return &version;
    if (!ws_key_valid(exchange_header(x, SLICE("sec-websocket-key"))))
        return &key;
    return origin_allowed(x, &exchange_limits(x)->ws) ? NULL : &origin;
}
