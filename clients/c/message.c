/* Reading by the events of codec/json, one level deep: what a payload holds is the caller's, who
 * gets its text untouched. A tree of values was rejected: it would be a second JSON library in
 * programs that have one already. */
#include "message.h"

#include "json.h"
#include "mem.h"
#include "utf8_stream.h"
#include <stdlib.h>

enum { DEPTH_MAX = 512 };

static slice *member(message *m, slice name)
{
    struct {
        const char *name;
        slice *at;
    } all[] = {
        {"type", &m->type},
        {"topic", &m->topic},
        {"session_id", &m->session_id},
        {"channel", &m->channel},
        {"position", &m->position},
        {"recovered", &m->recovered},
        {"presence", &m->presence},
        {"data", &m->data},
        {"base64", &m->base64},
        {"payload", &m->payload},
        {"gap", &m->gap},
        {"lost", &m->lost},
        {"error", &m->error},
        {"code", &m->code},
        {"publisher_name", &m->publisher_name},
        {"path", &m->path},
        {"ended", &m->ended},
        {"token", &m->token},
        {"expires_in", &m->expires_in},
        {"connection", &m->connection},
        {"key", &m->key},
        {"proof", &m->proof},
        {"client", &m->client},
        {"server", &m->server},
        {"sealed", &m->sealed},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (slice_eq(name, slice_of(all[i].name)))
            return all[i].at;
    }
    return NULL;
}

/* Reads one value; `raw` is its text. */
static bool value(json_reader *r, slice *raw)
{
    const char *from = r->at;
    unsigned depth = 0;
    do {
        json_event event = json_next(r);
        if (event == JSON_ERROR || event == JSON_END)
            return false;
        if (event == JSON_OBJECT || event == JSON_ARRAY)
            depth++;
        if (event == JSON_OBJECT_END || event == JSON_ARRAY_END)
            depth--;
    } while (depth > 0);
    while (from < r->at && strchr(" \t\r\n:", *from) != NULL)
        from++;
    *raw = (slice){from, (size_t)(r->at - from)};
    return true;
}

bool message_read(message *m, slice text)
{
    json_reader r;
    json_event event;
    *m = (message){.text = text};
    json_open(&r, text, DEPTH_MAX);
    if (json_next(&r) != JSON_OBJECT)
        return false;
    while ((event = json_next(&r)) == JSON_KEY) {
        slice raw, *at = member(m, r.text);
        if (!value(&r, &raw))
            return false;
        if (at)
            *at = raw;
    }
    return event == JSON_OBJECT_END && json_next(&r) == JSON_END;
}

char *message_string(slice raw)
{
    if (raw.n < 2 || raw.p[0] != '"')
        return NULL;
    char *out = mem_alloc(raw.n);
    out[json_unescape((slice){raw.p + 1, raw.n - 2}, out)] = '\0';
    return out;
}

bool message_string_is(slice raw, const char *wanted)
{
    char *text = message_string(raw);
    bool same = text && strcmp(text, wanted) == 0;
    free(text);
    return same;
}

bool message_true(slice raw)
{
    return slice_eq(raw, SLICE("true"));
}

int64_t message_number(slice raw)
{
    json_reader r;
    json_open(&r, raw, 1);
    return raw.n > 0 && json_next(&r) == JSON_INTEGER ? r.integer : -1;
}

bool message_valid(slice json)
{
    json_reader r;
    slice raw;
    json_open(&r, json, DEPTH_MAX);
    return value(&r, &raw) && json_next(&r) == JSON_END;
}

void message_name(buf *out, const char *name)
{
    bool first = out->len == 0 || out->data[out->len - 1] == ':';
    buf_byte(out, first ? '{' : ',');
    buf_byte(out, '"');
    buf_text(out, name);
    buf_text(out, "\":");
}

void message_put(buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    slice s = slice_of(text);
    message_name(out, name);
    char *room = buf_reserve(out, json_string_size(s));
    out->len += (size_t)(json_put_string(room, s) - room);
}
