/* Unicode functions: any bytes, repaired first. Pieces must add up to the text, outputs must be
 * UTF-8 and keep to their rooms. */
#include "unicode.h"
#include "utf8.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool fine)
{
    if (!fine)
        abort();
}

static void check_mapping(slice text, size_t map(slice s, char *out))
{
    char *out = malloc(UNICODE_CASE_GROWTH * text.n + 1);
    size_t n = map(text, out);
    check(n <= UNICODE_CASE_GROWTH * text.n);
    check(unicode_invalid((slice){out, n}) == n);
    free(out);
}

static void check_pieces(slice text)
{
    slice rest = text, cluster;
    size_t total = 0;
    while ((cluster = unicode_next_grapheme(&rest)).n > 0) {
        check(cluster.p == text.p + total && unicode_invalid(cluster) == cluster.n);
        total += cluster.n;
    }
    check(total == text.n);
    rest = text;
    while ((cluster = unicode_next_word(&rest)).n > 0)
        check(unicode_trim_start(cluster).n == cluster.n &&
              unicode_trim_end(cluster).n == cluster.n);
}

static void check_reverse(slice text)
{
    char *once = malloc(text.n + 1), *twice = malloc(text.n + 1);
    unicode_reverse(text, once);
    unicode_reverse((slice){once, text.n}, twice);
    check(text.n == 0 || memcmp(twice, text.p, text.n) == 0);
    check(unicode_length((slice){once, text.n}) == unicode_length(text));
    free(once);
    free(twice);
}

static void check_ascii(slice text)
{
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        size_t n = utf8_length(p, end);
        char out[UNICODE_ASCII_ROOM];
        size_t length = unicode_ascii(utf8_decode(p, n), out);
        check(length <= sizeof out);
        for (size_t i = 0; i < length; i++)
            check((unsigned char)out[i] < 0x80);
        p += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size > 0 ? size : 1), *repaired = malloc(3 * size + 1);
    if (size > 0)
        memcpy(bytes, data, size);
    slice text = {repaired, unicode_repair((slice){bytes, size}, repaired)};
    check(unicode_invalid(text) == text.n);
    check_mapping(text, unicode_upper);
    check_mapping(text, unicode_lower);
    check_mapping(text, unicode_capitalize);
    check_mapping(text, unicode_title);
    check_mapping(text, unicode_nfc);
    check_pieces(text);
    check_reverse(text);
    check_ascii(text);
    free(bytes);
    free(repaired);
    return 0;
}
