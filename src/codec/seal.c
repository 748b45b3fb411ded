/* The nonce is the key's iv with the number, 8 bytes big-endian, XORed onto its end, as TLS 1.3
 * does it: nothing random that could repeat, nothing kept but one counter. Rejected: random nonces
 * (a bound that nobody counts), and a set of numbers seen (a window to get wrong; connections and
 * topics are in order).
 *
 * The cipher's context lives for one message: it is then wiped by OpenSSL, and an idle connection
 * keeps 112 bytes instead of a key schedule. What must never happen: plaintext handed out before
 * the tag is right; a number used twice in the out direction. */
#include "seal.h"

#include "base64url.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_DIGITS_MAX = 10 };

static EVP_CIPHER *gcm;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void require(bool good)
{
    if (good)
        return;
    fprintf(stderr, "lunacast: OpenSSL can't seal a message\n");
    abort();
}

static void fetch(void)
{
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    require(gcm != NULL);
}

void seal_way_init(seal_way *w, const unsigned char seed[SEAL_SEED_SIZE])
{
    memcpy(w->key, seed, SEAL_KEY_SIZE);
    memcpy(w->iv, seed + SEAL_KEY_SIZE, SEAL_IV_SIZE);
    w->last = 0;
}

void seal_channel_free(seal_channel *c)
{
    if (c == NULL)
        return;
    OPENSSL_cleanse(c, sizeof *c);
    free(c);
}

/* A context for one message, with the additional data taken in. */
static EVP_CIPHER_CTX *begin(const seal_way *w, uint64_t number, slice aad, bool sealing)
{
    int n;
    unsigned char nonce[SEAL_IV_SIZE];
    pthread_once(&fetched, fetch);
    memcpy(nonce, w->iv, sizeof nonce);
    for (int i = 0; i < 8; i++)
        nonce[SEAL_IV_SIZE - 1 - i] ^= (unsigned char)(number >> (8 * i));
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    require(ctx != NULL && EVP_CipherInit_ex2(ctx, gcm, w->key, nonce, sealing, NULL) == 1);
    if (aad.n > 0)
        require(EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1);
    return ctx;
}

static void update(EVP_CIPHER_CTX *ctx, slice in, unsigned char *out)
{
    int n;
    if (in.n > 0)
        require(EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)in.p, (int)in.n) == 1);
}

bool seal_close(seal_way *w, slice plain, slice aad, uint64_t *number, buf *out)
{
    int n;
    if (w->last >= SEAL_MESSAGES_MAX)
        return false;
    *number = ++w->last;
    EVP_CIPHER_CTX *ctx = begin(w, *number, aad, true);
    unsigned char *room = (unsigned char *)buf_reserve(out, plain.n + SEAL_TAG_SIZE);
    update(ctx, plain, room);
    require(EVP_CipherFinal_ex(ctx, room + plain.n, &n) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, room + plain.n) == 1);
    EVP_CIPHER_CTX_free(ctx);
    out->len += plain.n + SEAL_TAG_SIZE;
    return true;
}

static bool tag_fits(EVP_CIPHER_CTX *ctx, slice tag)
{
    int n;
    unsigned char none[SEAL_TAG_SIZE];
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, (void *)tag.p) == 1 &&
           EVP_CipherFinal_ex(ctx, none, &n) == 1;
}

seal_result seal_open(seal_way *w, uint64_t number, slice sealed, slice aad, buf *out)
{
    if (number <= w->last)
        return SEAL_REPLAY;
    if (sealed.n < SEAL_TAG_SIZE || number > SEAL_MESSAGES_MAX)
        return SEAL_BROKEN;
    size_t n = sealed.n - SEAL_TAG_SIZE;
    EVP_CIPHER_CTX *ctx = begin(w, number, aad, false);
    unsigned char *room = (unsigned char *)buf_reserve(out, n);
    update(ctx, (slice){sealed.p, n}, room);
    bool good = tag_fits(ctx, (slice){sealed.p + n, SEAL_TAG_SIZE});
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    if (!good) {
        OPENSSL_cleanse(room, n);
        return SEAL_BROKEN;
    }
    out->len += n;
    w->last = number;
    return SEAL_OK;
}

/* As text ------------------------------------------------------------------------------------- */

bool seal_text_close(seal_way *w, slice plain, buf *out)
{
    uint64_t number;
    buf sealed = {0};
    if (!seal_close(w, plain, (slice){0}, &number, &sealed))
        return false;
    buf_text(out, SEAL_TEXT);
    buf_uint(out, number);
    buf_byte(out, ':');
    base64url_encode(out, (slice){sealed.data, sealed.len});
    buf_free(&sealed);
    return true;
}

/* "NUMBER:" at the front; 0: there is none. A number has one spelling. */
static uint64_t take_number(slice *text)
{
    uint64_t number = 0;
    size_t at = 0;
    while (at < text->n && at < NUMBER_DIGITS_MAX && text->p[at] >= '0' && text->p[at] <= '9')
        number = number * 10 + (uint64_t)(text->p[at++] - '0');
    if (at == 0 || text->p[0] == '0' || at == text->n || text->p[at] != ':')
        return 0;
    *text = (slice){text->p + at + 1, text->n - at - 1};
    return number;
}

seal_result seal_text_open(seal_way *w, slice text, buf *out)
{
    const size_t prefix = sizeof SEAL_TEXT - 1;
    buf sealed = {0};
    if (text.n < prefix || memcmp(text.p, SEAL_TEXT, prefix) != 0)
        return SEAL_BROKEN;
    text = (slice){text.p + prefix, text.n - prefix};
    uint64_t number = take_number(&text);
    if (number == 0)
        return SEAL_BROKEN;
    if (number > w->last + 1)
        return SEAL_MISSING;
    seal_result result = SEAL_BROKEN;
    if (base64url_decode(&sealed, text))
        result = seal_open(w, number, (slice){sealed.data, sealed.len}, (slice){0}, out);
    buf_free(&sealed);
    return result;
}
