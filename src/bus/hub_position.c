/* Positions as text. A client sends them back as it got them, so parsing is strict: nothing that
 * this process would not have written. */
#include "hub_position.h"

#include <stdio.h>

enum { EPOCH_DIGITS = 16, OFFSET_DIGITS = 19 };

bool hub_position_carry(hub_position *p, uint64_t epoch, const hub_past *past)
{
    for (size_t i = 0; i < HUB_PAST_MAX && past->ends[i].epoch != 0; i++) {
        if (p->epoch == past->ends[i].epoch && p->offset <= past->ends[i].offset)
            p->epoch = epoch;
    }
    return p->epoch == epoch;
}

size_t hub_position_text(hub_position p, char out[HUB_POSITION_TEXT])
{
    out[0] = '\0';
    if (p.epoch == 0)
        return 0;
    return (size_t)snprintf(out, HUB_POSITION_TEXT, "%llx:%llu", (unsigned long long)p.epoch,
                            (unsigned long long)p.offset);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static bool parse_number(slice text, unsigned base, size_t most, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned d = (unsigned)digit(text.p[i]);
        if (d >= base)
            return false;
        *value = *value * base + d;
    }
    return text.n > 0 && text.n <= most;
}

bool hub_position_parse(slice text, hub_position *p)
{
    const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;
    if (colon == NULL)
        return false;
    slice epoch = {text.p, (size_t)(colon - text.p)};
    slice offset = {colon + 1, text.n - epoch.n - 1};
    return parse_number(epoch, 16, EPOCH_DIGITS, &p->epoch) && p->epoch != 0 &&
           parse_number(offset, 10, OFFSET_DIGITS, &p->offset);
}
