/* What vm.c shares with task.c and co.c, and with nobody else. */
#pragma once
#include "guard.h"
#include "list.h"
#include "vm.h"

struct task;

typedef struct {
    struct task *running; /* NULL: Lua is not inside a task */
    struct task *spare;   /* ended tasks whose threads can serve again */
    size_t count, spare_count;
} vm_tasks;

vm_tasks *vm_task_state(vm *v);
guard *vm_guard(vm *v);
/* Ended tasks' records; their threads go with the Lua state (task.c). */
void task_free_spares(vm *v);
void vm_log_slow(guard_verdict verdict);
/* Pushes the error value at index as text. No metamethod runs: where errors are handled, no time
 * budget reaches. */
void vm_describe_error(lua_State *L, int index);
/* Message handler: the error value becomes text with a traceback. */
int vm_traceback(lua_State *L);
