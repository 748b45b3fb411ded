/* host.sql: the relational store for scripts. Each call waits without blocking:
 *
 *   call -> sql_x() -> on_answer (keeps the result) -> task_wake -> push_x -> Lua
 *
 * A kept result belongs to the reply, which the task frees even when the waiting script is gone. A
 * transaction's handle is a box in a userdata: closing it rolls back what is open, and so does the
 * answer to a begin that nobody waits for any more. sql.transaction is policy (when to try again,
 * what a returned nil means) and lives in lua/web/transaction.lua.
 * What must never happen: an argument checked after the database was asked; a collector that talks
 * to the database (it only drops its reference). */
#include "l_json.h"
#include "mem.h"
#include "sql.h"
#include "task.h"
#include <stdlib.h>

#define TX_TYPE "host.sql.tx"
#define BLOB_TYPE "host.sql.blob"

enum { TIMEOUT_MAX_S = 3600 };

typedef struct {
    task_token token;
    task_push push;
    const sql_result *result;
} reply;

static void free_reply(void *data)
{
    reply *r = data;
    sql_release(r->result);
    free(r);
}

/* The begin of a task that is gone, or that raised while it took its handle. */
static void free_begun(void *data)
{
    reply *r = data;
    if (r->result->tx != NULL) {
        sql_rollback(r->result->tx, NULL, NULL);
        sql_tx_drop(r->result->tx);
    }
    free_reply(r);
}

/* Results ----------------------------------------------------------------------------------- */

static void push_value(lua_State *L, const sql_value *v)
{
    switch (v->type) {
    case SQL_INT:
        lua_pushinteger(L, v->i);
        return;
    case SQL_FLOAT:
        lua_pushnumber(L, v->f);
        return;
    case SQL_BOOL:
        lua_pushboolean(L, v->b);
        return;
    case SQL_NULL:
        lua_pushnil(L);
        return;
    default:
        vm_push_slice(L, v->s);
    }
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    if (text[0] == '\0')
        return;
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static void push_detail(lua_State *L, const sql_result *r)
{
    lua_newtable(L);
    set_text(L, "constraint", r->detail->constraint);
    set_text(L, "table", r->detail->table);
    if (r->unsure) {
        lua_pushboolean(L, true);
        lua_setfield(L, -2, "unsure");
    }
    if (r->detail->columns[0] == '\0')
        return;
    lua_newtable(L);
    lua_Integer i = 0;
    for (const char *c = r->detail->columns; *c != '\0'; c += strlen(c) + 1) {
        lua_pushstring(L, c);
        lua_rawseti(L, -2, ++i);
    }
    lua_setfield(L, -2, "columns");
}

static int push_failure(lua_State *L, const sql_result *r)
{
    vm_fail(L, sql_code_name(r->code), "%s", r->message);
    push_detail(L, r);
    return 4;
}

static void set_count(lua_State *L, const char *name, int64_t value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void push_row(lua_State *L, const sql_result *r, size_t row, int names)
{
    lua_createtable(L, 0, (int)r->column_count);
    for (size_t i = 0; i < r->column_count; i++) {
        const sql_value *v = &r->values[row * r->column_count + i];
        if (v->type == SQL_NULL)
            continue;
        lua_pushvalue(L, names + (int)i);
        push_value(L, v);
        lua_rawset(L, -3);
    }
}

/* Beside the rows, not among them: pairs, # and JSON see a plain list, also of none. */
static void push_counts(lua_State *L, const sql_result *r)
{
    lua_createtable(L, 0, 2);
    lua_pushboolean(L, true);
    lua_setfield(L, -2, JSON_ARRAY_MARK);
    lua_createtable(L, 0, 2);
    set_count(L, "n", (int64_t)r->row_count);
    set_count(L, "affected", r->affected);
    lua_setfield(L, -2, "__index");
}

static int push_rows(lua_State *L, void *data)
{
    const sql_result *r = ((reply *)data)->result;
    if (r->code != SQL_OK)
        return push_failure(L, r);
    luaL_checkstack(L, (int)r->column_count + 8, "too many columns");
    int names = lua_gettop(L) + 1;
    for (size_t i = 0; i < r->column_count; i++)
        vm_push_slice(L, r->columns[i]);
    lua_createtable(L, (int)r->row_count, 0);
    push_counts(L, r);
    lua_setmetatable(L, -2);
    for (size_t i = 0; i < r->row_count; i++) {
        push_row(L, r, i, names);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int push_true(lua_State *L, void *data)
{
    const sql_result *r = ((reply *)data)->result;
    if (r->code != SQL_OK)
        return push_failure(L, r);
    lua_pushboolean(L, true);
    return 1;
}

/* The handle takes the reference out of the result. */
static int push_tx(lua_State *L, void *data)
{
    sql_result *r = (sql_result *)(uintptr_t)((reply *)data)->result;
    if (r->code != SQL_OK)
        return push_failure(L, r);
    sql_tx **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, TX_TYPE);
    *box = r->tx;
    r->tx = NULL;
    return 1;
}

/* Calls ------------------------------------------------------------------------------------- */

static void on_answer(const sql_result *result, void *arg)
{
    reply *r = arg;
    sql_keep(result);
    r->result = result;
    task_wake(r->token, r->push, r->push == push_tx ? free_begun : free_reply, r);
}

static sql_port *port_of(lua_State *L)
{
    return vm_services(vm_of(L))->sql;
}

static int no_database(lua_State *L)
{
    return vm_fail(L, "unavailable", "no database is open: this program runs without one");
}

/* The last step before the database is asked: raises where waiting is not possible. */
static reply *new_reply(lua_State *L, task_push push)
{
    task_token token = task_token_of(L);
    reply *r = mem_alloc(sizeof *r);
    r->token = token;
    r->push = push;
    return r;
}

static uint64_t check_timeout(lua_State *L, int arg)
{
    lua_Number seconds = vm_opt_number(L, arg, "timeout", 0);
    if (!(seconds >= 0 && seconds <= TIMEOUT_MAX_S))
        luaL_argerror(L, arg, "option 'timeout' must be seconds, 0 to 3600");
    return (uint64_t)(seconds * 1000 + 0.5);
}

/* The highest index: holes and what is missing at the end are null. */
static size_t count_params(lua_State *L, int arg)
{
    lua_Integer most = 0;
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1)) {
            if (lua_type(L, -1) != LUA_TSTRING || strcmp(lua_tostring(L, -1), "n") != 0)
                luaL_argerror(L, arg, "parameters are a list: { first, second }");
            continue;
        }
        lua_Integer i = lua_tointeger(L, -1);
        if (i < 1 || i > SQL_PARAMS_MAX)
            luaL_argerror(L, arg, "parameters are a list of at most 1000 values");
        most = i > most ? i : most;
    }
    return (size_t)most;
}

static void check_param(lua_State *L, lua_Integer number, sql_value *v)
{
    size_t n;
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN) {
        *v = (sql_value){.type = SQL_BOOL, .b = lua_toboolean(L, -1)};
    } else if (lua_isinteger(L, -1)) {
        *v = (sql_value){.type = SQL_INT, .i = lua_tointeger(L, -1)};
    } else if (type == LUA_TNUMBER) {
        *v = (sql_value){.type = SQL_FLOAT, .f = lua_tonumber(L, -1)};
    } else if (type == LUA_TSTRING) {
        const char *p = lua_tolstring(L, -1, &n);
        *v = (sql_value){.type = SQL_TEXT, .s = {p, n}};
    } else if (luaL_testudata(L, -1, BLOB_TYPE) != NULL) {
        lua_getiuservalue(L, -1, 1);
        const char *p = lua_tolstring(L, -1, &n);
        *v = (sql_value){.type = SQL_BLOB, .s = {p, n}}; /* the userdata keeps it alive */
        lua_pop(L, 1);
    } else if (type == LUA_TNIL || (type == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == NULL)) {
        *v = (sql_value){.type = SQL_NULL};
    } else {
        luaL_error(L,
                   "parameter %I is a %s; texts, numbers, booleans, sql.blob and nil can be "
                   "sent%s",
                   number, luaL_typename(L, -1),
                   type == LUA_TTABLE ? ", tables as JSON: json.encode(value)" : "");
    }
}

/* The values lie in a userdata, so that a raise leaks nothing; it and what they point to stay on
 * the stack. */
static sql_statement check_statement(lua_State *L, int text)
{
    sql_statement s = {.text = vm_check_slice(L, text)};
    int params = text + 1, options = text + 2;
    lua_settop(L, options);
    lua_Integer rows = vm_opt_integer(L, options, "rows", 0);
    luaL_argcheck(L, rows >= 0, options, "option 'rows' must be 0 or more");
    s.max_rows = (size_t)rows;
    s.timeout_ms = check_timeout(L, options);
    if (lua_isnil(L, params))
        return s;
    luaL_checktype(L, params, LUA_TTABLE);
    s.param_count = count_params(L, params);
    sql_value *values = lua_newuserdatauv(L, (s.param_count + 1) * sizeof *values, 0);
    for (size_t i = 0; i < s.param_count; i++) {
        lua_rawgeti(L, params, (lua_Integer)i + 1);
        check_param(L, (lua_Integer)i + 1, &values[i]);
        lua_pop(L, 1);
    }
    s.params = values;
    return s;
}

/* query(text, params?, options?) */
static int l_query(lua_State *L)
{
    sql_statement s = check_statement(L, 1);
    sql_port *p = port_of(L);
    if (p == NULL)
        return no_database(L);
    sql_query(p, NULL, &s, on_answer, new_reply(L, push_rows));
    return task_park(L, NULL, NULL);
}

static int l_begin(lua_State *L)
{
    sql_tx_options options = {
        .read_only = vm_opt_boolean(L, 1, "read_only", false),
        .serializable = vm_opt_boolean(L, 1, "serializable", false),
        .timeout_ms = check_timeout(L, 1),
    };
    sql_port *p = port_of(L);
    if (p == NULL)
        return no_database(L);
    sql_begin(p, &options, on_answer, new_reply(L, push_tx));
    return task_park(L, NULL, NULL);
}

static sql_tx *check_tx(lua_State *L)
{
    sql_tx **box = luaL_checkudata(L, 1, TX_TYPE);
    if (*box == NULL)
        luaL_error(L, "the transaction is over: its tx.query works inside of its function only");
    return *box;
}

static int tx_query(lua_State *L)
{
    sql_tx *tx = check_tx(L);
    sql_statement s = check_statement(L, 2);
    sql_query(port_of(L), tx, &s, on_answer, new_reply(L, push_rows));
    return task_park(L, NULL, NULL);
}

static int tx_commit(lua_State *L)
{
    sql_tx *tx = check_tx(L);
    sql_commit(tx, on_answer, new_reply(L, push_true));
    return task_park(L, NULL, NULL);
}

static int tx_rollback(lua_State *L)
{
    sql_tx *tx = check_tx(L);
    sql_rollback(tx, on_answer, new_reply(L, push_true));
    return task_park(L, NULL, NULL);
}

/* failure() -> nil | code, message */
static int tx_failure(lua_State *L)
{
    const char *message;
    sql_code code = sql_tx_failure(check_tx(L), &message);
    if (code == SQL_OK)
        return 0;
    lua_pushstring(L, sql_code_name(code));
    lua_pushstring(L, message);
    return 2;
}

static int tx_close(lua_State *L)
{
    sql_tx **box = luaL_checkudata(L, 1, TX_TYPE);
    if (*box == NULL)
        return 0;
    sql_rollback(*box, NULL, NULL);
    sql_tx_drop(*box);
    *box = NULL;
    return 0;
}

/* The port finds it dropped and rolls back. */
static int tx_collect(lua_State *L)
{
    sql_tx **box = luaL_checkudata(L, 1, TX_TYPE);
    if (*box != NULL)
        sql_tx_drop(*box);
    *box = NULL;
    return 0;
}

/* Values ------------------------------------------------------------------------------------ */

/* blob(bytes): a parameter that is no text. */
static int l_blob(lua_State *L)
{
    vm_check_slice(L, 1);
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, BLOB_TYPE);
    return 1;
}

typedef struct {
    lua_State *L;
    lua_Integer count;
} splitting;

static void add_statement(slice statement, void *arg)
{
    splitting *s = arg;
    vm_check_time(s->L);
    vm_push_slice(s->L, statement);
    lua_rawseti(s->L, -2, ++s->count);
}

/* split(text) -> the statements of a file */
static int l_split(lua_State *L)
{
    slice text = vm_check_slice(L, 1);
    splitting s = {L, 0};
    lua_newtable(L);
    sql_split(text, add_statement, &s);
    return 1;
}

static void new_types(lua_State *L)
{
    static const luaL_Reg methods[] = {{"query", tx_query},
                                       {"commit", tx_commit},
                                       {"rollback", tx_rollback},
                                       {"failure", tx_failure},
                                       {NULL, NULL}};
    luaL_newmetatable(L, BLOB_TYPE);
    lua_pop(L, 1);
    luaL_newmetatable(L, TX_TYPE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, tx_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, tx_collect);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

int luaopen_host_sql(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"query", l_query}, {"blob", l_blob}, {"split", l_split}, {NULL, NULL}};
    const sql_port *p = port_of(L);
    new_types(L);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushstring(L, p != NULL ? sql_name(p) : "none");
    lua_setfield(L, -2, "name");
    lua_getglobal(L, "require");
    lua_pushliteral(L, "web.transaction");
    lua_call(L, 1, 1);
    lua_pushcfunction(L, l_begin);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "transaction");
    return 1;
}
