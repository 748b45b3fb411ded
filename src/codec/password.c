/* Scrypt by OpenSSL's EVP, whose own memory limit (32 MiB) is raised to what the parameters need.
 * OpenSSL 3.0 has no Argon2, which would be the first choice of today.
 *
 * What must never happen: parameters of a stored hash taken on trust (a forged row could ask for
 * terabytes); two hashes compared by memcmp; a password kept after the call. */
#include "password.h"

#include "base64url.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdint.h>

enum { SALT_SIZE = 16, SALT_MAX = 64, HASH_SIZE = 32, HASH_MIN = 16, HASH_MAX = 64 };
enum { COST_MAX = 8 << 20 }; /* N r p; 8 times the default */

const password_params password_default = {17, 8, 1};

typedef struct {
    password_params params;
    buf salt, hash;
} stored;

bool password_params_good(password_params params)
{
    return params.ln >= 1 && params.ln <= 20 && params.r >= 1 && params.r <= 32 && params.p >= 1 &&
           params.p <= 16 && ((uint64_t)params.r * params.p << params.ln) <= COST_MAX &&
           (128ull * params.r << params.ln) <= (uint64_t)PASSWORD_MEMORY_MAX_MIB << 20;
}

bool password_good(slice password)
{
    return password.n > 0 && password.n <= PASSWORD_MAX &&
           memchr(password.p, '\0', password.n) == NULL;
}

static bool derive(slice password, slice salt, password_params p, unsigned char *out, size_t n)
{
    uint64_t blocks = (1ull << p.ln) + p.p + 2;
    bool good =
        EVP_PBE_scrypt(password.p, password.n, (const unsigned char *)salt.p, salt.n, 1ull << p.ln,
                       p.r, p.p, 128ull * p.r * blocks + (1u << 20), out, n) == 1;
    ERR_clear_error();
    return good;
}

int password_hash(slice password, password_params params, buf *out)
{
    unsigned char salt[SALT_SIZE], hash[HASH_SIZE];
    slice salt_bytes = {(const char *)salt, sizeof salt};
    if (!password_good(password) || !password_params_good(params) ||
        RAND_bytes(salt, sizeof salt) != 1 ||
        !derive(password, salt_bytes, params, hash, sizeof hash))
        return -1;
    buf_format(out, "$scrypt$ln=%u,r=%u,p=%u$", params.ln, params.r, params.p);
    base64_bare_encode(out, salt_bytes);
    buf_byte(out, '$');
    base64_bare_encode(out, (slice){(const char *)hash, sizeof hash});
    return 0;
}

static bool take_text(slice *from, const char *text)
{
    size_t n = strlen(text);
    if (from->n < n || memcmp(from->p, text, n) != 0)
        return false;
    *from = (slice){from->p + n, from->n - n};
    return true;
}

/* One or two digits without a leading zero. */
static bool take_number(slice *from, unsigned *value)
{
    size_t n = 0;
    *value = 0;
    for (; n < from->n && n < 2 && from->p[n] >= '0' && from->p[n] <= '9'; n++)
        *value = *value * 10 + (unsigned)(from->p[n] - '0');
    *from = (slice){from->p + n, from->n - n};
    return *value >= (n == 2 ? 10 : 1);
}

static bool take_base64(slice *from, buf *out, size_t min, size_t max)
{
    const char *end = memchr(from->p, '$', from->n);
    size_t n = end != NULL ? (size_t)(end - from->p) : from->n;
    bool good = base64_bare_decode(out, (slice){from->p, n}) && out->len >= min && out->len <= max;
    *from = (slice){from->p + n, from->n - n};
    return good;
}

/* s starts empty; end_stored in each case. */
static bool parse(slice text, stored *s)
{
    return text.n <= PASSWORD_HASH_MAX && take_text(&text, "$scrypt$ln=") &&
           take_number(&text, &s->params.ln) && take_text(&text, ",r=") &&
           take_number(&text, &s->params.r) && take_text(&text, ",p=") &&
           take_number(&text, &s->params.p) && take_text(&text, "$") &&
           take_base64(&text, &s->salt, 8, SALT_MAX) && take_text(&text, "$") &&
           take_base64(&text, &s->hash, HASH_MIN, HASH_MAX) && text.n == 0 &&
           password_params_good(s->params);
}

static void end_stored(stored *s)
{
    buf_free(&s->salt);
    buf_free(&s->hash);
}

static password_result compare(slice password, const stored *s)
{
    unsigned char made[HASH_MAX];
    if (!derive(password, (slice){s->salt.data, s->salt.len}, s->params, made, s->hash.len))
        return PASSWORD_FAILED;
    bool same = CRYPTO_memcmp(made, s->hash.data, s->hash.len) == 0;
    OPENSSL_cleanse(made, sizeof made);
    return same ? PASSWORD_MATCH : PASSWORD_WRONG;
}

password_result password_verify(slice password, slice hash)
{
    stored s = {0};
    password_result result = PASSWORD_BAD_HASH;
    if (parse(hash, &s))
        result = password_good(password) ? compare(password, &s) : PASSWORD_WRONG;
    end_stored(&s);
    return result;
}

bool password_needs_rehash(slice hash, password_params params)
{
    stored s = {0};
    bool same = parse(hash, &s) && s.params.ln == params.ln && s.params.r == params.r &&
                s.params.p == params.p;
    end_stored(&s);
    return !same;
}
