/* Sealed messages: AES-256-GCM with a number that counts up. Each direction has a key of its own,
 * and the number makes the nonce, so that no nonce is ever used twice and no message passes twice.
 */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    SEAL_KEY_SIZE = 32,
    SEAL_IV_SIZE = 12,
    SEAL_SEED_SIZE = SEAL_KEY_SIZE + SEAL_IV_SIZE,
    SEAL_TAG_SIZE = 16,
};
/* Messages of one key: far below what AES-GCM bears, far above what a connection lives to see. */
#define SEAL_MESSAGES_MAX ((uint64_t)1 << 32)

/* One direction. */
typedef struct {
    unsigned char key[SEAL_KEY_SIZE], iv[SEAL_IV_SIZE];
    uint64_t last; /* the number of the message before */
} seal_way;

/* Both of one side; on the heap, with one owner. */
typedef struct {
    seal_way out, in;
} seal_channel;

typedef enum {
    SEAL_OK,
    SEAL_REPLAY,  /* its number was used before */
    SEAL_BROKEN,  /* not sealed with this key for this place, or changed on the way */
    SEAL_MISSING, /* seal_text_open only: a message before it has not come */
} seal_result;

/* key and iv, as HKDF gives them. */
void seal_way_init(seal_way *w, const unsigned char seed[SEAL_SEED_SIZE]);
void seal_channel_free(seal_channel *c); /* wipes it; NULL is allowed */

/* Appends ciphertext and tag, and sets *number. False: the key is used up. */
bool seal_close(seal_way *w, slice plain, slice aad, uint64_t *number, buf *out);
/* Appends the plaintext. Numbers may be left out, never used again. */
seal_result seal_open(seal_way *w, uint64_t number, slice sealed, slice aad, buf *out);

/* As a message of text, "sealed:NUMBER:BASE64URL". Numbers follow each other without a hole, as
 * they do on a connection that is in order. */
#define SEAL_TEXT "sealed:"
bool seal_text_close(seal_way *w, slice plain, buf *out);
seal_result seal_text_open(seal_way *w, slice text, buf *out);
