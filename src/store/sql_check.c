/* What is refused before a database sees it, so that both refuse it, with the same words:
 * statements that are none, or several, or would change a shared connection; values that one of the
 * databases would change on their way (SQLite makes NaN a null) or refuse much later. Also the
 * names of codes. */
#include "mem.h"
#include "sql_driver.h"
#include "sql_text.h"
#include "utf8.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

const char *sql_code_name(sql_code code)
{
    static const char *const names[SQL_CODES] = {
        [SQL_OK] = "ok",
        [SQL_UNIQUE] = "unique",
        [SQL_FOREIGN_KEY] = "foreign_key",
        [SQL_NOT_NULL] = "not_null",
        [SQL_CHECK] = "check",
        [SQL_EXCLUSION] = "exclusion",
        [SQL_RAISED] = "raised",
        [SQL_TYPE] = "type",
        [SQL_PARAMETERS] = "parameters",
        [SQL_SYNTAX] = "syntax",
        [SQL_DENIED] = "denied",
        [SQL_READ_ONLY] = "read_only",
        [SQL_CONFLICT] = "conflict",
        [SQL_BUSY] = "busy",
        [SQL_TIMEOUT] = "timeout",
        [SQL_TOO_LARGE] = "too_large",
        [SQL_FULL] = "full",
        [SQL_ABORTED] = "aborted",
        [SQL_UNAVAILABLE] = "unavailable",
        [SQL_FAILED] = "failed",
    };
    return names[code];
}

sql_code sql_op_say(sql_op *op, sql_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(op->message, sizeof op->message, format, args);
    va_end(args);
    op->result.message = op->message;
    return code;
}

void sql_detail_columns(sql_detail *d, slice text)
{
    size_t used = 0;
    while (text.n > 0) {
        const char *comma = memmem(text.p, text.n, ", ", 2);
        size_t n = comma != NULL ? (size_t)(comma - text.p) : text.n;
        if (used + n + 2 > sizeof d->columns)
            break;
        memcpy(d->columns + used, text.p, n);
        used += n;
        d->columns[used++] = '\0';
        n = comma != NULL ? n + 2 : n;
        text = (slice){text.p + n, text.n - n};
    }
    d->columns[used] = '\0';
}

/* Values that one of the databases would change or refuse later are refused here, for both. */
static sql_code check_value(sql_op *op, size_t number, const sql_value *v)
{
    if (v->type == SQL_FLOAT && isnan(v->f))
        return sql_op_say(op, SQL_TYPE, "parameter %zu is not a number (NaN)", number);
    if (v->type != SQL_TEXT)
        return SQL_OK;
    if (memchr(v->s.p, '\0', v->s.n) != NULL)
        return sql_op_say(op, SQL_TYPE, "parameter %zu has a NUL byte; a text can't, a blob can",
                          number);
    for (const char *p = v->s.p, *end = p + v->s.n; p < end;) {
        size_t n = utf8_length(p, end);
        if (n == 0)
            return sql_op_say(op, SQL_TYPE, "parameter %zu is not UTF-8; send it as a blob",
                              number);
        p += n;
    }
    return SQL_OK;
}

static sql_code check_text(sql_op *op, const sql_statement *s)
{
    sql_text t;
    sql_text_read(s->text, &t);
    op->reads = sql_text_may_read(&t);
    if (t.statements == 0)
        return sql_op_say(op, SQL_SYNTAX, "the statement is empty");
    if (t.statements > 1)
        return sql_op_say(op, SQL_SYNTAX,
                          "one statement per call, these are %zu; several belong "
                          "into a transaction",
                          t.statements);
    if (sql_text_is_denied(&t))
        return sql_op_say(op, SQL_DENIED,
                          "%.*s would change a connection that others use, too; "
                          "transactions are made by sql.transaction",
                          (int)t.first.n, t.first.p);
    if (memchr(s->text.p, '\0', s->text.n) != NULL)
        return sql_op_say(op, SQL_SYNTAX, "the statement has a NUL byte");
    op->param_count = t.params;
    if (t.params < s->param_count || t.params > SQL_PARAMS_MAX)
        return sql_op_say(op, SQL_PARAMETERS, "the statement has %zu parameter%s, it was given %zu",
                          t.params, t.params == 1 ? "" : "s", s->param_count);
    return SQL_OK;
}

sql_code sql_op_check(sql_op *op, const sql_statement *s)
{
    size_t bytes = s->text.n;
    for (size_t i = 0; i < s->param_count; i++)
        bytes += s->params[i].type >= SQL_TEXT ? s->params[i].s.n : sizeof(sql_value);
    if (s->text.n > SQL_TEXT_MAX || bytes > op->max_bytes || s->param_count > SQL_PARAMS_MAX)
        return sql_op_say(op, SQL_TOO_LARGE,
                          "the statement and its parameters have %zu bytes; "
                          "at most %zu are allowed (sql.bytes)",
                          bytes, op->max_bytes);
    sql_code code = check_text(op, s);
    for (size_t i = 0; code == SQL_OK && i < s->param_count; i++)
        code = check_value(op, i + 1, &s->params[i]);
    return code;
}

/* One block: the values, then their bytes. */
void sql_op_copy(sql_op *op, const sql_statement *s)
{
    size_t bytes = 0;
    for (size_t i = 0; i < s->param_count; i++)
        bytes += s->params[i].type >= SQL_TEXT ? s->params[i].s.n + 1 : 0;
    op->params = mem_alloc(op->param_count * sizeof *op->params + bytes + 1);
    char *at = (char *)(op->params + op->param_count);
    for (size_t i = 0; i < s->param_count; i++) {
        op->params[i] = s->params[i];
        if (s->params[i].type < SQL_TEXT)
            continue;
        memcpy(at, s->params[i].s.n > 0 ? s->params[i].s.p : "", s->params[i].s.n);
        op->params[i].s.p = at;
        at += s->params[i].s.n;
        *at++ = '\0';
    }
}
