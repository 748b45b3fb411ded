/* Is the disk full? To SQLite that is SQLITE_FULL for a disk, and an I/O error for a quota and for
 * a limit of file sizes; the file that failed remembers which. */
#pragma once
#include <stdbool.h>

struct sqlite3;

/* Right behind a failed call. */
bool sqlite_full(struct sqlite3 *sqlite);
