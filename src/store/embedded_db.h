/* The file of the embedded driver: one table in SQLite. Used by one thread at a time. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct embedded_db embedded_db;

typedef struct {
    slice key, value;
    uint64_t version;
    int64_t expires; /* Unix milliseconds; 0: never */
} embedded_row;

/* NULL with a message that names the file and what to do. */
embedded_db *embedded_db_open(const char *path, bool full, char *error, size_t error_size);
void embedded_db_close(embedded_db *db);
/* All results: 0, or -1 with embedded_db_error. */
const char *embedded_db_error(const embedded_db *db);
bool embedded_db_full(const embedded_db *db); /* the last error says: no space left */

/* The last error with what to do about it. */
void embedded_db_explain(const embedded_db *db, char *error, size_t error_size);

/* Every row that has not expired; fn returns false to stop (then -1). */
int embedded_db_load(embedded_db *db, int64_t now, bool (*fn)(const embedded_row *row, void *arg),
                     void *arg);
int embedded_db_begin(embedded_db *db);
int embedded_db_commit(embedded_db *db);
void embedded_db_rollback(embedded_db *db);
int embedded_db_put(embedded_db *db, const embedded_row *row);
int embedded_db_delete(embedded_db *db, slice key);
/* A number that outlives the process, by name. */
int embedded_db_set_number(embedded_db *db, const char *name, int64_t value);
int embedded_db_number(embedded_db *db, const char *name, int64_t *value);
/* Up to `limit` keys k with prefix, after < k, sorted, not expired. */
int embedded_db_list(embedded_db *db, slice prefix, slice after, unsigned limit, int64_t now,
                     void (*fn)(slice key, void *arg), void *arg);
/* Up to `limit` keys that have expired. */
int embedded_db_expired(embedded_db *db, int64_t now, unsigned limit,
                        void (*fn)(slice key, void *arg), void *arg);
/* When the next key expires; 0: none does. */
int embedded_db_next_expiry(embedded_db *db, int64_t *when);
/* Gives some free pages back to the file system when there are many; true: there are more. */
bool embedded_db_shrink(embedded_db *db);
