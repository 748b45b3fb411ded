/* By digest_hmac, whose algorithm is fetched once: OpenSSL's own HKDF costs a fetch more and says
 * the same (the vectors of RFC 5869 are in the specs). What must never happen: a block of a key
 * that stays on the stack. */
#include "hkdf.h"

#include "digest.h"
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCK = 32 };

/* T(i) = HMAC(prk, T(i - 1) | info | i); `text` is T(i - 1) | info with room for one byte more. */
static void next_block(slice prk, char *text, size_t n, size_t i, unsigned char block[BLOCK])
{
    slice all = i == 1 ? (slice){text + BLOCK, n - BLOCK + 1} : (slice){text, n + 1};
    text[n] = (char)i;
    digest_hmac(DIGEST_SHA256, prk, all, block);
    memcpy(text, block, BLOCK);
}

void hkdf_sha256(slice secret, slice salt, slice info, unsigned char *out, size_t n)
{
    unsigned char prk[BLOCK], block[BLOCK];
    char text[BLOCK + HKDF_INFO_MAX + 1];
    if (n == 0 || n > HKDF_MAX || info.n > HKDF_INFO_MAX)
        abort();
    digest_hmac(DIGEST_SHA256, salt, secret, prk);
    if (info.n > 0)
        memcpy(text + BLOCK, info.p, info.n);
    for (size_t i = 1, at = 0; at < n; i++, at += BLOCK) {
        next_block((slice){(char *)prk, BLOCK}, text, BLOCK + info.n, i, block);
        memcpy(out + at, block, n - at < BLOCK ? n - at : BLOCK);
    }
    OPENSSL_cleanse(prk, sizeof prk);
    OPENSSL_cleanse(block, sizeof block);
    OPENSSL_cleanse(text, sizeof text);
}
