/* The dialect without backtracking. PCRE2 is what matches, within limits; this check makes a
 * pattern mean the same here as in Rust's and Go's engines, and refuses what those do not have, so
 * that an author learns it at once and not from a limit in production. It is a scanner, not a
 * parser: PCRE2 still finds the syntax errors. Where both spell a thing differently (\v, \u{...})
 * it is rewritten.
 *
 * What must never happen: the scanner believing it is inside a class or comment where PCRE2 is not;
 * therefore (?x) inside a pattern is refused (its comments could hold a bracket). */
#include "regex.h"

#include <stdio.h>

typedef struct {
    const char *p, *start, *end;
    char *out;
    char *error;
    size_t error_size;
    bool extended;
} scanner;

static bool refuse(scanner *s, const char *what)
{
    snprintf(s->error, s->error_size, "byte %zu: %s", (size_t)(s->p - s->start) + 1, what);
    return false;
}

static void copy(scanner *s, size_t n)
{
    memcpy(s->out, s->p, n);
    s->out += n;
    s->p += n;
}

static void put(scanner *s, const char *text)
{
    size_t n = strlen(text);
    memcpy(s->out, text, n);
    s->out += n;
}

static bool begins(const scanner *s, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(s->end - s->p) >= n && memcmp(s->p, text, n) == 0;
}

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* {...} behind \x, \u and \p. */
static bool scan_braces(scanner *s)
{
    const char *p = s->p + 1;
    while (p < s->end && (is_letter_or_digit(*p) || (*p != '\0' && strchr("_=^-& ", *p) != NULL)))
        p++;
    if (p == s->end || *p != '}')
        return refuse(s, "expected '}'");
    copy(s, (size_t)(p - s->p) + 1);
    return true;
}

/* \u1234, \U00012345, \u{12345} as \x{...} */
static bool scan_code_point(scanner *s)
{
    size_t n = s->p[1] == 'u' ? 4 : 8;
    s->p += 2;
    put(s, "\\x");
    if (begins(s, "{"))
        return scan_braces(s);
    if ((size_t)(s->end - s->p) < n)
        return refuse(s, "expected hexadecimal digits");
    for (size_t i = 0; i < n; i++)
        if (!is_letter_or_digit(s->p[i]))
            return refuse(s, "expected hexadecimal digits");
    put(s, "{");
    copy(s, n);
    put(s, "}");
    return true;
}

static bool scan_escape(scanner *s, bool in_class)
{
    if (s->end - s->p < 2)
        return refuse(s, "a backslash at the end");
    char c = s->p[1];
    if (c == 'u' || c == 'U')
        return scan_code_point(s);
    if (c == 'v') {
        put(s, "\\x0B");
        s->p += 2;
        return true;
    }
    if (c >= '1' && c <= '9')
        return refuse(s, "backreferences are not available");
    if (in_class && (c == 'B' || c == 'A' || c == 'b' || c == 'z'))
        return refuse(s, "a position has no place in a character class");
    if (is_letter_or_digit(c) && strchr("dDwWsSbBAzpPxafnrt", c) == NULL)
        return refuse(s, "this escape is not available");
    copy(s, 2);
    bool braces = (c == 'p' || c == 'P' || c == 'x') && begins(s, "{");
    return !braces || scan_braces(s);
}

static bool scan_class(scanner *s)
{
    copy(s, 1);
    if (s->p < s->end && *s->p == '^')
        copy(s, 1);
    if (s->p < s->end && *s->p == ']')
        copy(s, 1);
    while (s->p < s->end && *s->p != ']') {
        if (*s->p == '\\') {
            if (!scan_escape(s, true))
                return false;
        } else if (begins(s, "[:")) {
            copy(s, 2);
        } else if (*s->p == '[') {
            return refuse(s, "'[' in a character class must be escaped (no nested classes)");
        } else if (begins(s, "&&") || begins(s, "--") || begins(s, "~~")) {
            return refuse(s, "operations on character classes are not available");
        } else {
            bool closes_name = begins(s, ":]");
            copy(s, closes_name ? 2 : 1);
        }
    }
    if (s->p < s->end)
        copy(s, 1);
    return true;
}

static bool scan_flags(scanner *s)
{
    const char *p = s->p + 2;
    while (p < s->end && (is_letter_or_digit(*p) || *p == '-')) {
        if (strchr("imsU-", *p) == NULL)
            return refuse(s, *p == 'x' ? "(?x) is not available: use the option extended"
                                       : "this group is not available");
        p++;
    }
    if (p == s->end || (*p != ')' && *p != ':'))
        return refuse(s, "this group is not available");
    copy(s, (size_t)(p - s->p));
    return true;
}

static bool scan_group(scanner *s)
{
    if (begins(s, "(*"))
        return refuse(s, "verbs are not available");
    if (!begins(s, "(?")) {
        copy(s, 1);
        return true;
    }
    if (begins(s, "(?=") || begins(s, "(?!") || begins(s, "(?<=") || begins(s, "(?<!"))
        return refuse(s, "look-around is not available");
    if (begins(s, "(?P=") || begins(s, "(?P>") || begins(s, "(?&") || begins(s, "(?R"))
        return refuse(s, "references to groups are not available");
    if (begins(s, "(?>") || begins(s, "(?|") || begins(s, "(?(") || begins(s, "(?#"))
        return refuse(s, "this group is not available");
    if (begins(s, "(?P<") || begins(s, "(?<")) {
        copy(s, begins(s, "(?P<") ? 4 : 3);
        return true;
    }
    return scan_flags(s);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* "{2,3}" or one sign; a brace around anything else is itself. */
static size_t quantifier_length(const scanner *s)
{
    const char *p = s->p + 1;
    if (*s->p != '{')
        return 1;
    while (p < s->end && ((*p >= '0' && *p <= '9') || *p == ','))
        p++;
    return p < s->end && *p == '}' && p > s->p + 1 ? (size_t)(p - s->p) + 1 : 0;
}

/* `a*+` is possessive in PCRE2 and an error elsewhere. */
static bool scan_quantifier(scanner *s)
{
    size_t n = quantifier_length(s);
    copy(s, n > 0 ? n : 1);
    while (s->extended && s->p < s->end && is_space(*s->p))
        copy(s, 1);
    if (n > 0 && begins(s, "+"))
        return refuse(s, "possessive quantifiers are not available");
    if (n > 0 && begins(s, "?"))
        copy(s, 1);
    return true;
}

static void scan_comment(scanner *s)
{
    while (s->p < s->end && *s->p != '\n')
        copy(s, 1);
}

static bool scan_one(scanner *s)
{
    switch (*s->p) {
    case '\\':
        return scan_escape(s, false);
    case '[':
        return scan_class(s);
    case '(':
        return scan_group(s);
    case '*':
    case '+':
    case '?':
    case '{':
        return scan_quantifier(s);
    default:
        if (*s->p == '#' && s->extended)
            scan_comment(s);
        else
            copy(s, 1);
        return true;
    }
}

bool regex_translate(slice pattern, bool extended, char *out, size_t *length, char *error,
                     size_t size)
{
    scanner s = {pattern.p, pattern.p, pattern.p + pattern.n, out, error, size, extended};
    while (s.p < s.end)
        if (!scan_one(&s))
            return false;
    *length = (size_t)(s.out - out);
    return true;
}
