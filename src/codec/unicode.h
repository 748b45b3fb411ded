/* Letters, words and clusters by the Unicode rules, on libunistring. Every slice must be UTF-8
 * (unicode_invalid says so). Nothing here keeps memory; outputs go to the caller's room. */
#pragma once
#include "slice.h"
#include <stdint.h>

/* Index of the first byte that is not UTF-8; s.n when all of it is. */
size_t unicode_invalid(slice s);
/* Each broken sequence becomes U+FFFD, as browsers do it. Needs 3 * s.n bytes. */
size_t unicode_repair(slice s, char *out);

#define UNICODE_CASE_GROWTH 3 /* the functions below write at most so many times s.n bytes */
#define UNICODE_NO_MEMORY SIZE_MAX

/* Full mappings without a language. They return the length or UNICODE_NO_MEMORY. */
size_t unicode_upper(slice s, char *out);
size_t unicode_lower(slice s, char *out);
/* First character upper, rest lower. */
size_t unicode_capitalize(slice s, char *out);
/* Every word capitalized; `'` continues a word, `-` ends it. */
size_t unicode_title(slice s, char *out);
/* Canonical composition; the same bound holds. */
size_t unicode_nfc(slice s, char *out);

size_t unicode_length(slice s);           /* code points */
void unicode_reverse(slice s, char *out); /* by code point; s.n bytes */

bool unicode_is_space(uint32_t c); /* White_Space */
slice unicode_trim_start(slice s);
slice unicode_trim_end(slice s);
/* Takes the next word or cluster off the front of *rest; one without bytes: there is none. */
slice unicode_next_word(slice *rest);
slice unicode_next_grapheme(slice *rest);

/* ASCII for one character, at most 64 bytes; 0: it has none. */
#define UNICODE_ASCII_ROOM 64
size_t unicode_ascii(uint32_t c, char *out);
