/* The contract of the key-value store: one table of specs, run against each driver. */
#include "redis_server.h"

#include <pthread.h>

static char folder[64];

static void a_value_comes_back_as_it_was_set(void **state)
{
    desk *d = *state;
    assert_int_equal(get(d, "a")->status, STORE_ABSENT);
    assert_int_equal(set(d, "a", "1", STORE_FOREVER)->status, STORE_OK);
    assert_true(strlen(last.version) > 0);
    assert_value(d, "a", "1");
    set(d, "a", "2", STORE_FOREVER);
    assert_value(d, "a", "2");
}

static void keys_and_values_are_any_bytes(void **state)
{
    desk *d = *state;
    char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    slice all = {every, sizeof every};
    CALL(d, store_set(d->port, all, all, STORE_FOREVER, on_answer, &last));
    assert_int_equal(last.status, STORE_OK);
    CALL(d, store_get(d->port, all, on_answer, &last));
    assert_int_equal(last.value_n, sizeof every);
    assert_memory_equal(last.value, every, sizeof every);
}

static void an_empty_value_is_a_value(void **state)
{
    desk *d = *state;
    set(d, "empty", "", STORE_FOREVER);
    assert_value(d, "empty", "");
}

static void a_get_tells_the_version_that_set_told(void **state)
{
    desk *d = *state;
    char version[STORE_VERSION_MAX + 1];
    strcpy(version, set(d, "v", "1", STORE_FOREVER)->version);
    assert_string_equal(get(d, "v")->version, version);
    assert_string_not_equal(set(d, "v", "2", STORE_FOREVER)->version, version);
}

static void add_sets_only_what_is_absent(void **state)
{
    desk *d = *state;
    assert_int_equal(add(d, "k", "1", STORE_FOREVER)->status, STORE_OK);
    assert_true(strlen(last.version) > 0);
    assert_int_equal(add(d, "k", "2", STORE_FOREVER)->status, STORE_EXISTS);
    assert_value(d, "k", "1");
}

static void compare_and_set_needs_the_newest_version(void **state)
{
    desk *d = *state;
    char first[STORE_VERSION_MAX + 1], second[STORE_VERSION_MAX + 1];
    strcpy(first, set(d, "k", "1", STORE_FOREVER)->version);
    assert_int_equal(cas(d, "k", "2", first, STORE_KEEP_TTL)->status, STORE_OK);
    strcpy(second, last.version);
    assert_int_equal(cas(d, "k", "3", first, STORE_KEEP_TTL)->status, STORE_CONFLICT);
    assert_value(d, "k", "2");
    assert_string_equal(last.version, second);
    assert_int_equal(cas(d, "none", "1", first, STORE_KEEP_TTL)->status, STORE_ABSENT);
    assert_int_equal(get(d, "none")->status, STORE_ABSENT);
}

static void a_version_of_any_text_is_only_a_conflict(void **state)
{
    desk *d = *state;
    char version[2000];
    memset(version, 'f', sizeof version - 1);
    version[sizeof version - 1] = '\0';
    set(d, "k", "1", STORE_FOREVER);
    assert_int_equal(cas(d, "k", "2", "", STORE_KEEP_TTL)->status, STORE_CONFLICT);
    assert_int_equal(cas(d, "k", "2", version, STORE_KEEP_TTL)->status, STORE_CONFLICT);
    assert_value(d, "k", "1");
}

static void delete_tells_whether_there_was_something(void **state)
{
    desk *d = *state;
    set(d, "k", "1", STORE_FOREVER);
    assert_int_equal(del(d, "k", "")->status, STORE_OK);
    assert_int_equal(del(d, "k", "")->status, STORE_ABSENT);
    assert_int_equal(get(d, "k")->status, STORE_ABSENT);
}

static void delete_of_a_version_spares_a_newer_one(void **state)
{
    desk *d = *state;
    char first[STORE_VERSION_MAX + 1], second[STORE_VERSION_MAX + 1];
    strcpy(first, set(d, "k", "1", STORE_FOREVER)->version);
    strcpy(second, set(d, "k", "2", STORE_FOREVER)->version);
    assert_int_equal(del(d, "k", first)->status, STORE_CONFLICT);
    assert_value(d, "k", "2");
    assert_int_equal(del(d, "k", second)->status, STORE_OK);
    assert_int_equal(del(d, "k", second)->status, STORE_ABSENT);
}

static void incr_counts_from_zero(void **state)
{
    desk *d = *state;
    assert_int_equal(incr(d, "n", 1, STORE_FOREVER)->number, 1);
    assert_int_equal(incr(d, "n", 41, STORE_FOREVER)->number, 42);
    assert_int_equal(incr(d, "n", -50, STORE_FOREVER)->number, -8);
    assert_value(d, "n", "-8");
}

static void incr_is_exact_to_the_last_of_64_bits(void **state)
{
    desk *d = *state;
    assert_int_equal(incr(d, "n", INT64_MAX - 1, 60000)->number, INT64_MAX - 1);
    assert_int_equal(incr(d, "n", 1, 60000)->number, INT64_MAX);
    assert_int_equal(incr(d, "n", 1, 60000)->status, STORE_TYPE);
    assert_int_equal(incr(d, "n", 1, STORE_FOREVER)->status, STORE_TYPE);
    assert_value(d, "n", "9223372036854775807");
}

static void incr_of_text_is_refused(void **state)
{
    static const char *const values[] = {
        "abc", "1.5", "", " 1", "1 ", "0x10", "9223372036854775808"};
    desk *d = *state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        set(d, "k", values[i], STORE_FOREVER);
        assert_int_equal(incr(d, "k", 1, STORE_FOREVER)->status, STORE_TYPE);
        assert_value(d, "k", values[i]);
    }
}

static void incr_sets_the_life_of_a_new_key_only(void **state)
{
    desk *d = *state;
    incr(d, "n", 1, 60000);
    assert_in_range(ttl(d, "n")->number, 50000, 60000);
    incr(d, "n", 1, 5000);
    assert_in_range(ttl(d, "n")->number, 50000, 60000);
    incr(d, "m", 1, STORE_FOREVER);
    incr(d, "m", 1, 5000);
    assert_int_equal(ttl(d, "m")->number, -1);
}

static void a_key_ends_with_its_life(void **state)
{
    desk *d = *state;
    set(d, "short", "1", 30);
    set(d, "long", "1", 60000);
    usleep(60000);
    assert_int_equal(get(d, "short")->status, STORE_ABSENT);
    assert_int_equal(ttl(d, "short")->status, STORE_ABSENT);
    assert_int_equal(del(d, "short", "")->status, STORE_ABSENT);
    assert_int_equal(list_page(d, "", "", 100)->key_count, 1);
    assert_int_equal(add(d, "short", "2", STORE_FOREVER)->status, STORE_OK);
}

static void ttl_tells_the_rest_of_a_life(void **state)
{
    desk *d = *state;
    set(d, "a", "1", 60000);
    assert_in_range(ttl(d, "a")->number, 50000, 60000);
    set(d, "a", "1", STORE_FOREVER);
    assert_int_equal(ttl(d, "a")->number, -1);
    assert_int_equal(ttl(d, "none")->status, STORE_ABSENT);
}

static void compare_and_set_keeps_the_life_when_asked(void **state)
{
    desk *d = *state;
    set(d, "a", "1", 60000);
    cas(d, "a", "2", last.version, STORE_KEEP_TTL);
    assert_in_range(ttl(d, "a")->number, 50000, 60000);
    get(d, "a");
    cas(d, "a", "3", last.version, 5000);
    assert_in_range(ttl(d, "a")->number, 1, 5000);
    get(d, "a");
    cas(d, "a", "4", last.version, STORE_FOREVER);
    assert_int_equal(ttl(d, "a")->number, -1);
    set(d, "a", "1", 60000);
    set(d, "a", "2", STORE_KEEP_TTL);
    assert_in_range(ttl(d, "a")->number, 50000, 60000);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_pages_through_all_keys_of_a_prefix(void **state)
{
    desk *d = *state;
    char key[32], cursor[STORE_KEY_MAX + 1] = "", *seen[600];
    size_t count = 0;
    for (int i = 0; i < 250; i++) {
        snprintf(key, sizeof key, "user:%03d", i);
        set(d, key, "x", STORE_FOREVER);
        snprintf(key, sizeof key, "other:%03d", i);
        set(d, key, "x", STORE_FOREVER);
    }
    do {
        list_page(d, "user:", cursor, 50);
        assert_int_equal(last.status, STORE_OK);
        for (size_t i = 0; i < last.key_count; i++)
            seen[count++] = mem_dup(last.keys[i], strlen(last.keys[i]));
        strcpy(cursor, last.cursor);
    } while (cursor[0] != '\0' && count < 500);
    qsort(seen, count, sizeof *seen, by_text);
    size_t unique = 0;
    for (size_t i = 0; i < count; i++)
        unique += i == 0 || strcmp(seen[i], seen[i - 1]) != 0;
    assert_int_equal(unique, 250);
    assert_string_equal(seen[0], "user:000");
    assert_string_equal(seen[count - 1], "user:249");
    for (size_t i = 0; i < count; i++)
        free(seen[i]);
}

static void list_takes_a_prefix_literally(void **state)
{
    static const char *const prefixes[] = {"a*", "a?", "a[b]", "a\\", "a^", "\xff\xff"};
    desk *d = *state;
    set(d, "ab", "1", STORE_FOREVER);
    set(d, "a", "1", STORE_FOREVER);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        char key[16];
        snprintf(key, sizeof key, "%s!", prefixes[i]);
        set(d, key, "1", STORE_FOREVER);
        list_page(d, prefixes[i], "", 1000);
        assert_int_equal(last.key_count, 1);
        assert_string_equal(last.keys[0], key);
    }
}

static void a_bad_cursor_does_no_harm(void **state)
{
    desk *d = *state;
    set(d, "a", "1", STORE_FOREVER);
    list_page(d, "", "\xff no cursor", 10);
    assert_true(last.status == STORE_OK || last.status == STORE_TYPE);
    assert_value(d, "a", "1");
}

static void keys_and_values_have_a_longest(void **state)
{
    desk *d = *state;
    size_t n = STORE_VALUE_MAX;
    char *bytes = mem_alloc(n + 1);
    CALL(d, store_set(d->port, (slice){bytes, STORE_KEY_MAX}, (slice){bytes, n}, STORE_FOREVER,
                      on_answer, &last));
    assert_int_equal(last.status, STORE_OK);
    CALL(d, store_get(d->port, (slice){bytes, STORE_KEY_MAX}, on_answer, &last));
    assert_int_equal(last.value_n, n);
    CALL(d, store_set(d->port, SLICE("k"), (slice){bytes, n + 1}, 0, on_answer, &last));
    assert_int_equal(last.status, STORE_TOO_LARGE);
    CALL(d, store_get(d->port, (slice){bytes, STORE_KEY_MAX + 1}, on_answer, &last));
    assert_int_equal(last.status, STORE_TOO_LARGE);
    CALL(d, store_get(d->port, (slice){"", 0}, on_answer, &last));
    assert_int_equal(last.status, STORE_TOO_LARGE);
    free(bytes);
}

static void a_ping_is_answered(void **state)
{
    desk *d = *state;
    assert_int_equal(ping(d)->status, STORE_OK);
    assert_int_equal(list_page(d, "", "", 10)->key_count, 0);
}

enum { RACERS = 8, ROUNDS = 50 };

typedef struct {
    desk desk;
    pthread_t thread;
    answer answer;
    store_status status;
    char version[STORE_VERSION_MAX + 1];
    long value;
} racer;

#define RACE(r, call)                             \
    do {                                          \
        answer_clear(&(r)->answer);               \
        call;                                     \
        while ((r)->answer.calls == 0)            \
            uv_run(&(r)->desk.loop, UV_RUN_ONCE); \
    } while (0)

/* Adds one by reading and comparing, as a session's update does. */
static void *race(void *arg)
{
    racer *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        do {
            char text[32];
            RACE(r, store_get(r->desk.port, SLICE("sum"), on_answer, &r->answer));
            long value = strtol(r->answer.value, NULL, 10);
            strcpy(r->version, r->answer.version);
            int n = snprintf(text, sizeof text, "%ld", value + 1);
            RACE(r, store_cas(r->desk.port, SLICE("sum"), (slice){text, (size_t)n},
                              slice_of(r->version), STORE_KEEP_TTL, NULL, on_answer, &r->answer));
        } while (r->answer.status == STORE_CONFLICT);
        if (r->answer.status != STORE_OK)
            r->status = r->answer.status;
    }
    answer_clear(&r->answer);
    return NULL;
}

static void updates_from_many_workers_lose_nothing(void **state)
{
    desk *d = *state;
    racer *racers = mem_alloc(RACERS * sizeof *racers);
    set(d, "sum", "0", STORE_FOREVER);
    for (int i = 0; i < RACERS; i++) {
        desk_open(&racers[i].desk, d->store);
        pthread_create(&racers[i].thread, NULL, race, &racers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[i].status, STORE_OK);
        desk_close_port(&racers[i].desk);
    }
    free(racers);
    char text[32];
    snprintf(text, sizeof text, "%d", RACERS * ROUNDS);
    assert_value(d, "sum", text);
}

static void pending_calls_are_answered_when_a_port_closes(void **state)
{
    desk *d = *state;
    desk other;
    answer *answers = mem_alloc(300 * sizeof *answers);
    desk_open(&other, d->store);
    for (int i = 0; i < 300; i += 3) {
        store_set(other.port, SLICE("a"), SLICE("1"), 0, on_answer, &answers[i]);
        store_get(other.port, SLICE("a"), on_answer, &answers[i + 1]);
        store_list(other.port, SLICE("a"), SLICE(""), 10, on_answer, &answers[i + 2]);
    }
    desk_close_port(&other);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(answers[i].calls, 1);
        answer_clear(&answers[i]);
    }
    free(answers);
}

/* Drivers ------------------------------------------------------------------------------------- */

static int open_embedded(void **state)
{
    desk *d = mem_alloc(sizeof *d);
    desk_open(d, open_folder(new_folder(folder)));
    *state = d;
    return 0;
}

static int close_embedded(void **state)
{
    desk_close(*state);
    free(*state);
    remove_folder(folder);
    return 0;
}

static redis_server server;
static redis_options *options;

static int start_redis(void **state)
{
    (void)state;
    redis_start(&server);
    options = redis_at(&server, "", "");
    return 0;
}

static int end_redis(void **state)
{
    (void)state;
    redis_options_free(options);
    redis_end(&server);
    return 0;
}

static int open_redis(void **state)
{
    desk *d = mem_alloc(sizeof *d);
    redis_cli(&server, "flushall");
    desk_open(d, store_redis_open(options));
    *state = d;
    return 0;
}

static int close_redis(void **state)
{
    desk_close(*state);
    free(*state);
    return 0;
}

/* Other programs use the same Redis: its keys with a prefix of ours must not get mixed up. */
static int open_prefixed(void **state)
{
    static const char prefix[] = "app[1]*:";
    char url[128], error[300];
    desk *d = mem_alloc(sizeof *d);
    redis_cli(&server, "flushall");
    redis_cli(&server, "mset a foreign user:001 foreign 'app1:a' foreign");
    redis_options_free(options);
    snprintf(url, sizeof url, "unix:%s/socket?db=0", server.folder);
    options = redis_options_parse(url, prefix, error, sizeof error);
    desk_open(d, store_redis_open(options));
    *state = d;
    return 0;
}

#define close_prefixed close_redis

#define CONTRACT(driver, fn)                                      \
    {                                                             \
#driver ": " #fn, fn, open_##driver, close_##driver, NULL \
    }
#define CONTRACTS(driver)                                                                       \
    CONTRACT(driver, a_value_comes_back_as_it_was_set),                                         \
        CONTRACT(driver, keys_and_values_are_any_bytes),                                        \
        CONTRACT(driver, an_empty_value_is_a_value),                                            \
        CONTRACT(driver, a_get_tells_the_version_that_set_told),                                \
        CONTRACT(driver, add_sets_only_what_is_absent),                                         \
        CONTRACT(driver, compare_and_set_needs_the_newest_version),                             \
        CONTRACT(driver, a_version_of_any_text_is_only_a_conflict),                             \
        CONTRACT(driver, delete_tells_whether_there_was_something),                             \
        CONTRACT(driver, delete_of_a_version_spares_a_newer_one),                               \
        CONTRACT(driver, incr_counts_from_zero),                                                \
        CONTRACT(driver, incr_is_exact_to_the_last_of_64_bits),                                 \
        CONTRACT(driver, incr_of_text_is_refused),                                              \
        CONTRACT(driver, incr_sets_the_life_of_a_new_key_only),                                 \
        CONTRACT(driver, a_key_ends_with_its_life),                                             \
        CONTRACT(driver, ttl_tells_the_rest_of_a_life),                                         \
        CONTRACT(driver, compare_and_set_keeps_the_life_when_asked),                            \
        CONTRACT(driver, list_pages_through_all_keys_of_a_prefix),                              \
        CONTRACT(driver, list_takes_a_prefix_literally),                                        \
        CONTRACT(driver, a_bad_cursor_does_no_harm),                                            \
        CONTRACT(driver, keys_and_values_have_a_longest), CONTRACT(driver, a_ping_is_answered), \
        CONTRACT(driver, updates_from_many_workers_lose_nothing),                               \
        CONTRACT(driver, pending_calls_are_answered_when_a_port_closes)

int main(void)
{
    const struct CMUnitTest contract[] = {CONTRACTS(embedded), CONTRACTS(redis),
                                          CONTRACTS(prefixed)};
    return cmocka_run_group_tests(contract, start_redis, end_redis);
}
