/* Headers that every answer to a request carries, whoever makes it: the handler, an error thrown
 * below it, the host when a handler fails. A middleware sets them before it calls the next one
 * (CORS and security headers, rate limits), since what is raised passes it by. The answer's own
 * header of the same name wins; Vary and Set-Cookie are lists, to which the default is added.
 *
 * They live in the exchange's arena and are few: a middleware sets them, not a peer. */
#include "http_internal.h"

struct default_header {
    default_header *next;
    slice name, value;
};

enum { DEFAULTS_MAX = 32 };

static bool is_list(slice name)
{
    return slice_ieq(name, SLICE("vary")) || slice_ieq(name, SLICE("set-cookie"));
}

int exchange_default_header(exchange *x, slice name, slice value)
{
    if (!response_header_fits(name, value))
        return -1;
    default_header **at = &x->defaults;
    int count = 0;
    for (; *at != NULL; at = &(*at)->next, count++) {
        if (slice_ieq((*at)->name, name) && (!is_list(name) || slice_eq((*at)->value, value)))
            break;
    }
    if (*at == NULL) {
        if (count == DEFAULTS_MAX)
            return -1;
        *at = arena_alloc(&x->arena, sizeof **at);
        (*at)->next = NULL;
    }
    (*at)->name = (slice){arena_copy(&x->arena, name.p, name.n), name.n};
    (*at)->value = (slice){arena_copy(&x->arena, value.p, value.n), value.n};
    return 0;
}

static bool has_line(const buf *lines, slice name)
{
    const char *at = lines->data, *end = lines->data + lines->len;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)(newline - at);
        if (n > name.n && at[name.n] == ':' && slice_ieq((slice){at, name.n}, name))
            return true;
        at = newline + 1;
    }
    return false;
}

void response_add_defaults(exchange *x)
{
    for (const default_header *d = x->defaults; d != NULL; d = d->next) {
        if (is_list(d->name) || x->out.len == 0 || !has_line(&x->out, d->name))
            exchange_add_header(x, d->name, d->value);
    }
}
