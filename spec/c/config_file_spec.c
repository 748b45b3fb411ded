/* config.lua: nested and dotted names, the line of a mistake, and what the file may not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "config.h"
#include "config_file.h"

static char error[1024];
static char folder[] = "/tmp/config-file-spec-XXXXXX";

static void path_of(char *path, size_t size)
{
    snprintf(path, size, "%s/config.lua", folder);
}

static config *load(const char *text, int expected)
{
    char path[128];
    path_of(path, sizeof path);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    config *c = config_new();
    error[0] = '\0';
    if (config_file_load(c, folder, error, sizeof error) != expected)
        fail_msg("%s: %s", text, error);
    return c;
}

static void nested_and_dotted_names_mean_the_same(void **state)
{
    (void)state;
    config *c = load("local fps = 20 + 5\n"
                     "return { max_fps = fps, store = { max_bytes = '2G' },\n"
                     "  ['log.level'] = 'warn', dev = true, drain = 2.0,\n"
                     "  listen = { ':1', ':2' } }",
                     0);
    assert_int_equal(config_int(c, "max_fps"), 25);
    assert_int_equal(config_size(c, "store.max_bytes"), (int64_t)2 << 30);
    assert_string_equal(config_text(c, "log.level"), "warn");
    assert_true(config_bool(c, "dev"));
    assert_int_equal(config_ms(c, "drain"), 2000);
    assert_int_equal(config_count(c, "listen"), 2);
    assert_string_equal(config_source(c, config_find("max_fps")), "config.lua:2");
    assert_string_equal(config_source(c, config_find("log.level")), "config.lua:3");
    assert_string_equal(config_source(c, config_find("listen")), "config.lua:4");
    config_drop(c);
}

static void an_absent_file_is_no_error(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(config_file_load(c, "/nonexistent", error, sizeof error), 0);
    config_drop(c);
}

static void mistakes_name_the_line(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"return {\n  -- max_fbs = 1\n  max_fbs = 30,\n}", "config.lua:3: no setting"},
        {"return {\n  max_fbs = 30,\n}", "\"max_fps\""},
        {"return {\n\n  limits = {\n    body = 'huge' } }", "config.lua:4: limits.body"},
        {"return {\n  ['limits.body'] = 'huge' }", "config.lua:2: limits.body"},
        {"return { log = 'body = 1',\n  limits = { body = false } }", "config.lua:"},
        {"return {\n  limits = 5 }", "config.lua:2: limits is a group of settings"},
        {"return {\n  limits = 5 }", "limits.request_line, limits.header_block"},
        {"return {\n\n  plugins = 'cors' }", "config.lua:3: plugins must be a table, got a string"},
        {"return { plugin = { 'cors' } }", "did you mean \"plugins\"?"},
        {"return { plugins = { { 'cors', when = print } } }", "plugins holds plain data only"},
        {"return { max_fps = 1.5 }", "a whole number"},
        {"return { max_fps = {} }", "config.lua:1: max_fps"},
        {"return { max_fps = print }", "neither text, number nor boolean"},
        {"return { 1, 2 }", "not a name"},
        {"return 5", "must return a table"},
        {"\n\nreturn {", "config.lua:3:"},
        {"\nerror 'no'", "config.lua:2: no"},
        {"error({})", "raised no message"},
        {"while true do end", "config.lua: this file does not come to an end"},
        {"return { store = {\n  bytes = { c = { d = 1 } } } }",
         "config.lua:2: no setting is named"},
        {"return { app = { f = print } }", "plain data only"},
        {"local t = {} t.t = t return { app = t }", "nested too deep"},
        {"os.exit(1)", "global 'os'"},
        {"load('x')", "global 'load'"},
        {"\x1bLua", "config.lua: attempt to load a binary chunk"},
        {"return {\n  data = 'a\\0b' }", "config.lua:2: data has a NUL byte"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config_drop(load(cases[i][0], -1));
        if (strstr(error, cases[i][1]) == NULL)
            fail_msg("%s\n gave \"%s\",\n not \"%s\"", cases[i][0], error, cases[i][1]);
    }
}

static void env_reads_the_environment(void **state)
{
    (void)state;
    setenv("CONFIG_SPEC_FPS", "42", 1);
    config *c = load("return { max_fps = env 'CONFIG_SPEC_FPS', workers = env('NO_SUCH', 3) }", 0);
    assert_int_equal(config_int(c, "max_fps"), 42);
    assert_int_equal(config_int(c, "workers"), 3);
    config_drop(c);
}

static void sections_travel_as_expressions(void **state)
{
    (void)state;
    config *c = load("return { app = { title = 'a\"\\n\\0\\xff', n = -1, on = true } }", 0);
    const char *app = config_section(c, "app");
    assert_non_null(strstr(app, "\"a\\034\\010\\000\\255\""));
    assert_non_null(strstr(app, "0xffffffffffffffff"));
    assert_non_null(strstr(app, "[\"on\"]=true"));
    assert_null(config_section(c, "plugins"));
    config_drop(c);
    c = load("return { plugins = { 'cors' } }", 0);
    assert_string_equal(config_section(c, "plugins"), "{[0x1]=\"cors\",}");
    config_drop(c);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[128];
    path_of(path, sizeof path);
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_and_dotted_names_mean_the_same),
        cmocka_unit_test(an_absent_file_is_no_error),
        cmocka_unit_test(mistakes_name_the_line),
        cmocka_unit_test(env_reads_the_environment),
        cmocka_unit_test(sections_travel_as_expressions),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
