/* The command line: which subcommand, which settings. run, dev, lua and config are done here; every
 * other word is a command in Lua (lua/cli/, lua/commands/), with the settings of the application's
 * folder. Help and the nearest right command are Lua's too, which knows all of them.
 *
 * Exit codes: 0 done, 1 it did not work, 2 the command line is wrong. Whatever a person mistypes is
 * answered by the nearest right word.
 *
 * Owner of the settings: main, from the first argument to the end of the process. */
#include "config.h"
#include "config_file.h"
#include "host.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "nearest.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK = 0, FAILED = 1, USAGE = 2 };

typedef struct {
    const char *flag, *key; /* key NULL: KEY=VALUE */
    bool list;
} option;

static const char app_flag[] = "--app"; /* the application's folder */

static const option options[] = {
    {"--listen", "listen", true}, {"--workers", "workers", false}, {"--data", "data", false},
    {"--set", NULL, false},       {app_flag, NULL, false},         {NULL, NULL, false},
};

/* Commands in Lua whose first word may be the application's folder, as it is for run; only the
 * first, since which of their options take a value is known in Lua alone. */
static const char *const of_folder[] = {"check",  "connections", "migrate", "reload",
                                        "routes", "sessions",    "status",  "test",
                                        "topics", "upstreams",   NULL};

static const char *const of_config[] = {"--markdown", "--json"};

typedef struct {
    const char *command, *folder;
    int argc;
    char **argv;         /* after the command */
    bool scripted;       /* a command in Lua: what is not ours here is its */
    bool markdown, json; /* of config */
    config *config;
    char *problem; /* lunacast dev: what is wrong with config.lua, which is left out */
    char **rest;   /* the words for a command in Lua */
    int rest_count;
} call;

/* Errors ------------------------------------------------------------------------------------ */

static bool is_config(const call *c)
{
    return strcmp(c->command, "config") == 0;
}

static int wrong_flag(const call *c, const char *flag)
{
    size_t n = strcspn(flag, "=");
    nearest near = nearest_to((slice){flag, n});
    for (const option *o = options; o->flag != NULL; o++)
        nearest_try(&near, o->flag);
    nearest_try(&near, "--help");
    for (size_t i = 0; is_config(c) && i < sizeof of_config / sizeof *of_config; i++)
        nearest_try(&near, of_config[i]);
    const char *found = nearest_found(&near);
    fprintf(stderr, "lunacast: %s has no option \"%s\"%s%s%s; `lunacast %s --help` shows all\n",
            c->command, flag, found ? "; did you mean \"" : "", found ? found : "",
            found ? "\"?" : "", c->command);
    return USAGE;
}

static int fail(int code, const char *message)
{
    fprintf(stderr, "lunacast: %s\n", message);
    return code;
}

static int misused(const call *c, const char *what, const char *problem)
{
    fprintf(stderr, "lunacast: %s %s; `lunacast %s --help` shows how\n", what, problem, c->command);
    return USAGE;
}

/* Options ----------------------------------------------------------------------------------- */

static int set_pair(config *c, const char *pair, char *error, size_t error_size)
{
    const char *equals = strchr(pair, '=');
    char key[128];
    if (equals == NULL || (size_t)(equals - pair) >= sizeof key) {
        snprintf(error, error_size, "--set wants KEY=VALUE, got \"%s\"", pair);
        return -1;
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    return config_set(c, key, equals + 1, "--set", error, error_size);
}

/* In config.lua a data folder lies below the application; on the command line a person means the
 * folder that the shell would complete. */
static int set_data(config *c, const char *folder, char *error, size_t error_size)
{
    char path[PATH_MAX], here[PATH_MAX];
    if (folder[0] == '/' || getcwd(here, sizeof here) == NULL)
        return config_set(c, "data", folder, "--data", error, error_size);
    int n = snprintf(path, sizeof path, "%s/%s", here, folder);
    if (n < 0 || (size_t)n >= sizeof path) {
        snprintf(error, error_size, "--data: this path is too long");
        return -1;
    }
    return config_set(c, "data", path, "--data", error, error_size);
}

static int apply(config *c, const option *o, const char *value)
{
    char error[1024];
    int result;
    if (o->key == NULL)
        result = set_pair(c, value, error, sizeof error);
    else if (o->list)
        result = config_add(c, o->key, value, o->flag, error, sizeof error);
    else if (strcmp(o->key, "data") == 0)
        result = set_data(c, value, error, sizeof error);
    else
        result = config_set(c, o->key, value, o->flag, error, sizeof error);
    return result == 0 ? OK : fail(USAGE, error);
}

static const option *find_option(const char *flag, const char **value)
{
    for (const option *o = options; o->flag != NULL; o++) {
        size_t n = strlen(o->flag);
        if (strncmp(flag, o->flag, n) == 0 && (flag[n] == '\0' || flag[n] == '=')) {
            *value = flag[n] == '=' ? flag + n + 1 : NULL;
            return o;
        }
    }
    return NULL;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(word, *words) == 0)
            return true;
    }
    return false;
}

static int take_folder(call *c, const char *folder)
{
    if (c->folder != NULL)
        return misused(c, "one folder, please; not also", folder);
    c->folder = folder;
    return OK;
}

/* A word that is no option of ours. */
static int take_word(call *c, char *word, bool first)
{
    if (c->scripted && (word[0] == '-' || !first || !is_one_of(c->command, of_folder))) {
        c->rest[c->rest_count++] = word;
        return OK;
    }
    if (is_config(c) && strcmp(word, of_config[0]) == 0) {
        c->markdown = true;
        return OK;
    }
    if (is_config(c) && strcmp(word, of_config[1]) == 0) {
        c->json = true;
        return OK;
    }
    return word[0] == '-' ? wrong_flag(c, word) : take_folder(c, word);
}

static int take_option(call *c, const option *o, const char *value, bool apply_now)
{
    if (o->flag == app_flag)
        return take_folder(c, value);
    return apply_now ? apply(c->config, o, value) : OK;
}

/* Walks the arguments once for the folder (apply_now false), and once more, after config.lua and
 * the environment, for the settings, which win over both. */
static int read_arguments(call *c, int argc, char **argv, bool apply_now)
{
    c->folder = NULL;
    c->rest_count = c->scripted ? 1 : 0; /* the first is the command */
    int code = OK;
    for (int i = 0; i < argc && code == OK; i++) {
        const char *value;
        if (c->scripted && strcmp(argv[i], "--") == 0) {
            while (i < argc)
                c->rest[c->rest_count++] = argv[i++];
            break;
        }
        const option *o = find_option(argv[i], &value);
        if (o == NULL) {
            code = take_word(c, argv[i], i == 0);
            continue;
        }
        if (value == NULL && ++i < argc)
            value = argv[i];
        if (value == NULL)
            return misused(c, o->flag, "lacks its value");
        code = take_option(c, o, value, apply_now);
    }
    if (c->folder == NULL)
        c->folder = ".";
    return code;
}

/* Settings ---------------------------------------------------------------------------------- */

static int check_folder(const char *folder)
{
    struct stat s;
    if (stat(folder, &s) == 0 && S_ISDIR(s.st_mode))
        return OK;
    fprintf(stderr, "lunacast: %s: %s\n", folder,
            errno == ENOENT ? "no such folder" : "not a folder that can be read");
    return FAILED;
}

/* A command says itself what it does: the log's word for it would be the second. */
static void configure_log(const call *c)
{
    const char *format = config_text(c->config, "log.format");
    bool json = strcmp(format, "auto") == 0 ? !isatty(STDERR_FILENO) : strcmp(format, "json") == 0;
    bool own = strcmp(config_source(c->config, config_find("log.level")), "default") != 0;
    log_level level;
    if (!log_parse_level(config_text(c->config, "log.level"), &level))
        return;
    log_configure(c->scripted && !own ? LOG_WARN : level, json);
}

/* What lunacast dev is, besides run; config.lua, environment and options win. */
static int set_development(config *c, char *error, size_t size)
{
    static const char *const pairs[][2] = {
        {"dev", "true"}, {"workers", "1"}, {"log.format", "text"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (config_set(c, pairs[i][0], pairs[i][1], "lunacast dev", error, size) != 0)
            return -1;
    }
    return 0;
}

static bool is_development(const call *c)
{
    return strcmp(c->command, "dev") == 0;
}

/* The settings from all sources. FAILED with a message, or USAGE, which was said. */
static int gather(call *c, bool with_file, char *error, size_t error_size)
{
    if ((is_development(c) && set_development(c->config, error, error_size) != 0) ||
        (with_file && config_file_load(c->config, c->folder, error, error_size) != 0) ||
        config_set_environment(c->config, environ, error, error_size) != 0)
        return FAILED;
    int code = read_arguments(c, c->argc, c->argv, true);
    if (code != OK)
        return code;
    return config_check(c->config, error, error_size) == 0 ? OK : FAILED;
}

/* For a reload: the same sources as at the start. */
static config *gather_again(void *arg, char *error, size_t error_size)
{
    call again = *(const call *)arg;
    again.config = config_new();
    snprintf(error, error_size, "the command line can't be read again");
    if (gather(&again, true, error, error_size) == OK)
        return again.config;
    config_drop(again.config);
    return NULL;
}

static int load_settings(call *c, int argc, char **argv)
{
    char error[1024];
    int code = read_arguments(c, argc, argv, false);
    if (code == OK)
        code = check_folder(c->folder);
    if (code != OK)
        return code;
    c->argc = argc;
    c->argv = argv;
    code = gather(c, true, error, sizeof error);
    if (code == FAILED && is_development(c)) {
        char ignored[1024];
        c->problem = mem_dup(error, strlen(error));
        config_drop(c->config);
        c->config = config_new();
        code = gather(c, false, ignored, sizeof ignored);
    }
    if (code != OK)
        return code == FAILED ? fail(FAILED, error) : code;
    configure_log(c);
    metrics_configure((size_t)config_int(c->config, "metrics.series"));
    return OK;
}

/* lunacast config --------------------------------------------------------------------------- */

static void print_settings(const config *c)
{
    buf value = {0};
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        value.len = 0;
        config_show(c, key, &value);
        printf("%-20s  %-24s  %s\n", key->name, buf_cstr(&value), config_source(c, key));
    }
    const char *name, *text;
    for (size_t i = 0; config_app_override(c, i, &name, &text); i++)
        printf("app.%-16s  %-24s  %s\n", name, text, "environment or --set");
    buf_free(&value);
}

/* Values as they are written, since a time or a size may be. What is no UTF-8 is empty. */
static void print_json_text(const char *text)
{
    slice s = slice_of(text);
    char *bytes = mem_alloc(s.n * 6 + 3);
    char *end = json_put_string(bytes, s);
    printf("%s", end != NULL ? bytes : "\"\"");
    free(bytes);
}

static void print_json(const config *c)
{
    buf value = {0};
    const char *before = "{\n";
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        value.len = 0;
        config_show(c, key, &value);
        printf("%s  \"%s\": {\"value\": ", before, key->name);
        print_json_text(buf_cstr(&value));
        printf(", \"source\": ");
        print_json_text(config_source(c, key));
        printf("}");
        before = ",\n";
    }
    printf("\n}\n");
    buf_free(&value);
}

static void print_cell(const char *text)
{
    for (; *text != '\0'; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void print_markdown(void)
{
    buf allowed = {0};
    printf("| key | default | allowed | what |\n|---|---|---|---|\n");
    for (const config_key *key = config_keys; key->name != NULL; key++) {
        allowed.len = 0;
        config_allowed(key, &allowed);
        printf("| `%s` | %s%s%s | ", key->name, *key->missing ? "`" : "", key->missing,
               *key->missing ? "`" : "");
        print_cell(buf_cstr(&allowed));
        printf(" | ");
        print_cell(key->help);
        printf(" |\n");
    }
    buf_free(&allowed);
}

static int print_config(const call *c)
{
    if (c->markdown)
        print_markdown();
    else if (c->json)
        print_json(c->config);
    else
        print_settings(c->config);
    return fflush(stdout) == 0 ? OK : FAILED;
}

/* Commands ---------------------------------------------------------------------------------- */

static int run_file(call *c, int argc, char **argv)
{
    if (argc == 0)
        return fail(USAGE, "lua wants a file: lunacast lua FILE [args]");
    int code = load_settings(c, 0, NULL);
    return code == OK ? host_lua(c->config, argv[0], argc - 1, argv + 1) : code;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

/* A command in Lua, by name and arguments. Help and a new application need no settings: they take
 * those that can be read (plugins have commands), and nothing wrong in them stands in the way. */
static int run_command(call *c, const char *name, bool with_settings, int argc, char **argv)
{
    c->command = name;
    c->scripted = true;
    c->rest = mem_alloc(((size_t)argc + 2) * sizeof *c->rest);
    c->rest[0] = (char *)name;
    char ignored[1024];
    int code = with_settings ? load_settings(c, argc, argv) : read_arguments(c, argc, argv, false);
    if (!with_settings && code == OK)
        config_file_load(c->config, c->folder, ignored, sizeof ignored);
    if (code == OK)
        code = host_command(c->config, c->folder, c->rest_count, c->rest);
    free(c->rest);
    return code;
}

static int dispatch(call *c, int argc, char **argv)
{
    if (wants_help(argc, argv))
        return run_command(c, "help", false, argc, argv);
    if (strcmp(c->command, "lua") == 0)
        return run_file(c, argc - 1, argv + 1);
    if (!is_one_of(c->command, (const char *const[]){"run", "dev", "config", NULL})) {
        bool early = is_one_of(c->command, (const char *const[]){"help", "new", NULL});
        return run_command(c, c->command, !early, argc - 1, argv + 1);
    }
    int code = load_settings(c, argc - 1, argv + 1);
    if (code != OK)
        return code;
    if (strcmp(c->command, "config") == 0)
        return print_config(c);
    const host_settings settings = {c->config, gather_again, c, is_development(c), c->problem};
    return host_run(&settings, c->folder);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a write that fails, as on a full disk */
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("lunacast " LUNACAST_VERSION);
        return OK;
    }
    call c = {.command = argc > 1 ? argv[1] : "", .config = config_new()};
    int code = argc > 1 ? dispatch(&c, argc - 1, argv + 1) : run_command(&c, "", false, 0, NULL);
    config_drop(c.config);
    free(c.problem);
    return code;
}
