/* The watchdog that ends scripts: its clock, and its own beginning and end. */
#include "guard.h"
#include "task.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

enum { HANGS_S = 300, ROUNDS = 2000 };

/* In place of libc's: the wall clock may be ahead, as before somebody sets it right. */
static _Atomic bool ahead;

int clock_gettime(clockid_t clock, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME && ahead)
        t->tv_sec += 3600;
    return (int)rc;
}

static task_outcome outcome;

static int fill(lua_State *L, void *data)
{
    if (luaL_loadstring(L, data) != LUA_OK)
        lua_error(L);
    return 0;
}

static int on_end(lua_State *L, task_outcome how, void *data)
{
    (void)L;
    (void)data;
    outcome = how;
    return 0;
}

static void *set_the_clock_right(void *arg)
{
    (void)arg;
    usleep(50000);
    ahead = false;
    return NULL;
}

static void a_wall_clock_that_is_set_back_does_not_let_scripts_run_for_ever(void **state)
{
    (void)state;
    static const task_ops ops = {fill, on_end, NULL};
    static services none;
    vm_options options = {.warn_us = 200000, .limit_us = 200000, .folder = "."};
    pthread_t thread;
    alarm(HANGS_S);
    ahead = true;
    vm *v = vm_new(&none, &options);
    assert_non_null(v);
    vm_booted(v);
    assert_int_equal(pthread_create(&thread, NULL, set_the_clock_right, NULL), 0);
    /* The thread sanitizer keeps signals from a loop that calls nothing of libc. */
    task_start(v, &ops, "while true do local _ = tostring(0.5) end");
    assert_int_equal(outcome, TASK_ERROR);
    pthread_join(thread, NULL);
    vm_drop(v);
    task_thread_exit();
    alarm(0);
}

static pthread_barrier_t together;

static void *come(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&together);
    return guard_new(0, 0);
}

/* Who goes must not wait for the one that has come. */
static void a_guard_may_come_while_the_last_one_goes(void **state)
{
    (void)state;
    alarm(HANGS_S);
    pthread_barrier_init(&together, NULL, 2);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        void *newcomer;
        guard *g = guard_new(0, 0);
        assert_int_equal(pthread_create(&thread, NULL, come, NULL), 0);
        pthread_barrier_wait(&together);
        guard_free(g);
        pthread_join(thread, &newcomer);
        guard_free(newcomer);
    }
    pthread_barrier_destroy(&together);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wall_clock_that_is_set_back_does_not_let_scripts_run_for_ever),
        cmocka_unit_test(a_guard_may_come_while_the_last_one_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
