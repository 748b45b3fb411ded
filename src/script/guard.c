/* Why a watchdog with a signal and not a count hook: with a hook set, Lua calls out for every
 * instruction, which halves its speed; and a hook set on one coroutine does not cover another. Here
 * the watchdog thread samples each worker's entry number. When the same entry has used its budget
 * it signals that thread, and the handler sets a hook on whatever coroutine is current: lua_sethook
 * may be called from a signal handler (Lua manual 4.7). The hook then fires before every
 * instruction and raises each time, so a script's own pcall can't swallow it: the next instruction
 * raises again until the entry has unwound. CPU time and not wall time, so a stopped or busy
 * machine ends nobody. While no worker is inside Lua the watchdog sleeps, and the next entry wakes
 * it: the entry's number is written before `asleep` is read, and the watchdog does the two in the
 * other order, so that one of them sees the other.
 *
 *   idle (even) --guard_enter--> running (odd) --watchdog: over limit--> armed --signal--> fired
 *        ^------------------------guard_leave-----------------------------------------------'
 *
 * No hook fires inside a C function. Those that scripts can make slow look at guard_over in their
 * loops (vm_check_time), or take no more than is done in some 50 ms. What must never happen: the
 * handler touching a Lua state of an entry that is over: it compares the armed entry number with
 * the current one on its own thread.
 */
#include "guard.h"

#include "clock.h"
#include "list.h"
#include "mem.h"
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PERIOD_US = 5000 };

struct guard {
    list link;                /* in `guards`, under `lock` */
    _Atomic uint64_t entry;   /* odd: inside Lua */
    _Atomic uint64_t armed;   /* the entry that is to be ended */
    _Atomic uint64_t slow_us; /* CPU time seen so far of the current entry, 0: below warn */
    lua_State *volatile current;
    volatile sig_atomic_t fired;
    pthread_t thread;
    clockid_t cpu;
    uint64_t warn_us, limit_us;
    uint64_t seen, since_us; /* the watchdog's own: the entry it saw last and its CPU time then */
};

/* Taken first, and not by the watchdog: one that is being joined must not be told to go on. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stirred = PTHREAD_COND_INITIALIZER; /* an entry, or the end */
static _Atomic bool asleep;
static list guards = {&guards, &guards};
static pthread_t watchdog;
static bool stopping;
static _Thread_local guard *self;

static int signal_number(void)
{
    return SIGRTMIN + 3;
}

static void on_over_budget(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (lua_isyieldable(L))
        lua_yield(L, 0);
    else
        luaL_error(L, GUARD_MESSAGE);
}

static void on_signal(int number)
{
    (void)number;
    guard *g = self;
    if (g == NULL || (g->entry & 1) == 0 || g->armed != g->entry || g->current == NULL)
        return;
    /* Once is enough, and more may be too much: lua_sethook walks all calls of the stack, and in a
     * deep recursion that may take longer than the watchdog's period. */
    if (g->fired)
        return;
    g->fired = 1;
    lua_sethook(g->current, on_over_budget, LUA_MASKCOUNT, 1);
}

static uint64_t cpu_us(const guard *g)
{
    struct timespec t;
    if (clock_gettime(g->cpu, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* True when Lua runs, or has run since the last look. */
static bool inspect(guard *g)
{
    uint64_t entry = atomic_load(&g->entry);
    bool moved = entry != g->seen;
    if ((entry & 1) == 0) {
        g->seen = entry;
        return moved;
    }
    uint64_t now = cpu_us(g);
    if (moved) {
        g->seen = entry;
        g->since_us = now;
        return true;
    }
    uint64_t used = now - g->since_us;
    if (g->warn_us > 0 && used >= g->warn_us)
        atomic_store(&g->slow_us, used);
    if (g->limit_us > 0 && used >= g->limit_us) {
        atomic_store(&g->armed, entry);
        pthread_kill(g->thread, signal_number());
    }
    return true;
}

static bool inspect_all(void)
{
    bool busy = false;
    LIST_FOR_EACH (it, &guards)
        busy |= inspect(LIST_ENTRY(it, guard, link));
    return busy;
}

/* By a clock that nobody sets: after a step back of the wall's no script would be ended for as
 * long. */
static void wait_a_period(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PERIOD_US * 1000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_clockwait(&stirred, &lock, CLOCK_MONOTONIC, &until);
}

/* Nothing ran since the last look: until the next entry. */
static void sleep_till_entry(void)
{
    atomic_store(&asleep, true);
    while (!stopping && atomic_load(&asleep) && !inspect_all())
        pthread_cond_wait(&stirred, &lock);
    atomic_store(&asleep, false);
}

static void wake_watchdog(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&asleep, false);
    pthread_cond_signal(&stirred);
    pthread_mutex_unlock(&lock);
}

static void *watch(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    while (!stopping) {
        if (inspect_all())
            wait_a_period();
        else
            sleep_till_entry();
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void start_watchdog(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number(), &action, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    stopping = false;
    if (pthread_create(&watchdog, NULL, watch, NULL) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void guard_adopt(guard *g)
{
    pthread_mutex_lock(&lock);
    g->thread = pthread_self();
    pthread_getcpuclockid(g->thread, &g->cpu);
    pthread_mutex_unlock(&lock);
}

void guard_set_budget(guard *g, uint64_t warn_us, uint64_t limit_us)
{
    pthread_mutex_lock(&lock);
    g->warn_us = warn_us;
    g->limit_us = limit_us;
    pthread_mutex_unlock(&lock);
}

uint64_t guard_set_limit(guard *g, uint64_t limit_us)
{
    pthread_mutex_lock(&lock);
    uint64_t before = g->limit_us;
    if (before > 0)
        g->limit_us = limit_us;
    pthread_mutex_unlock(&lock);
    return before;
}

guard *guard_new(uint64_t warn_us, uint64_t limit_us)
{
    guard *g = mem_alloc(sizeof *g);
    guard_set_budget(g, warn_us, limit_us);
    guard_adopt(g);
    pthread_mutex_lock(&starting);
    pthread_mutex_lock(&lock);
    bool first = list_empty(&guards);
    list_append(&guards, &g->link);
    if (first)
        start_watchdog();
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&starting);
    return g;
}

void guard_free(guard *g)
{
    pthread_mutex_lock(&starting);
    pthread_mutex_lock(&lock);
    list_remove(&g->link);
    bool last = list_empty(&guards);
    if (last) {
        stopping = true;
        pthread_cond_signal(&stirred);
    }
    pthread_mutex_unlock(&lock);
    if (last)
        pthread_join(watchdog, NULL);
    pthread_mutex_unlock(&starting);
    free(g);
}

void guard_enter(guard *g, lua_State *L)
{
    self = g;
    g->current = L;
    atomic_store(&g->entry, g->entry + 1);
    if (atomic_load(&asleep))
        wake_watchdog();
}

guard_verdict guard_leave(guard *g)
{
    atomic_store_explicit(&g->entry, g->entry + 1, memory_order_release);
    guard_verdict verdict = {atomic_load_explicit(&g->slow_us, memory_order_relaxed), g->fired};
    if (g->fired) {
        g->fired = 0;
        lua_sethook(g->current, NULL, 0, 0);
    }
    g->current = NULL;
    self = NULL;
    if (verdict.slow_us != 0)
        atomic_store_explicit(&g->slow_us, 0, memory_order_relaxed);
    return verdict;
}

bool guard_over(void)
{
    return self != NULL && self->fired;
}

bool guard_inside(void)
{
    return self != NULL;
}

lua_State *guard_switch(guard *g, lua_State *L)
{
    lua_State *before = g->current;
    g->current = L; /* first: a signal from here on hooks L, one before is seen below */
    if (g->fired) {
        lua_sethook(before, NULL, 0, 0);
        lua_sethook(L, on_over_budget, LUA_MASKCOUNT, 1);
    }
    return before;
}
