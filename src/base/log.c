/* Lines are built in a stack buffer and written at once; a line over its size is cut and marked. A
 * failed write (disk full, closed pipe) loses the line and nothing else: logging never blocks work
 * and never ends the process. */
#include "log.h"

#include "clock.h"
#include "log_files.h"
#include "utf8.h"
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8192 };

static _Atomic int threshold = LOG_INFO;
static bool as_json = true;
static _Thread_local int worker = -1;

static const char *const names[] = {"debug", "info", "warn", "error", "off"};
static const char *const colors[] = {"\033[2m", "\033[32m", "\033[33m", "\033[31m", ""};

typedef struct {
    char bytes[LINE_MAX_BYTES];
    size_t len;
    bool cut;
} line;

static void put(line *l, const char *data, size_t n)
{
    size_t room = sizeof l->bytes - 16 - l->len;
    if (n > room) {
        n = room;
        l->cut = true;
    }
    memcpy(l->bytes + l->len, data, n);
    l->len += n;
}

static void put_text(line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_int(line *l, int64_t value)
{
    char digits[24];
    put(l, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)value));
}

static void put_escape(line *l, unsigned char c)
{
    char text[8];
    if (c == '"' || c == '\\')
        put(l, (char[]){'\\', (char)c}, 2);
    else if (c == '\n')
        put(l, "\\n", 2);
    else
        put(l, text, (size_t)snprintf(text, sizeof text, "\\u%04x", c));
}

static void put_json(line *l, slice s)
{
    put(l, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = utf8_length(s.p + i, s.p + s.n);
        if (n == 0)
            put(l, "\xef\xbf\xbd", 3);
        else if (n == 1 && (c < 0x20 || c == '"' || c == '\\' || c == 0x7f))
            put_escape(l, c);
        else
            put(l, s.p + i, n);
        i += n ? n : 1;
    }
    put(l, "\"", 1);
}

static void put_value(line *l, const log_field *f)
{
    if (f->type == LOG_TYPE_INT)
        put_int(l, f->number);
    else if (f->type == LOG_TYPE_BOOL)
        put_text(l, f->number ? "true" : "false");
    else if (f->type == LOG_TYPE_JSON)
        put(l, f->text.p, f->text.n);
    else
        put_json(l, f->text);
}

static void put_time(line *l, bool date)
{
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[40];
    size_t n = date ? strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc)
                    : strftime(text, sizeof text, "%H:%M:%S", &utc);
    put(l, text, n);
    put(l, text, (size_t)snprintf(text, sizeof text, ".%03d", (int)(now % 1000)));
}

static void write_json(line *l, log_level level, const char *message, const log_field *fields,
                       size_t count)
{
    put_text(l, "{\"time\":\"");
    put_time(l, true);
    put_text(l, "Z\",\"level\":\"");
    put_text(l, names[level]);
    put_text(l, "\"");
    if (worker >= 0) {
        put_text(l, ",\"worker\":");
        put_int(l, worker);
    }
    put_text(l, ",\"msg\":");
    put_json(l, slice_of(message));
    for (size_t i = 0; i < count; i++) {
        size_t mark = l->len;
        put_text(l, ",\"");
        put_text(l, fields[i].key);
        put_text(l, "\":");
        put_value(l, &fields[i]);
        if (l->cut) {
            l->len = mark;
            memcpy(l->bytes + l->len, ",\"cut\":true", 11);
            l->len += 11;
            break;
        }
    }
    l->bytes[l->len++] = '}';
}

/* Traces and messages of several lines are for people: on a terminal they keep their lines. */
static void put_plain(line *l, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        put(l, c < 0x20 && c != '\n' && c != '\t' ? "?" : s.p + i, 1);
    }
}

static void write_plain(line *l, log_level level, const char *message, const log_field *fields,
                        size_t count)
{
    put_time(l, false);
    put_text(l, " ");
    put_text(l, colors[level]);
    put_text(l, names[level]);
    put_text(l, "\033[0m ");
    put_text(l, message);
    for (size_t i = 0; i < count; i++) {
        put_text(l, " \033[2m");
        put_text(l, fields[i].key);
        put_text(l, "=\033[0m");
        if (fields[i].type == LOG_TYPE_TEXT)
            put_plain(l, fields[i].text);
        else
            put_value(l, &fields[i]);
    }
}

bool log_enabled(log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

static void build(line *l, bool json, log_level level, const char *message, const log_field *fields,
                  size_t count)
{
    l->len = 0;
    l->cut = false;
    if (json)
        write_json(l, level, message, fields, count);
    else
        write_plain(l, level, message, fields, count);
    l->bytes[l->len++] = '\n';
}

/* Counts the line by its kind, and files it where there are files. */
static void file_line(log_kind kind, log_level level, const char *message, const log_field *fields,
                      size_t count)
{
    line l;
    l.len = 0;
    if (log_files_enabled())
        build(&l, true, level, message, fields, count);
    if (kind != LOG_KIND_COUNT)
        log_files_write(kind, l.bytes, l.len);
    if (level == LOG_ERROR && kind != LOG_KIND_ERROR)
        log_files_write(LOG_KIND_ERROR, l.bytes, l.len);
}

/* Lines of no kind are about the process itself: they stay on stderr, errors also there. */
void log_write(log_level level, const char *message, const log_field *fields, size_t count)
{
    log_kind kind = log_kind_of(fields, count);
    if (kind != LOG_KIND_COUNT || level == LOG_ERROR)
        file_line(kind, level, message, fields, count);
    if (kind != LOG_KIND_COUNT && log_files_enabled())
        return;
    line l;
    build(&l, as_json, level, message, fields, count);
    ssize_t written = write(STDERR_FILENO, l.bytes, l.len);
    (void)written;
}

void log_configure(log_level level, bool json)
{
    atomic_store(&threshold, (int)level);
    as_json = json;
}

void log_set_level(log_level level)
{
    threshold = (int)level;
}

bool log_parse_level(const char *name, log_level *level)
{
    for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
        if (strcmp(name, names[i]) == 0) {
            *level = (log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_worker(int index)
{
    worker = index;
}
