/* Values of the settings in config_keys.c, each with where it came from.
 *
 * Owner: references; the host holds the current settings, each VM those it was built with. What
 * must never happen: a change after another thread has seen it; a secret printed. */
#include "config.h"

#include "config_value.h"
#include "mem.h"
#include "nearest.h"
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_ITEMS_MAX = 64, SECTIONS_MAX = 32 };

typedef struct {
    int64_t number;
    char *text; /* as given; of a list: the items, each with its NUL */
    size_t text_len, count;
    char *source;
} config_value;

typedef struct {
    char *name, *text;
} app_override;

struct config {
    _Atomic size_t refs;
    config_value *values;         /* one per key, in the table's order */
    char *sections[SECTIONS_MAX]; /* in the order of config_sections */
    app_override *overrides;
    size_t override_count;
};

/* Setting ----------------------------------------------------------------------------------- */

const config_key *config_find(const char *name)
{
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (strcmp(key->name, name) == 0)
            return key;
    }
    return NULL;
}

static config_value *value_of(config *c, const config_key *key)
{
    return &c->values[key - config_keys];
}

static int no_such_key(const char *name, const char *source, char *error, size_t error_size)
{
    nearest n = nearest_to(slice_of(name));
    for (const config_key *key = config_keys; key->name != NULL; key++)
        nearest_try(&n, key->name);
    for (const char *const *section = config_sections; *section != NULL; section++)
        nearest_try(&n, *section);
    const char *found = nearest_found(&n);
    snprintf(error, error_size, "%s: no setting is named \"%s\"%s%s%s; `lunacast config` lists all",
             source, name, found ? "; did you mean \"" : "", found ? found : "",
             found ? "\"?" : "");
    return -1;
}

static bool is_in_group(const char *key, const char *group)
{
    size_t n = strlen(group);
    return strncmp(key, group, n) == 0 && key[n] == '.';
}

bool config_is_group(const char *name)
{
    const config_key *key = config_keys;
    while (key->name != NULL && !is_in_group(key->name, name))
        key++;
    return key->name != NULL;
}

/* `limits = 5`, where limits.body and others are meant. */
static int value_of_group(const char *name, const char *source, char *error, size_t error_size)
{
    buf keys = {0};
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (is_in_group(key->name, name))
            buf_format(&keys, "%s%s", keys.len > 0 ? ", " : "", key->name);
    }
    snprintf(error, error_size, "%s: %s is a group of settings, which takes no value: %s", source,
             name, buf_cstr(&keys));
    buf_free(&keys);
    return -1;
}

static int bad_value(const config_key *key, const char *text, const char *source, char *error,
                     size_t error_size)
{
    buf allowed = {0};
    config_allowed(key, &allowed);
    snprintf(error, error_size, "%s: %s = \"%.200s\" is not possible; allowed: %s", source,
             key->name, text, buf_cstr(&allowed));
    buf_free(&allowed);
    return -1;
}

static void clear(config_value *v)
{
    free(v->text);
    free(v->source);
    *v = (config_value){0};
}

static void append_item(config_value *v, const char *item, size_t n)
{
    v->text = mem_resize(v->text, v->text_len + n + 1);
    memcpy(v->text + v->text_len, item, n);
    v->text[v->text_len + n] = '\0';
    v->text_len += n + 1;
    v->count++;
}

static void append_items(config_value *v, const char *text)
{
    static const char separators[] = ", \t\n";
    for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
        size_t n = strcspn(text, separators);
        if (v->count < LIST_ITEMS_MAX)
            append_item(v, text, n);
        text += n;
    }
}

static char *copy(const char *text)
{
    return mem_dup(text, strlen(text));
}

static void assign(config_value *v, const config_key *key, const char *text, const char *source,
                   int64_t number)
{
    clear(v);
    v->source = copy(source);
    v->number = number;
    if (key->type == CONFIG_LIST)
        append_items(v, text);
    else
        append_item(v, text, strlen(text));
}

static void override_app(config *c, const char *name, const char *text)
{
    c->overrides = mem_resize(c->overrides, (c->override_count + 1) * sizeof *c->overrides);
    c->overrides[c->override_count++] = (app_override){copy(name), copy(text)};
}

int config_set(config *c, const char *name, const char *text, const char *source, char *error,
               size_t error_size)
{
    const config_key *key = config_find(name);
    if (key == NULL && strncmp(name, "app.", 4) == 0 && name[4] != '\0') {
        override_app(c, name + 4, text);
        return 0;
    }
    int64_t number;
    if (key == NULL)
        return config_is_group(name) ? value_of_group(name, source, error, error_size)
                                     : no_such_key(name, source, error, error_size);
    if (!config_parse(key, text, &number))
        return bad_value(key, text, source, error, error_size);
    assign(value_of(c, key), key, text, source, number);
    return 0;
}

int config_add(config *c, const char *name, const char *text, const char *source, char *error,
               size_t error_size)
{
    const config_key *key = config_find(name);
    if (key == NULL || key->type != CONFIG_LIST)
        return no_such_key(name, source, error, error_size);
    config_value *v = value_of(c, key);
    if (strcmp(v->source, source) != 0)
        return config_set(c, name, text, source, error, error_size);
    append_items(v, text);
    return 0;
}

/* LUNACAST_STORE_MAX_BYTES stands for store.max_bytes: compared in the environment's spelling,
 * since the way back is ambiguous. */
static bool spells(const char *variable, size_t n, const char *key)
{
    if (strlen(key) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char want = key[i] == '.' ? '_' : (char)toupper((unsigned char)key[i]);
        if (variable[i] != want)
            return false;
    }
    return true;
}

static void lower(char *out, size_t size, const char *text, size_t n)
{
    size_t i = 0;
    for (; i < n && i + 1 < size; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    out[i] = '\0';
}

static int set_variable(config *c, const char *variable, size_t n, const char *text, char *error,
                        size_t error_size)
{
    enum { PREFIX = sizeof "LUNACAST_" - 1 };
    char source[128], name[128];
    snprintf(source, sizeof source, "%.*s", (int)n, variable);
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (spells(variable + PREFIX, n - PREFIX, key->name))
            return config_set(c, key->name, text, source, error, error_size);
    }
    lower(name, sizeof name, variable + PREFIX, n - PREFIX);
    if (strncmp(name, "app_", 4) == 0)
        name[3] = '.';
    return config_set(c, name, text, source, error, error_size);
}

/* Names that clients of other systems set already. */
static int set_known_variable(config *c, const char *variable, char *error, size_t error_size)
{
    static const char *const known[][2] = {{"REDIS_URL", "redis.url"},
                                           {"DATABASE_URL", "sql.url"},
                                           {"JWT_SECRET_KEY", "pubsub.secret"},
                                           {"JWT_SECRET", "identity.secret"},
                                           {"JWT_EXPIRATION_SECONDS", "pubsub.ttl"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i][0]);
        if (strncmp(variable, known[i][0], n) == 0 && variable[n] == '=')
            return config_set(c, known[i][1], variable + n + 1, known[i][0], error, error_size);
    }
    return 0;
}

int config_set_environment(config *c, char *const *environment, char *error, size_t error_size)
{
    for (char *const *at = environment; *at != NULL; at++) {
        if (set_known_variable(c, *at, error, error_size) != 0)
            return -1;
    }
    for (char *const *at = environment; *at != NULL; at++) {
        const char *text = strchr(*at, '=');
        if (text != NULL && strncmp(*at, "LUNACAST_", 9) == 0 &&
            set_variable(c, *at, (size_t)(text - *at), text + 1, error, error_size) != 0)
            return -1;
    }
    return 0;
}

static size_t count_keys(void)
{
    size_t n = 0;
    while (config_keys[n].name != NULL)
        n++;
    return n;
}

config *config_new(void)
{
    config *c = mem_alloc(sizeof *c);
    c->refs = 1;
    c->values = mem_alloc(count_keys() * sizeof *c->values);
    char error[256];
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (config_set(c, key->name, key->missing, "default", error, sizeof error) != 0) {
            fprintf(stderr, "%s\n", error);
            abort();
        }
    }
    return c;
}

config *config_hold(config *c)
{
    if (c != NULL)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void config_drop(config *c)
{
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    for (size_t i = 0; i < count_keys(); i++)
        clear(&c->values[i]);
    free(c->values);
    for (size_t i = 0; i < c->override_count; i++) {
        free(c->overrides[i].name);
        free(c->overrides[i].text);
    }
    free(c->overrides);
    for (size_t i = 0; i < SECTIONS_MAX; i++)
        free(c->sections[i]);
    free(c);
}

bool config_same(const config *a, const config *b, const config_key *key)
{
    const config_value *x = &a->values[key - config_keys], *y = &b->values[key - config_keys];
    if (key->type != CONFIG_TEXT && key->type != CONFIG_LIST)
        return x->number == y->number;
    return slice_eq((slice){x->text, x->text_len}, (slice){y->text, y->text_len});
}

void config_copy(config *to, const config *from, const config_key *key)
{
    const config_value *v = &from->values[key - config_keys];
    config_value *copied = value_of(to, key);
    clear(copied);
    *copied = (config_value){v->number, mem_dup(v->text, v->text_len), v->text_len, v->count,
                             copy(v->source)};
}

/* Reading ----------------------------------------------------------------------------------- */

static const config_value *look_up(const config *c, const char *name, config_type type)
{
    const config_key *key = config_find(name);
    if (key == NULL || key->type != type) {
        fprintf(stderr, "lunacast: bug: setting \"%s\" %s\n", name,
                key == NULL ? "does not exist" : "is read as another type");
        abort();
    }
    return &c->values[key - config_keys];
}

const char *config_text(const config *c, const char *key)
{
    return look_up(c, key, CONFIG_TEXT)->text;
}

int64_t config_int(const config *c, const char *key)
{
    return look_up(c, key, CONFIG_INT)->number;
}

bool config_bool(const config *c, const char *key)
{
    return look_up(c, key, CONFIG_BOOL)->number != 0;
}

size_t config_size(const config *c, const char *key)
{
    return (size_t)look_up(c, key, CONFIG_SIZE)->number;
}

uint64_t config_ms(const config *c, const char *key)
{
    return (uint64_t)look_up(c, key, CONFIG_TIME)->number;
}

size_t config_count(const config *c, const char *key)
{
    return look_up(c, key, CONFIG_LIST)->count;
}

const char *config_item(const config *c, const char *key, size_t index)
{
    const config_value *v = look_up(c, key, CONFIG_LIST);
    const char *item = v->text;
    if (index >= v->count)
        return NULL;
    while (index-- > 0)
        item += strlen(item) + 1;
    return item;
}

static size_t section_index(const char *name)
{
    size_t i = 0;
    while (config_sections[i] != NULL && strcmp(config_sections[i], name) != 0)
        i++;
    return i;
}

bool config_is_section(const char *name)
{
    return config_sections[section_index(name)] != NULL;
}

void config_set_section(config *c, const char *name, const char *expression)
{
    size_t i = section_index(name);
    free(c->sections[i]);
    c->sections[i] = copy(expression);
}

const char *config_section(const config *c, const char *name)
{
    return c->sections[section_index(name)];
}

bool config_app_override(const config *c, size_t index, const char **name, const char **text)
{
    if (index >= c->override_count)
        return false;
    *name = c->overrides[index].name;
    *text = c->overrides[index].text;
    return true;
}

/* redis://user:secret@host becomes redis://user:***@host. */
static void show_masked(buf *out, const char *text)
{
    const char *rest = strstr(text, "://");
    const char *at = rest != NULL ? strrchr(rest, '@') : NULL;
    const char *colon = at != NULL ? strchr(rest + 3, ':') : NULL;
    if (colon == NULL || colon > at) {
        buf_text(out, text);
        return;
    }
    buf_append(out, text, (size_t)(colon + 1 - text));
    buf_text(out, "***");
    buf_text(out, at);
}

static bool is_secret(const char *name)
{
    size_t n = strlen(name), end = strlen(".secret");
    bool named_so = n > end && strcmp(name + n - end, ".secret") == 0;
    return named_so || strcmp(name, "server.key") == 0;
}

void config_show(const config *c, const config_key *key, buf *out)
{
    const config_value *v = &c->values[key - config_keys];
    if (key->type == CONFIG_BOOL)
        buf_text(out, v->number ? "true" : "false");
    else if (is_secret(key->name))
        buf_text(out, v->text_len > 1 ? "***" : "");
    else if (key->type == CONFIG_TEXT)
        show_masked(out, v->text);
    else if (key->type != CONFIG_LIST)
        config_show_number(out, key->type, v->number);
    for (size_t i = 0; key->type == CONFIG_LIST && i < v->count; i++) {
        buf_text(out, i > 0 ? ", " : "");
        buf_text(out, config_item(c, key->name, i));
    }
}

const char *config_source(const config *c, const config_key *key)
{
    return c->values[key - config_keys].source;
}
