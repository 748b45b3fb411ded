/* Messages between audiences, and the table of revocations. */
#include "audience_wire.h"
#include "clock.h"
#include "revocations.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants these before it */
#include <cmocka.h>

static void assert_slice(slice expected, slice got)
{
    assert_int_equal(expected.n, got.n);
    assert_memory_equal(expected.p, got.p, expected.n);
}

static audience_message example(void)
{
    audience_message m = {
        .answer = true, .by_bus = true, .node = SLICE("a1"), .number = 1ull << 60};
    m.request = (audience_request){.verb = AUDIENCE_REVOKE,
                                   .id = SLICE("id"),
                                   .topic = SLICE("12:with\0zero"),
                                   .text = SLICE("hello"),
                                   .who = {SLICE("user"), SLICE("tenant"), SLICE("jti"), 7, -1},
                                   .end = {4409, SLICE("kicked"), SLICE("because")},
                                   .until = 99,
                                   .limit = 4000000000u,
                                   .all_nodes = true};
    m.count = 3;
    m.workers = 2;
    m.rows = SLICE("{}");
    return m;
}

static void a_message_comes_back_as_it_went(void **state)
{
    (void)state;
    buf bytes = {0};
    audience_message m = example(), got;
    audience_message_put(&bytes, &m);
    assert_true(audience_message_get((slice){bytes.data, bytes.len}, &got));
    assert_true(got.answer && got.by_bus && got.request.all_nodes);
    assert_slice(m.node, got.node);
    assert_int_equal(m.number, got.number);
    assert_int_equal(AUDIENCE_REVOKE, got.request.verb);
    assert_slice(m.request.topic, got.request.topic);
    assert_slice(m.request.who.tenant, got.request.who.tenant);
    assert_int_equal(-1, got.request.who.expires);
    assert_slice(m.request.end.reason, got.request.end.reason);
    assert_int_equal(4000000000u, got.request.limit);
    assert_slice(m.rows, got.rows);
    assert_slice(SLICE("hello"), got.request.text);
    buf_free(&bytes);
}

static void what_is_cut_or_changed_is_no_message_or_another_and_nothing_worse(void **state)
{
    (void)state;
    buf bytes = {0};
    audience_message m = example(), got;
    audience_message_put(&bytes, &m);
    size_t needed = bytes.len - (sizeof "5:hello" - 1); /* older nodes send no text */
    for (size_t n = 0; n < bytes.len; n++) {
        char *exact = malloc(n + 1);
        memcpy(exact, bytes.data, n);
        assert_int_equal(n >= needed, audience_message_get((slice){exact, n}, &got));
        free(exact);
    }
    srand(11);
    for (int i = 0; i < 20000; i++) {
        char *copy = malloc(bytes.len);
        memcpy(copy, bytes.data, bytes.len);
        for (int k = rand() % 4; k >= 0; k--)
            copy[(size_t)rand() % bytes.len] = (char)rand();
        audience_message_get((slice){copy, bytes.len}, &got);
        free(copy);
    }
    buf_free(&bytes);
}

static bool enter(const revocation *r)
{
    char out[REVOCATION_KEY_MAX];
    return revocations_add(revocation_key(r, out), r->before, r->until);
}

static void a_revocation_hits_what_was_issued_until_then(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms() / 1000;
    assert_true(enter(&(revocation){.user = SLICE("ann"), .before = now, .until = now + 60}));
    assert_true(revocations_hit(&(audience_identity){.user = SLICE("ann"), .issued = now}));
    assert_true(revocations_hit(
        &(audience_identity){.user = SLICE("ann"), .tenant = SLICE("t"), .issued = now - 5}));
    assert_false(revocations_hit(&(audience_identity){.user = SLICE("ann"), .issued = now + 1}));
    assert_false(revocations_hit(&(audience_identity){.user = SLICE("an"), .issued = now}));
    assert_true(enter(&(revocation){.jti = SLICE("x"), .before = 0, .until = now + 60}));
    assert_true(revocations_hit(&(audience_identity){.jti = SLICE("x"), .issued = now + 9}));
    revocations_free();
}

static void users_of_other_tenants_are_others(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms() / 1000;
    revocation r = {.user = SLICE("bc"), .tenant = SLICE("a"), .before = now, .until = now + 60};
    assert_true(enter(&r));
    assert_true(revocations_hit(
        &(audience_identity){.user = SLICE("bc"), .tenant = SLICE("a"), .issued = now}));
    assert_false(revocations_hit(
        &(audience_identity){.user = SLICE("c"), .tenant = SLICE("ab"), .issued = now}));
    assert_false(revocations_hit(&(audience_identity){.user = SLICE("bc"), .issued = now}));
    revocations_free();
}

static void a_full_table_refuses_until_something_has_expired(void **state)
{
    (void)state;
    int64_t now = clock_wall_ms() / 1000;
    revocations_configure(2);
    assert_true(enter(&(revocation){.jti = SLICE("a"), .until = now - 10}));
    assert_true(enter(&(revocation){.jti = SLICE("b"), .until = now + 60}));
    assert_true(enter(&(revocation){.jti = SLICE("c"), .until = now + 60}));
    assert_false(enter(&(revocation){.jti = SLICE("d"), .until = now + 60}));
    assert_true(enter(&(revocation){.jti = SLICE("b"), .until = now + 90}));
    assert_int_equal(2, revocations_count());
    revocations_configure(100000);
    revocations_free();
}

static void the_table_is_stale_until_the_store_was_read_since_the_last_break(void **state)
{
    (void)state;
    uint64_t epoch = revocations_epoch();
    assert_false(revocations_fresh());
    revocations_break();
    revocations_read(epoch);
    assert_false(revocations_fresh());
    revocations_read(revocations_epoch());
    assert_true(revocations_fresh());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_back_as_it_went),
        cmocka_unit_test(what_is_cut_or_changed_is_no_message_or_another_and_nothing_worse),
        cmocka_unit_test(a_revocation_hits_what_was_issued_until_then),
        cmocka_unit_test(users_of_other_tenants_are_others),
        cmocka_unit_test(a_full_table_refuses_until_something_has_expired),
        cmocka_unit_test(the_table_is_stale_until_the_store_was_read_since_the_last_break),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
