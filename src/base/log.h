/* One line per event on stderr: JSON, or readable text when stderr is a terminal; lines of a kind
 * go to files instead where there are some (log_files.h). A line is one write(2), so lines of
 * several threads never mix. Tokens, passwords and cookies are never fields; a URL is logged
 * without its query. */
#pragma once
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF } log_level;

typedef struct {
    const char *key;
    enum { LOG_TYPE_TEXT, LOG_TYPE_INT, LOG_TYPE_BOOL, LOG_TYPE_JSON } type;
    slice text;
    int64_t number;
} log_field;

#define LOG_TEXT(key, value) ((log_field){key, LOG_TYPE_TEXT, slice_of(value), 0})
#define LOG_SLICE(key, value) ((log_field){key, LOG_TYPE_TEXT, value, 0})
#define LOG_NUM(key, value) ((log_field){key, LOG_TYPE_INT, {0}, (int64_t)(value)})
#define LOG_FLAG(key, value) ((log_field){key, LOG_TYPE_BOOL, {0}, (value)})
/* Text that is JSON already: put as it is. */
#define LOG_RAW(key, value) ((log_field){key, LOG_TYPE_JSON, value, 0})

#define log_event(level, message, ...)                                                     \
    do {                                                                                   \
        if (log_enabled(level)) {                                                          \
            const log_field log_fields[] = {__VA_ARGS__};                                  \
            log_write(level, message, log_fields, sizeof log_fields / sizeof *log_fields); \
        }                                                                                  \
    } while (0)
/* A message with at least one field: log_info("listening", LOG_NUM("port", 3000)) */
#define log_debug(message, ...) log_event(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...) log_event(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...) log_event(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) log_event(LOG_ERROR, message, __VA_ARGS__)

bool log_enabled(log_level level);
void log_write(log_level level, const char *message, const log_field *fields, size_t count);
void log_configure(log_level level, bool json); /* before threads start */
void log_set_level(log_level level);            /* from any thread */
/* "debug", "info", "warn", "error", "off"; false: no such level. */
bool log_parse_level(const char *name, log_level *level);
void log_set_worker(int index); /* of the calling thread; -1: none */
