/* A recursive descent over the text, one function per rule of RFC 8259. Strings without escapes
 * (nearly all) stay where they are; others are unescaped into the arena. Numbers are checked by
 * their form and converted only when asked.
 *
 * Rejected: reading members by searching the text, which can't see duplicates or nesting; the
 * decoder of host.json, which answers to scripts and needs a lua_State. What must never happen:
 * recursion deeper than JOSE_DEPTH_MAX; work of more than MEMBERS_MAX steps per member. */
#include "jose_json.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    const char *p, *end;
    arena *a;
    unsigned depth, values;
} reader;

static jose_value *read_value(reader *r);

static void skip_space(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool take(reader *r, char c)
{
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

/* The length of the well-formed sequence at p (RFC 3629's table), 0: none. */
static size_t utf8_sequence(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    unsigned low = 0x80, high = 0xbf;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < 2 || n > left || p[0] > 0xf4)
        return n == 1;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool jose_is_utf8(slice text)
{
    const char *end = text.p + text.n;
    for (const char *p = text.p; p < end;) {
        size_t n = utf8_sequence(p, end);
        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

static bool read_hex4(reader *r, unsigned *value)
{
    *value = 0;
    if (r->end - r->p < 4)
        return false;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = *r->p, lower = (char)(c | 32);
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (unsigned)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *value = *value << 4 | (unsigned)(lower - 'a' + 10);
        else
            return false;
    }
    return true;
}

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

/* After "\u": one or two units. A lone surrogate is no character. */
static bool read_unicode(reader *r, char **to)
{
    unsigned code, second;
    if (!read_hex4(r, &code) || (code >= 0xdc00 && code <= 0xdfff))
        return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!take(r, '\\') || !take(r, 'u') || !read_hex4(r, &second) || second < 0xdc00 ||
            second > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
    }
    *to = put_utf8(*to, code);
    return true;
}

static bool read_escape(reader *r, char **to)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end)
        return false;
    char c = *r->p++;
    if (c == 'u')
        return read_unicode(r, to);
    const char *at = c == '\0' ? NULL : strchr(names, c);
    if (at == NULL)
        return false;
    *(*to)++ = bytes[at - names];
    return true;
}

/* The rest of a string from its first escape on, unescaped into the arena. */
static bool read_escaped(reader *r, const char *start, slice *out)
{
    const char *close = r->p;
    while (close < r->end && *close != '"')
        close += *close == '\\' && close + 1 < r->end ? 2 : 1;
    size_t done = (size_t)(r->p - start);
    char *text = arena_alloc(r->a, (size_t)(close - start) + 1), *to = text + done;
    memcpy(text, start, done);
    while (r->p < r->end && *r->p != '"') {
        size_t n = 0;
        if (*r->p == '\\') {
            r->p++;
            if (!read_escape(r, &to))
                return false;
            continue;
        }
        if ((unsigned char)*r->p < 0x20 || (n = utf8_sequence(r->p, r->end)) == 0)
            return false;
        memcpy(to, r->p, n);
        to += n;
        r->p += n;
    }
    *out = (slice){text, (size_t)(to - text)};
    return take(r, '"');
}

static bool read_string(reader *r, slice *out)
{
    if (!take(r, '"'))
        return false;
    const char *start = r->p;
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p;
        if (c == '\\')
            return read_escaped(r, start, out);
        size_t n = c < 0x20 ? 0 : c < 0x80 ? 1 : utf8_sequence(r->p, r->end);
        if (n == 0)
            return false;
        r->p += n;
    }
    *out = (slice){start, (size_t)(r->p - start)};
    return take(r, '"');
}

static bool read_digits(reader *r)
{
    const char *start = r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return r->p > start;
}

static bool read_number(reader *r)
{
    const char *start = r->p;
    take(r, '-');
    if (!take(r, '0') && !read_digits(r))
        return false;
    if (take(r, '.') && !read_digits(r))
        return false;
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        r->p++;
        if (!take(r, '+'))
            take(r, '-');
        if (!read_digits(r))
            return false;
    }
    return r->p - start <= JOSE_NUMBER_MAX;
}

static bool read_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

static bool read_key(reader *r, const jose_value *object, slice *key)
{
    if (!read_string(r, key))
        return false;
    for (const jose_value *m = object->first; m != NULL; m = m->next)
        if (slice_eq(m->key, *key))
            return false;
    skip_space(r);
    return take(r, ':');
}

/* Behind '{' or '[', to the closing one. */
static bool read_items(reader *r, jose_value *box, char close)
{
    jose_value **tail = &box->first;
    skip_space(r);
    if (take(r, close))
        return true;
    do {
        slice key = {0};
        skip_space(r);
        if (box->type == JOSE_OBJECT && (box->count == JOSE_MEMBERS_MAX || !read_key(r, box, &key)))
            return false;
        jose_value *item = read_value(r);
        if (item == NULL)
            return false;
        item->key = key;
        *tail = item;
        tail = &item->next;
        box->count++;
        skip_space(r);
    } while (take(r, ','));
    return take(r, close);
}

static bool read_box(reader *r, jose_value *box)
{
    if (++r->depth > JOSE_DEPTH_MAX)
        return false;
    char open = *r->p++;
    box->type = open == '{' ? JOSE_OBJECT : JOSE_ARRAY;
    bool good = read_items(r, box, open == '{' ? '}' : ']');
    r->depth--;
    return good;
}

static bool read_content(reader *r, jose_value *v)
{
    switch (*r->p) {
    case '{':
    case '[':
        return read_box(r, v);
    case '"':
        v->type = JOSE_STRING;
        return read_string(r, &v->text);
    case 't':
        v->type = JOSE_BOOL;
        return read_word(r, "true");
    case 'f':
        v->type = JOSE_BOOL;
        return read_word(r, "false");
    case 'n':
        return read_word(r, "null");
    default:
        v->type = JOSE_NUMBER;
        return read_number(r);
    }
}

static jose_value *read_value(reader *r)
{
    skip_space(r);
    if (r->p == r->end || ++r->values > JOSE_VALUES_MAX)
        return NULL;
    jose_value *v = arena_alloc(r->a, sizeof *v);
    *v = (jose_value){0};
    const char *start = r->p;
    if (!read_content(r, v))
        return NULL;
    if (v->type != JOSE_STRING)
        v->text = (slice){start, (size_t)(r->p - start)};
    return v;
}

const jose_value *jose_parse(slice text, arena *a)
{
    reader r = {.p = text.p, .end = text.p + text.n, .a = a};
    const jose_value *v = read_value(&r);
    skip_space(&r);
    return r.p == r.end ? v : NULL;
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
    char text[JOSE_NUMBER_MAX + 1];
    if (v == NULL || v->type != JOSE_NUMBER)
        return false;
    memcpy(text, v->text.p, v->text.n);
    text[v->text.n] = '\0';
    double seconds = strtod(text, NULL);
    if (!isfinite(seconds) || seconds < 0 || seconds > 253402300799.0)
        return false;
    *ms = (int64_t)(seconds * 1000.0);
    return true;
}

void jose_put_string(buf *out, slice text)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\') {
            buf_byte(out, '\\');
            buf_byte(out, (char)c);
        } else if (c < 0x20) {
            buf_format(out, "\\u%04x", c);
        } else {
            buf_byte(out, (char)c);
        }
    }
    buf_byte(out, '"');
}
