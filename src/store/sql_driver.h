/* What a driver of the relational contract is, and what both share: the operation, the transaction,
 * and the port that answers on its loop. Private to this folder. */
#pragma once
#include "answers.h"
#include "sql.h"
#include "sql_rows.h"
#include <stdatomic.h>

typedef enum { SQL_QUERY, SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK } sql_kind;

enum { SQL_MESSAGE_MAX = 512 };

/* One call, from submit to its answer. Its bytes are copies, so that it may cross threads. */
typedef struct sql_op {
    list link;     /* the driver's, then the port's */
    list all_link; /* the port's: everything that is not answered */
    sql_port *port;
    sql_tx *tx; /* NULL: a statement by itself */
    sql_done done;
    void *arg;
    sql_kind kind;
    bool reads;    /* begins like a statement that only reads */
    unsigned refs; /* ours until it is answered, the caller's when it keeps the result */
    bool undoes;   /* a rollback in the place of a commit */
    _Atomic bool begun;
    _Atomic bool cancelled; /* nobody waits for it any more */
    uint64_t queued_at;     /* ms */
    uint64_t started_us;
    uint64_t timeout_ms;
    size_t max_rows, max_bytes;
    slice text;
    sql_value *params;
    size_t param_count;
    sql_rows rows;
    sql_result result;
    sql_detail detail;
    char message[SQL_MESSAGE_MAX];
    char bytes[];
} sql_op;

typedef enum { TX_BEGINNING, TX_OPEN, TX_ENDING, TX_ENDED } sql_tx_state;

/* Owned by the port until TX_ENDED, and by the caller until sql_tx_drop: the later one frees. */
struct sql_tx {
    list link; /* the port's */
    sql_port *port;
    sql_tx_state state;
    bool dropped; /* the caller is gone */
    sql_op *running;
    sql_tx_options options;
    uint64_t deadline; /* ms */
    sql_code failure;
    char message[SQL_MESSAGE_MAX];
    void *connection; /* the driver's, from begin to end */
    list ops;         /* SQLite: what its thread shall do next, under the queue's lock */
};

typedef struct sql_driver {
    const char *name;
    /* Answers op in time, by sql_op_finish or sql_op_post; never before returning. */
    void (*submit)(sql_op *op);
    /* Takes back an op that has not begun; false: it has. */
    bool (*withdraw)(sql_op *op);
    void (*port_open)(sql_port *p);
    void (*port_tick)(sql_port *p, uint64_t now);
    /* No op is pending and none will come. */
    void (*port_close)(sql_port *p);
    void (*close)(sql_db *db); /* frees db */
} sql_driver;

struct sql_db {
    const sql_driver *driver;
    sql_options options; /* texts are the driver's */
};

struct sql_port {
    sql_db *db;
    uv_loop_t *loop;
    void *pool; /* the driver's, of this port */
    list all, transactions;
    size_t parts;
    bool closing, ticking, gone;
    uv_timer_t tick;
    answers answers;
};

/* The answer, on the port's loop. */
void sql_op_finish(sql_op *op, sql_code code);
/* The same from another thread; op belongs to the port at once. */
void sql_op_post(sql_op *op, sql_code code);
/* Sets the message that comes with a code; returns the code. */
sql_code sql_op_say(sql_op *op, sql_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A driver that keeps something open for the port takes part in its end. */
void sql_port_hold(sql_port *p);
void sql_port_release(sql_port *p);
/* SQL_OK: the statement may be sent; else its message is set. Also finds out whether it may read.
 */
sql_code sql_op_check(sql_op *op, const sql_statement *statement);
void sql_op_copy(sql_op *op, const sql_statement *statement); /* its values */
void sql_log_slow(const sql_op *op, uint64_t us);
/* "a\0b\0\0" from "a, b". */
void sql_detail_columns(sql_detail *d, slice text);

sql_db *sql_lite_open(const sql_options *options);
sql_db *sql_pg_open(const sql_options *options, char *error, size_t error_size);
