/* HKDF with SHA-256 (RFC 5869): from one secret as many keys as there are names for. */
#pragma once
#include "slice.h"
#include <stddef.h>

enum { HKDF_MAX = 255 * 32, HKDF_INFO_MAX = 1024 };

/* n: 1 to HKDF_MAX; info has at most HKDF_INFO_MAX bytes. The salt may be empty and need not be
 * secret; the info names the key. */
void hkdf_sha256(slice secret, slice salt, slice info, unsigned char *out, size_t n);
