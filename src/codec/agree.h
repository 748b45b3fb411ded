/* Key agreement by elliptic curves, P-256 and X25519: two sides that exchange public keys share a
 * secret which nobody sees who sees the exchange. The forms of public keys are those of WebCrypto.
 */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>

typedef enum { AGREE_P256, AGREE_X25519, AGREE_CURVES } agree_curve;

enum {
    AGREE_SECRET_SIZE = 32,
    AGREE_PRIVATE_SIZE = 32,
    AGREE_RAW_MAX = 65, /* 0x04 x y; of X25519: 32 */
};

const char *agree_curve_name(agree_curve curve); /* "P-256", "X25519" */
agree_curve agree_curve_find(slice name);        /* AGREE_CURVES: no such */
size_t agree_raw_size(agree_curve curve);

/* A key pair. One thread at a time. */
typedef struct agree_pair agree_pair;

agree_pair *agree_pair_new(agree_curve curve);
/* From its private half, 32 bytes. NULL: no such key. */
agree_pair *agree_pair_from_private(agree_curve curve, slice bytes);
/* Wipes it; NULL is allowed. */
void agree_pair_free(agree_pair *p);
agree_curve agree_curve_of(const agree_pair *p);

/* The public half: raw, and in the frame of a SubjectPublicKeyInfo (DER). */
void agree_public_raw(const agree_pair *p, buf *out);
void agree_public_spki(const agree_pair *p, buf *out);
/* The raw key in a public key of either form; false: it is of no form of this curve. That it is a
 * point of the curve shows when it is used. */
bool agree_raw_of(agree_curve curve, slice public, slice *raw);

/* The secret shared with the owner of a public key (raw). False: it is no point of the curve, or
 * one that would make the secret known to everybody. */
bool agree_secret(const agree_pair *p, slice raw, unsigned char out[AGREE_SECRET_SIZE]);
