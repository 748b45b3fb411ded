/* Lua's pattern matcher again, since the one in the string library can't be interrupted: `.-` four
 * times on 200 bytes runs for half a minute, and no hook fires inside C. The structure is the known
 * one (a recursive match over pattern items, captures on a stack, PUC-Rio Lua's lstrlib.c), because
 * results and errors must be the same; added is a counter of steps: one for each item tried, each
 * character a repetition takes, each four bytes of a set that is read. What an item takes is read
 * once into 256 bits, so that a run of characters costs a few instructions each.
 *
 * A problem is noted in m->error and travels up as NULL; loops that would go on after a NULL look
 * at it. What must never happen: reading at or behind the end of a slice (Lua relies on the NUL
 * there). */
#include "pattern.h"

enum { OPEN = -1, ESCAPE = '%', MAX_DEPTH = 200 };

#define STEPS_BASE 1000000u
#define STEPS_PER_BYTE 4u
#define STEPS_MOST 30000000u
#define LOOK_EVERY 20000u /* steps: at most 1 ms */

const char PATTERN_TOO_MANY_STEPS[] = "pattern took too many steps on a subject of %d bytes";
const char PATTERN_OUT_OF_TIME[] = "pattern took too long";

static const char *match(pattern_state *m, const char *s, const char *p);

static const char *fail(pattern_state *m, const char *error)
{
    if (m->error == NULL)
        m->error = error;
    return NULL;
}

static bool look(pattern_state *m)
{
    if (m->steps > m->most)
        fail(m, PATTERN_TOO_MANY_STEPS);
    else if (m->over())
        fail(m, PATTERN_OUT_OF_TIME);
    m->look = m->steps + LOOK_EVERY < m->most ? m->steps + LOOK_EVERY : m->most;
    return m->error == NULL;
}

static inline bool step(pattern_state *m, uint64_t n)
{
    m->steps += n;
    return m->steps <= m->look || look(m);
}

bool pattern_charge(pattern_state *m, uint64_t steps)
{
    return step(m, steps);
}

static inline const char *subject_end(const pattern_state *m)
{
    return m->subject.p + m->subject.n;
}

static inline const char *pattern_end(const pattern_state *m)
{
    return m->pattern.p + m->pattern.n;
}

/* The pattern's byte at p; NUL at its end. */
static inline char item_at(const pattern_state *m, const char *p)
{
    return p < pattern_end(m) ? *p : '\0';
}

/* Single characters ---------------------------------------------------------------------------- */

/* Where the item that begins at p ends: a character, %x, or a set. */
static const char *item_end(pattern_state *m, const char *p)
{
    const char *end = pattern_end(m);
    char c = *p++;
    if (c == ESCAPE) {
        if (p == end)
            return fail(m, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (c != '[')
        return p;
    if (item_at(m, p) == '^')
        p++;
    do {
        if (p == end)
            return fail(m, "malformed pattern (missing ']')");
        if (*p++ == ESCAPE && p < end)
            p++;
    } while (item_at(m, p) != ']');
    return p + 1;
}

static void add_members(byte_set *set, const char *p, const char *last)
{
    for (; p < last; p++) {
        if (*p == ESCAPE) {
            byte_set_add_class(set, (unsigned char)*++p);
        } else if (p[1] == '-' && p + 2 < last) {
            byte_set_add(set, (unsigned char)p[0], (unsigned char)p[2]);
            p += 2;
        } else {
            byte_set_add(set, (unsigned char)*p, (unsigned char)*p);
        }
    }
}

/* What the item from p to end takes. Kept until another item is asked for: most are asked for
 * several times in a row. */
static const byte_set *set_of(pattern_state *m, const char *p, const char *end)
{
    if (m->set_item == p)
        return &m->set;
    m->set_item = p;
    m->set = (byte_set){0};
    step(m, (uint64_t)(end - p) / 4);
    if (*p == '[') {
        bool others = p[1] == '^';
        add_members(&m->set, p + (others ? 2 : 1), end - 1);
        if (others)
            byte_set_invert(&m->set);
    } else if (*p == ESCAPE) {
        byte_set_add_class(&m->set, (unsigned char)p[1]);
    } else {
        byte_set_add(&m->set, *p == '.' ? 0 : (unsigned char)*p,
                     *p == '.' ? 255 : (unsigned char)*p);
    }
    return &m->set;
}

static bool takes_one(pattern_state *m, const char *s, const char *p, const char *end)
{
    return s < subject_end(m) && byte_set_has(set_of(m, p, end), *s);
}

/* Repetitions ---------------------------------------------------------------------------------- */

static const char *take_most(pattern_state *m, const char *s, const char *p, const char *end)
{
    const byte_set *set = set_of(m, p, end);
    const char *last = s;
    while (last < subject_end(m) && byte_set_has(set, *last))
        last++;
    if (!step(m, (uint64_t)(last - s)))
        return NULL;
    for (;; last--) {
        const char *found = match(m, last, end + 1);
        if (found != NULL || m->error != NULL || last == s)
            return found;
    }
}

static const char *take_least(pattern_state *m, const char *s, const char *p, const char *end)
{
    for (;; s++) {
        const char *found = match(m, s, end + 1);
        if (found != NULL || m->error != NULL)
            return found;
        if (!takes_one(m, s, p, end))
            return NULL;
    }
}

/* Captures ------------------------------------------------------------------------------------- */

static const char *open_capture(pattern_state *m, const char *s, const char *p, ptrdiff_t length)
{
    if (m->level >= PATTERN_MAX_CAPTURES)
        return fail(m, "too many captures");
    m->captures[m->level] = (pattern_capture){s, length};
    m->level++;
    const char *found = match(m, s, p);
    if (found == NULL)
        m->level--;
    return found;
}

static const char *close_capture(pattern_state *m, const char *s, const char *p)
{
    int i = m->level - 1;
    while (i >= 0 && m->captures[i].length != OPEN)
        i--;
    if (i < 0)
        return fail(m, "invalid pattern capture");
    m->captures[i].length = s - m->captures[i].start;
    const char *found = match(m, s, p);
    if (found == NULL)
        m->captures[i].length = OPEN;
    return found;
}

static const char *match_again(pattern_state *m, const char *s, char digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->level || m->captures[i].length == OPEN) {
        m->error_index = i + 1;
        return fail(m, "invalid capture index %%%d");
    }
    size_t n = (size_t)m->captures[i].length; /* of a position: larger than any subject */
    if ((size_t)(subject_end(m) - s) < n || !step(m, n / 16))
        return NULL;
    return memcmp(m->captures[i].start, s, n) == 0 ? s + n : NULL;
}

/* Items of their own kind ---------------------------------------------------------------------- */

/* %bxy */
static const char *match_balanced(pattern_state *m, const char *s, const char *p)
{
    const char *end = subject_end(m), *from = s;
    if (pattern_end(m) - p < 2)
        return fail(m, "malformed pattern (missing arguments to '%%b')");
    if (s == end || *s != *p)
        return NULL;
    for (ptrdiff_t open = 1; ++s < end;) {
        if (*s == p[1]) {
            if (--open == 0)
                return step(m, (uint64_t)(s - from)) ? s + 1 : NULL;
        } else if (*s == p[0]) {
            open++;
        }
    }
    step(m, (uint64_t)(s - from));
    return NULL;
}

/* %f[set]: p is at the set. Where the set ends, or NULL. */
static const char *match_frontier(pattern_state *m, const char *s, const char *p)
{
    if (item_at(m, p) != '[')
        return fail(m, "missing '[' after '%%f' in pattern");
    const char *end = item_end(m, p);
    if (end == NULL)
        return NULL;
    const byte_set *set = set_of(m, p, end);
    char before = s == m->subject.p ? '\0' : s[-1], here = s == subject_end(m) ? '\0' : *s;
    return !byte_set_has(set, before) && byte_set_has(set, here) ? end : NULL;
}

/* The match itself ----------------------------------------------------------------------------- */

/* A character, class or set at *p, perhaps repeated. True: it took what it takes, and the match
 * goes on at *s and *p. False: *s is the whole result. */
static bool match_simple(pattern_state *m, const char **s, const char **p)
{
    const char *end = item_end(m, *p);
    if (end == NULL) {
        *s = NULL;
        return false;
    }
    char repeat = item_at(m, end);
    if (!takes_one(m, *s, *p, end)) {
        bool optional = repeat == '*' || repeat == '?' || repeat == '-';
        if (optional)
            *p = end + 1;
        else
            *s = NULL;
        return optional;
    }
    switch (repeat) {
    case '?': {
        const char *found = match(m, *s + 1, end + 1);
        *p = end + 1;
        if (found == NULL && m->error == NULL)
            return true;
        *s = found;
        return false;
    }
    case '+':
        *s = take_most(m, *s + 1, *p, end);
        return false;
    case '*':
        *s = take_most(m, *s, *p, end);
        return false;
    case '-':
        *s = take_least(m, *s, *p, end);
        return false;
    default:
        ++*s;
        *p = end;
        return true;
    }
}

/* %b, %f, %1 and the like, at *p; as match_simple. */
static bool match_escape(pattern_state *m, const char **s, const char **p)
{
    char kind = item_at(m, *p + 1);
    if (kind == 'f') {
        const char *end = match_frontier(m, *s, *p + 2);
        if (end == NULL)
            *s = NULL;
        *p = end;
    } else if (kind == 'b') {
        *s = match_balanced(m, *s, *p + 2);
        *p += 4;
    } else if (kind >= '0' && kind <= '9') {
        *s = match_again(m, *s, kind);
        *p += 2;
    } else {
        return match_simple(m, s, p);
    }
    return *s != NULL;
}

static const char *match_items(pattern_state *m, const char *s, const char *p)
{
    const char *end = pattern_end(m);
    bool more = true;
    while (more && p < end) {
        if (!step(m, 1))
            return NULL;
        switch (*p) {
        case '(':
            return item_at(m, p + 1) == ')' ? open_capture(m, s, p + 2, PATTERN_POSITION)
                                            : open_capture(m, s, p + 1, OPEN);
        case ')':
            return close_capture(m, s, p + 1);
        case '$':
            if (p + 1 == end)
                return s == subject_end(m) ? s : NULL;
            more = match_simple(m, &s, &p);
            break;
        case ESCAPE:
            more = match_escape(m, &s, &p);
            break;
        default:
            more = match_simple(m, &s, &p);
        }
    }
    return s;
}

static const char *match(pattern_state *m, const char *s, const char *p)
{
    if (m->depth-- == 0)
        return fail(m, "pattern too complex");
    const char *found = match_items(m, s, p);
    m->depth++;
    return m->error == NULL ? found : NULL;
}

/* The outside ---------------------------------------------------------------------------------- */

void pattern_open(pattern_state *m, slice subject, slice pattern, bool anchors, bool (*over)(void))
{
    m->subject = subject;
    m->anchored = anchors && pattern.n > 0 && *pattern.p == '^';
    m->pattern = m->anchored ? (slice){pattern.p + 1, pattern.n - 1} : pattern;
    m->steps = 0;
    m->look = LOOK_EVERY;
    m->over = over;
    m->most = STEPS_BASE + STEPS_PER_BYTE * subject.n;
    if (m->most > STEPS_MOST)
        m->most = STEPS_MOST;
    m->error = NULL;
    m->set_item = NULL;
}

const char *pattern_match_at(pattern_state *m, const char *s)
{
    m->level = 0;
    m->depth = MAX_DEPTH;
    return step(m, 1) ? match(m, s, m->pattern.p) : NULL;
}

/* What a match must begin with. False: that can't be said at a glance. */
static bool find_first(pattern_state *m, byte_set *first)
{
    const char *p = m->pattern.p;
    char c = item_at(m, p), kind = item_at(m, p + 1);
    bool special = kind == 'f' || kind == 'b' || (kind >= '0' && kind <= '9');
    if (c == '\0' || c == '(' || c == ')' || c == '$' || (c == ESCAPE && special))
        return false;
    const char *end = item_end(m, p);
    char repeat = end != NULL ? item_at(m, end) : '*';
    if (repeat == '*' || repeat == '?' || repeat == '-')
        return false;
    *first = *set_of(m, p, end);
    return true;
}

const char *pattern_search(pattern_state *m, const char **s)
{
    byte_set first;
    const char *last = m->anchored ? *s : subject_end(m);
    bool known = !m->anchored && find_first(m, &first);
    for (; *s <= last; ++*s) {
        while (known && *s < last && !byte_set_has(&first, **s))
            ++*s;
        const char *end = pattern_match_at(m, *s);
        if (end != NULL || m->error != NULL)
            return end;
    }
    return NULL;
}

bool pattern_is_plain(slice pattern)
{
    for (size_t i = 0; i < pattern.n; i++)
        if (pattern.p[i] != '\0' && strchr("^$*+?.([%-", pattern.p[i]) != NULL)
            return false;
    return true;
}
