/* The command line: which subcommand, which settings. Exit codes: 0 done, 1 it did not work, 2 the
 * command line is wrong. Whatever a person mistypes is answered by the nearest right word.
 *
 * Owner of the settings: main, from the first argument to the end of the process. */
#include "config.h"
#include "config_file.h"
#include "host.h"
#include "log.h"
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

static const char usage[] =
    "lunacast " LUNACAST_VERSION " - a realtime server that you script\n"
    "\n"
    "  lunacast run [DIR] [options]     serve the application in DIR (default: here)\n"
    "  lunacast lua FILE [args]         run a Lua file as a task, with every module\n"
    "  lunacast config [DIR] [options]  print each setting, its value and where it comes from\n"
    "  lunacast --version, --help\n"
    "\n"
    "options of run and config:\n"
    "  --listen HOST:PORT   accept here; again for more; port 0 picks a free one; unix:PATH\n"
    "  --workers N          threads that serve (default: one per core)\n"
    "  --data DIR           folder of the embedded store (default: DIR/data)\n"
    "  --set KEY=VALUE      any setting, again for more\n"
    "  --markdown           config only: a table of all settings\n"
    "\n"
    "Settings: defaults < DIR/config.lua < environment (LUNACAST_MAX_FPS, REDIS_URL) < options.\n"
    "\n"
    "examples:\n"
    "  lunacast run\n"
    "  lunacast run shop --listen 127.0.0.1:8080 --listen unix:/run/shop.sock\n"
    "  lunacast run --workers 2 --set max_fps=30 --set redis.url=redis://localhost\n"
    "  lunacast config shop\n"
    "  lunacast lua script.lua first second\n";

typedef struct {
    const char *flag, *key; /* key NULL: KEY=VALUE */
    bool list;
} option;

static const option options[] = {
    {"--listen", "listen", true}, {"--workers", "workers", false},
    {"--data", "data", false},    {"--set", NULL, false},
    {NULL, NULL, false},
};

typedef struct {
    const char *command, *folder;
    int argc;
    char **argv; /* after the command */
    bool markdown;
    config *config;
} call;

/* Errors ------------------------------------------------------------------------------------ */

static int wrong_word(const char *what, const char *word, const char *found)
{
    fprintf(stderr, "lunacast: %s \"%s\"%s%s%s; `lunacast --help` shows all\n", what, word,
            found ? "; did you mean \"" : "", found ? found : "", found ? "\"?" : "");
    return USAGE;
}

static int wrong_flag(const call *c, const char *flag)
{
    size_t n = strcspn(flag, "=");
    nearest near = nearest_to((slice){flag, n});
    for (const option *o = options; o->flag != NULL; o++)
        nearest_try(&near, o->flag);
    nearest_try(&near, "--help");
    char what[64];
    snprintf(what, sizeof what, "%s has no option", c->command);
    return wrong_word(what, flag, nearest_found(&near));
}

static int wrong_command(const char *word)
{
    static const char *const commands[] = {"run", "lua", "config", "--version", "--help"};
    nearest near = nearest_to(slice_of(word));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        nearest_try(&near, commands[i]);
    return wrong_word("there is no command", word, nearest_found(&near));
}

static int fail(int code, const char *message)
{
    fprintf(stderr, "lunacast: %s\n", message);
    return code;
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

/* Walks the arguments once for the folder (apply_now false), and once more, after config.lua and
 * the environment, for the settings, which win over both. */
static int read_arguments(call *c, int argc, char **argv, bool apply_now)
{
    c->folder = NULL;
    for (int i = 0; i < argc; i++) {
        const char *value, *word = argv[i];
        const option *o = find_option(word, &value);
        if (o == NULL && strcmp(word, "--markdown") == 0 && strcmp(c->command, "config") == 0) {
            c->markdown = true;
        } else if (o == NULL && word[0] == '-') {
            return wrong_flag(c, word);
        } else if (o == NULL) {
            if (c->folder != NULL)
                return fail(USAGE, "one folder, please; `lunacast --help` shows how");
            c->folder = word;
        } else {
            if (value == NULL && ++i < argc)
                value = argv[i];
            if (value == NULL)
                return fail(USAGE, "the last option lacks its value; `lunacast --help` shows how");
            int code = apply_now ? apply(c->config, o, value) : OK;
            if (code != OK)
                return code;
        }
    }
    if (c->folder == NULL)
        c->folder = ".";
    return OK;
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

static void configure_log(const config *c)
{
    const char *format = config_text(c, "log.format");
    bool json = strcmp(format, "auto") == 0 ? !isatty(STDERR_FILENO) : strcmp(format, "json") == 0;
    log_level level;
    if (log_parse_level(config_text(c, "log.level"), &level))
        log_configure(level, json);
}

/* The settings from all sources. FAILED with a message, or USAGE, which was said. */
static int gather(call *c, char *error, size_t error_size)
{
    if (config_file_load(c->config, c->folder, error, error_size) != 0 ||
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
    if (gather(&again, error, error_size) == OK)
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
    code = gather(c, error, sizeof error);
    if (code != OK)
        return code == FAILED ? fail(FAILED, error) : code;
    configure_log(c->config);
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

static int dispatch(call *c, int argc, char **argv)
{
    if (strcmp(c->command, "lua") == 0)
        return run_file(c, argc, argv);
    bool run = strcmp(c->command, "run") == 0;
    if (!run && strcmp(c->command, "config") != 0)
        return wrong_command(c->command);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return OK;
        }
    }
    int code = load_settings(c, argc, argv);
    if (code != OK)
        return code;
    const host_settings settings = {c->config, gather_again, c};
    return run ? host_run(&settings, c->folder) : print_config(c);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fputs(usage, stderr);
        return USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fputs(usage, stdout);
        return OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("lunacast " LUNACAST_VERSION);
        return OK;
    }
    call c = {.command = argv[1], .config = config_new()};
    int code = dispatch(&c, argc - 2, argv + 2);
    config_drop(c.config);
    return code;
}
