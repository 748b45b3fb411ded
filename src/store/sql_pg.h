/* The PostgreSQL driver's parts: sql_pg.c is the pool, sql_pg_conn.c one connection,
 * sql_pg_statements.c what it has prepared, sql_pg_target.c the way from the URL to addresses,
 * sql_pg_value.c values and sql_pg_error.c errors. Private to this folder. */
#pragma once
#include "map.h"
#include "sql_driver.h"
#include <libpq-fe.h>

enum {
    PG_CONNECT_MS = 5000,
    PG_BACKOFF_MS = 100,
    PG_BACKOFF_MAX_MS = 5000,
    PG_BACKOFF_ASKED_MS = 400, /* while somebody waits */
    PG_IDLE_MS = 60000,
    PG_GRACE_MS = 1000, /* the server's own statement_timeout comes first */
    PG_STATEMENTS_MAX = 200,
    PG_PROBLEM_MAX = 300,
};

/* The URL, looked up -------------------------------------------------------------------------- */
typedef struct pg_look_up pg_look_up;

/* NULL with a message: libpq does not understand it. */
PQconninfoOption *pg_target_parse(const char *url, char *error, size_t error_size);
pg_look_up *pg_look_up_start(uv_loop_t *loop, const PQconninfoOption *target,
                             void (*on_found)(void *arg, const char *problem), void *arg);
/* Resolves the URL's host names on the thread pool; on_found once, maybe before this returns. */
void pg_look_up_run(pg_look_up *up);
/* Starts to connect to what was found. NULL: no memory. */
PGconn *pg_look_up_connect(pg_look_up *up, const char *url, const PQconninfoOption *target,
                           uint64_t timeout_ms);
/* A running one ends without on_found. */
void pg_look_up_free(pg_look_up *up);

/* Values and errors --------------------------------------------------------------------------- */
typedef struct {
    const char **values;
    int *lengths, *formats;
    char (*numbers)[32];
} pg_params;

void pg_params_init(pg_params *p, const sql_op *op);
void pg_params_free(pg_params *p);
/* Adds the rows of the result; SQL_OK: they fit. */
sql_code pg_add_rows(sql_op *op, const PGresult *result);
sql_code pg_error(sql_op *op, const PGresult *result);

/* Prepared statements of a connection ------------------------------------------------------------
 */
typedef struct pg_statement pg_statement;

typedef struct {
    map by_text;
    list recent; /* most recent last */
    uint64_t names;
    pg_statement *preparing;
} pg_statements;

void pg_statements_init(pg_statements *all);
void pg_statements_free(pg_statements *all);
const char *pg_statements_find(pg_statements *all, slice text); /* its name; NULL: not prepared */
bool pg_statements_full(const pg_statements *all);
const char *pg_statements_oldest(const pg_statements *all);
void pg_statements_forget_oldest(pg_statements *all);
bool pg_statements_forget(pg_statements *all, slice text); /* false: it was not there */
/* A name for one that is being prepared; end: whether it worked. */
const char *pg_statements_begin(pg_statements *all, slice text);
void pg_statements_end(pg_statements *all, bool worked);

/* One connection ------------------------------------------------------------------------------ */
typedef struct pg_conn pg_conn;

typedef struct {
    void (*on_ready)(pg_conn *c, void *arg); /* it is idle: after connecting, after an op */
    void (*on_lost)(pg_conn *c, const char *why, void *arg); /* it is freed after this */
} pg_conn_events;

pg_conn *pg_conn_open(sql_port *p, const char *url, const PQconninfoOption *target,
                      const pg_conn_events *events, void *arg, list *all);
/* c is idle, or belongs to op's transaction. */
void pg_conn_run(pg_conn *c, sql_op *op);
bool pg_conn_idle(const pg_conn *c);
bool pg_conn_connecting(const pg_conn *c);
/* Ends what is too late; closes what was idle for long. */
void pg_conn_tick(pg_conn *c, uint64_t now);
/* Without on_lost; a running op is answered. */
void pg_conn_close(pg_conn *c);
/* The link in the list given to pg_conn_open. */
pg_conn *pg_conn_of_link(list *link);
