/* The tree is built from json.h's events, which know the grammar; what is added here is what JOSE
 * wants beyond it: no duplicate members, and bounds on everything. Strings without escapes (nearly
 * all) stay where they are, others are unescaped into the arena.
 *
 * Rejected: walking the events without a tree, which would need to hold half of each object's
 * members before the other half gives them a meaning. What must never happen: recursion deeper than
 * JOSE_DEPTH_MAX; more than JOSE_MEMBERS_MAX comparisons for a member. */
#include "jose_json.h"

#include "json.h"
#include "utf8.h"
#include <math.h>

typedef struct {
    json_reader reader;
    arena *a;
    unsigned values;
} builder;

static jose_value *build(builder *b, json_event event);

/* The last event's text without its escapes. */
static slice take_text(builder *b)
{
    slice text = b->reader.text;
    if (!b->reader.escaped)
        return text;
    char *plain = arena_alloc(b->a, text.n);
    return (slice){plain, json_unescape(text, plain)};
}

static bool has_member(const jose_value *object, slice key)
{
    for (const jose_value *m = object->first; m != NULL; m = m->next)
        if (slice_eq(m->key, key))
            return true;
    return false;
}

/* The members or elements up to the closing event. */
static bool build_items(builder *b, jose_value *box, json_event close)
{
    jose_value **tail = &box->first;
    for (;;) {
        slice key = {0};
        json_event event = json_next(&b->reader);
        if (event == close)
            return true;
        if (event == JSON_KEY) {
            key = take_text(b);
            if (box->count == JOSE_MEMBERS_MAX || has_member(box, key))
                return false;
            event = json_next(&b->reader);
        }
        *tail = build(b, event);
        if (*tail == NULL)
            return false;
        (*tail)->key = key;
        tail = &(*tail)->next;
        box->count++;
    }
}

static bool fill(builder *b, jose_value *v, json_event event)
{
    switch (event) {
    case JSON_NULL:
        v->type = JOSE_NULL;
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        v->type = JOSE_BOOL;
        return true;
    case JSON_INTEGER:
        v->type = JOSE_NUMBER;
        v->number = (double)b->reader.integer;
        return true;
    case JSON_FLOAT:
        v->type = JOSE_NUMBER;
        v->number = b->reader.number;
        return isfinite(v->number);
    case JSON_STRING:
        v->type = JOSE_STRING;
        v->text = take_text(b);
        return true;
    case JSON_ARRAY:
        v->type = JOSE_ARRAY;
        return build_items(b, v, JSON_ARRAY_END);
    case JSON_OBJECT:
        v->type = JOSE_OBJECT;
        return build_items(b, v, JSON_OBJECT_END);
    default:
        return false;
    }
}

static jose_value *build(builder *b, json_event event)
{
    if (++b->values > JOSE_VALUES_MAX)
        return NULL;
    jose_value *v = arena_alloc(b->a, sizeof *v);
    *v = (jose_value){0};
    return fill(b, v, event) ? v : NULL;
}

const jose_value *jose_parse(slice text, arena *a)
{
    builder b;
    b.a = a;
    b.values = 0;
    json_open(&b.reader, text, JOSE_DEPTH_MAX);
    const jose_value *v = build(&b, json_next(&b.reader));
    return v != NULL && json_next(&b.reader) == JSON_END ? v : NULL;
}

const jose_value *jose_get(const jose_value *object, const char *key)
{
    if (object == NULL || object->type != JOSE_OBJECT)
        return NULL;
    slice name = slice_of(key);
    for (const jose_value *m = object->first; m != NULL; m = m->next)
        if (slice_eq(m->key, name))
            return m;
    return NULL;
}

bool jose_get_string(const jose_value *object, const char *key, slice *out)
{
    const jose_value *v = jose_get(object, key);
    if (v == NULL || v->type != JOSE_STRING)
        return false;
    *out = v->text;
    return true;
}

bool jose_date(const jose_value *v, int64_t *ms)
{
    if (v == NULL || v->type != JOSE_NUMBER || !(v->number >= 0 && v->number <= 253402300799.0))
        return false;
    *ms = (int64_t)(v->number * 1000.0);
    return true;
}

void jose_put_string(buf *out, slice text)
{
    char *end = json_put_string(buf_reserve(out, text.n * 6 + 2), text);
    if (end != NULL)
        out->len = (size_t)(end - out->data);
}

bool jose_is_utf8(slice text)
{
    const char *end = text.p + text.n;
    size_t n;
    for (const char *p = text.p; p < end; p += n)
        if ((n = utf8_length(p, end)) == 0)
            return false;
    return true;
}
