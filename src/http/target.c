/* The request's target: decoded once, checked once; everything behind works on the result. Dot
 * segments, encoded slashes, backslashes, controls and bytes that are not UTF-8 are refused rather
 * than repaired, since a proxy in front may have repaired them another way. Repeated slashes become
 * one. A target without anything to decode costs one scan and no copy.
 *
 * What must never happen: a second decoding. */
#include "http_internal.h"

#include "utf8.h"

static bool slash_or_end(const char *p, const char *end)
{
    return p == end || *p == '/';
}

/* "/." or "/.." as a whole segment. */
static bool has_dots(const char *path, size_t n)
{
    const char *end = path + n;
    for (const char *p = path; p < end; p++) {
        if (*p != '/' || p + 1 == end || p[1] != '.')
            continue;
        const char *q = p + 2;
        if (slash_or_end(q, end) || (*q == '.' && slash_or_end(q + 1, end)))
            return true;
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool valid_utf8(const char *text, size_t n)
{
    for (const char *p = text, *end = text + n; p < end;) {
        size_t length = utf8_length(p, end);
        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

/* The next byte of an encoded path; -1: refused. */
static int decoded_byte(const char **p, const char *end)
{
    int byte = (unsigned char)*(*p)++;
    if (byte == '\\')
        return -1;
    if (byte != '%')
        return byte;
    if (end - *p < 2)
        return -1;
    int high = hex_digit((*p)[0]), low = hex_digit((*p)[1]);
    *p += 2;
    if (high < 0 || low < 0)
        return -1;
    byte = high << 4 | low;
    return byte == '/' || byte == '\\' || byte < 0x20 || byte == 0x7f ? -1 : byte;
}

static bool decode(exchange *x, slice raw)
{
    char *path = arena_alloc(&x->arena, raw.n);
    size_t n = 0;
    const char *p = raw.p, *end = raw.p + raw.n;
    while (p < end) {
        int byte = decoded_byte(&p, end);
        if (byte < 0)
            return false;
        if (byte != '/' || n == 0 || path[n - 1] != '/')
            path[n++] = (char)byte;
    }
    x->path = (slice){path, n};
    return valid_utf8(path, n);
}

static bool plain(slice raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        unsigned char byte = (unsigned char)raw.p[i];
        if (byte == '%' || byte == '\\' || byte >= 0x7f || byte <= 0x20 ||
            (byte == '/' && i > 0 && raw.p[i - 1] == '/'))
            return false;
    }
    return true;
}

/* "http://host/path" leaves "/path"; false: a broken authority, or another one than Host names,
 * which of two servers in a row one might go by. */
static bool skip_authority(const exchange *x, slice *target)
{
    const char *start = memchr(target->p, ':', target->n);
    const char *end = target->p + target->n;
    if (start == NULL || end - start < 4 || memcmp(start, "://", 3) != 0)
        return false;
    slice scheme = {target->p, (size_t)(start - target->p)};
    if (!slice_ieq(scheme, SLICE("http")) && !slice_ieq(scheme, SLICE("https")))
        return false;
    start += 3;
    const char *p = start;
    while (p < end && *p != '/' && *p != '?')
        p++;
    slice authority = {start, (size_t)(p - start)}, host = exchange_header(x, SLICE("host"));
    *target = (slice){p, (size_t)(end - p)};
    return host.p != NULL ? slice_ieq(authority, host) : head_is_host(authority);
}

int target_read(exchange *x, const char **why)
{
    slice rest = x->target;
    *why = "the request's target is not a valid path";
    if (memchr(rest.p, '#', rest.n) != NULL)
        return 400;
    if (rest.p[0] != '/' && slice_eq(rest, SLICE("*"))) {
        x->path = rest;
        return slice_eq(x->method, SLICE("OPTIONS")) ? 0 : 400;
    }
    if (rest.p[0] != '/' && !skip_authority(x, &rest))
        return 400;
    const char *mark = memchr(rest.p, '?', rest.n);
    slice raw = {rest.p, mark != NULL ? (size_t)(mark - rest.p) : rest.n};
    x->query = mark != NULL ? (slice){mark + 1, rest.n - raw.n - 1} : SLICE("");
    if (raw.n == 0)
        raw = SLICE("/");
    if (plain(raw))
        x->path = raw;
    else if (!decode(x, raw))
        return 400;
    return has_dots(x->path.p, x->path.n) ? 400 : 0;
}
