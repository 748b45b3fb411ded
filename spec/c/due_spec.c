/* The heap of times. */
#include "due.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants these before it */
#include <cmocka.h>

enum { NODES = 500 };

static void gives_the_first_of_many_times(void **state)
{
    (void)state;
    due_heap h = {0};
    due_node nodes[NODES] = {0};
    srand(7);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < NODES; i++)
            due_set(&h, &nodes[i], 1 + (uint64_t)(rand() % 1000));
    }
    for (int i = 0; i < NODES; i += 3)
        due_set(&h, &nodes[i], 0);
    uint64_t last = 0;
    size_t seen = 0;
    for (due_node *n = due_first(&h); n != NULL; n = due_first(&h)) {
        assert_true(n->at >= last);
        last = n->at;
        seen++;
        due_set(&h, n, 0);
    }
    assert_int_equal(NODES - (NODES + 2) / 3, seen);
    due_free(&h);
}

static void takes_a_node_out_twice_without_harm(void **state)
{
    (void)state;
    due_heap h = {0};
    due_node a = {0};
    due_set(&h, &a, 0);
    due_set(&h, &a, 5);
    due_set(&h, &a, 0);
    due_set(&h, &a, 0);
    assert_null(due_first(&h));
    due_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_first_of_many_times),
        cmocka_unit_test(takes_a_node_out_twice_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
