/* Regular expressions: a byte of flags, a line with the pattern, the rest the subject. What the
 * linear dialect accepts must not backtrack into PCRE2's own constructs, groups must lie within the
 * subject, and a walk must end. */
#include "regex.h"
#include "unicode.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static bool never_over(void)
{
    return false;
}

static void walk(regex_cache *cache, slice pattern, unsigned flags, slice subject)
{
    char error[256];
    const regex *r = regex_get(cache, pattern, flags, error, sizeof error);
    if (r == NULL)
        return;
    regex_walk w;
    regex_start(&w, cache, r, subject, 0, never_over);
    w.most = 50000;
    size_t matches = 0;
    while (regex_next(&w) > 0) {
        check(++matches <= subject.n + 1);
        for (size_t i = 0; i < w.count; i++) {
            size_t start = w.groups[2 * i], end = w.groups[2 * i + 1];
            check(start == SIZE_MAX || (start <= subject.n && end <= subject.n));
        }
    }
    for (size_t i = 0; i < regex_name_count(r); i++) {
        size_t group;
        check(regex_name(r, i, &group).n > 0 && group > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096)
        return 0;
    const char *text = (const char *)data + 1;
    const char *line = memchr(text, '\n', size - 1);
    size_t n = line != NULL ? (size_t)(line - text) : size - 1;
    size_t skip = line != NULL ? n + 1 : n;
    slice subject = {text + skip, size - 1 - skip};
    if (unicode_invalid(subject) < subject.n)
        return 0;
    regex_cache *cache = regex_cache_new(4);
    check(cache != NULL);
    walk(cache, (slice){text, n}, data[0] & 31u, subject);
    walk(cache, (slice){text, n}, (data[0] & 31u) | REGEX_LINEAR, subject);
    regex_cache_free(cache);
    return 0;
}
