/* Keys of tokens, and sets of them. A key fixes its algorithm for life: a token that names another
 * one is refused, whatever its signature. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { JWK_RS256, JWK_PS256, JWK_ES256, JWK_EDDSA, JWK_HS256, JWK_ALGS } jwk_alg;

enum {
    JWK_KID_MAX = 255,
    JWK_TEXT_MAX = 16 * 1024,      /* one key: PEM or JSON */
    JWK_SET_TEXT_MAX = 256 * 1024, /* a set */
    JWK_SET_MAX = 100,             /* keys of a set */
    JWK_SECRET_MIN = 32,
    JWK_SECRET_MAX = 1024,
    JWK_PRINT_SIZE = 32, /* SHA-256 */
    JWK_RSA_MIN = 2048,
    JWK_RSA_MAX = 8192,
};

const char *jwk_alg_name(jwk_alg alg);
/* JWK_ALGS: no such algorithm ("none" is none). */
jwk_alg jwk_alg_find(slice name);

/* Immutable; counted, atomically. jwk_verify keeps its working state in the key, so it belongs to
 * one thread at a time; everything else may be called from any. */
typedef struct jwk jwk;

/* What the caller asks of an imported or generated key. */
typedef struct {
    jwk_alg alg; /* JWK_ALGS: as the key says, else the usual one of its kind (RS256 for RSA) */
    slice kid;   /* empty: as the key says, else its thumbprint (RFC 7638) */
} jwk_wish;

/* NULL with a reason, a static text that completes "the key can't be used: ...". */
jwk *jwk_from_pem(slice pem, jwk_wish wish, const char **reason);
jwk *jwk_from_json(slice json, jwk_wish wish, const char **reason);
/* Blocking, up to seconds for RSA; bits counts for RSA only. given_up may be NULL: once another
 * thread has set it, an RSA key that is being made is soon none. */
jwk *jwk_generate(jwk_alg alg, unsigned bits, slice kid, const _Atomic bool *given_up,
                  const char **reason);
jwk *jwk_hold(jwk *k);
void jwk_drop(jwk *k);

jwk_alg jwk_alg_of(const jwk *k);
slice jwk_kid(const jwk *k);
bool jwk_can_sign(const jwk *k);

/* False where the key has no such form: a secret has no PEM, a public key no private one. */
bool jwk_private_pem(const jwk *k, buf *out);
bool jwk_public_pem(const jwk *k, buf *out);
/* {"kty":...,"alg":...,"use":"sig","kid":...}; public members only; a secret has none: false. */
bool jwk_public_json(const jwk *k, buf *out);
/* The bytes of an HS256 key; empty for others. */
slice jwk_secret(const jwk *k);

/* A signature over the text, in JOSE's form; 0 or -1. Blocking: RSA takes about a millisecond. */
int jwk_sign(const jwk *k, slice text, buf *out);
bool jwk_verify(jwk *k, slice text, slice signature);

/* Sets. A set's stamp is a digest of its keys, kids and algorithms: what was verified by one set is
 * good for another of the same stamp, and for no other. One thread at a time. */
typedef struct jwk_set jwk_set;

jwk_set *jwk_set_new(void);
void jwk_set_free(jwk_set *s);
/* False: the set is full or has a key of that kid already. Holds the key. */
bool jwk_set_add(jwk_set *s, jwk *k);
bool jwk_set_remove(jwk_set *s, slice kid);
jwk *jwk_set_find(const jwk_set *s, slice kid); /* NULL: absent */
jwk *jwk_set_at(const jwk_set *s, size_t i);    /* in the order of adding */
size_t jwk_set_count(const jwk_set *s);
slice jwk_set_stamp(const jwk_set *s); /* 32 bytes, until the next change */
/* A foreign set: {"keys":[...]}. Its private members are ignored, secrets with them; keys of
 * unknown kinds or uses are skipped and counted. NULL with a reason when it is no set at all. */
jwk_set *jwk_set_from_json(slice json, size_t *skipped, const char **reason);
/* The text is a JSON object with a member "keys": a set, good or bad. */
bool jwk_is_set(slice json);
void jwk_set_public_json(const jwk_set *s, buf *out); /* {"keys":[...]} */
