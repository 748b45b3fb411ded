/* A set of servers that stand for each other: who is next, who is put out, who may try again. */
#include "clock.h"
#include "upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const upstream_rules rules = {.fails = 3, .fail_ms = 10000, .out_ms = 10000};

static upstream *open_set(size_t count, const upstream_rules *r)
{
    static const slice urls[] = {SLICE_INIT("http://a.example"), SLICE_INIT("https://b.example/x/"),
                                 SLICE_INIT("unix:/tmp/c.sock")};
    const char *why;
    upstream *u = upstream_open(urls, count, r, &why);
    assert_non_null(u);
    return u;
}

/* One request that ends so; returns who got it. */
static int one(upstream *u, upstream_verdict verdict)
{
    upstream_choice choice = upstream_pick(u, 0);
    if (choice.peer < 0)
        return -1;
    upstream_judge(u, &choice, verdict);
    upstream_done(u, &choice);
    return choice.peer;
}

static const char *state_of(upstream *u, size_t peer)
{
    upstream_status status;
    upstream_look(u, peer, &status);
    return status.state;
}

static void servers_are_named_by_urls_and_sockets(void **state)
{
    (void)state;
    upstream *u = open_set(3, &rules);
    assert_int_equal(upstream_count(u), 3);
    assert_int_equal(upstream_get(u, 0)->port, 80);
    assert_true(upstream_get(u, 1)->tls);
    assert_true(slice_eq(upstream_get(u, 1)->base, SLICE("/x")));
    assert_true(slice_eq(upstream_get(u, 2)->path, SLICE("/tmp/c.sock")));
    upstream_drop(u);
    const char *why = NULL;
    slice bad = SLICE("http://a?x");
    assert_null(upstream_open(&bad, 1, &rules, &why));
    assert_non_null(why);
    assert_null(upstream_open(&bad, 0, &rules, &why));
}

static void a_set_of_the_same_servers_is_the_same_set(void **state)
{
    (void)state;
    upstream *u = open_set(2, &rules), *same = open_set(2, &rules), *other = open_set(1, &rules);
    assert_ptr_equal(u, same);
    assert_ptr_not_equal(u, other);
    upstream_drop(same);
    upstream_drop(u);
    upstream_drop(other);
}

static void servers_are_taken_in_turn(void **state)
{
    (void)state;
    upstream *u = open_set(3, &rules);
    for (int i = 0; i < 9; i++)
        assert_int_equal(one(u, UPSTREAM_GOOD), i % 3);
    assert_int_equal(upstream_pick(u, 1 | 2).peer, 2);
    assert_int_equal(upstream_pick(u, 1 | 2 | 4).peer, -1);
    upstream_drop(u);
}

static void the_least_busy_one_is_taken(void **state)
{
    (void)state;
    upstream_rules least = rules;
    least.least = true;
    upstream *u = open_set(2, &least);
    upstream_choice busy = upstream_pick(u, 0);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(one(u, UPSTREAM_GOOD), busy.peer);
    upstream_done(u, &busy);
    upstream_drop(u);
}

static void three_failures_in_ten_seconds_put_a_server_out(void **state)
{
    (void)state;
    upstream *u = open_set(1, &rules);
    assert_int_equal(one(u, UPSTREAM_BAD), 0);
    clock_advance(6000);
    assert_int_equal(one(u, UPSTREAM_BAD), 0);
    clock_advance(6000); /* the first one is too old now */
    assert_int_equal(one(u, UPSTREAM_BAD), 0);
    assert_string_equal(state_of(u, 0), "up");
    assert_int_equal(one(u, UPSTREAM_BAD), 0);
    assert_string_equal(state_of(u, 0), "out");
    upstream_choice none = upstream_pick(u, 0);
    assert_int_equal(none.peer, -1);
    assert_in_range(none.retry_ms, 9000, 10000);
    upstream_drop(u);
}

static void an_ill_server_gets_one_trial_at_a_time(void **state)
{
    (void)state;
    upstream *u = open_set(1, &rules);
    for (int i = 0; i < 3; i++)
        one(u, UPSTREAM_BAD);
    clock_advance(10001);
    upstream_choice trial = upstream_pick(u, 0);
    assert_int_equal(trial.peer, 0);
    assert_true(trial.trial);
    assert_string_equal(state_of(u, 0), "trial");
    assert_int_equal(upstream_pick(u, 0).peer, -1);
    upstream_judge(u, &trial, UPSTREAM_BAD);
    upstream_done(u, &trial);
    clock_advance(10001); /* twice as long the second time */
    assert_int_equal(upstream_pick(u, 0).peer, -1);
    clock_advance(10000);
    assert_int_equal(one(u, UPSTREAM_UNKNOWN), 0); /* says nothing */
    assert_string_equal(state_of(u, 0), "out");
    assert_int_equal(one(u, UPSTREAM_GOOD), 0);
    assert_string_equal(state_of(u, 0), "up");
    upstream_drop(u);
}

static void a_trial_ends_with_the_head_though_its_answer_goes_on(void **state)
{
    (void)state;
    upstream *u = open_set(1, &rules);
    for (int i = 0; i < 3; i++)
        one(u, UPSTREAM_BAD);
    clock_advance(10001);
    upstream_choice stream = upstream_pick(u, 0);
    upstream_judge(u, &stream, UPSTREAM_GOOD);
    assert_int_equal(one(u, UPSTREAM_GOOD), 0);
    upstream_done(u, &stream);
    upstream_drop(u);
}

static void checks_take_a_server_down_and_up(void **state)
{
    (void)state;
    upstream *u = open_set(2, &rules);
    upstream_check(u, 1, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(one(u, UPSTREAM_GOOD), 0);
    assert_string_equal(state_of(u, 1), "down");
    upstream_check(u, 1, true);
    assert_string_equal(state_of(u, 1), "up");
    upstream_check(u, 0, false);
    upstream_uncheck(u);
    assert_string_equal(state_of(u, 0), "up");
    upstream_drop(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_are_named_by_urls_and_sockets),
        cmocka_unit_test(a_set_of_the_same_servers_is_the_same_set),
        cmocka_unit_test(servers_are_taken_in_turn),
        cmocka_unit_test(the_least_busy_one_is_taken),
        cmocka_unit_test(three_failures_in_ten_seconds_put_a_server_out),
        cmocka_unit_test(an_ill_server_gets_one_trial_at_a_time),
        cmocka_unit_test(a_trial_ends_with_the_head_though_its_answer_goes_on),
        cmocka_unit_test(checks_take_a_server_down_and_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
