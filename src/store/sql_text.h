/* What must be known of a statement before a database sees it. Private to this folder. */
#pragma once
#include "slice.h"
#include <stdbool.h>

typedef struct {
    slice first;       /* its first word */
    size_t params;     /* the highest N of $N */
    size_t statements; /* that are not empty */
} sql_text;

void sql_text_read(slice text, sql_text *t);
/* It can only read: SELECT, VALUES, and what the database itself says of WITH and EXPLAIN. */
bool sql_text_may_read(const sql_text *t);
/* Words that would change a shared connection, or end a transaction behind its owner's back. */
bool sql_text_is_denied(const sql_text *t);
