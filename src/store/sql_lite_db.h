/* One connection to the SQLite file, of one thread. Private to this folder. */
#pragma once
#include "sql_driver.h"

typedef struct lite_db lite_db;

/* NULL with a message. */
lite_db *lite_db_open(const sql_options *options, const char *path, bool writer, char *error,
                      size_t error_size);
void lite_db_close(lite_db *db);

/* Runs the statement of op into op->rows; inside of what transaction there is. */
sql_code lite_db_run(lite_db *db, sql_op *op);
/* False: it only reads. What can't be prepared counts as reading: the error is the same. */
bool lite_db_writes(lite_db *db, sql_op *op);
sql_code lite_db_begin(lite_db *db, sql_op *op);
/* What fails is rolled back. */
sql_code lite_db_commit(lite_db *db, sql_op *op);
void lite_db_rollback(lite_db *db);
