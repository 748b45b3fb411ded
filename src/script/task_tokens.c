/* A slot's generation goes up when it is given back, so a token that outlives its task finds
 * nobody, also when the slot serves another task. The table belongs to the worker's thread; a token
 * is used on the loop that it came from. Slot 0 is never used. What must never happen: a generation
 * that goes back while a token may be around. */
#include "task_tokens.h"

#include "mem.h"
#include <stdlib.h>

typedef struct {
    struct task *task;
    uint32_t generation;
    uint32_t next_free;
} slot;

static _Thread_local slot *slots;
static _Thread_local uint32_t slot_count, slot_cap, free_slot;

static uint32_t new_slot(void)
{
    if (slot_count + 1 >= slot_cap) {
        slot_cap = slot_cap ? slot_cap * 2 : 64;
        slots = mem_resize(slots, slot_cap * sizeof *slots);
    }
    slots[++slot_count] = (slot){.generation = 1};
    return slot_count;
}

task_token tokens_take(struct task *t)
{
    uint32_t index = free_slot;
    if (index != 0)
        free_slot = slots[index].next_free;
    else
        index = new_slot();
    slots[index].task = t;
    return (task_token){index, slots[index].generation};
}

void tokens_give(task_token token)
{
    slot *s = &slots[token.index];
    s->task = NULL;
    s->generation++;
    s->next_free = free_slot;
    free_slot = token.index;
}

struct task *tokens_find(task_token token)
{
    if (token.index == 0 || token.index > slot_count)
        return NULL;
    const slot *s = &slots[token.index];
    return s->generation == token.generation ? s->task : NULL;
}

void task_thread_exit(void)
{
    free(slots);
    slots = NULL;
    slot_count = slot_cap = free_slot = 0;
}
