/* PCRE2, held on a leash. Its match limit starts anew at each position of the subject and does not
 * count what one item scans, so on its own it bounds nothing for a long subject. Therefore patterns
 * are compiled with automatic callouts: before each item PCRE2 calls on_step, which counts the
 * items and the distance moved since the last, and now and then reads the CPU clock. The budget
 * belongs to a whole walk (all matches of one call). The match, depth and heap limits of PCRE2 stay
 * as they are needed against deep recursion. The JIT is not used: it knows neither depth nor heap
 * limits, and hardened systems refuse its memory.
 *
 * The cache owns the patterns; a pattern is valid until the next regex_get, so a caller finishes
 * its walk before it lets anybody else in. What must never happen: a subject here that is not
 * UTF-8, as PCRE2 is told not to check again. */
#include "regex.h"

#include "clock.h"
#include "list.h"
#include "map.h"
#include "mem.h"
#include "utf8.h"
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    STEPS_BASE = 1000000, /* about 20 ms */
    STEPS_PER_BYTE = 8,
    CLOCK_EVERY = 256, /* steps between looks at the clock */
    CPU_US = 100000,
    MATCH_LIMIT = 5000000,
    DEPTH_LIMIT = 20000,
    HEAP_KIB = 16384,
    CACHE_BYTES = 4 * 1024 * 1024,
    RANGES_MOST = 8 * 0x110000, /* characters of all ranges of a pattern together; 4 ns each */
};

struct regex {
    map_node node; /* key: a byte of flags and the pattern */
    list recent;   /* the cache's, least recently used first */
    pcre2_code *code;
    size_t bytes;
    char *key;
};

struct regex_cache {
    map patterns;
    list recent;
    size_t capacity, bytes;
    regex_stats stats;
    pcre2_match_data *match; /* remade when a pattern has more groups, and after a limit */
    pcre2_match_context *limits;
    pcre2_compile_context *compile;
};

/* The cache ----------------------------------------------------------------------------------- */

regex_cache *regex_cache_new(size_t capacity)
{
    regex_cache *c = mem_alloc(sizeof *c);
    list_init(&c->recent);
    c->capacity = capacity;
    c->limits = pcre2_match_context_create(NULL);
    c->compile = pcre2_compile_context_create(NULL);
    c->match = pcre2_match_data_create(16, NULL);
    if (c->limits == NULL || c->compile == NULL || c->match == NULL) {
        regex_cache_free(c);
        return NULL;
    }
    pcre2_set_match_limit(c->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(c->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(c->limits, HEAP_KIB);
    pcre2_set_newline(c->compile, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(c->compile, 100);
    return c;
}

static void forget(regex_cache *c, regex *r)
{
    map_remove(&c->patterns, &r->node);
    list_remove(&r->recent);
    c->bytes -= r->bytes;
    c->stats.entries--;
    pcre2_code_free(r->code);
    free(r->key);
    free(r);
}

void regex_cache_free(regex_cache *c)
{
    LIST_FOR_EACH_SAFE (it, &c->recent)
        forget(c, LIST_ENTRY(it, regex, recent));
    map_free(&c->patterns);
    pcre2_match_data_free(c->match);
    pcre2_match_context_free(c->limits);
    pcre2_compile_context_free(c->compile);
    free(c);
}

regex_stats regex_cache_stats(const regex_cache *c)
{
    return c->stats;
}

static void shrink(regex_cache *c, const regex *keep)
{
    LIST_FOR_EACH_SAFE (it, &c->recent) {
        regex *r = LIST_ENTRY(it, regex, recent);
        if ((c->stats.entries <= c->capacity && c->bytes <= CACHE_BYTES) || r == keep)
            return;
        forget(c, r);
        c->stats.evicted++;
    }
}

/* Compiling ----------------------------------------------------------------------------------- */

static uint32_t compile_options(unsigned flags)
{
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    if (flags & REGEX_LINEAR)
        options |= PCRE2_DOLLAR_ENDONLY;
    if (flags & REGEX_IGNORE_CASE)
        options |= PCRE2_CASELESS;
    if (flags & REGEX_MULTILINE)
        options |= PCRE2_MULTILINE;
    if (flags & REGEX_DOTALL)
        options |= PCRE2_DOTALL;
    if (flags & REGEX_EXTENDED)
        options |= PCRE2_EXTENDED;
    return options;
}

static pcre2_code *compile(regex_cache *c, slice pattern, unsigned flags, char *error, size_t size)
{
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code *made = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, compile_options(flags),
                                     &code, &offset, c->compile);
    if (made == NULL) {
        char reason[160];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        snprintf(error, size, "byte %zu: %s", (size_t)offset + 1, reason);
    }
    return made;
}

/* \x{...} at p; all that there are in another form for codes, and 0 for other escapes. */
static uint32_t escaped_code(const char *p, const char *end)
{
    uint32_t code = 0;
    if (end - p < 4 || p[2] != '{' || strchr("xoN", p[1]) == NULL)
        return 0;
    if (p[1] != 'x')
        return 0x10FFFF;
    for (p += 3; p < end && *p != '}' && code <= 0x10FFFF; p++)
        code = code * 16 + (uint32_t)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
    return code < 0x10FFFF ? code : 0x10FFFF;
}

static uint32_t code_from(const char *p, const char *end)
{
    size_t n = utf8_length(p, end);
    return *p == '\\' ? escaped_code(p, end) : n > 0 ? utf8_decode(p, n) : 0;
}

/* The character before p; 0 where that can't be said at a glance. */
static uint32_t code_before(const char *start, const char *p)
{
    const char *q = p - 1;
    if (*q == '}') {
        while (q > start && *q != '\\')
            q--;
    } else {
        while (q > start && ((unsigned char)*q & 0xC0) == 0x80)
            q--;
    }
    return *q == '\\' && *(p - 1) != '}' ? 0 : code_from(q, p);
}

/* Where case is ignored PCRE2 looks at each character of each range while it compiles: 4 ms for
 * one of all characters. */
static bool has_large_ranges(slice pattern)
{
    const char *end = pattern.p + pattern.n, *p = pattern.p;
    uint64_t sum = 0;
    while ((p = memchr(p, '-', (size_t)(end - p))) != NULL && ++p < end) {
        uint32_t last = code_from(p, end);
        uint32_t first = last >= 0x80 && p - 1 > pattern.p ? code_before(pattern.p, p - 1) : 0;
        sum += last >= 0x80 && last > first ? last - first : 0;
    }
    return sum > RANGES_MOST;
}

/* Patterns of our own may not begin with (*UTF) and the like: those change limits. */
static pcre2_code *compile_checked(regex_cache *c, slice pattern, unsigned flags, char *error,
                                   size_t size)
{
    if (pattern.n > REGEX_MAX_PATTERN) {
        snprintf(error, size, "a pattern of %zu bytes, the limit is %d", pattern.n,
                 REGEX_MAX_PATTERN);
        return NULL;
    }
    if (pattern.n >= 2 && memcmp(pattern.p, "(*", 2) == 0) {
        snprintf(error, size, "byte 1: a pattern must not begin with (*");
        return NULL;
    }
    if (has_large_ranges(pattern)) {
        snprintf(error, size, "its ranges have more than %d characters", RANGES_MOST);
        return NULL;
    }
    if ((flags & REGEX_LINEAR) == 0)
        return compile(c, pattern, flags, error, size);
    char *translated = mem_alloc(REGEX_GROWTH * pattern.n + 1);
    size_t n;
    pcre2_code *made = NULL;
    if (regex_translate(pattern, (flags & REGEX_EXTENDED) != 0, translated, &n, error, size))
        made = compile(c, (slice){translated, n}, flags, error, size);
    free(translated);
    return made;
}

static regex *remember(regex_cache *c, pcre2_code *code, slice pattern, unsigned flags)
{
    regex *r = mem_alloc(sizeof *r);
    size_t size = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
    r->code = code;
    r->key = mem_alloc(pattern.n + 1);
    r->key[0] = (char)flags;
    if (pattern.n > 0)
        memcpy(r->key + 1, pattern.p, pattern.n);
    r->node.key = (slice){r->key, pattern.n + 1};
    r->bytes = size + pattern.n + sizeof *r;
    map_insert(&c->patterns, &r->node);
    list_append(&c->recent, &r->recent);
    c->bytes += r->bytes;
    c->stats.entries++;
    return r;
}

const regex *regex_get(regex_cache *c, slice pattern, unsigned flags, char *error, size_t size)
{
    char local[256];
    char *key = pattern.n < sizeof local ? local : mem_alloc(pattern.n + 1);
    key[0] = (char)flags;
    if (pattern.n > 0)
        memcpy(key + 1, pattern.p, pattern.n);
    map_node *found = map_find(&c->patterns, (slice){key, pattern.n + 1});
    if (key != local)
        free(key);
    if (found != NULL) {
        regex *r = MAP_ENTRY(found, regex, node);
        list_remove(&r->recent);
        list_append(&c->recent, &r->recent);
        c->stats.hits++;
        return r;
    }
    c->stats.misses++;
    pcre2_code *code = compile_checked(c, pattern, flags, error, size);
    if (code == NULL)
        return NULL;
    regex *r = remember(c, code, pattern, flags);
    shrink(c, r);
    return r;
}

/* Matching ------------------------------------------------------------------------------------ */

static bool out_of_time(const regex_walk *w)
{
    return w->over() ||
           (clock_us() - w->started_us > CPU_US && clock_thread_us() - w->started_cpu_us > CPU_US);
}

static int on_step(pcre2_callout_block *at, void *data)
{
    regex_walk *w = data;
    size_t here = at->current_position;
    uint64_t before = w->steps;
    w->steps += 1 + (here > w->last ? here - w->last : w->last - here);
    w->last = here;
    if (w->steps > w->most)
        return PCRE2_ERROR_MATCHLIMIT;
    if (w->steps / CLOCK_EVERY != before / CLOCK_EVERY && out_of_time(w))
        return PCRE2_ERROR_MATCHLIMIT;
    return 0;
}

void regex_start(regex_walk *w, regex_cache *cache, const regex *pattern, slice subject, size_t at,
                 bool (*over)(void))
{
    *w = (regex_walk){.cache = cache, .pattern = pattern, .subject = subject, .at = at};
    w->most = STEPS_BASE + STEPS_PER_BYTE * subject.n;
    w->over = over;
    w->started_us = clock_us();
    w->started_cpu_us = clock_thread_us();
}

static bool prepare(regex_walk *w)
{
    regex_cache *c = w->cache;
    uint32_t groups = 0;
    pcre2_pattern_info(w->pattern->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (c->match == NULL || pcre2_get_ovector_count(c->match) < groups + 1) {
        pcre2_match_data *larger = pcre2_match_data_create(groups + 1, NULL);
        if (larger == NULL)
            return false;
        pcre2_match_data_free(c->match);
        c->match = larger;
    }
    w->count = groups + 1;
    return true;
}

static int search(regex_walk *w)
{
    regex_cache *c = w->cache;
    pcre2_set_callout(c->limits, on_step, w);
    int found = pcre2_match(w->pattern->code, (PCRE2_SPTR)w->subject.p, w->subject.n, w->at,
                            PCRE2_NO_UTF_CHECK, c->match, c->limits);
    switch (found) {
    case PCRE2_ERROR_NOMATCH:
        return REGEX_NONE;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_NOMEMORY:
        pcre2_match_data_free(c->match); /* it keeps the memory of the deepest match */
        c->match = NULL;
        return REGEX_LIMIT;
    default:
        return found > 0 ? found : REGEX_FAILED;
    }
}

static size_t next_char(const regex_walk *w, size_t at)
{
    at++;
    while (at < w->subject.n && ((unsigned char)w->subject.p[at] & 0xC0) == 0x80)
        at++;
    return at;
}

int regex_next(regex_walk *w)
{
    if (!prepare(w))
        return REGEX_LIMIT;
    while (w->at <= w->subject.n) {
        int found = search(w);
        if (found <= 0)
            return found;
        w->groups = pcre2_get_ovector_pointer(w->cache->match);
        size_t start = w->groups[0], end = w->groups[1];
        if (start > end)
            return REGEX_FAILED; /* \K inside of a look-ahead */
        bool empty = start == end;
        w->at = empty ? next_char(w, end) : end;
        if (empty && w->any && end == w->previous)
            continue;
        w->any = true;
        w->previous = end;
        return (int)w->count;
    }
    return REGEX_NONE;
}

/* Names --------------------------------------------------------------------------------------- */

size_t regex_name_count(const regex *pattern)
{
    uint32_t n = 0;
    pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMECOUNT, &n);
    return n;
}

slice regex_name(const regex *pattern, size_t index, size_t *group)
{
    uint32_t size = 0;
    PCRE2_SPTR table = NULL;
    pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(pattern->code, PCRE2_INFO_NAMETABLE, &table);
    const unsigned char *entry = table + index * size;
    *group = (size_t)entry[0] << 8 | entry[1];
    return slice_of((const char *)entry + 2);
}
