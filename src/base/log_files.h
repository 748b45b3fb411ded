/* Lines of the log by kind, each kind in a file of its own in one folder: auth.log, api.log,
 * error.log, performance.log. Files are opened for appending and a line is one write, so threads
 * need no lock between them. Off until log_files_open. */
#pragma once
#include "log.h"

typedef enum {
    LOG_KIND_AUTH,
    LOG_KIND_API,
    LOG_KIND_ERROR,
    LOG_KIND_PERFORMANCE,
    LOG_KIND_COUNT, /* also: of no kind */
} log_kind;

typedef struct {
    const char *folder; /* made when it is missing */
    size_t rotate;      /* bytes after which a file is put aside as NAME.1; 0: never */
    int keep;           /* files put aside: NAME.1 is the newest */
} log_files_options;

/* What the field "kind" says. */
log_kind log_kind_of(const log_field *fields, size_t count);

/* Before threads start. -1 with a message for people. */
int log_files_open(const log_files_options *options, char *error, size_t error_size);
bool log_files_enabled(void);
/* A whole line with its newline. From any thread; never fails: a line that the disk does not take
 * is counted (lunacast_log_lines_lost_total) and lost, and said once on stderr. */
void log_files_write(log_kind kind, const char *line, size_t n);
/* After somebody else has moved the files (logrotate): new ones are begun. From any thread. */
void log_files_reopen(void);
void log_files_close(void); /* after all threads */
