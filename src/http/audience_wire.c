/* "LENGTH:BYTES" for each field. Texts and numbers alike, so that a newer node may add a field at
 * the end, which older ones leave alone. */
#include "audience_wire.h"

#include <stdlib.h>

enum { DIGITS_MAX = 9 };

static void put_text(buf *out, slice text)
{
    buf_uint(out, text.n);
    buf_byte(out, ':');
    buf_append(out, text.n > 0 ? text.p : "", text.n);
}

static void put_number(buf *out, int64_t number)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)number);
    put_text(out, (slice){text, (size_t)n});
}

void audience_message_put(buf *out, const audience_message *m)
{
    const audience_request *r = &m->request;
    const slice texts[] = {m->node,    r->id,       r->topic,      r->who.user, r->who.tenant,
                           r->who.jti, r->end.word, r->end.reason, m->rows};
    const int64_t numbers[] = {m->answer,    m->by_bus,         (int64_t)m->number,
                               r->verb,      r->who.issued,     r->who.expires,
                               r->end.code,  r->until,          r->limit,
                               r->all_nodes, (int64_t)m->count, (int64_t)m->workers};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text(out, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_number(out, numbers[i]);
    put_text(out, r->text);
}

static bool get_text(slice *in, slice *text)
{
    size_t n = 0, at = 0;
    while (at < in->n && at < DIGITS_MAX && in->p[at] >= '0' && in->p[at] <= '9')
        n = n * 10 + (size_t)(in->p[at++] - '0');
    if (at == 0 || at >= in->n || in->p[at] != ':' || in->n - at - 1 < n)
        return false;
    *text = (slice){in->p + at + 1, n};
    in->p += at + 1 + n;
    in->n -= at + 1 + n;
    return true;
}

static bool get_number(slice *in, int64_t *number)
{
    char text[24];
    slice s;
    if (!get_text(in, &s) || s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    *number = strtoll(text, NULL, 10);
    return true;
}

bool audience_message_get(slice in, audience_message *m)
{
    slice text[9];
    int64_t number[12];
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        if (!get_text(&in, &text[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        if (!get_number(&in, &number[i]))
            return false;
    }
    *m = (audience_message){.answer = number[0] != 0,
                            .by_bus = number[1] != 0,
                            .node = text[0],
                            .number = (uint64_t)number[2],
                            .count = (uint64_t)number[10],
                            .workers = (uint64_t)number[11],
                            .rows = text[8]};
    m->request = (audience_request){.verb = (audience_verb)number[3],
                                    .id = text[1],
                                    .topic = text[2],
                                    .who = {text[3], text[4], text[5], number[4], number[5]},
                                    .end = {(int)number[6], text[6], text[7]},
                                    .until = number[7],
                                    .limit = (uint32_t)number[8],
                                    .all_nodes = number[9] != 0};
    if (!get_text(&in, &m->request.text))
        m->request.text = (slice){"", 0};
    return true;
}
