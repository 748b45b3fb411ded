/* Units and words of settings: how each type is read, and how it is said to people. Nothing here
 * knows a key by name. */
#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define KiB ((int64_t)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define SECOND ((int64_t)1000)
#define DAY (86400 * SECOND)

/* Parsing ----------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int64_t factor;
} unit;

static const unit size_units[] = {{"", 1},      {"B", 1},    {"K", KiB},   {"KB", KiB},
                                  {"KiB", KiB}, {"M", MiB},  {"MB", MiB},  {"MiB", MiB},
                                  {"G", GiB},   {"GB", GiB}, {"GiB", GiB}, {NULL, 0}};
static const unit time_units[] = {
    {"", SECOND},         {"ms", 1},  {"s", SECOND}, {"m", 60 * SECOND},
    {"h", 3600 * SECOND}, {"d", DAY}, {NULL, 0}};
static const unit plain_units[] = {{"", 1}, {NULL, 0}};

static bool parse_number(const char *text, const unit *units, int64_t *number)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0 || isspace((unsigned char)*text))
        return false;
    for (; units->name != NULL; units++) {
        if (strcasecmp(end, units->name) == 0)
            return !__builtin_mul_overflow(value, units->factor, number);
    }
    return false;
}

static bool parse_bool(const char *text, int64_t *number)
{
    static const char *const words[] = {"false", "true", "off", "on", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *number = i & 1;
            return true;
        }
    }
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        size_t len = strcspn(at, "|");
        if (len == n && memcmp(at, text, n) == 0)
            return true;
        at += len + (at[len] == '|');
    }
    return false;
}

bool config_parse(const config_key *key, const char *text, int64_t *number)
{
    const unit *units = key->type == CONFIG_SIZE   ? size_units
                        : key->type == CONFIG_TIME ? time_units
                                                   : plain_units;
    *number = 0;
    if (key->type == CONFIG_TEXT || key->type == CONFIG_LIST)
        return key->choices == NULL || is_choice(key->choices, text);
    if (key->type == CONFIG_BOOL)
        return parse_bool(text, number);
    return parse_number(text, units, number) && *number >= key->min && *number <= key->max;
}

/* What is allowed --------------------------------------------------------------------------- */

static void show_size(buf *out, int64_t bytes)
{
    if (bytes >= GiB && bytes % GiB == 0)
        buf_format(out, "%lldG", (long long)(bytes / GiB));
    else if (bytes >= MiB && bytes % MiB == 0)
        buf_format(out, "%lldM", (long long)(bytes / MiB));
    else if (bytes >= KiB && bytes % KiB == 0)
        buf_format(out, "%lldK", (long long)(bytes / KiB));
    else
        buf_format(out, "%lld", (long long)bytes);
}

static void show_time(buf *out, int64_t ms)
{
    if (ms >= DAY && ms % DAY == 0)
        buf_format(out, "%lldd", (long long)(ms / DAY));
    else if (ms % SECOND == 0)
        buf_format(out, "%llds", (long long)(ms / SECOND));
    else
        buf_format(out, "%lldms", (long long)ms);
}

void config_show_number(buf *out, config_type type, int64_t value)
{
    if (type == CONFIG_SIZE)
        show_size(out, value);
    else if (type == CONFIG_TIME)
        show_time(out, value);
    else
        buf_format(out, "%lld", (long long)value);
}

static void show_choices(buf *out, const char *choices)
{
    for (const char *at = choices; *at != '\0';) {
        size_t len = strcspn(at, "|");
        const char *next = at + len + (at[len] == '|');
        buf_append(out, at, len);
        if (*next != '\0')
            buf_text(out, strchr(next, '|') ? ", " : " or ");
        at = next;
    }
}

void config_allowed(const config_key *key, buf *out)
{
    static const char *const kinds[] = {
        [CONFIG_TEXT] = "text",
        [CONFIG_INT] = "a whole number",
        [CONFIG_BOOL] = "true or false",
        [CONFIG_SIZE] = "a size such as 64K, 16M or 1G",
        [CONFIG_TIME] = "a time such as 250ms, 30s, 15m or 1d",
        [CONFIG_LIST] = "texts separated by commas",
    };
    if (key->choices != NULL) {
        show_choices(out, key->choices);
        return;
    }
    buf_text(out, kinds[key->type]);
    if (key->max > 0) {
        buf_text(out, ", from ");
        config_show_number(out, key->type, key->min);
        buf_text(out, " to ");
        config_show_number(out, key->type, key->max);
    }
}
