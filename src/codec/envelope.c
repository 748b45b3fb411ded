/* Nothing here is parsed into values: a message that is JSON is only checked, so that it can't
 * break out of its place. */
#include "envelope.h"

#include "base64url.h"
#include "json.h"

enum { DEPTH = 256 };

static bool is_json(slice data)
{
    json_reader r;
    json_event event;
    json_open(&r, data, DEPTH);
    do
        event = json_next(&r);
    while (event != JSON_END && event != JSON_ERROR);
    return event == JSON_END;
}

static bool put_string(buf *out, const char *key, slice value)
{
    size_t n = json_string_size(value);
    if (n == 0)
        return false;
    buf_text(out, key);
    json_put_string(buf_reserve(out, n), value);
    out->len += n;
    return true;
}

static void begin(buf *out, slice channel)
{
    if (put_string(out, "{\"channel\":", channel))
        buf_byte(out, ',');
    else
        buf_byte(out, '{');
}

/* The last member. */
static void put_data(buf *out, slice data)
{
    if (is_json(data)) {
        buf_text(out, "\"data\":");
        buf_append_slice(out, data);
    } else if (!put_string(out, "\"data\":", data)) {
        buf_text(out, "\"base64\":\"");
        base64_encode(out, data);
        buf_byte(out, '"');
    }
    buf_byte(out, '}');
}

void envelope_write(buf *out, slice channel, slice position, slice data)
{
    begin(out, channel);
    if (position.n > 0 && put_string(out, "\"position\":", position))
        buf_byte(out, ',');
    put_data(out, data);
}

void envelope_value(buf *out, slice channel, uint64_t version, slice data)
{
    begin(out, channel);
    buf_text(out, "\"version\":");
    buf_uint(out, version);
    buf_byte(out, ',');
    put_data(out, data);
}

void envelope_end(buf *out, slice channel)
{
    begin(out, channel);
    buf_text(out, "\"ended\":true}");
}

void envelope_gap(buf *out, slice channel, uint64_t lost)
{
    begin(out, channel);
    buf_text(out, "\"gap\":true");
    if (lost > 0) {
        buf_text(out, ",\"lost\":");
        buf_uint(out, lost);
    }
    buf_byte(out, '}');
}
