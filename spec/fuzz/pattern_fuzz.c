/* Lua patterns: the first line is the pattern, the rest the subject. Captures must lie within the
 * subject, and the work within the budget. */
#include "pattern.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static char *copy(const void *data, size_t n)
{
    char *exact = malloc(n > 0 ? n : 1);
    if (n > 0)
        memcpy(exact, data, n);
    return exact;
}

static void check_captures(const pattern_state *m, const char *s, const char *end)
{
    const char *first = m->subject.p, *last = first + m->subject.n;
    check(s >= first && end >= s && end <= last);
    for (int i = 0; i < m->level; i++) {
        const pattern_capture *c = &m->captures[i];
        check(c->start >= first && c->start <= last);
        check(c->length < 0 || c->length <= last - c->start);
    }
}

static bool never_over(void)
{
    return false;
}

static void walk(slice subject, slice pattern, bool anchors)
{
    pattern_state m;
    pattern_open(&m, subject, pattern, anchors, never_over);
    m.most = 50000;
    const char *s = subject.p, *last = subject.p + subject.n;
    while (s <= last) {
        const char *end = pattern_search(&m, &s);
        check(m.steps < m.most + (1 << 20));
        if (end == NULL || m.error != NULL)
            break;
        check_captures(&m, s, end);
        s = end > s ? end : s + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t n = line != NULL ? (size_t)(line - data) : size;
    size_t skip = line != NULL ? n + 1 : n;
    char *pattern = copy(data, n), *subject = copy(data + skip, size - skip);
    walk((slice){subject, size - skip}, (slice){pattern, n}, true);
    walk((slice){subject, size - skip}, (slice){pattern, n}, false);
    pattern_is_plain((slice){pattern, n});
    free(pattern);
    free(subject);
    return 0;
}
