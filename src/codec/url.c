/* Why not a general parser (RFC 3986): whatever is unusual in a URL's authority (user information,
 * percent signs, backslashes, empty ports) is how one reader is made to see another host than the
 * next. Such URLs are refused, not repaired. */
#include "url.h"

static bool skip(slice *text, const char *word)
{
    size_t n = strlen(word);
    if (text->n < n || strncasecmp(text->p, word, n) != 0)
        return false;
    *text = (slice){text->p + n, text->n - n};
    return true;
}

static bool is_printable(slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return false;
    return true;
}

static size_t authority_length(slice text)
{
    size_t n = 0;
    while (n < text.n && strchr("/?#", text.p[n]) == NULL)
        n++;
    return n;
}

static bool read_port(slice digits, uint16_t *port)
{
    unsigned value = 0;
    if (digits.n == 0 || digits.n > 5)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        value = value * 10 + (unsigned)(digits.p[i] - '0');
    }
    *port = (uint16_t)value;
    return value > 0 && value <= UINT16_MAX;
}

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* "[::1]" -> "::1"; returns what follows the host, or p == NULL. */
static slice split_host(slice authority, slice *host)
{
    size_t n = 0;
    if (authority.n > 0 && *authority.p == '[') {
        while (n < authority.n && authority.p[n] != ']')
            n++;
        *host = (slice){authority.p + 1, n - 1};
        for (size_t i = 0; i < host->n; i++)
            if (strchr("0123456789abcdefABCDEF:.", host->p[i]) == NULL)
                return (slice){0};
        n++;
        bool plain = memchr(host->p, ':', host->n) == NULL;
        return n > authority.n || plain ? (slice){0} : (slice){authority.p + n, authority.n - n};
    }
    while (n < authority.n && is_host_byte(authority.p[n]))
        n++;
    *host = (slice){authority.p, n};
    return n == 0 ? (slice){0} : (slice){authority.p + n, authority.n - n};
}

static bool read_authority(slice authority, url_parts *url)
{
    url->authority = authority;
    slice rest = split_host(authority, &url->host);
    if (rest.p == NULL || url->host.n > 253)
        return false;
    url->port = url->tls ? 443 : 80;
    if (rest.n == 0)
        return true;
    return *rest.p == ':' && read_port((slice){rest.p + 1, rest.n - 1}, &url->port);
}

bool url_parse(slice text, url_parts *url, const char **why)
{
    *url = (url_parts){0};
    if (skip(&text, "https://")) {
        url->tls = true;
    } else if (!skip(&text, "http://")) {
        *why = "a URL must begin with http:// or https://";
        return false;
    }
    if (!is_printable(text)) {
        *why = "a URL holds printable ASCII only: encode the rest as %XX";
        return false;
    }
    size_t n = authority_length(text);
    if (!read_authority((slice){text.p, n}, url)) {
        *why = "a URL's host must be a name or an address, maybe with a port from 1 to 65535";
        return false;
    }
    url->target = (slice){text.p + n, text.n - n};
    const char *hash = memchr(url->target.p, '#', url->target.n);
    if (hash != NULL)
        url->target.n = (size_t)(hash - url->target.p);
    return true;
}

bool url_valid_target(slice target)
{
    return target.n > 0 && *target.p == '/' && is_printable(target) &&
           memchr(target.p, '#', target.n) == NULL;
}
