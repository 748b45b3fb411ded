/* Unicode text for scripts and templates. The tables are libunistring's: it is C, small,
 * locale-free when no language is passed, and in every Debian; ICU would bring 30 MB of data along.
 *
 * Clusters are found by our own pass over libunistring's properties: its u8_grapheme_next looks at
 * neighbours only, which breaks flags and family emoji apart. What must never happen: a function
 * that reads a slice before unicode_invalid has accepted it. */
#include "unicode.h"

#include "utf8.h"
#include <stdlib.h>
#include <unicase.h>
#include <unictype.h>
#include <unigbrk.h>
#include <uninorm.h>

static uint32_t next_char(const char **p, const char *end)
{
    if ((unsigned char)**p < 0x80)
        return (unsigned char)*(*p)++;
    size_t n = utf8_length(*p, end);
    uint32_t c = utf8_decode(*p, n);
    *p += n;
    return c;
}

/* Validity ------------------------------------------------------------------------------------ */

size_t unicode_invalid(slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        uint64_t eight;
        if (end - p >= 8 && (memcpy(&eight, p, 8), (eight & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        size_t n = utf8_length(p, end);
        if (n == 0)
            return (size_t)(p - s.p);
        p += n;
    }
    return s.n;
}

/* How many bytes one U+FFFD stands for: the longest beginning of a good sequence, at least one. */
static size_t broken_length(const char *p, const char *end)
{
    static const char *const tails[] = {"\x80", "\x80\x80"};
    for (size_t n = end - p < 3 ? (size_t)(end - p) : 3; n > 1; n--) {
        for (size_t i = 0; i < 2; i++) {
            char whole[8];
            memcpy(whole, p, n);
            memcpy(whole + n, tails[i], i + 1);
            if (utf8_length(whole, whole + n + i + 1) == n + i + 1)
                return n;
        }
    }
    return 1;
}

size_t unicode_repair(slice s, char *out)
{
    const char *p = s.p, *end = s.p + s.n;
    char *to = out;
    while (p < end) {
        size_t n = utf8_length(p, end);
        if (n > 0) {
            memcpy(to, p, n);
            to += n;
        } else {
            n = broken_length(p, end);
            to += utf8_encode(to, 0xFFFD);
        }
        p += n;
    }
    return (size_t)(to - out);
}

/* Case ---------------------------------------------------------------------------------------- */

typedef uint8_t *case_map(const uint8_t *s, size_t n, const char *language, uninorm_t form,
                          uint8_t *out, size_t *length);

static size_t map_ascii(slice s, char *out, char first, int change)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c >= 0x80)
            return UNICODE_NO_MEMORY;
        out[i] = (char)(c >= first && c < first + 26 ? c + change : c);
    }
    return s.n;
}

/* The result is in `out`, or did not fit, or is missing: the bound on growth makes it the first. */
static size_t keep(const uint8_t *result, char *out, size_t length)
{
    if (result == (uint8_t *)out)
        return length;
    free((void *)(uintptr_t)result);
    return UNICODE_NO_MEMORY;
}

static size_t map_case(slice s, char *out, case_map *map)
{
    size_t length = UNICODE_CASE_GROWTH * s.n;
    if (s.n == 0)
        return 0;
    uint8_t *result = map((const uint8_t *)s.p, s.n, NULL, NULL, (uint8_t *)out, &length);
    return keep(result, out, length);
}

size_t unicode_upper(slice s, char *out)
{
    size_t n = map_ascii(s, out, 'a', 'A' - 'a');
    return n != UNICODE_NO_MEMORY ? n : map_case(s, out, u8_toupper);
}

size_t unicode_lower(slice s, char *out)
{
    size_t n = map_ascii(s, out, 'A', 'a' - 'A');
    return n != UNICODE_NO_MEMORY ? n : map_case(s, out, u8_tolower);
}

size_t unicode_capitalize(slice s, char *out)
{
    if (s.n == 0)
        return 0;
    size_t first = utf8_length(s.p, s.p + s.n);
    size_t upper = unicode_upper((slice){s.p, first}, out);
    if (upper == UNICODE_NO_MEMORY)
        return upper;
    size_t lower = unicode_lower((slice){s.p + first, s.n - first}, out + upper);
    return lower == UNICODE_NO_MEMORY ? lower : upper + lower;
}

/* \w of Unicode's regular expressions (UTS 18). */
static bool is_word_char(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    return uc_is_property_alphabetic(c) || uc_is_property_join_control(c) ||
           uc_is_general_category_withtable(c, UC_CATEGORY_MASK_M | UC_CATEGORY_MASK_Nd |
                                                   UC_CATEGORY_MASK_Pc);
}

/* Where the run of word characters and apostrophes, or of others, ends. */
static const char *run_end(const char *p, const char *end, bool word)
{
    while (p < end) {
        const char *next = p;
        uint32_t c = next_char(&next, end);
        if (word ? !is_word_char(c) && c != '\'' : is_word_char(c))
            break;
        p = next;
    }
    return p;
}

size_t unicode_title(slice s, char *out)
{
    const char *p = s.p, *end = s.p + s.n;
    char *to = out;
    while (p < end) {
        const char *word = run_end(p, end, false);
        memcpy(to, p, (size_t)(word - p));
        to += word - p;
        p = run_end(word, end, true);
        size_t n = unicode_capitalize((slice){word, (size_t)(p - word)}, to);
        if (n == UNICODE_NO_MEMORY)
            return n;
        to += n;
    }
    return (size_t)(to - out);
}

size_t unicode_nfc(slice s, char *out)
{
    size_t length = UNICODE_CASE_GROWTH * s.n;
    if (s.n == 0)
        return 0;
    uint8_t *result = u8_normalize(UNINORM_NFC, (const uint8_t *)s.p, s.n, (uint8_t *)out, &length);
    return keep(result, out, length);
}

/* Code points and words ----------------------------------------------------------------------- */

static bool continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t unicode_length(slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += !continues(s.p[i]);
    return n;
}

void unicode_reverse(slice s, char *out)
{
    const char *p = s.p, *end = s.p + s.n;
    char *to = out + s.n;
    while (p < end) {
        size_t n = utf8_length(p, end);
        to -= n;
        memcpy(to, p, n);
        p += n;
    }
}

bool unicode_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return uc_is_property_white_space(c);
}

slice unicode_trim_start(slice s)
{
    const char *end = s.p + s.n;
    while (s.n > 0) {
        const char *p = s.p;
        if (!unicode_is_space(next_char(&p, end)))
            break;
        s = (slice){p, (size_t)(end - p)};
    }
    return s;
}

slice unicode_trim_end(slice s)
{
    while (s.n > 0) {
        size_t n = s.n - 1;
        while (n > 0 && continues(s.p[n]))
            n--;
        const char *p = s.p + n;
        if (!unicode_is_space(next_char(&p, s.p + s.n)))
            break;
        s.n = n;
    }
    return s;
}

slice unicode_next_word(slice *rest)
{
    slice s = unicode_trim_start(*rest);
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *next = p;
        if (unicode_is_space(next_char(&next, end)))
            break;
        p = next;
    }
    *rest = (slice){p, (size_t)(end - p)};
    return (slice){s.p, (size_t)(p - s.p)};
}

/* Clusters (UAX 29) --------------------------------------------------------------------------- */

/* What the rules need to remember of the characters before the possible break. */
typedef struct {
    int last;       /* property of the last character */
    bool odd_flags; /* an odd number of regional indicators ends here */
    bool picture;   /* a picture and then only extenders */
    bool joined;    /* ... and then a joiner */
} cluster_state;

static bool is_control(int property)
{
    return property == GBP_CR || property == GBP_LF || property == GBP_CONTROL;
}

static bool syllable_goes_on(int before, int after)
{
    switch (before) {
    case GBP_L:
        return after == GBP_L || after == GBP_V || after == GBP_LV || after == GBP_LVT;
    case GBP_LV:
    case GBP_V:
        return after == GBP_V || after == GBP_T;
    case GBP_LVT:
    case GBP_T:
        return after == GBP_T;
    default:
        return false;
    }
}

static bool breaks_before(const cluster_state *s, int property, bool picture)
{
    if (s->last == GBP_CR && property == GBP_LF)
        return false;
    if (is_control(s->last) || is_control(property))
        return true;
    if (syllable_goes_on(s->last, property))
        return false;
    if (property == GBP_EXTEND || property == GBP_ZWJ || property == GBP_SPACINGMARK ||
        s->last == GBP_PREPEND)
        return false;
    if (s->joined && picture)
        return false;
    return !(s->last == GBP_RI && property == GBP_RI && s->odd_flags);
}

static void step(cluster_state *s, int property, bool picture)
{
    s->joined = property == GBP_ZWJ && s->picture;
    s->picture = picture || (s->picture && property == GBP_EXTEND);
    s->odd_flags = property == GBP_RI && !(s->last == GBP_RI && s->odd_flags);
    s->last = property;
}

slice unicode_next_grapheme(slice *rest)
{
    slice s = *rest;
    const char *p = s.p, *end = s.p + s.n;
    cluster_state state = {0};
    bool first = true;
    while (p < end) {
        const char *next = p;
        uint32_t c = next_char(&next, end);
        int property = uc_graphemeclusterbreak_property(c);
        bool picture = c >= 0x80 && uc_is_property_extended_pictographic(c);
        if (!first && breaks_before(&state, property, picture))
            break;
        step(&state, property, picture);
        first = false;
        p = next;
    }
    *rest = (slice){p, (size_t)(end - p)};
    return (slice){s.p, (size_t)(p - s.p)};
}
