/* Passwords at rest: scrypt (RFC 7914), in the PHC form "$scrypt$ln=17,r=8,p=1$salt$hash". Making
 * and checking one takes about half a second and 128 N r bytes: never on a loop's thread. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>

enum {
    PASSWORD_MAX = 1024,     /* bytes */
    PASSWORD_HASH_MAX = 256, /* characters of the text form */
    PASSWORD_MEMORY_MAX_MIB = 512,
};

typedef struct {
    unsigned ln, r, p; /* N = 2^ln */
} password_params;

extern const password_params password_default; /* 17, 8, 1 */

/* Within what one may ask of this machine: ln 1..20, r 1..32, p 1..16, 512 MiB in all
 * and at most eight times the work of the default. */
bool password_params_good(password_params params);
/* 1 to 1024 bytes without NUL (other systems would cut it there). */
bool password_good(slice password);

/* 0, or -1: memory is out, or bad arguments. */
int password_hash(slice password, password_params params, buf *out);
typedef enum { PASSWORD_MATCH, PASSWORD_WRONG, PASSWORD_BAD_HASH, PASSWORD_FAILED } password_result;
/* With the parameters in the hash, if they are good. */
password_result password_verify(slice password, slice hash);
/* The hash is not of this form or has other parameters: make a new one at the next login. */
bool password_needs_rehash(slice hash, password_params params);
