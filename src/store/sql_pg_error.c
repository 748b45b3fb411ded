/* From SQLSTATE to codes. PostgreSQL names constraint, table and column in fields of their own; the
 * columns of a key stand in the detail, "Key (a, b)=(1, 2) already exists.", whose words depend on
 * the server's language, but whose brackets do not. */
#include "sql_pg.h"

#include <stdio.h>

typedef struct {
    const char *state; /* or the beginning of several */
    sql_code code;
} state_code;

/* The more special ones first. */
static const state_code states[] = {
    {"23505", SQL_UNIQUE},    {"23503", SQL_FOREIGN_KEY}, {"23502", SQL_NOT_NULL},
    {"23514", SQL_CHECK},     {"23P01", SQL_EXCLUSION},   {"40001", SQL_CONFLICT},
    {"40P01", SQL_CONFLICT},  {"55P03", SQL_BUSY},        {"57014", SQL_TIMEOUT},
    {"25006", SQL_READ_ONLY}, {"25P02", SQL_ABORTED},     {"42501", SQL_DENIED},
    {"53100", SQL_FULL},      {"54000", SQL_TOO_LARGE},   {"08P01", SQL_PARAMETERS},
    {"P0001", SQL_RAISED},    {"57P", SQL_UNAVAILABLE},   {"53", SQL_UNAVAILABLE},
    {"08", SQL_UNAVAILABLE},  {"22", SQL_TYPE},           {"42804", SQL_TYPE},
    {"42", SQL_SYNTAX},       {NULL, SQL_FAILED},
};

static sql_code code_of(const char *state)
{
    const state_code *s = states;
    while (s->state != NULL && strncmp(state, s->state, strlen(s->state)) != 0)
        s++;
    return s->code;
}

static void copy_field(char *to, size_t size, const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);
    snprintf(to, size, "%s", text != NULL ? text : "");
}

/* Of "... (a, b)=(1, 2) ..." */
static void read_columns(sql_detail *d, const PGresult *result)
{
    const char *column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    if (column != NULL) {
        sql_detail_columns(d, slice_of(column));
        return;
    }
    const char *start = detail != NULL ? strchr(detail, '(') : NULL;
    const char *end = start != NULL ? strstr(start, ")=(") : NULL;
    if (end != NULL)
        sql_detail_columns(d, (slice){start + 1, (size_t)(end - start - 1)});
}

sql_code pg_error(sql_op *op, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    sql_code code = state != NULL ? code_of(state) : SQL_UNAVAILABLE;
    if (code == SQL_TIMEOUT)
        return sql_op_say(op, code,
                          "the statement took longer than %llu ms (sql.timeout) and was "
                          "undone",
                          (unsigned long long)op->timeout_ms);
    if (text == NULL)
        return sql_op_say(op, code, "%s", PQresultErrorMessage(result));
    sql_op_say(op, code, "%s", text);
    if (state == NULL || strncmp(state, "23", 2) != 0)
        return code;
    copy_field(op->detail.constraint, sizeof op->detail.constraint, result,
               PG_DIAG_CONSTRAINT_NAME);
    copy_field(op->detail.table, sizeof op->detail.table, result, PG_DIAG_TABLE_NAME);
    read_columns(&op->detail, result);
    return code;
}
