/* What is logged about Redis: every link of every worker meets the same trouble, one line tells. */
#pragma once

void redis_say_problem(const char *problem);
void redis_say_ready(const char *name);
