/* Tokens of tasks: what a waiting operation holds instead of a pointer. One table per thread. */
#pragma once
#include "task.h"

struct task;

/* A token that finds t until it is given back. */
task_token tokens_take(struct task *t);
void tokens_give(task_token token);
/* NULL: the token is stale. */
struct task *tokens_find(task_token token);
