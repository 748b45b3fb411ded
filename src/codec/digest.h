/* SHA-2 and HMAC. The algorithms are fetched once per process, since a fetch costs more than the
 * hash of a short text. */
#pragma once
#include "slice.h"
#include <openssl/evp.h>
#include <stdbool.h>

typedef enum { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGESTS } digest_kind;

enum { DIGEST_MAX = 64 };

/* "sha256", "sha384", "sha512"; DIGESTS: no such. */
digest_kind digest_find(slice name);
size_t digest_size(digest_kind kind);
const EVP_MD *digest_md(digest_kind kind);
/* `scratch` is a context of the caller's to be used again and again, or NULL. */
void digest_make(digest_kind kind, slice data, unsigned char *out, EVP_MD_CTX *scratch);
void digest_hmac(digest_kind kind, slice key, slice data, unsigned char *out);
