/* Whose time a VM spends: code of a plugin runs on its account, all other code on none. */
#pragma once
#include "vm.h"

enum { ACCOUNTS_MAX = 256 };

/* Of one VM, inside struct vm; touched by its own thread only. */
typedef struct {
    int current; /* 0: nobody's */
    int failing; /* whose code raised, while a task's failure is reported */
    uint64_t since_us;
    uint64_t us[ACCOUNTS_MAX]; /* not flushed yet */
} accounts;

accounts *vm_accounts(vm *v);

/* The number of a name, the same in every VM of the process; 0 when there are too many. */
int account_of(slice name);
/* The code that follows is `id`'s; returns whose it was. */
int account_enter(accounts *a, int id);
/* A failure of id's code. */
void account_failed(int id);
/* All failures of its code since the process began, on all workers. */
uint64_t account_failures(int id);
/* Adds what was used to the metrics. */
void account_flush(accounts *a);
