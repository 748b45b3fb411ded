/* From SQLite's errors to codes. Private to this folder. */
#pragma once
#include "sql_driver.h"

struct sqlite3;
/* Of the connection's last call: sets message and detail of op. */
sql_code lite_error(struct sqlite3 *sqlite, sql_op *op);
