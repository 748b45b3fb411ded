/* A result while it grows: values row after row, their bytes in one buffer. Private to this folder.
 */
#pragma once
#include "buf.h"
#include "sql.h"

typedef struct {
    buf names; /* of columns, one after the other */
    size_t *name_ends;
    slice *columns;
    size_t column_count;
    sql_value *values; /* s.p is an offset into bytes until sql_rows_seal */
    size_t count, room;
    buf bytes;
} sql_rows;

void sql_rows_columns(sql_rows *r, size_t count, slice (*name)(size_t column, void *arg),
                      void *arg);
void sql_rows_add(sql_rows *r, sql_value value); /* bytes are copied */
/* Adds text with room for the caller to write it: where its n bytes go. */
char *sql_rows_reserve(sql_rows *r, sql_type type, size_t n);
size_t sql_rows_size(const sql_rows *r); /* bytes in use */
size_t sql_rows_count(const sql_rows *r);
/* The result borrows what is here. */
void sql_rows_seal(sql_rows *r, sql_result *result);
void sql_rows_free(sql_rows *r);
