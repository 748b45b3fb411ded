/* The application's files as the VMs of one reload see them: what the first one has read is what
 * all others read, on every worker, and also later, at first use; whatever is saved meanwhile
 * belongs to the next reload. Counted references; any thread. */
#pragma once
#include "slice.h"
#include <stdbool.h>

typedef struct file_set file_set;

typedef enum { FILE_CONTENTS, FILE_NAMES } file_kind;

file_set *file_set_new(void);
file_set *file_set_hold(file_set *s);
void file_set_drop(file_set *s);

/* What is known of a path below the application's folder; false: nothing yet. data->p NULL: it is
 * absent. The bytes live as long as the set. */
bool file_set_find(file_set *s, file_kind kind, slice path, slice *data);
/* Enters what was read (data.p NULL: absent), unless somebody else was faster; returns what holds.
 * With a full set it is `data` itself, which then is the caller's alone. */
slice file_set_add(file_set *s, file_kind kind, slice path, slice data);
