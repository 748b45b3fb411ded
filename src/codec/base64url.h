/* Bytes as text: base64url without padding (RFC 4648 section 5, as JOSE wants it), base64 with
 * padding, base64 without (password hashes), and hex. Decoding is strict: one text for each run of
 * bytes, everything else is refused. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>

void base64url_encode(buf *out, slice data);
/* False, with nothing appended: padding, whitespace, the other alphabet, a lone last character, or
 * bits set that carry nothing. */
bool base64url_decode(buf *out, slice text);

void base64_encode(buf *out, slice data);
bool base64_decode(buf *out, slice text);
void base64_bare_encode(buf *out, slice data); /* the same without padding */
bool base64_bare_decode(buf *out, slice text);

void hex_encode(buf *out, slice data); /* lower case */
bool hex_decode(buf *out, slice text); /* both cases */
