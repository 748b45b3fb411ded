/* What a client says of its keys and its sealed messages: no bytes open what was not sealed, none
 * make two forms of one key, and a point that is taken is taken again. Byte 0: the curve; the rest
 * is a sealed text, and a public key. */
#include "agree.h"
#include "seal.h"
#include <stdint.h>
#include <stdlib.h>

static void open_text(slice text)
{
    buf out = {0};
    seal_way way = {.key = {1}, .iv = {2}, .last = 0};
    if (seal_text_open(&way, text, &out) == SEAL_OK || out.len != 0 || way.last != 0)
        abort();
    buf_free(&out);
}

static void close_and_open(slice text)
{
    buf sealed = {0}, out = {0};
    seal_way way = {.key = {1}, .iv = {2}, .last = 0}, other = way;
    if (!seal_text_close(&way, text, &sealed) ||
        seal_text_open(&other, (slice){sealed.data, sealed.len}, &out) != SEAL_OK ||
        !slice_eq((slice){out.data, out.len}, text))
        abort();
    buf_free(&sealed);
    buf_free(&out);
}

static void agree_with(agree_curve curve, slice public)
{
    static agree_pair *pairs[AGREE_CURVES];
    unsigned char one[AGREE_SECRET_SIZE], again[AGREE_SECRET_SIZE];
    slice raw;
    if (pairs[curve] == NULL)
        pairs[curve] = agree_pair_new(curve);
    if (!agree_raw_of(curve, public, &raw) || !agree_secret(pairs[curve], raw, one))
        return;
    if (raw.n != agree_raw_size(curve) || !agree_secret(pairs[curve], raw, again) ||
        memcmp(one, again, sizeof one) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    slice rest = {(const char *)data + 1, n - 1};
    open_text(rest);
    close_and_open(rest);
    agree_with(data[0] % AGREE_CURVES, rest);
    return 0;
}
