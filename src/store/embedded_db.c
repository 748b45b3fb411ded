/* The SQLite side of the embedded driver: one table, prepared statements, WAL.
 *
 * WAL with synchronous=NORMAL: a commit is one write to the log, which survives kill -9; FULL adds
 * an fsync, which survives a power cut. locking_mode=EXCLUSIVE, since the folder's lock keeps
 * others out anyway: it saves the shared-memory file and its system calls. auto_vacuum=INCREMENTAL,
 * so that pages of deleted keys go back to the file system in small steps; journal_size_limit cuts
 * the log after a burst. A rowid table with an index on the key, not WITHOUT ROWID: values may be
 * much larger than a page.
 *
 * Owned by the store: the thread that opens it until the writer thread starts, then the writer.
 * What must never happen: SQL built from data; a statement left un-reset (it would hold back the
 * checkpoint). */
#include "embedded_db.h"

#include "mem.h"
#include "sqlite_full.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FREE_PAGES_KEPT = 256, SHRINK_PAGES = 256 /* see Q_SHRINK */ };
enum { SCHEMA = 1, KEY_BOUND = 1025 /* one more than the longest key */ };

typedef enum {
    Q_BEGIN,
    Q_COMMIT,
    Q_ROLLBACK,
    Q_LOAD,
    Q_PUT,
    Q_DELETE,
    Q_SET_NUMBER,
    Q_NUMBER,
    Q_LIST,
    Q_EXPIRED,
    Q_NEXT_EXPIRY,
    Q_FREE_PAGES,
    Q_SHRINK,
    Q_COUNT
} query;

static const char *const sql[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_ROLLBACK] = "ROLLBACK",
    [Q_LOAD] = "SELECT key, value, version, expires FROM kv WHERE expires = 0 OR expires > ?1",
    [Q_PUT] = "INSERT INTO kv(key, value, version, expires) VALUES(?1, ?2, ?3, ?4) "
              "ON CONFLICT(key) DO UPDATE SET value = ?2, version = ?3, expires = ?4",
    [Q_DELETE] = "DELETE FROM kv WHERE key = ?1",
    [Q_SET_NUMBER] = "INSERT INTO meta(name, number) VALUES(?1, ?2) "
                     "ON CONFLICT(name) DO UPDATE SET number = ?2",
    [Q_NUMBER] = "SELECT number FROM meta WHERE name = ?1",
    [Q_LIST] = "SELECT key FROM kv WHERE key >= ?1 AND key < ?2 "
               "AND (expires = 0 OR expires > ?3) ORDER BY key LIMIT ?4",
    [Q_EXPIRED] = "SELECT key FROM kv WHERE expires > 0 AND expires <= ?1 LIMIT ?2",
    [Q_NEXT_EXPIRY] = "SELECT min(expires) FROM kv WHERE expires > 0",
    [Q_FREE_PAGES] = "PRAGMA freelist_count",
    [Q_SHRINK] = "PRAGMA incremental_vacuum(256)",
};

/* auto_vacuum is laid down in the first page: it comes before anything that writes one. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA auto_vacuum = INCREMENTAL;"
                               "PRAGMA journal_mode = WAL;"
                               "PRAGMA journal_size_limit = 4194304;"
                               "PRAGMA temp_store = MEMORY;";

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE kv(key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, "
    "version INTEGER NOT NULL, expires INTEGER NOT NULL);"
    "CREATE INDEX kv_expires ON kv(expires) WHERE expires > 0;"
    "CREATE TABLE meta(name TEXT NOT NULL PRIMARY KEY, number INTEGER NOT NULL);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

struct embedded_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[Q_COUNT];
    char *path;
    int error_code;
    bool full;
    char error[256];
};

static int fail(embedded_db *db)
{
    db->error_code = sqlite3_errcode(db->sqlite);
    db->full = sqlite_full(db->sqlite);
    snprintf(db->error, sizeof db->error, "%s: %s", db->path, sqlite3_errmsg(db->sqlite));
    return -1;
}

const char *embedded_db_error(const embedded_db *db)
{
    return db->error;
}

bool embedded_db_full(const embedded_db *db)
{
    return db->full;
}

static int step_once(embedded_db *db, query q)
{
    sqlite3_stmt *s = db->statements[q];
    int rc = sqlite3_step(s);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(s);
    if (rc != SQLITE_DONE)
        fail(db);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

/* An empty slice is an empty blob, not NULL. SQLite borrows the bytes until the reset. */
static void bind(sqlite3_stmt *s, int index, slice bytes)
{
    sqlite3_bind_blob(s, index, bytes.n > 0 ? bytes.p : "", (int)bytes.n, SQLITE_STATIC);
}

static slice column(sqlite3_stmt *s, int index)
{
    const void *p = sqlite3_column_blob(s, index);
    return (slice){p, (size_t)sqlite3_column_bytes(s, index)};
}

/* Opening ------------------------------------------------------------------------------------- */

static int schema_version(embedded_db *db, int *version)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db->sqlite, "PRAGMA user_version", -1, &s, NULL) != SQLITE_OK)
        return fail(db);
    int rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *version = sqlite3_column_int(s, 0);
    else
        fail(db);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? 0 : -1;
}

static int run_script(embedded_db *db, const char *script)
{
    return sqlite3_exec(db->sqlite, script, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db);
}

static int check_schema(embedded_db *db)
{
    int version = 0;
    if (schema_version(db, &version) != 0)
        return -1;
    if (version == 0)
        return run_script(db, schema);
    if (version == SCHEMA)
        return 0;
    db->error_code = SQLITE_ERROR;
    snprintf(db->error, sizeof db->error,
             "%s: written by a newer version of lunacast (format %d, this one knows %d): "
             "run that version",
             db->path, version, SCHEMA);
    return -1;
}

static int prepare_all(embedded_db *db, bool full)
{
    const char *durability = full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
    if (run_script(db, settings) != 0 || run_script(db, durability) != 0 || check_schema(db) != 0)
        return -1;
    for (int i = 0; i < Q_COUNT; i++) {
        if (sqlite3_prepare_v3(db->sqlite, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return fail(db);
    }
    return 0;
}

/* The file holds keys and password hashes: only its owner may read it, and SQLite gives the log the
 * mode of the file. */
static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static bool is_damage(int code)
{
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

void embedded_db_explain(const embedded_db *db, char *error, size_t error_size)
{
    if (is_damage(db->error_code))
        snprintf(error, error_size,
                 "%s; the file is damaged: restore a copy, or move the file away to start empty, "
                 "or save what is left with: sqlite3 %s .recover | sqlite3 new.db",
                 db->error, db->path);
    else if (db->full)
        snprintf(error, error_size, "%s; no space is left: free some, then try again", db->error);
    else
        snprintf(error, error_size, "%s", db->error);
}

embedded_db *embedded_db_open(const char *path, bool full, char *error, size_t error_size)
{
    embedded_db *db = mem_alloc(sizeof *db);
    db->path = mem_dup(path, strlen(path));
    create_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &db->sqlite, flags, NULL);
    if (db->sqlite != NULL)
        sqlite3_extended_result_codes(db->sqlite, 0);
    if (rc != SQLITE_OK)
        fail(db);
    else
        sqlite3_busy_timeout(db->sqlite, 2000);
    if (rc == SQLITE_OK && prepare_all(db, full) == 0)
        return db;
    embedded_db_explain(db, error, error_size);
    embedded_db_close(db);
    return NULL;
}

void embedded_db_close(embedded_db *db)
{
    for (int i = 0; i < Q_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->sqlite);
    free(db->path);
    free(db);
}

/* Statements ---------------------------------------------------------------------------------- */

int embedded_db_load(embedded_db *db, int64_t now, bool (*fn)(const embedded_row *row, void *arg),
                     void *arg)
{
    sqlite3_stmt *s = db->statements[Q_LOAD];
    bool more = true;
    int rc = SQLITE_DONE;
    sqlite3_bind_int64(s, 1, now);
    while (more && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        embedded_row row = {column(s, 0), column(s, 1), (uint64_t)sqlite3_column_int64(s, 2),
                            sqlite3_column_int64(s, 3)};
        more = fn(&row, arg);
    }
    if (more && rc != SQLITE_DONE)
        fail(db);
    sqlite3_reset(s);
    return more && rc == SQLITE_DONE ? 0 : -1;
}

int embedded_db_begin(embedded_db *db)
{
    return step_once(db, Q_BEGIN);
}

int embedded_db_commit(embedded_db *db)
{
    return step_once(db, Q_COMMIT);
}

/* Some errors have rolled back already. The message of the first failure stays. */
void embedded_db_rollback(embedded_db *db)
{
    if (sqlite3_get_autocommit(db->sqlite))
        return;
    sqlite3_step(db->statements[Q_ROLLBACK]);
    sqlite3_reset(db->statements[Q_ROLLBACK]);
}

int embedded_db_put(embedded_db *db, const embedded_row *row)
{
    sqlite3_stmt *s = db->statements[Q_PUT];
    bind(s, 1, row->key);
    bind(s, 2, row->value);
    sqlite3_bind_int64(s, 3, (int64_t)row->version);
    sqlite3_bind_int64(s, 4, row->expires);
    return step_once(db, Q_PUT);
}

int embedded_db_delete(embedded_db *db, slice key)
{
    bind(db->statements[Q_DELETE], 1, key);
    return step_once(db, Q_DELETE);
}

int embedded_db_set_number(embedded_db *db, const char *name, int64_t value)
{
    sqlite3_bind_text(db->statements[Q_SET_NUMBER], 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(db->statements[Q_SET_NUMBER], 2, value);
    return step_once(db, Q_SET_NUMBER);
}

static int read_number(embedded_db *db, query q, int64_t *value)
{
    sqlite3_stmt *s = db->statements[q];
    int rc = sqlite3_step(s);
    *value = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        fail(db);
    sqlite3_reset(s);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

int embedded_db_number(embedded_db *db, const char *name, int64_t *value)
{
    sqlite3_bind_text(db->statements[Q_NUMBER], 1, name, -1, SQLITE_STATIC);
    return read_number(db, Q_NUMBER, value);
}

int embedded_db_next_expiry(embedded_db *db, int64_t *when)
{
    return read_number(db, Q_NEXT_EXPIRY, when);
}

static int each_key(embedded_db *db, query q, void (*fn)(slice key, void *arg), void *arg)
{
    sqlite3_stmt *s = db->statements[q];
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        fn(column(s, 0), arg);
    if (rc != SQLITE_DONE)
        fail(db);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc == SQLITE_DONE ? 0 : -1;
}

static bool slice_before(slice a, slice b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order < 0 || (order == 0 && a.n < b.n);
}

/* The first key behind all keys with the prefix: its last byte under 0xff plus one, or, where there
 * is none, a key longer than any. */
static size_t prefix_end(slice prefix, char *end)
{
    size_t n = prefix.n;
    while (n > 0 && (unsigned char)prefix.p[n - 1] == 0xff)
        n--;
    if (n == 0) {
        memset(end, 0xff, KEY_BOUND);
        return KEY_BOUND;
    }
    memcpy(end, prefix.p, n);
    end[n - 1] = (char)((unsigned char)end[n - 1] + 1);
    return n;
}

/* The smallest key that comes after `after`: the same with a NUL appended. */
static slice lower_bound(slice prefix, slice after, char *space)
{
    if (after.n == 0 || slice_before(after, prefix))
        return prefix;
    memcpy(space, after.p, after.n);
    space[after.n] = '\0';
    return (slice){space, after.n + 1};
}

int embedded_db_list(embedded_db *db, slice prefix, slice after, unsigned limit, int64_t now,
                     void (*fn)(slice key, void *arg), void *arg)
{
    sqlite3_stmt *s = db->statements[Q_LIST];
    char first[KEY_BOUND], end[KEY_BOUND];
    if (prefix.n >= KEY_BOUND || after.n >= KEY_BOUND)
        return 0;
    bind(s, 1, lower_bound(prefix, after, first));
    bind(s, 2, (slice){end, prefix_end(prefix, end)});
    sqlite3_bind_int64(s, 3, now);
    sqlite3_bind_int64(s, 4, limit);
    return each_key(db, Q_LIST, fn, arg);
}

int embedded_db_expired(embedded_db *db, int64_t now, unsigned limit,
                        void (*fn)(slice key, void *arg), void *arg)
{
    sqlite3_bind_int64(db->statements[Q_EXPIRED], 1, now);
    sqlite3_bind_int64(db->statements[Q_EXPIRED], 2, limit);
    return each_key(db, Q_EXPIRED, fn, arg);
}

/* A few free pages stay for the next keys. A failure only means that the file shrinks later. */
bool embedded_db_shrink(embedded_db *db)
{
    int64_t pages = 0;
    if (read_number(db, Q_FREE_PAGES, &pages) != 0 || pages <= FREE_PAGES_KEPT)
        return false;
    return step_once(db, Q_SHRINK) == 0 && pages - SHRINK_PAGES > FREE_PAGES_KEPT;
}
