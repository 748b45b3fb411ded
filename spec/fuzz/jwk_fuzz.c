/* Keys. First byte 'p': PEM, 's': a set, anything else: a single JSON Web Key. Oracle: what is
 * accepted can be shown and read again and is the same key then, and no private member is shown. */
#include "jwk.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const jwk_wish any = {.alg = JWK_ALGS};

static void check_key(const jwk *k)
{
    buf json = {0}, pem = {0};
    const char *reason;
    if (jwk_public_json(k, &json)) {
        jwk *again = jwk_from_json((slice){json.data, json.len}, any, &reason);
        if (again == NULL || !slice_eq(jwk_kid(again), jwk_kid(k)) || jwk_can_sign(again) ||
            jwk_alg_of(again) != jwk_alg_of(k))
            abort();
        jwk_drop(again);
    }
    if (jwk_private_pem(k, &pem)) {
        jwk *again = jwk_from_pem((slice){pem.data, pem.len}, any, &reason);
        if (again == NULL || !jwk_can_sign(again))
            abort();
        jwk_drop(again);
    }
    buf_free(&json);
    buf_free(&pem);
}

static void check_set(slice text)
{
    size_t skipped;
    const char *reason;
    jwk_set *s = jwk_set_from_json(text, &skipped, &reason);
    if (s == NULL)
        return;
    for (size_t i = 0; i < jwk_set_count(s); i++) {
        if (jwk_can_sign(jwk_set_at(s, i)))
            abort();
        check_key(jwk_set_at(s, i));
    }
    jwk_set_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    slice text = {(const char *)data + 1, size - 1};
    const char *reason;
    if (data[0] == 's') {
        check_set(text);
        return 0;
    }
    jwk *k = data[0] == 'p' ? jwk_from_pem(text, any, &reason) : jwk_from_json(text, any, &reason);
    if (k != NULL)
        check_key(k);
    jwk_drop(k);
    return 0;
}
