/* See sqlite_full.h. */
#include "sqlite_full.h"

#include <errno.h>
#include <sqlite3.h>
#include <stddef.h>

static bool wanted_space(sqlite3 *sqlite, int which)
{
    sqlite3_file *file = NULL;
    int number = 0;
    sqlite3_file_control(sqlite, NULL, which, &file);
    if (file != NULL && file->pMethods != NULL)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
    return number == ENOSPC || number == EDQUOT || number == EFBIG;
}

bool sqlite_full(struct sqlite3 *sqlite)
{
    int code = sqlite3_extended_errcode(sqlite) & 0xff;
    return code == SQLITE_FULL ||
           (code == SQLITE_IOERR && (wanted_space(sqlite, SQLITE_FCNTL_JOURNAL_POINTER) ||
                                     wanted_space(sqlite, SQLITE_FCNTL_FILE_POINTER)));
}
