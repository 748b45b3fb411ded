/* The JSON reader: text in, events out. An event reader rather than a tree, since each user builds
 * something else (Lua tables, claims, nothing) and the grammar should exist once. It is a state
 * machine with one bit for each open level, so nesting costs no C stack:
 *
 *     VALUE ---value---> AFTER ---','---> VALUE (in an array) or KEY (in an object)
 *     VALUE ---'['-----> FIRST_ITEM --']'--> AFTER      FIRST_ITEM ---value---> AFTER
 *     VALUE ---'{'-----> FIRST_KEY ---'}'--> AFTER      FIRST_KEY, KEY ---key ':'---> VALUE
 *     AFTER ---']' '}'-> AFTER            AFTER at depth 0 ---end of text---> OVER
 *     any   ---refused-> FAILED
 *
 * The text belongs to the caller, and so do the slices into it. What must never happen: a read at
 * or beyond `end` (the text need not be terminated), or accepting what RFC 8259 does not: comments,
 * NaN, leading zeros, a second value, bytes that are not UTF-8, half of a surrogate pair. */
#include "json.h"

#include "number.h"
#include "utf8.h"
#include <stdio.h>

enum { VALUE, FIRST_ITEM, FIRST_KEY, KEY, AFTER, OVER, FAILED };

/* What a byte means inside a string. */
enum { PLAIN, QUOTE, ESCAPE, CONTROL, HIGH };
static const unsigned char CLASS[256] = {
    [0 ... 0x1F] = CONTROL, ['"'] = QUOTE, ['\\'] = ESCAPE, [0x80 ... 0xFF] = HIGH};

void json_open(json_reader *r, slice text, unsigned max_depth)
{
    r->start = r->at = text.p;
    r->end = text.p + text.n;
    r->expected = r->problem = NULL;
    r->depth = 0;
    r->max_depth = max_depth < JSON_MAX_DEPTH ? max_depth : JSON_MAX_DEPTH;
    r->state = VALUE;
}

static json_event expected(json_reader *r, const char *what)
{
    r->expected = what;
    r->state = FAILED;
    return JSON_ERROR;
}

static json_event refuse(json_reader *r, const char *at, const char *problem)
{
    r->at = at;
    r->problem = problem;
    r->state = FAILED;
    return JSON_ERROR;
}

json_event json_refuse(json_reader *r, const char *problem)
{
    return refuse(r, r->text.p - 1, problem);
}

static bool in_object(const json_reader *r)
{
    unsigned level = r->depth - 1;
    return (r->objects[level / 64] >> level % 64 & 1) != 0;
}

static inline void skip_space(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static inline char peek(const json_reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static json_event open_level(json_reader *r, bool object)
{
    if (r->depth >= r->max_depth)
        return refuse(r, r->at, "too many levels of arrays and objects");
    uint64_t bit = 1ULL << r->depth % 64;
    if (object)
        r->objects[r->depth / 64] |= bit;
    else
        r->objects[r->depth / 64] &= ~bit;
    r->depth++;
    r->at++;
    r->state = object ? FIRST_KEY : FIRST_ITEM;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static json_event close_level(json_reader *r, json_event event)
{
    r->depth--;
    r->at++;
    r->state = AFTER;
    return event;
}

static json_event word(json_reader *r, const char *text, size_t n, json_event event)
{
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return expected(r, "a value");
    r->at += n;
    r->state = AFTER;
    return event;
}

/* Strings ------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after "\u"; -1 when they are not four hexadecimal digits. */
static int32_t hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(p[i]);
        if (d < 0)
            return -1;
        value = value << 4 | d;
    }
    return value;
}

/* p is at the backslash; returns the escape's length, or 0 and the problem. */
static size_t escape_length(const char *p, const char *end, const char **problem)
{
    *problem = "an unknown escape in a string";
    if (end - p < 2 || strchr("\"\\/bfnrtu", p[1]) == NULL || p[1] == '\0')
        return 0;
    if (p[1] != 'u')
        return 2;
    *problem = "\\u must be followed by four hexadecimal digits";
    int32_t unit = hex4(p + 2, end);
    if (unit < 0)
        return 0;
    if (unit < 0xD800 || unit > 0xDFFF)
        return 6;
    *problem = "half of a surrogate pair";
    if (unit > 0xDBFF || end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    int32_t second = hex4(p + 8, end);
    return second >= 0xDC00 && second <= 0xDFFF ? 12 : 0;
}

/* Eight bytes at once: is one of them a quote, a backslash, a control or not ASCII? */
static inline bool any_special(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t quote = v ^ ones * '"', back = v ^ ones * '\\';
    return ((v | (v - ones * 0x20) | (quote - ones) | (back - ones)) & high) != 0;
}

/* at is behind the opening quote; leaves it behind the closing one. */
static bool scan_string(json_reader *r)
{
    const char *p = r->at, *end = r->end, *problem;
    r->escaped = false;
    for (;;) {
        while (end - p >= 8 && !any_special(p))
            p += 8;
        while (p < end && CLASS[(unsigned char)*p] == PLAIN)
            p++;
        if (p == end) {
            r->at = end;
            return expected(r, "'\"' at the end of the string"), false;
        }
        size_t step = 1;
        switch (CLASS[(unsigned char)*p]) {
        case QUOTE:
            r->text = (slice){r->at, (size_t)(p - r->at)};
            r->at = p + 1;
            return true;
        case ESCAPE:
            step = escape_length(p, end, &problem);
            r->escaped = true;
            break;
        case HIGH:
            step = utf8_length(p, end);
            problem = "a string that is not UTF-8";
            break;
        default:
            problem = "a control character in a string must be written as an escape";
            step = 0;
        }
        if (step == 0)
            return refuse(r, p, problem), false;
        p += step;
    }
}

static size_t put_escape(const char *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p[1];
    if (c != 'u') {
        *(*out)++ = to[strchr(from, c) - from];
        return 2;
    }
    uint32_t unit = (uint32_t)hex4(p + 2, p + 6);
    size_t length = 6;
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        uint32_t second = (uint32_t)hex4(p + 8, p + 12);
        unit = 0x10000 + ((unit - 0xD800) << 10) + (second - 0xDC00);
        length = 12;
    }
    *out += utf8_encode(*out, unit);
    return length;
}

size_t json_unescape(slice text, char *out)
{
    const char *p = text.p, *end = text.p + text.n;
    char *to = out;
    while (p < end) {
        const char *escape = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((escape != NULL ? escape : end) - p);
        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (escape != NULL)
            p += put_escape(p, &to);
    }
    return (size_t)(to - out);
}

/* Values -------------------------------------------------------------------------------------- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Where the number ends; NULL when r->at was put where a digit is missing. */
static const char *scan_number(json_reader *r)
{
    const char *p = r->at, *end = r->end, *digits;
    p += *p == '-';
    digits = p;
    p = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
    if (p == digits)
        goto missing;
    if (p < end && *p == '.') {
        digits = ++p;
        if ((p = skip_digits(p, end)) == digits)
            goto missing;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        digits = p;
        if ((p = skip_digits(p, end)) == digits)
            goto missing;
    }
    return p;
missing:
    r->at = p;
    return NULL;
}

static json_event number(json_reader *r)
{
    const char *end = scan_number(r);
    if (end == NULL)
        return expected(r, "a digit");
    number_value value;
    slice text = {r->at, (size_t)(end - r->at)};
    number_kind kind = number_read(text, &value);
    if (kind == NUMBER_TOO_LARGE)
        return refuse(r, r->at, "a number too large for a double");
    r->at = end;
    r->state = AFTER;
    if (kind == NUMBER_INTEGER) {
        r->integer = value.integer;
        return JSON_INTEGER;
    }
    r->number = value.number;
    return JSON_FLOAT;
}

static json_event value(json_reader *r)
{
    switch (peek(r)) {
    case '"':
        r->at++;
        r->state = AFTER;
        return scan_string(r) ? JSON_STRING : JSON_ERROR;
    case '{':
        return open_level(r, true);
    case '[':
        return open_level(r, false);
    case 't':
        return word(r, "true", 4, JSON_TRUE);
    case 'f':
        return word(r, "false", 5, JSON_FALSE);
    case 'n':
        return word(r, "null", 4, JSON_NULL);
    case '-':
    case '0' ... '9':
        return number(r);
    default:
        return expected(r, r->state == FIRST_ITEM ? "a value or ']'" : "a value");
    }
}

static json_event key(json_reader *r)
{
    if (peek(r) != '"')
        return expected(r, r->state == FIRST_KEY ? "a key in quotes or '}'" : "a key in quotes");
    r->at++;
    if (!scan_string(r))
        return JSON_ERROR;
    skip_space(r);
    if (peek(r) != ':')
        return expected(r, "':'");
    r->at++;
    r->state = VALUE;
    return JSON_KEY;
}

static json_event after_value(json_reader *r)
{
    if (r->depth == 0) {
        if (r->at < r->end)
            return expected(r, "the end of the text");
        r->state = OVER;
        return JSON_END;
    }
    bool object = in_object(r);
    char c = peek(r);
    if (c == (object ? '}' : ']'))
        return close_level(r, object ? JSON_OBJECT_END : JSON_ARRAY_END);
    if (c != ',')
        return expected(r, object ? "',' or '}'" : "',' or ']'");
    r->at++;
    skip_space(r);
    r->state = object ? KEY : VALUE;
    return object ? key(r) : value(r);
}

json_event json_next(json_reader *r)
{
    skip_space(r);
    switch (r->state) {
    case AFTER:
        return after_value(r);
    case FIRST_ITEM:
        return peek(r) == ']' ? close_level(r, JSON_ARRAY_END) : value(r);
    case FIRST_KEY:
        return peek(r) == '}' ? close_level(r, JSON_OBJECT_END) : key(r);
    case KEY:
        return key(r);
    case OVER:
        return JSON_END;
    case FAILED:
        return JSON_ERROR;
    default:
        return value(r);
    }
}

/* Messages ------------------------------------------------------------------------------------ */

static void describe_byte(const json_reader *r, char *out, size_t size)
{
    if (r->at >= r->end) {
        snprintf(out, size, "the end of the text");
        return;
    }
    unsigned char c = (unsigned char)*r->at;
    size_t n = utf8_length(r->at, r->end);
    if (r->end - r->at >= 3 && memcmp(r->at, "\xEF\xBB\xBF", 3) == 0)
        snprintf(out, size, "a byte order mark");
    else if (n == 0 || c < 0x20 || c == 0x7F)
        snprintf(out, size, "byte 0x%02X", c);
    else
        snprintf(out, size, "'%.*s'", (int)n, r->at);
}

size_t json_describe(const json_reader *r, char *message, size_t size)
{
    size_t line = 1, column = 1;
    for (const char *p = r->start; p < r->at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++; /* characters, not bytes */
        }
    }
    char got[32];
    describe_byte(r, got, sizeof got);
    if (r->expected != NULL)
        snprintf(message, size, "line %zu column %zu: expected %s, got %s", line, column,
                 r->expected, got);
    else
        snprintf(message, size, "line %zu column %zu: %s", line, column,
                 r->problem != NULL ? r->problem : "no error");
    return (size_t)(r->at - r->start);
}

/* Writing ------------------------------------------------------------------------------------- */

static size_t escaped_size(unsigned char c)
{
    if (c >= 0x20)
        return c == '"' || c == '\\' ? 2 : 1;
    return c == '\b' || c == '\t' || c == '\n' || c == '\f' || c == '\r' ? 2 : 6;
}

size_t json_string_size(slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    size_t size = 2;
    while (p < end) {
        if (end - p >= 8 && !any_special(p)) {
            p += 8;
            size += 8;
            continue;
        }
        size_t n = utf8_length(p, end);
        if (n == 0)
            return 0;
        size += n == 1 ? escaped_size((unsigned char)*p) : n;
        p += n;
    }
    return size;
}

static char *put_escaped(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    *out++ = '\\';
    if (c >= 0x20 || letters[c] != 0) {
        *out++ = c >= 0x20 ? (char)c : letters[c];
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = hex[c >> 4];
    out[4] = hex[c & 15];
    return out + 5;
}

char *json_put_string(char *out, slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    *out++ = '"';
    while (p < end) {
        if (end - p >= 8 && !any_special(p)) {
            memcpy(out, p, 8);
            out += 8;
            p += 8;
            continue;
        }
        unsigned char c = (unsigned char)*p;
        if (CLASS[c] == PLAIN) {
            *out++ = *p++;
        } else if (CLASS[c] == HIGH) {
            size_t n = utf8_length(p, end);
            if (n == 0)
                return NULL;
            memcpy(out, p, n);
            out += n;
            p += n;
        } else {
            out = put_escaped(out, c);
            p++;
        }
    }
    *out++ = '"';
    return out;
}
