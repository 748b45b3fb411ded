/* The settings: one table of keys, each with type, default, bounds and one line of help. A value
 * comes from the default, config.lua, the environment or the command line, the later over the
 * earlier, and remembers from where. Built by one thread, read-only once others see it, so that
 * every thread reads it without a lock. A reload builds another one: each VM holds the settings of
 * its own generation. Keys under "app." are the application's own.
 *
 * Getters look a key up by name; an unknown name or a wrong type is our own bug and aborts. They
 * are for the time of starting: what a hot path needs, its owner copies once. */
#pragma once
#include "buf.h"
#include "slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct config config;

enum { CONFIG_ADDRESSES_MAX = 31 }; /* of `listen` */

typedef enum {
    CONFIG_TEXT,
    CONFIG_INT,
    CONFIG_BOOL,
    CONFIG_SIZE, /* bytes: "65536", "64K", "16M", "1G" */
    CONFIG_TIME, /* milliseconds: "250ms", "30", "30s", "15m", "2h", "1d" */
    CONFIG_LIST, /* texts, separated by commas or spaces */
} config_type;

typedef struct {
    const char *name;
    config_type type;
    const char *missing; /* the default, as text */
    int64_t min, max;    /* numbers, sizes, and times in milliseconds */
    const char *choices; /* "auto|json|text", or NULL: any text */
    bool reloadable;     /* taken over by a reload; others need a restart */
    const char *help;
} config_key;

extern const config_key config_keys[]; /* ends with a NULL name */
/* Tables of config.lua that C does not read: scripts get them by host.config.section. */
extern const char *const config_sections[]; /* ends with NULL */

config *config_new(void); /* all defaults; the caller holds the one reference */
/* From any thread; NULL is allowed. */
config *config_hold(config *c);
void config_drop(config *c);

/* Sets a key from text. -1 with a message that names the source, the key, what was given, what is
 * allowed, and the nearest right key. For a list: replaces. */
int config_set(config *c, const char *key, const char *text, const char *source, char *error,
               size_t error_size);
/* Adds one item to a list; replaces what an earlier source has set. */
int config_add(config *c, const char *key, const char *text, const char *source, char *error,
               size_t error_size);
/* REDIS_URL, then LUNACAST_MAX_FPS and the like. A LUNACAST_ name that is no key is an error. */
int config_set_environment(config *c, char *const *environment, char *error, size_t error_size);
/* What no single key can say: keys that need each other. After all sources. */
int config_check(const config *c, char *error, size_t error_size);

const char *config_text(const config *c, const char *key);
int64_t config_int(const config *c, const char *key);
bool config_bool(const config *c, const char *key);
size_t config_size(const config *c, const char *key);
uint64_t config_ms(const config *c, const char *key);
size_t config_count(const config *c, const char *key); /* items of a list */
const char *config_item(const config *c, const char *key, size_t index);

/* For a reload: what does not change while the process runs is copied from the old settings. */
bool config_same(const config *a, const config *b, const config_key *key);
void config_copy(config *to, const config *from, const config_key *key);

/* A section as a Lua expression, a table constructor; NULL: config.lua has none of that name. */
bool config_is_section(const char *name);
void config_set_section(config *c, const char *name, const char *expression);
const char *config_section(const config *c, const char *name);
/* What the environment and the command line set on top of the section "app". Walks the overrides:
 * the name after "app.", and the text. False: no more. */
bool config_app_override(const config *c, size_t index, const char **name, const char **text);

/* For people: value (a password in a URL is masked) and origin ("default", "config.lua:3",
 * "LUNACAST_MAX_FPS", "--set"). */
void config_show(const config *c, const config_key *key, buf *out);
const char *config_source(const config *c, const config_key *key);
/* NULL: no such key. */
const config_key *config_find(const char *name);
bool config_is_group(const char *name); /* "limits", of limits.body and others */
/* "a number from 0 to 1000", "auto, json or text": what the key takes. */
void config_allowed(const config_key *key, buf *out);
