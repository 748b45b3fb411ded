/* The gate: several loops on their own threads, few inside at once, each gets its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gate.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LOOPS = 3, EACH = 40 };

static atomic_int inside, most, worked, gone, full;

typedef struct {
    gate_pass pass;
    uv_work_t work;
    uv_loop_t *loop;
} visitor;

static void on_work(uv_work_t *work)
{
    (void)work;
    int now = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now))
        ;
    uv_sleep(1);
    atomic_fetch_sub(&inside, 1);
    gate_leave();
}

static void on_worked(uv_work_t *work, int status)
{
    (void)status;
    atomic_fetch_add(&worked, 1);
    free(work->data);
}

static void on_turn(gate_pass *p)
{
    visitor *v = LIST_ENTRY(p, visitor, pass);
    v->work.data = v;
    uv_queue_work(v->loop, &v->work, on_work, on_worked);
}

static void on_gone(gate_pass *p)
{
    atomic_fetch_add(&gone, 1);
    free(LIST_ENTRY(p, visitor, pass));
}

static gate_answer visit(uv_loop_t *loop, size_t longest, visitor **out)
{
    visitor *v = calloc(1, sizeof *v);
    *v = (visitor){.pass = {.on_turn = on_turn, .on_gone = on_gone}, .loop = loop};
    gate_answer answer = gate_enter(&v->pass, loop, longest);
    if (answer == GATE_OPEN)
        on_turn(&v->pass);
    *out = v;
    if (answer == GATE_FULL) {
        atomic_fetch_add(&full, 1);
        free(v);
    }
    return answer;
}

static void run_dry(uv_loop_t *loop)
{
    uv_run(loop, UV_RUN_DEFAULT);
    if (uv_loop_close(loop) != 0)
        abort();
}

/* Every fourth of those in line loses patience. */
static void *run_loop(void *arg)
{
    uv_loop_t loop;
    visitor *v;
    uv_loop_init(&loop);
    for (int i = 0; i < EACH; i++)
        if (visit(&loop, LOOPS * EACH, &v) == GATE_WAIT && i % 4 == 0)
            gate_abandon(&v->pass);
    run_dry(&loop);
    return arg;
}

static void each_gets_its_turn_and_few_are_inside_at_once(void **state)
{
    (void)state;
    pthread_t threads[LOOPS];
    for (int i = 0; i < LOOPS; i++)
        pthread_create(&threads[i], NULL, run_loop, NULL);
    for (int i = 0; i < LOOPS; i++)
        pthread_join(threads[i], NULL);
    unsigned cores = uv_available_parallelism();
    assert_true(atomic_load(&most) >= 1);
    assert_true(atomic_load(&most) <= (cores > 4 ? 3 : cores > 1 ? (int)cores - 1 : 1));
    assert_int_equal(atomic_load(&worked) + atomic_load(&gone), LOOPS * EACH);
    assert_true(atomic_load(&worked) >= LOOPS * EACH * 3 / 4);
    assert_int_equal(atomic_load(&full), 0);
}

static void a_full_line_turns_away(void **state)
{
    (void)state;
    uv_loop_t loop;
    visitor *v;
    uv_loop_init(&loop);
    atomic_store(&full, 0);
    int waiting = 0;
    for (int i = 0; i < 20; i++)
        waiting += visit(&loop, 5, &v) == GATE_WAIT;
    assert_true(waiting >= 5);
    assert_true(atomic_load(&full) > 0);
    run_dry(&loop);
    uv_loop_init(&loop);
    assert_int_equal(visit(&loop, 5, &v), GATE_OPEN);
    run_dry(&loop);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(each_gets_its_turn_and_few_are_inside_at_once),
        cmocka_unit_test(a_full_line_turns_away),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
