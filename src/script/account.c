/* Time and failures by plugin. A task remembers on whose account it runs, so that waits cost nobody
 * anything and the time of a middleware ends where it calls the next one. The clock is read only
 * where a plugin's code begins or ends: an application without plugins pays one comparison per
 * resume. Rejected: a sampling profiler (short calls would need hours to be seen); Lua's os.clock
 * around each call, which counts the waits' other tasks.
 *
 *   nobody's (0) --account_enter(id)--> id's --account_enter(before)--> nobody's
 *        task parks: charged, remembered in the task;  task resumes: the clock starts again
 *
 * Names and failures belong to the process, since a plugin fails on any worker; they are as many as
 * plugins were ever loaded, bounded by ACCOUNTS_MAX. What must never happen: a lock on the path of
 * a call. */
#include "account.h"

#include "clock.h"
#include "mem.h"
#include "metrics.h"
#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *names[ACCOUNTS_MAX]; /* from 1; never freed, so that readers need no lock */
static _Atomic int count;
static _Atomic uint64_t failures[ACCOUNTS_MAX];

int account_of(slice name)
{
    pthread_mutex_lock(&lock);
    int id = 1;
    while (id <= count && !slice_eq(slice_of(names[id]), name))
        id++;
    if (id > count && id < ACCOUNTS_MAX) {
        names[id] = mem_dup(name.p, name.n);
        count = id;
    }
    pthread_mutex_unlock(&lock);
    return id < ACCOUNTS_MAX ? id : 0;
}

int account_enter(accounts *a, int id)
{
    int before = a->current;
    if (before == id)
        return before;
    uint64_t now = clock_us();
    if (before != 0)
        a->us[before] += now - a->since_us;
    a->since_us = now;
    a->current = id;
    return before;
}

static void record(int id, const char *name, const char *help, double value)
{
    const char *reason;
    metrics_family *f = metrics_declare(slice_of(name), slice_of(help), METRICS_COUNTER, &reason);
    metrics_label label = {SLICE("plugin"), slice_of(names[id])};
    if (f != NULL)
        metrics_record(f, &label, 1, value);
}

void account_failed(int id)
{
    if (id == 0)
        return;
    atomic_fetch_add(&failures[id], 1);
    record(id, "plugin_errors_total", "Failures in the code of a plugin.", 1);
}

uint64_t account_failures(int id)
{
    return id > 0 && id < ACCOUNTS_MAX ? atomic_load(&failures[id]) : 0;
}

void account_flush(accounts *a)
{
    int most = count;
    for (int id = 1; id <= most; id++) {
        if (a->us[id] == 0)
            continue;
        record(id, "plugin_seconds_total", "Time in the code of a plugin, without its waits.",
               (double)a->us[id] / 1e6);
        a->us[id] = 0;
    }
}
