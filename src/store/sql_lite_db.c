/* A connection to SQLite: settings, statements kept by their text, values in and out.
 *
 * WAL: readers never wait for the writer. A statement ends at its deadline by the progress handler,
 * which looks at the clock every few thousand steps of SQLite's machine; rejected:
 * sqlite3_interrupt from a timer, which may hit the next statement. The busy handler waits for
 * other programs' locks, for at most five seconds, and gives up when nobody waits for the answer
 * any more.
 *
 * Types: SQLite keeps what it is given. BOOLEAN columns come back as booleans, TIMESTAMP and
 * DATETIME columns as RFC 3339 also where CURRENT_TIMESTAMP wrote them; the rest is what it is.
 * $1 is a name to SQLite, so each statement remembers which number its places have.
 *
 * Owned by its thread. What must never happen: a statement left un-reset (it would hold back the
 * checkpoint); a pragma or a BEGIN of a script (the authorizer refuses both). */
#include "sql_lite_db.h"

#include "clock.h"
#include "map.h"
#include "mem.h"
#include "sql_lite_error.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STATEMENTS_MAX = 200, STEPS = 2000, BUSY_MS = 5000, BUSY_PAUSE_US = 5000 };

typedef enum { COLUMN_PLAIN, COLUMN_BOOL, COLUMN_TIME } column_kind;

typedef struct {
    map_node node;
    list link; /* most recent last */
    sqlite3_stmt *stmt;
    int *numbers; /* of $N, by place */
    int places;
    bool writes;
    char text[];
} statement;

struct lite_db {
    sqlite3 *sqlite;
    sqlite3_stmt *begin, *begin_read, *commit, *rollback;
    map by_text;
    list recent;
    bool own;   /* our own statement is being prepared or run */
    sql_op *op; /* the running one; NULL: none */
    uint64_t deadline, busy_until;
};

/* Limits ------------------------------------------------------------------------------------ */

static int on_progress(void *arg)
{
    lite_db *db = arg;
    return db->op != NULL && (atomic_load(&db->op->cancelled) || clock_ms() > db->deadline);
}

static int on_busy(void *arg, int times)
{
    lite_db *db = arg;
    (void)times;
    if (db->op != NULL && atomic_load(&db->op->cancelled))
        return 0;
    if (clock_ms() >= db->busy_until)
        return 0;
    usleep(BUSY_PAUSE_US);
    return 1;
}

static bool may_pragma(const char *name)
{
    static const char *const harmless[] = {
        "table_info",  "table_xinfo",      "table_list",        "index_list",      "index_info",
        "index_xinfo", "foreign_key_list", "foreign_key_check", "integrity_check", "quick_check"};
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
        if (strcmp(name, harmless[i]) == 0)
            return true;
    }
    return false;
}

static int on_authorize(void *arg, int action, const char *a, const char *b, const char *c,
                        const char *d)
{
    lite_db *db = arg;
    (void)b, (void)c, (void)d;
    if (db->own)
        return SQLITE_OK;
    if (action == SQLITE_PRAGMA)
        return may_pragma(a) ? SQLITE_OK : SQLITE_DENY;
    bool denied = action == SQLITE_ATTACH || action == SQLITE_DETACH ||
                  action == SQLITE_TRANSACTION || action == SQLITE_SAVEPOINT;
    return denied ? SQLITE_DENY : SQLITE_OK;
}

static void enter(lite_db *db, sql_op *op)
{
    uint64_t now = clock_ms();
    db->op = op;
    db->deadline = now + op->timeout_ms;
    db->busy_until = now + (op->timeout_ms < BUSY_MS ? op->timeout_ms : BUSY_MS);
}

static sql_code leave(lite_db *db, sql_code code)
{
    db->op = NULL;
    return code;
}

/* Opening ----------------------------------------------------------------------------------- */

static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static int set_up(lite_db *db, const sql_options *o, bool writer)
{
    static const char settings[] = "PRAGMA journal_mode = WAL;"
                                   "PRAGMA journal_size_limit = 16777216;"
                                   "PRAGMA temp_store = MEMORY;"
                                   "PRAGMA foreign_keys = ON;";
    const char *durability = o->full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
    const char *role = writer ? "PRAGMA query_only = OFF" : "PRAGMA query_only = ON";
    sqlite3_limit(db->sqlite, SQLITE_LIMIT_LENGTH, (int)o->bytes);
    if (sqlite3_exec(db->sqlite, settings, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db->sqlite, durability, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db->sqlite, role, NULL, NULL, NULL) != SQLITE_OK)
        return -1;
    const struct {
        const char *text;
        sqlite3_stmt **stmt;
    } own[] = {{"BEGIN IMMEDIATE", &db->begin},
               {"BEGIN", &db->begin_read},
               {"COMMIT", &db->commit},
               {"ROLLBACK", &db->rollback}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (sqlite3_prepare_v3(db->sqlite, own[i].text, -1, SQLITE_PREPARE_PERSISTENT, own[i].stmt,
                               NULL) != SQLITE_OK)
            return -1;
    }
    return 0;
}

lite_db *lite_db_open(const sql_options *o, const char *path, bool writer, char *error,
                      size_t error_size)
{
    lite_db *db = mem_alloc(sizeof *db);
    list_init(&db->recent);
    create_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    db->own = true;
    db->busy_until = clock_ms() + BUSY_MS;
    if (sqlite3_open_v2(path, &db->sqlite, flags, NULL) == SQLITE_OK) {
        sqlite3_busy_handler(db->sqlite, on_busy, db);
        sqlite3_progress_handler(db->sqlite, STEPS, on_progress, db);
        sqlite3_set_authorizer(db->sqlite, on_authorize, db);
        if (set_up(db, o, writer) == 0) {
            db->own = false;
            return db;
        }
    }
    snprintf(error, error_size, "%s: %s", path,
             db->sqlite != NULL ? sqlite3_errmsg(db->sqlite) : "out of memory");
    lite_db_close(db);
    return NULL;
}

static void forget(lite_db *db, statement *s)
{
    map_remove(&db->by_text, &s->node);
    list_remove(&s->link);
    sqlite3_finalize(s->stmt);
    free(s->numbers);
    free(s);
}

void lite_db_close(lite_db *db)
{
    while (!list_empty(&db->recent))
        forget(db, LIST_ENTRY(db->recent.next, statement, link));
    map_free(&db->by_text);
    sqlite3_finalize(db->begin);
    sqlite3_finalize(db->begin_read);
    sqlite3_finalize(db->commit);
    sqlite3_finalize(db->rollback);
    sqlite3_close(db->sqlite);
    free(db);
}

/* Statements -------------------------------------------------------------------------------- */

/* The place of $N in SQLite's numbering may be any. */
static bool number_places(statement *s)
{
    s->places = sqlite3_bind_parameter_count(s->stmt);
    s->numbers = mem_alloc(((size_t)s->places + 1) * sizeof *s->numbers);
    for (int i = 1; i <= s->places; i++) {
        const char *name = sqlite3_bind_parameter_name(s->stmt, i);
        s->numbers[i] = name != NULL && name[0] == '$' ? atoi(name + 1) : 0;
        if (s->numbers[i] < 1)
            return false;
    }
    return true;
}

static statement *prepare(lite_db *db, sql_op *op)
{
    statement *s = mem_alloc(sizeof *s + op->text.n + 1);
    memcpy(s->text, op->text.p, op->text.n);
    s->node.key = (slice){s->text, op->text.n};
    list_init(&s->link);
    if (sqlite3_prepare_v3(db->sqlite, s->text, (int)op->text.n + 1, SQLITE_PREPARE_PERSISTENT,
                           &s->stmt, NULL) != SQLITE_OK) {
        op->result.code = lite_error(db->sqlite, op);
        free(s);
        return NULL;
    }
    s->writes = sqlite3_stmt_readonly(s->stmt) == 0;
    map_insert(&db->by_text, &s->node);
    list_append(&db->recent, &s->link);
    if (number_places(s))
        return s;
    op->result.code = sql_op_say(op, SQL_SYNTAX, "parameters are written $1, $2 and so on");
    forget(db, s);
    return NULL;
}

/* NULL: op's code and message are set. */
static statement *statement_of(lite_db *db, sql_op *op)
{
    map_node *found = map_find(&db->by_text, op->text);
    if (found == NULL) {
        if (db->by_text.count >= STATEMENTS_MAX)
            forget(db, LIST_ENTRY(db->recent.next, statement, link));
        return prepare(db, op);
    }
    statement *s = MAP_ENTRY(found, statement, node);
    list_remove(&s->link);
    list_append(&db->recent, &s->link);
    return s;
}

bool lite_db_writes(lite_db *db, sql_op *op)
{
    enter(db, op);
    statement *s = statement_of(db, op);
    db->op = NULL;
    return s != NULL && s->writes;
}

static int bind_value(sqlite3_stmt *stmt, int place, const sql_value *v)
{
    switch (v->type) {
    case SQL_INT:
        return sqlite3_bind_int64(stmt, place, v->i);
    case SQL_BOOL:
        return sqlite3_bind_int(stmt, place, v->b);
    case SQL_FLOAT:
        return sqlite3_bind_double(stmt, place, v->f);
    case SQL_TEXT:
        return sqlite3_bind_text(stmt, place, v->s.p, (int)v->s.n, SQLITE_STATIC);
    case SQL_BLOB:
        return sqlite3_bind_blob(stmt, place, v->s.p, (int)v->s.n, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, place);
    }
}

static bool bind_all(statement *s, const sql_op *op)
{
    for (int i = 1; i <= s->places; i++) {
        int number = s->numbers[i];
        if ((size_t)number > op->param_count ||
            bind_value(s->stmt, i, &op->params[number - 1]) != SQLITE_OK)
            return false;
    }
    return true;
}

/* Values out -------------------------------------------------------------------------------- */

static column_kind kind_of(sqlite3_stmt *stmt, int column)
{
    const char *type = sqlite3_column_decltype(stmt, column);
    if (type == NULL)
        return COLUMN_PLAIN;
    if (strncasecmp(type, "bool", 4) == 0)
        return COLUMN_BOOL;
    if (strncasecmp(type, "timestamp", 9) == 0 || strncasecmp(type, "datetime", 8) == 0)
        return COLUMN_TIME;
    return COLUMN_PLAIN;
}

/* "2026-01-02 03:04:05" -> "2026-01-02T03:04:05Z"; anything else as it is. */
static void add_time(sql_rows *rows, slice text)
{
    if (text.n < 19 || text.p[4] != '-' || text.p[10] != ' ' || text.p[13] != ':') {
        sql_rows_add(rows, (sql_value){.type = SQL_TEXT, .s = text});
        return;
    }
    bool zoned = strpbrk(text.p + 19, "Z+-") != NULL;
    char *at = sql_rows_reserve(rows, SQL_TEXT, text.n + (zoned ? 0 : 1));
    memcpy(at, text.p, text.n);
    at[10] = 'T';
    if (!zoned)
        at[text.n] = 'Z';
}

static slice bytes_of(sqlite3_stmt *stmt, int column, bool text)
{
    const void *p =
        text ? (const void *)sqlite3_column_text(stmt, column) : sqlite3_column_blob(stmt, column);
    return (slice){p, (size_t)sqlite3_column_bytes(stmt, column)};
}

static void add_value(sql_rows *rows, sqlite3_stmt *stmt, int column)
{
    sql_value v = {.type = SQL_NULL};
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        v = (sql_value){.type = SQL_INT, .i = sqlite3_column_int64(stmt, column)};
        if (kind_of(stmt, column) == COLUMN_BOOL)
            v = (sql_value){.type = SQL_BOOL, .b = v.i != 0};
        break;
    case SQLITE_FLOAT:
        v = (sql_value){.type = SQL_FLOAT, .f = sqlite3_column_double(stmt, column)};
        break;
    case SQLITE_TEXT:
        v = (sql_value){.type = SQL_TEXT, .s = bytes_of(stmt, column, true)};
        if (kind_of(stmt, column) == COLUMN_TIME) {
            add_time(rows, v.s);
            return;
        }
        break;
    case SQLITE_BLOB:
        v = (sql_value){.type = SQL_BLOB, .s = bytes_of(stmt, column, false)};
        break;
    default:
        break;
    }
    sql_rows_add(rows, v);
}

static slice name_of(size_t column, void *stmt)
{
    const char *name = sqlite3_column_name(stmt, (int)column);
    return slice_of(name != NULL ? name : "");
}

/* One row; SQL_OK: it fits. */
static sql_code add_row(sql_op *op, sqlite3_stmt *stmt)
{
    int columns = sqlite3_column_count(stmt);
    if (op->rows.columns == NULL)
        sql_rows_columns(&op->rows, (size_t)columns, name_of, stmt);
    for (int i = 0; i < columns; i++)
        add_value(&op->rows, stmt, i);
    if (sql_rows_count(&op->rows) > op->max_rows)
        return sql_op_say(op, SQL_TOO_LARGE,
                          "the result has more than %zu rows (sql.rows): ask "
                          "for pages, with a limit",
                          op->max_rows);
    if (sql_rows_size(&op->rows) > op->max_bytes)
        return sql_op_say(op, SQL_TOO_LARGE, "the result is larger than %zu bytes (sql.bytes)",
                          op->max_bytes);
    return SQL_OK;
}

static sql_code step_all(lite_db *db, sql_op *op, sqlite3_stmt *stmt)
{
    sql_code code = SQL_OK;
    int rc;
    while (code == SQL_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        code = add_row(op, stmt);
    if (code == SQL_OK && rc != SQLITE_DONE)
        code = lite_error(db->sqlite, op);
    if (code == SQL_OK && op->rows.columns == NULL)
        sql_rows_columns(&op->rows, (size_t)sqlite3_column_count(stmt), name_of, stmt);
    return code;
}

sql_code lite_db_run(lite_db *db, sql_op *op)
{
    enter(db, op);
    statement *s = statement_of(db, op);
    if (s == NULL)
        return leave(db, op->result.code);
    int64_t before = sqlite3_total_changes64(db->sqlite);
    sql_code code = bind_all(s, op) ? step_all(db, op, s->stmt)
                                    : sql_op_say(op, SQL_PARAMETERS, "a parameter does not fit");
    sqlite3_reset(s->stmt);
    sqlite3_clear_bindings(s->stmt);
    if (code == SQL_OK && sqlite3_total_changes64(db->sqlite) > before)
        op->result.affected = sqlite3_changes64(db->sqlite);
    return leave(db, code);
}

/* Transactions ------------------------------------------------------------------------------ */

static sql_code run_own(lite_db *db, sql_op *op, sqlite3_stmt *stmt)
{
    enter(db, op);
    db->own = true;
    sql_code code = sqlite3_step(stmt) == SQLITE_DONE ? SQL_OK : lite_error(db->sqlite, op);
    sqlite3_reset(stmt);
    db->own = false;
    return leave(db, code);
}

sql_code lite_db_begin(lite_db *db, sql_op *op)
{
    return run_own(db, op, op->reads ? db->begin_read : db->begin);
}

sql_code lite_db_commit(lite_db *db, sql_op *op)
{
    sql_code code = run_own(db, op, db->commit);
    if (code != SQL_OK)
        lite_db_rollback(db);
    return code;
}

/* Some errors have rolled back already. */
void lite_db_rollback(lite_db *db)
{
    if (sqlite3_get_autocommit(db->sqlite))
        return;
    db->own = true;
    sqlite3_step(db->rollback);
    sqlite3_reset(db->rollback);
    db->own = false;
}
