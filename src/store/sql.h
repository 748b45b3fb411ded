/* The relational contract; two drivers pass the same specs: SQLite (threads of our own) and
 * PostgreSQL (on the loop). Every call is asynchronous: `done` is called exactly once, on the
 * calling worker's loop, never before the call returns, also at shutdown. One statement per call;
 * values travel as parameters ($1, $2 ...) only.
 *
 * A transaction is one conversation with the database: its statements go one at a time, and the
 * first that fails dooms it (all later ones are answered SQL_ABORTED, the commit rolls back), on
 * both drivers. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

typedef struct sql_db sql_db;     /* one per process */
typedef struct sql_port sql_port; /* one per worker */
typedef struct sql_tx sql_tx;

typedef enum {
    SQL_OK,
    SQL_UNIQUE,
    SQL_FOREIGN_KEY,
    SQL_NOT_NULL,
    SQL_CHECK,
    SQL_EXCLUSION,
    SQL_RAISED,      /* by a trigger or function of the schema */
    SQL_TYPE,        /* a value that its column can't hold */
    SQL_PARAMETERS,  /* too few or too many */
    SQL_SYNTAX,      /* also: no such table, column, function */
    SQL_DENIED,      /* the database's user may not, or no script may */
    SQL_READ_ONLY,   /* a write in a read-only transaction */
    SQL_CONFLICT,    /* serialization failure, deadlock: the transaction may be tried again */
    SQL_BUSY,        /* locked by somebody else for too long */
    SQL_TIMEOUT,     /* over the limit of a statement or transaction; undone */
    SQL_TOO_LARGE,   /* statement, value or result over the limits */
    SQL_FULL,        /* no space left */
    SQL_ABORTED,     /* an earlier statement of the transaction has failed */
    SQL_UNAVAILABLE, /* not reached, queue full, lost; see `unsure` */
    SQL_FAILED,      /* anything else */
    SQL_CODES
} sql_code;

const char *sql_code_name(sql_code code); /* "unique", "foreign_key" ... */

typedef enum { SQL_NULL, SQL_INT, SQL_FLOAT, SQL_BOOL, SQL_TEXT, SQL_BLOB } sql_type;

typedef struct {
    sql_type type;
    union {
        int64_t i;
        double f;
        bool b;
        slice s;
    };
} sql_value;

enum {
    SQL_TEXT_MAX = 1 << 20, /* bytes of a statement */
    SQL_PARAMS_MAX = 1000,
    SQL_NAME_MAX = 128,
    SQL_COLUMNS_MAX = 16, /* of a constraint */
};

/* What a constraint's failure tells; empty where the driver does not know. */
typedef struct {
    char constraint[SQL_NAME_MAX], table[SQL_NAME_MAX];
    char columns[4 * SQL_NAME_MAX]; /* separated by NUL, the last one by two */
} sql_detail;

/* Lives during done. */
typedef struct {
    sql_code code;
    const char *message; /* for people, when it failed; else NULL */
    bool unsure;         /* it failed, and may have happened all the same */
    const sql_detail *detail;
    size_t column_count, row_count;
    const slice *columns;
    const sql_value *values; /* row after row */
    int64_t affected;        /* rows inserted, changed or deleted */
    sql_tx *tx;              /* of sql_begin, when it worked */
} sql_result;

typedef void (*sql_done)(const sql_result *r, void *arg);

/* The result lives on after done, until sql_release. */
void sql_keep(const sql_result *r);
void sql_release(const sql_result *r);

typedef struct {
    slice text;
    const sql_value *params; /* copied */
    size_t param_count;      /* fewer than the statement has: the others are null */
    uint64_t timeout_ms;     /* 0: the setting's */
    size_t max_rows;         /* 0: the setting's */
} sql_statement;

typedef struct {
    bool read_only;
    bool serializable;   /* SQLite always is */
    uint64_t timeout_ms; /* of the whole; 0: the setting's */
} sql_tx_options;

/* tx NULL: by itself. */
void sql_query(sql_port *p, sql_tx *tx, const sql_statement *statement, sql_done done, void *arg);
/* The transaction in the result belongs to the caller until sql_tx_drop. */
void sql_begin(sql_port *p, const sql_tx_options *options, sql_done done, void *arg);
/* The end. One that was doomed is rolled back, and answered with its first failure. */
void sql_commit(sql_tx *tx, sql_done done, void *arg);
/* done may be NULL: nobody waits. */
void sql_rollback(sql_tx *tx, sql_done done, void *arg);
/* The caller's reference. One that is still open is rolled back in time. Only sets a flag, so a
 * collector may call it. */
void sql_tx_drop(sql_tx *tx);
/* The first failure of the transaction; SQL_OK: none. */
sql_code sql_tx_failure(const sql_tx *tx, const char **message);

/* Statements of a script, for those who run files: calls fn for each, without its semicolon. */
void sql_split(slice text, void (*fn)(slice statement, void *arg), void *arg);

/* Drivers ----------------------------------------------------------------------------------- */
typedef struct {
    const char *url;    /* postgres://...; empty: SQLite */
    const char *folder; /* SQLite: its file lies there */
    bool full;          /* SQLite: survive a power cut */
    unsigned readers;   /* SQLite: threads that read */
    unsigned pool;      /* PostgreSQL: connections per worker */
    uint64_t timeout_ms, transaction_ms;
    uint64_t wait_ms; /* for a connection; then SQL_UNAVAILABLE */
    uint64_t slow_ms; /* statements that take so long are logged; 0: none */
    size_t rows, bytes, queue;
} sql_options;

/* Opens nothing yet: the file or the connections are made when they are first asked for. NULL with
 * a message: the URL is wrong. */
sql_db *sql_open(const sql_options *options, char *error, size_t error_size);
const char *sql_name(const sql_port *p); /* "sqlite" or "postgres" */
sql_port *sql_port_new(sql_db *db, uv_loop_t *loop);
/* Rolls back what is open, answers what is pending in time, then frees itself. */
void sql_port_close(sql_port *p);
/* After all ports have closed. */
void sql_close(sql_db *db);
