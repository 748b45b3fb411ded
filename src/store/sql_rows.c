/* A growing result. Bytes of texts lie in one buffer that moves while it grows, so values keep
 * offsets until the end. Rejected: one allocation per value, which costs more than the query. */
#include "sql_rows.h"

#include "mem.h"
#include <stdlib.h>

enum { FIRST_ROOM = 32 };

void sql_rows_columns(sql_rows *r, size_t count, slice (*name)(size_t column, void *arg), void *arg)
{
    r->column_count = count;
    r->name_ends = mem_alloc((count + 1) * sizeof *r->name_ends);
    r->columns = mem_alloc((count + 1) * sizeof *r->columns);
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(&r->names, name(i, arg));
        r->name_ends[i] = r->names.len;
    }
}

static sql_value *next(sql_rows *r)
{
    if (r->count == r->room) {
        r->room = r->room == 0 ? FIRST_ROOM : r->room * 2;
        r->values = mem_resize(r->values, r->room * sizeof *r->values);
    }
    return &r->values[r->count++];
}

char *sql_rows_reserve(sql_rows *r, sql_type type, size_t n)
{
    sql_value *v = next(r);
    char *at = buf_reserve(&r->bytes, n + 1);
    *v = (sql_value){.type = type, .s = {(const char *)(uintptr_t)r->bytes.len, n}};
    r->bytes.len += n;
    return at;
}

void sql_rows_add(sql_rows *r, sql_value value)
{
    if (value.type == SQL_TEXT || value.type == SQL_BLOB)
        memcpy(sql_rows_reserve(r, value.type, value.s.n), value.s.n > 0 ? value.s.p : "",
               value.s.n);
    else
        *next(r) = value;
}

size_t sql_rows_size(const sql_rows *r)
{
    return r->bytes.len + r->count * sizeof *r->values;
}

size_t sql_rows_count(const sql_rows *r)
{
    return r->column_count > 0 ? r->count / r->column_count : 0;
}

void sql_rows_seal(sql_rows *r, sql_result *result)
{
    size_t start = 0;
    for (size_t i = 0; i < r->column_count; start = r->name_ends[i++])
        r->columns[i] = (slice){r->names.data + start, r->name_ends[i] - start};
    for (size_t i = 0; i < r->count; i++) {
        sql_value *v = &r->values[i];
        if (v->type == SQL_TEXT || v->type == SQL_BLOB)
            v->s.p = r->bytes.data + (uintptr_t)v->s.p;
    }
    result->column_count = r->column_count;
    result->columns = r->columns;
    result->row_count = sql_rows_count(r);
    result->values = r->values;
}

void sql_rows_free(sql_rows *r)
{
    buf_free(&r->names);
    buf_free(&r->bytes);
    free(r->name_ends);
    free(r->columns);
    free(r->values);
    *r = (sql_rows){0};
}
