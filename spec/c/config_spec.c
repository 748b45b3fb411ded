/* The settings: precedence, bounds, and messages that lead to the right key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config.h"
#include "nearest.h"

static char error[512];

static int set(config *c, const char *key, const char *text)
{
    error[0] = '\0';
    return config_set(c, key, text, "--set", error, sizeof error);
}

static void assert_error_names(const char *part)
{
    if (strstr(error, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", error, part);
}

static void every_default_is_allowed_and_known(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(config_int(c, "max_fps"), 60);
    assert_int_equal(config_ms(c, "session.expire"), 86400000);
    assert_int_equal(config_size(c, "lua.memory"), 64 << 20);
    assert_string_equal(config_item(c, "listen", 0), "127.0.0.1:3000");
    assert_string_equal(config_source(c, config_find("max_fps")), "default");
    assert_int_equal(config_check(c, error, sizeof error), 0);
    config_drop(c);
}

static void units_of_sizes_and_times(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(set(c, "lua.memory", "1G"), 0);
    assert_int_equal(config_size(c, "lua.memory"), 1 << 30);
    assert_int_equal(set(c, "limits.body", "65536"), 0);
    assert_int_equal(config_size(c, "limits.body"), 65536);
    assert_int_equal(set(c, "drain", "2"), 0);
    assert_int_equal(config_ms(c, "drain"), 2000);
    assert_int_equal(set(c, "drain", "250ms"), 0);
    assert_int_equal(config_ms(c, "drain"), 250);
    assert_int_equal(set(c, "session.expire", "15m"), 0);
    assert_int_equal(config_ms(c, "session.expire"), 900000);
    config_drop(c);
}

static void bad_values_say_what_is_allowed(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"max_fps", "fast", "a whole number, from 0 to 1000"},
        {"max_fps", "-1", "from 0 to 1000"},
        {"max_fps", "60x", "\"60x\""},
        {"max_fps", " 60", "a whole number"},
        {"max_fps", "99999999999999999999", "a whole number"},
        {"lua.memory", "1T", "64K, 16M or 1G"},
        {"lua.memory", "9223372036854775807G", "64K, 16M or 1G"},
        {"drain", "soon", "30s, 15m or 1d"},
        {"dev", "maybe", "true or false"},
        {"store.durability", "max", "normal or full"},
        {"log.level", "", "debug, info, warn, error or off"},
        {"log.level", "debug|info", "debug, info"},
    };
    config *c = config_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(set(c, cases[i][0], cases[i][1]), -1);
        assert_error_names("--set: ");
        assert_error_names(cases[i][0]);
        assert_error_names(cases[i][2]);
    }
    assert_int_equal(config_int(c, "max_fps"), 60);
    config_drop(c);
}

static void unknown_keys_lead_to_the_nearest(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"max_fbs", "\"max_fps\""},          {"maxfps", "\"max_fps\""},
        {"workres", "\"workers\""},          {"durabilty", "\"store.durability\""},
        {"limits.boddy", "\"limits.body\""}, {"token.isuer", "\"token.issuer\""},
    };
    config *c = config_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(set(c, cases[i][0], "1"), -1);
        assert_error_names(cases[i][1]);
    }
    assert_int_equal(set(c, "xyzzy", "1"), -1);
    assert_null(strstr(error, "did you mean"));
    config_drop(c);
}

static void the_environment_spells_keys_its_own_way(void **state)
{
    (void)state;
    config *c = config_new();
    char *environment[] = {"PATH=/bin",
                           "LUNACAST_STORE_MAX_BYTES=16M",
                           "LUNACAST_MAX_FPS=30",
                           "REDIS_URL=redis://me:secret@cache:6380/2",
                           "LUNACAST_APP_TITLE=Hi",
                           NULL};
    assert_int_equal(config_set_environment(c, environment, error, sizeof error), 0);
    assert_int_equal(config_size(c, "store.max_bytes"), 16 << 20);
    assert_string_equal(config_source(c, config_find("max_fps")), "LUNACAST_MAX_FPS");
    assert_string_equal(config_text(c, "redis.url"), "redis://me:secret@cache:6380/2");
    const char *name, *text;
    assert_true(config_app_override(c, 0, &name, &text));
    assert_string_equal(name, "title");
    assert_string_equal(text, "Hi");
    char *wrong[] = {"LUNACAST_MAX_FBS=30", NULL};
    assert_int_equal(config_set_environment(c, wrong, error, sizeof error), -1);
    assert_error_names("LUNACAST_MAX_FBS");
    assert_error_names("max_fps");
    config_drop(c);
}

static void the_own_redis_variable_wins_over_the_well_known(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(set(c, "redis.url", "redis://from-file"), 0);
    char *both[] = {"LUNACAST_REDIS_URL=redis://own", "REDIS_URL=redis://known", NULL};
    assert_int_equal(config_set_environment(c, both, error, sizeof error), 0);
    assert_string_equal(config_text(c, "redis.url"), "redis://own");
    char *known[] = {"REDIS_URL=redis://known", NULL};
    assert_int_equal(config_set_environment(c, known, error, sizeof error), 0);
    assert_string_equal(config_text(c, "redis.url"), "redis://known");
    config_drop(c);
}

static void lists_add_within_one_source_and_replace_across(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(config_add(c, "listen", ":1", "--listen", error, sizeof error), 0);
    assert_int_equal(config_add(c, "listen", ":2", "--listen", error, sizeof error), 0);
    assert_int_equal(config_count(c, "listen"), 2);
    assert_string_equal(config_item(c, "listen", 1), ":2");
    assert_null(config_item(c, "listen", 2));
    assert_int_equal(set(c, "listen", "a:1, b:2 c:3"), 0);
    assert_int_equal(config_count(c, "listen"), 3);
    assert_string_equal(config_item(c, "listen", 2), "c:3");
    assert_int_equal(set(c, "listen", ""), 0);
    assert_int_equal(config_check(c, error, sizeof error), -1);
    assert_error_names("listen");
    for (int i = 0; i < CONFIG_ADDRESSES_MAX; i++)
        assert_int_equal(config_add(c, "listen", ":1", "--listen", error, sizeof error), 0);
    assert_int_equal(config_check(c, error, sizeof error), 0);
    assert_int_equal(config_add(c, "listen", ":1", "--listen", error, sizeof error), 0);
    assert_int_equal(config_check(c, error, sizeof error), -1);
    assert_error_names("listen names 32 addresses");
    config_drop(c);
}

static void keys_that_need_each_other_are_checked(void **state)
{
    (void)state;
    config *c = config_new();
    assert_int_equal(set(c, "tls.cert", "a.pem"), 0);
    assert_int_equal(config_check(c, error, sizeof error), -1);
    assert_error_names("\"tls.key\" is not set");
    assert_int_equal(set(c, "tls.key", "b.pem"), 0);
    assert_int_equal(set(c, "token.max_ttl", "1m"), 0);
    assert_int_equal(config_check(c, error, sizeof error), -1);
    assert_error_names("token.max_ttl");
    config_drop(c);
}

static void values_are_shown_in_their_units_and_without_passwords(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"redis.url", "redis://me:se@cret@cache/1", "redis://me:***@cache/1"},
        {"redis.url", "redis://cache:6379/1", "redis://cache:6379/1"},
        {"lua.memory", "67108864", "64M"},
        {"drain", "90", "90s"},
        {"drain", "1500ms", "1500ms"},
        {"session.expire", "48h", "2d"},
        {"dev", "yes", "true"},
        {"listen", ":1,:2", ":1, :2"},
    };
    config *c = config_new();
    buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(set(c, cases[i][0], cases[i][1]), 0);
        out.len = 0;
        config_show(c, config_find(cases[i][0]), &out);
        assert_string_equal(buf_cstr(&out), cases[i][2]);
    }
    buf_free(&out);
    config_drop(c);
}

static void a_word_far_from_all_finds_nothing(void **state)
{
    (void)state;
    nearest n = nearest_to(SLICE("rnu"));
    nearest_try(&n, "run");
    nearest_try(&n, "lua");
    assert_string_equal(nearest_found(&n), "run");
    n = nearest_to(SLICE("serve"));
    nearest_try(&n, "run");
    assert_null(nearest_found(&n));
    n = nearest_to(SLICE(""));
    nearest_try(&n, "lua");
    assert_null(nearest_found(&n));
}

static void keys_are_named_once(void **state)
{
    (void)state;
    for (const config_key *a = config_keys; a->name != NULL; a++) {
        for (const config_key *b = a + 1; b->name != NULL; b++)
            assert_string_not_equal(a->name, b->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_named_once),
        cmocka_unit_test(every_default_is_allowed_and_known),
        cmocka_unit_test(units_of_sizes_and_times),
        cmocka_unit_test(bad_values_say_what_is_allowed),
        cmocka_unit_test(unknown_keys_lead_to_the_nearest),
        cmocka_unit_test(the_environment_spells_keys_its_own_way),
        cmocka_unit_test(the_own_redis_variable_wins_over_the_well_known),
        cmocka_unit_test(lists_add_within_one_source_and_replace_across),
        cmocka_unit_test(keys_that_need_each_other_are_checked),
        cmocka_unit_test(values_are_shown_in_their_units_and_without_passwords),
        cmocka_unit_test(a_word_far_from_all_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
