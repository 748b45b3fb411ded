/* JSON Web Tokens as RFC 7515, 7519 and 8725 want them: compact form, signed, claims in a JSON
 * object. Two steps, so that the costly one can be remembered: jwt_open looks at form and
 * signature, jwt_check at what the claims say now. */
#pragma once
#include "jwk.h"
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>

enum { JWT_SIZE_MAX = 8 * 1024, JWT_LEEWAY_MAX_S = 30 };

typedef enum {
    JWT_OK,
    JWT_MALFORMED,
    JWT_UNKNOWN_KEY,
    JWT_SIGNATURE,
    JWT_EXPIRED,
    JWT_NOT_YET,
    JWT_ISSUER,
    JWT_AUDIENCE,
} jwt_code;

/* The stable word: "malformed", "unknown_key", ... and a sentence for the log. */
const char *jwt_code_word(jwt_code code);
const char *jwt_code_text(jwt_code code);

/* What a signed token says. Slices belong to whoever filled it in. */
typedef struct {
    slice header, payload; /* JSON texts */
    slice type;            /* typ, without "application/"; empty: absent */
    slice issuer;
    bool has_issuer, has_expiry;
    slice *audience;
    size_t audience_n;
    int64_t expires_ms, not_before_ms; /* Unix milliseconds; not_before_ms 0: absent */
} jwt_claims;

typedef struct {
    slice issuer;          /* empty: any */
    const slice *audience; /* one of these must be among the token's; none given: the token must */
    size_t audience_n;     /* have none either (RFC 7519 section 4.1.3) */
    slice type;            /* empty: the token's typ must be JWT or absent */
    int64_t now_ms;
    int64_t leeway_ms;
    bool expiry_optional;
} jwt_policy;

/* Buffers that opening tokens uses again and again; one thread. */
typedef struct jwt_reader jwt_reader;
jwt_reader *jwt_reader_new(void);
void jwt_reader_free(jwt_reader *r);

/* Checks form and signature. JWT_OK fills in `claims`, valid until the reader's next call. */
jwt_code jwt_open(jwt_reader *r, slice token, const jwk_set *keys, jwt_claims *claims);
/* The first half of it: a signed text (RFC 7515) of whatever payload; only header, payload and type
 * are filled in. */
jwt_code jwt_open_signed(jwt_reader *r, slice token, const jwk_set *keys, jwt_claims *claims);
jwt_code jwt_check(const jwt_claims *claims, const jwt_policy *policy);

/* A copy in one block; free() it. */
jwt_claims *jwt_claims_copy(const jwt_claims *claims);

/* Appends the compact token. The header is {"alg","typ","kid"}; `type` empty: "JWT". The payload is
 * taken as it is, a JSON object. 0; -1: the key can't sign. Blocking for RSA. */
int jwt_sign(const jwk *k, slice type, slice payload, buf *out);
/* The payload is JSON that our own jwt_open would take. */
bool jwt_is_payload(slice payload);
