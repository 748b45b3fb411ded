/* The table of settings is the one place where a key is named; main.c, config.lua, the environment,
 * `lunacast config` and README's table all read it. Rejected: a struct with one member per key,
 * which needs three places per key (member, parser, printer), and an X-macro, which hides the table
 * from readers and tools.
 *
 * Owner: main, from start to exit. What must never happen: a change after the first thread started;
 * a secret printed. */
#include "config.h"

#include "config_value.h"
#include "mem.h"
#include "nearest.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define KiB ((int64_t)1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define SECOND ((int64_t)1000)
#define DAY (86400 * SECOND)
#define ANY NULL

enum { LIST_ITEMS_MAX = 64 };

/* clang-format off */
const config_key config_keys[] = {
    {"listen", CONFIG_LIST, "127.0.0.1:3000", 0, 0, ANY, false,
     "addresses to accept on: HOST:PORT, [IPv6]:PORT, :PORT (all), unix:PATH; port 0 picks a free one"},
    {"workers", CONFIG_INT, "0", 0, 256, ANY, false, "threads that serve; 0: one per core"},
    {"data", CONFIG_TEXT, "data", 0, 0, ANY, false,
     "folder of the embedded store, relative to the application's folder"},
    {"dev", CONFIG_BOOL, "false", 0, 0, ANY, false,
     "errors show file, line and source in the answer; not for production"},
    {"watch", CONFIG_BOOL, "true", 0, 0, ANY, false,
     "reload scripts and templates when a file of the application is saved"},
    {"demo", CONFIG_BOOL, "false", 0, 0, ANY, false,
     "a session that draws the server itself, updated every second"},
    {"drain", CONFIG_TIME, "30s", 0, 3600 * SECOND, ANY, true,
     "longest wait for running requests at shutdown"},
    {"max_fps", CONFIG_INT, "60", 0, 1000, ANY, true,
     "pictures a second and session that reach the wire; 0: no limit"},
    {"keepalive", CONFIG_TIME, "30s", SECOND, DAY, ANY, true,
     "a stream repeats the newest picture after this silence"},
    {"rerender", CONFIG_BOOL, "false", 0, 0, ANY, true,
     "after a reload of scripts, pictures that somebody watches are rendered anew and sent"},
    {"session.expire", CONFIG_TIME, "1d", SECOND, 3650 * DAY, ANY, true,
     "life of a session that names none"},

    {"store.max_bytes", CONFIG_SIZE, "1G", 0, 1024 * GiB, ANY, false,
     "memory for keys and values of the embedded store; 0: no limit"},
    {"store.durability", CONFIG_TEXT, "normal", 0, 0, "normal|full", false,
     "normal: writes survive kill -9; full: also a power cut"},
    {"redis.url", CONFIG_TEXT, "", 0, 0, ANY, false,
     "redis://[user:password@]host[:port][/db] or unix:PATH; set: sessions live in Redis"},
    {"redis.prefix", CONFIG_TEXT, "", 0, 0, ANY, false, "put before every key and channel in Redis"},

    {"tls.cert", CONFIG_TEXT, "", 0, 0, ANY, true, "PEM file with the certificate chain"},
    {"tls.key", CONFIG_TEXT, "", 0, 0, ANY, true, "PEM file with the private key"},

    {"log.level", CONFIG_TEXT, "info", 0, 0, "debug|info|warn|error|off", true,
     "the least level that is logged"},
    {"log.format", CONFIG_TEXT, "auto", 0, 0, "auto|json|text", false,
     "auto: text on a terminal, JSON elsewhere"},
    {"log.access", CONFIG_BOOL, "true", 0, 0, ANY, true, "one line per request"},
    {"metrics.series", CONFIG_INT, "10000", 100, 1000000, ANY, false,
     "labelled series held at most; further ones are dropped and counted"},

    {"token.issuer", CONFIG_TEXT, "realtime-svg", 0, 0, ANY, false, "the claim iss of tokens"},
    {"token.ttl", CONFIG_TIME, "1h", SECOND, 365 * DAY, ANY, true, "life of a token"},
    {"token.max_ttl", CONFIG_TIME, "30d", SECOND, 365 * DAY, ANY, true,
     "longest life that a client may ask for"},
    {"token.rotate", CONFIG_TIME, "90d", 0, 3650 * DAY, ANY, true,
     "age at which the signing key is replaced, 0: never; old ones stay until their last token has "
     "expired"},
    {"token.leeway", CONFIG_TIME, "5s", 0, 30 * SECOND, ANY, true,
     "clock difference allowed when a token is checked"},
    {"token.cache", CONFIG_INT, "10000", 0, 10000000, ANY, false,
     "verified tokens remembered per worker; 0: none"},
    {"pubsub.secret", CONFIG_TEXT, "", 0, 0, ANY, false,
     "also JWT_SECRET_KEY: signs the tokens of /auth/token (HS256), 32 bytes or more; empty: the RSA "
     "key of the other tokens does"},
    {"pubsub.ttl", CONFIG_TIME, "1h", SECOND, 365 * DAY, ANY, true,
     "also JWT_EXPIRATION_SECONDS: life of such a token"},
    {"pubsub.anonymous", CONFIG_BOOL, "true", 0, 0, ANY, true, "/ws is open to clients without a token"},
    {"password.ln", CONFIG_INT, "17", 10, 20, ANY, false, "scrypt: log2 of N"},
    {"password.r", CONFIG_INT, "8", 1, 32, ANY, false, "scrypt: block size r"},
    {"password.p", CONFIG_INT, "1", 1, 16, ANY, false, "scrypt: parallelism p"},
    {"password.queue", CONFIG_INT, "64", 1, 10000, ANY, false,
     "passwords waiting to be hashed; further ones are answered 503"},

    {"lua.memory", CONFIG_SIZE, "64M", 4 * MiB, 64 * GiB, ANY, false, "memory of one worker's Lua"},
    {"lua.time_ms", CONFIG_INT, "100", 1, 60000, ANY, false,
     "CPU milliseconds after which a script that does not wait is ended"},
    {"lua.warn_ms", CONFIG_INT, "10", 1, 60000, ANY, false,
     "CPU milliseconds after which such a script is logged"},

    {"gzip.min", CONFIG_SIZE, "1024", 0, GiB, ANY, false,
     "textual answers from this size are compressed; 0: never"},
    {"limits.request_line", CONFIG_SIZE, "8K", 256, MiB, ANY, false, "longest request line (414)"},
    {"limits.header_block", CONFIG_SIZE, "16K", KiB, MiB, ANY, false, "all headers together (431)"},
    {"limits.headers", CONFIG_INT, "100", 8, 10000, ANY, false, "number of headers (431)"},
    {"limits.header_time", CONFIG_TIME, "10s", SECOND / 10, 3600 * SECOND, ANY, false,
     "for the whole head of a request (408)"},
    {"limits.template", CONFIG_SIZE, "256K", KiB, 8 * MiB, ANY, true,
     "largest template of a session (413)"},
    {"limits.session", CONFIG_SIZE, "4M", KiB, 8 * MiB, ANY, true,
     "template, arguments and picture of a session together (413)"},
    {"limits.body", CONFIG_SIZE, "1M", 0, 4 * GiB, ANY, false, "largest request body (413)"},
    {"limits.body_rate", CONFIG_INT, "240", 0, 1000000000, ANY, false,
     "bytes a second that a body must reach (408); 0: any"},
    {"limits.body_grace", CONFIG_TIME, "5s", 0, 3600 * SECOND, ANY, false,
     "before the rate of a body is judged"},
    {"limits.idle", CONFIG_TIME, "75s", SECOND / 10, DAY, ANY, false,
     "a connection without a request is closed"},
    {"limits.write_stall", CONFIG_TIME, "30s", SECOND / 10, DAY, ANY, false,
     "a peer that reads nothing for so long is cut off"},
    {"limits.connections", CONFIG_INT, "10000", 1, 10000000, ANY, false,
     "per worker; further ones are answered 503"},
    {"limits.ws_message", CONFIG_SIZE, "64K", 125, 64 * MiB, ANY, false,
     "largest message of a WebSocket client (1009)"},
    {"limits.ws_queue", CONFIG_SIZE, "1M", 4 * KiB, GiB, ANY, false,
     "bytes that may wait for a WebSocket client that reads slowly (1013)"},
    {"limits.ws_rate", CONFIG_INT, "1000", 0, 1000000, ANY, false,
     "messages of a WebSocket client per second (1008); 0: any"},
    {"ws.ping", CONFIG_TIME, "25s", SECOND / 10, DAY, ANY, false,
     "a WebSocket client is pinged after this time"},
    {"ws.pong", CONFIG_TIME, "10s", SECOND / 10, DAY, ANY, false,
     "a WebSocket client that sends nothing for so long after a ping is gone"},
    {"ws.origins", CONFIG_LIST, "", 0, 0, ANY, false,
     "web origins, besides the same host, whose pages may open WebSockets: https://a.example; *: any"},
    {NULL, CONFIG_TEXT, NULL, 0, 0, ANY, false, NULL},
};
/* clang-format on */

enum { KEY_COUNT = sizeof config_keys / sizeof *config_keys - 1 };

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
    config_value values[KEY_COUNT];
    char *app;
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
    const char *found = nearest_found(&n);
    snprintf(error, error_size, "%s: no setting is named \"%s\"%s%s%s; `lunacast config` lists all",
             source, name, found ? "; did you mean \"" : "", found ? found : "",
             found ? "\"?" : "");
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
        return no_such_key(name, source, error, error_size);
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
                                           {"JWT_SECRET_KEY", "pubsub.secret"},
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

config *config_new(void)
{
    config *c = mem_alloc(sizeof *c);
    char error[256];
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        if (config_set(c, key->name, key->missing, "default", error, sizeof error) != 0) {
            fprintf(stderr, "%s\n", error);
            abort();
        }
    }
    return c;
}

void config_free(config *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < KEY_COUNT; i++)
        clear(&c->values[i]);
    for (size_t i = 0; i < c->override_count; i++) {
        free(c->overrides[i].name);
        free(c->overrides[i].text);
    }
    free(c->overrides);
    free(c->app);
    free(c);
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

void config_set_app(config *c, const char *expression)
{
    free(c->app);
    c->app = copy(expression);
}

const char *config_app(const config *c)
{
    return c->app;
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

void config_show(const config *c, const config_key *key, buf *out)
{
    const config_value *v = &c->values[key - config_keys];
    if (key->type == CONFIG_BOOL)
        buf_text(out, v->number ? "true" : "false");
    else if (strcmp(key->name, "pubsub.secret") == 0)
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
