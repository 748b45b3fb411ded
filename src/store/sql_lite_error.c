/* SQLite says in words which constraint has failed: "UNIQUE constraint failed: users.email,
 * users.name", "... failed: index 'users_email'", "CHECK constraint failed: NAME OR EXPRESSION".
 * The words are part of its interface in practice: they have not changed since 3.8. It names the
 * columns of a unique constraint, not the constraint; where an index of that name can be found, the
 * schema tells. */
#include "sql_lite_error.h"

#include "buf.h"
#include "sqlite_full.h"
#include <sqlite3.h>
#include <stdio.h>

static sql_code constraint_code(int extended)
{
    switch (extended) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
        return SQL_UNIQUE;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return SQL_FOREIGN_KEY;
    case SQLITE_CONSTRAINT_NOTNULL:
        return SQL_NOT_NULL;
    case SQLITE_CONSTRAINT_CHECK:
        return SQL_CHECK;
    case SQLITE_CONSTRAINT_DATATYPE:
        return SQL_TYPE;
    default:
        return SQL_RAISED;
    }
}

static sql_code code_of(int extended)
{
    switch (extended & 0xff) {
    case SQLITE_CONSTRAINT:
        return constraint_code(extended);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return extended == SQLITE_BUSY_SNAPSHOT ? SQL_CONFLICT : SQL_BUSY;
    case SQLITE_INTERRUPT:
        return SQL_TIMEOUT;
    case SQLITE_TOOBIG:
        return SQL_TOO_LARGE;
    case SQLITE_MISMATCH:
        return SQL_TYPE;
    case SQLITE_AUTH:
        return SQL_DENIED;
    case SQLITE_READONLY:
        return extended == SQLITE_READONLY ? SQL_READ_ONLY : SQL_UNAVAILABLE;
    case SQLITE_RANGE:
        return SQL_PARAMETERS;
    case SQLITE_ERROR:
        return SQL_SYNTAX;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
        return SQL_UNAVAILABLE;
    default:
        return SQL_FAILED;
    }
}

/* "users.email, users.name" -> table "users", columns "email, name". */
static void read_columns(sql_detail *d, slice text)
{
    buf columns = {0};
    while (text.n > 0) {
        const char *end = memmem(text.p, text.n, ", ", 2);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
        const char *dot = memchr(text.p, '.', n);
        size_t table = dot != NULL ? (size_t)(dot - text.p) : 0;
        size_t skip = dot != NULL ? table + 1 : 0;
        if (table > 0)
            snprintf(d->table, sizeof d->table, "%.*s", (int)table, text.p);
        buf_append(&columns, text.p + skip, n - skip);
        buf_text(&columns, end != NULL ? ", " : "");
        n = end != NULL ? n + 2 : n;
        text = (slice){text.p + n, text.n - n};
    }
    sql_detail_columns(d, (slice){columns.data, columns.len});
    buf_free(&columns);
}

static void read_detail(sql_detail *d, sql_code code, const char *message)
{
    const char *rest = strstr(message, "failed: ");
    if (rest == NULL)
        return;
    rest += 8;
    if (code == SQL_CHECK)
        snprintf(d->constraint, sizeof d->constraint, "%s", rest);
    else if (strncmp(rest, "index '", 7) == 0)
        snprintf(d->constraint, sizeof d->constraint, "%.*s", (int)strcspn(rest + 7, "'"),
                 rest + 7);
    else
        read_columns(d, slice_of(rest));
}

/* The unique index of the table over just these columns, in their order. */
static void find_index(sqlite3 *sqlite, sql_detail *d)
{
    static const char query[] =
        "SELECT l.name FROM pragma_index_list(?1) l WHERE l.\"unique\" AND l.origin = 'c' AND "
        "(SELECT group_concat(name, ', ') FROM (SELECT name FROM pragma_index_info(l.name) "
        "ORDER BY seqno)) = ?2";
    buf columns = {0};
    sqlite3_stmt *s;
    for (const char *c = d->columns; *c != '\0'; c += strlen(c) + 1) {
        buf_text(&columns, columns.len > 0 ? ", " : "");
        buf_text(&columns, c);
    }
    if (sqlite3_prepare_v2(sqlite, query, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, d->table, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 2, buf_cstr(&columns), (int)columns.len, SQLITE_STATIC);
        if (sqlite3_step(s) == SQLITE_ROW)
            snprintf(d->constraint, sizeof d->constraint, "%s",
                     (const char *)sqlite3_column_text(s, 0));
        sqlite3_finalize(s);
    }
    buf_free(&columns);
}

sql_code lite_error(struct sqlite3 *sqlite, sql_op *op)
{
    int extended = sqlite3_extended_errcode(sqlite);
    sql_code code = sqlite_full(sqlite) ? SQL_FULL : code_of(extended);
    const char *message = sqlite3_errmsg(sqlite);
    if (code == SQL_TIMEOUT && atomic_load(&op->cancelled))
        return sql_op_say(op, SQL_UNAVAILABLE, "it was given up, nobody waits for it any more");
    if (code == SQL_TIMEOUT)
        return sql_op_say(op, code,
                          "the statement took longer than %llu ms (sql.timeout) and was "
                          "undone",
                          (unsigned long long)op->timeout_ms);
    if (code == SQL_BUSY)
        return sql_op_say(op, code, "another program holds the database file: %s", message);
    if (code == SQL_FULL)
        return sql_op_say(op, code, "no space is left (%s): free some, then try again", message);
    sql_op_say(op, code, "%s", message);
    if ((extended & 0xff) == SQLITE_CONSTRAINT)
        read_detail(&op->detail, code, op->message);
    if (code == SQL_UNIQUE && op->detail.constraint[0] == '\0' && op->detail.table[0] != '\0')
        find_index(sqlite, &op->detail);
    return code;
}
