/* Values to and from PostgreSQL, as text: the one form in which a parameter fits every type that
 * the statement may want (its types are inferred by the server), and that needs no knowledge of
 * types of extensions. Blobs go as bytes.
 *
 * Back: integers, floats and booleans as such; NUMERIC as an integer where it is one of 64 bits,
 * else as a float (who needs all digits casts to text); timestamps as RFC 3339, which the session's
 * time zone UTC makes a matter of letters; all else as its text. Arrays are refused: half a format
 * would be worse than none. */
#include "mem.h"
#include "sql_pg.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Of pg_type.dat; they are fixed for ever. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
};

/* Out --------------------------------------------------------------------------------------- */

static const char *number_text(const sql_value *v, char *space, size_t size)
{
    if (v->type == SQL_INT)
        snprintf(space, size, "%lld", (long long)v->i);
    else if (isinf(v->f))
        snprintf(space, size, "%s", v->f > 0 ? "Infinity" : "-Infinity");
    else
        snprintf(space, size, "%.17g", v->f);
    return space;
}

static const char *text_of(const sql_value *v, char *space, size_t size)
{
    switch (v->type) {
    case SQL_NULL:
        return NULL;
    case SQL_BOOL:
        return v->b ? "t" : "f";
    case SQL_TEXT:
    case SQL_BLOB:
        return v->s.p;
    default:
        return number_text(v, space, size);
    }
}

void pg_params_init(pg_params *p, const sql_op *op)
{
    size_t n = op->param_count + 1;
    p->values = mem_alloc(n * sizeof *p->values);
    p->lengths = mem_alloc(n * sizeof *p->lengths);
    p->formats = mem_alloc(n * sizeof *p->formats);
    p->numbers = mem_alloc(n * sizeof *p->numbers);
    for (size_t i = 0; i < op->param_count; i++) {
        const sql_value *v = &op->params[i];
        p->values[i] = text_of(v, p->numbers[i], sizeof p->numbers[i]);
        p->formats[i] = v->type == SQL_BLOB;
        p->lengths[i] = v->type == SQL_BLOB ? (int)v->s.n : 0;
    }
}

void pg_params_free(pg_params *p)
{
    free(p->values);
    free(p->lengths);
    free(p->formats);
    free(p->numbers);
}

/* Back -------------------------------------------------------------------------------------- */

static bool is_array(Oid type)
{
    static const Oid ranges[][2] = {
        {199, 199},   {651, 651},   {719, 719},   {775, 775},   {791, 791},   {1000, 1028},
        {1034, 1034}, {1040, 1041}, {1115, 1115}, {1182, 1183}, {1185, 1187}, {1231, 1231},
        {1263, 1263}, {1270, 1270}, {1561, 1563}, {2201, 2211}, {2287, 2287}, {2949, 2949},
        {2951, 2951}, {3643, 3645}, {3807, 3807}, {3905, 3927}, {4073, 4073}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        bool range_type = type >= 3905 && type % 2 == 0; /* between them lie the ranges' own */
        if (type >= ranges[i][0] && type <= ranges[i][1])
            return !range_type && type != 2202 && type != 2203 && type != 2204 && type != 2205 &&
                   type != 2206;
    }
    return false;
}

static sql_value numeric(const char *text)
{
    char *end;
    errno = 0;
    long long i = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0)
        return (sql_value){.type = SQL_INT, .i = i};
    return (sql_value){.type = SQL_FLOAT, .f = strtod(text, NULL)};
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* "\x00ff" */
static void add_bytes(sql_rows *rows, const char *text, size_t n)
{
    size_t count = n >= 2 ? (n - 2) / 2 : 0;
    char *at = sql_rows_reserve(rows, SQL_BLOB, count);
    for (size_t i = 0; i < count; i++)
        at[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
}

/* "2026-01-02 03:04:05.6+00" -> "2026-01-02T03:04:05.6Z"; infinity and years BC as they are. */
static void add_time(sql_rows *rows, const char *text, size_t n, bool zoned)
{
    size_t end = zoned && n > 3 && text[n - 3] == '+' ? n - 3 : n;
    if (n < 19 || text[10] != ' ' || text[n - 1] == 'C' || (zoned && end == n)) {
        sql_rows_add(rows, (sql_value){.type = SQL_TEXT, .s = {text, n}});
        return;
    }
    char *at = sql_rows_reserve(rows, SQL_TEXT, end + 1);
    memcpy(at, text, end);
    at[10] = 'T';
    at[end] = 'Z';
}

static void add_value(sql_rows *rows, Oid type, const char *text, size_t n)
{
    sql_value v = {.type = SQL_TEXT, .s = {text, n}};
    switch (type) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        v = (sql_value){.type = SQL_INT, .i = strtoll(text, NULL, 10)};
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        v = (sql_value){.type = SQL_FLOAT, .f = strtod(text, NULL)};
        break;
    case OID_NUMERIC:
        v = numeric(text);
        break;
    case OID_BOOL:
        v = (sql_value){.type = SQL_BOOL, .b = text[0] == 't'};
        break;
    case OID_BYTEA:
        add_bytes(rows, text, n);
        return;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        add_time(rows, text, n, type == OID_TIMESTAMPTZ);
        return;
    default:
        break;
    }
    sql_rows_add(rows, v);
}

static slice name_of(size_t column, void *result)
{
    return slice_of(PQfname(result, (int)column));
}

static sql_code set_columns(sql_op *op, const PGresult *result)
{
    int columns = PQnfields(result);
    if (op->rows.columns != NULL)
        return SQL_OK;
    sql_rows_columns(&op->rows, (size_t)columns, name_of, (void *)(uintptr_t)result);
    for (int i = 0; i < columns; i++) {
        if (is_array(PQftype(result, i)))
            return sql_op_say(op, SQL_TYPE,
                              "column %s is an array; ask for array_to_json(%s), or unnest it",
                              PQfname(result, i), PQfname(result, i));
    }
    return SQL_OK;
}

static void add_row(sql_op *op, const PGresult *result, int row)
{
    for (int i = 0; i < PQnfields(result); i++) {
        if (PQgetisnull(result, row, i))
            sql_rows_add(&op->rows, (sql_value){.type = SQL_NULL});
        else
            add_value(&op->rows, PQftype(result, i), PQgetvalue(result, row, i),
                      (size_t)PQgetlength(result, row, i));
    }
}

sql_code pg_add_rows(sql_op *op, const PGresult *result)
{
    sql_code code = set_columns(op, result);
    for (int row = 0; code == SQL_OK && row < PQntuples(result); row++)
        add_row(op, result, row);
    if (code == SQL_OK && sql_rows_count(&op->rows) > op->max_rows)
        return sql_op_say(
            op, SQL_TOO_LARGE,
            "the result has more than %zu rows (sql.rows): ask for pages, with a limit",
            op->max_rows);
    if (code == SQL_OK && sql_rows_size(&op->rows) > op->max_bytes)
        return sql_op_say(op, SQL_TOO_LARGE, "the result is larger than %zu bytes (sql.bytes)",
                          op->max_bytes);
    return code;
}
