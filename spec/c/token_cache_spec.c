/* The cache of verified tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "token_cache.h"
#include <stdio.h>

static const slice first = {"11111111111111111111111111111111", 32};
static const slice second = {"22222222222222222222222222222222", 32};

static void a_cached_token_is_found_under_its_own_set_only(void **state)
{
    (void)state;
    token_cache *c = token_cache_new(3);
    jwt_claims claims = {.issuer = SLICE("me"), .has_issuer = true, .expires_ms = 7};
    slice audience[] = {SLICE("a"), SLICE("bc")};
    claims.audience = audience;
    claims.audience_n = 2;
    token_hit hit;
    assert_false(token_cache_find(c, SLICE("one"), first, &hit));
    size_t slot = token_cache_put(c, &claims);
    assert_true(slot >= 1 && slot <= 3);
    assert_true(token_cache_find(c, SLICE("one"), first, &hit));
    assert_int_equal(hit.slot, slot);
    assert_true(slice_eq(hit.claims->issuer, claims.issuer));
    assert_ptr_not_equal(hit.claims->issuer.p, claims.issuer.p);
    assert_true(slice_eq(hit.claims->audience[1], audience[1]));
    assert_int_equal(hit.claims->expires_ms, 7);
    assert_false(token_cache_find(c, SLICE("one"), second, &hit));
    assert_false(token_cache_find(c, SLICE("onE"), first, &hit));
    token_cache_forget(c, slot);
    assert_false(token_cache_find(c, SLICE("one"), first, &hit));
    token_stats stats = token_cache_stats(c);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 4);
    assert_int_equal(stats.entries, 0);
    token_cache_free(c);
}

static void a_full_cache_drops_what_was_used_least_recently(void **state)
{
    (void)state;
    token_cache *c = token_cache_new(3);
    jwt_claims claims = {0};
    token_hit hit;
    const char *names[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 3; i++) {
        token_cache_find(c, slice_of(names[i]), first, &hit);
        assert_int_equal(token_cache_put(c, &claims), i + 1);
    }
    assert_true(token_cache_find(c, SLICE("a"), first, &hit));
    assert_false(token_cache_find(c, SLICE("d"), first, &hit));
    assert_int_equal(token_cache_put(c, &claims), 2); /* b's slot */
    assert_false(token_cache_find(c, SLICE("b"), first, &hit));
    assert_true(token_cache_find(c, SLICE("a"), first, &hit));
    assert_true(token_cache_find(c, SLICE("c"), first, &hit));
    assert_true(token_cache_find(c, SLICE("d"), first, &hit));
    assert_int_equal(token_cache_stats(c).evictions, 1);
    assert_int_equal(token_cache_stats(c).entries, 3);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        if (!token_cache_find(c, slice_of(name), first, &hit))
            token_cache_put(c, &claims);
        if (i % 3 == 0 && token_cache_find(c, slice_of(name), first, &hit))
            token_cache_forget(c, hit.slot);
        assert_true(token_cache_stats(c).entries <= 3);
    }
    token_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(a_cached_token_is_found_under_its_own_set_only),
        cmocka_unit_test(a_full_cache_drops_what_was_used_least_recently),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
