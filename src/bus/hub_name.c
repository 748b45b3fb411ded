/* The one place that knows how such a name is put together. */
#include "hub_name.h"

#include <string.h>

static const slice family = SLICE_INIT("pubsub:");

void hub_name_write(buf *out, const hub_name *name)
{
    buf_append_slice(out, family);
    buf_uint(out, name->tenant.n);
    buf_byte(out, ':');
    buf_uint(out, name->session.n);
    buf_byte(out, ':');
    buf_append_slice(out, name->tenant);
    buf_append_slice(out, name->session);
    buf_append_slice(out, name->topic);
}

static bool take_length(slice *text, size_t *value)
{
    size_t i = 0;
    *value = 0;
    while (i < text->n && i < 4 && text->p[i] >= '0' && text->p[i] <= '9')
        *value = *value * 10 + (size_t)(text->p[i++] - '0');
    if (i == 0 || i == text->n || text->p[i] != ':')
        return false;
    *text = (slice){text->p + i + 1, text->n - i - 1};
    return true;
}

static bool take_part(slice *text, size_t n, slice *part)
{
    if (n > text->n)
        return false;
    *part = (slice){text->p, n};
    *text = (slice){text->p + n, text->n - n};
    return true;
}

/* False: it is not such a name. */
static bool parse(slice text, hub_name *name)
{
    size_t tenant, session;
    if (text.n < family.n || memcmp(text.p, family.p, family.n) != 0)
        return false;
    text = (slice){text.p + family.n, text.n - family.n};
    if (!take_length(&text, &tenant) || !take_length(&text, &session) ||
        !take_part(&text, tenant, &name->tenant) || !take_part(&text, session, &name->session))
        return false;
    name->topic = text;
    return true;
}

slice hub_name_topic(slice text)
{
    hub_name name;
    return parse(text, &name) ? name.topic : text;
}
