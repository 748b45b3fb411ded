/* The embedded driver: durability, its folder, its file, its bounds. */
#include "store_support.h"

#include "metrics.h"
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[64];

static int make(void **state)
{
    (void)state;
    new_folder(folder);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static off_t size_of(const char *name)
{
    struct stat st;
    return stat(in_folder(name), &st) == 0 ? st.st_size : 0;
}

static store *try_open(const store_embedded_options *options, char error[512])
{
    error[0] = '\0';
    return store_embedded_open(options, error, 512);
}

static int64_t one_number(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(in_folder("lunacast.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void values_versions_and_lives_survive_a_restart(void **state)
{
    (void)state;
    desk d;
    char version[STORE_VERSION_MAX + 1];
    desk_open(&d, open_folder(folder));
    set(&d, "a", "1", STORE_FOREVER);
    strcpy(version, set(&d, "b", "2", 60000)->version);
    desk_close(&d);
    desk_open(&d, open_folder(folder));
    assert_value(&d, "a", "1");
    assert_int_equal(ttl(&d, "a")->number, -1);
    assert_value(&d, "b", "2");
    assert_string_equal(last.version, version);
    assert_in_range(ttl(&d, "b")->number, 50000, 60000);
    assert_int_equal(cas(&d, "b", "3", version, STORE_KEEP_TTL)->status, STORE_OK);
    desk_close(&d);
}

static void a_version_is_not_given_twice_though_its_key_is_gone(void **state)
{
    (void)state;
    desk d;
    char version[STORE_VERSION_MAX + 1];
    desk_open(&d, open_folder(folder));
    strcpy(version, set(&d, "a", "1", STORE_FOREVER)->version);
    del(&d, "a", "");
    desk_close(&d);
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 10; i++)
        assert_string_not_equal(set(&d, "a", "2", STORE_FOREVER)->version, version);
    desk_close(&d);
}

static void what_is_queued_is_written_out_at_the_close(void **state)
{
    (void)state;
    desk d;
    answer *answers = mem_alloc(1000 * sizeof *answers);
    char key[16];
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store_set(d.port, slice_of(key), SLICE("x"), STORE_FOREVER, on_answer, &answers[i]);
    }
    desk_close(&d);
    for (int i = 0; i < 1000; i++)
        assert_true(answers[i].calls == 1 && answers[i].status == STORE_OK);
    free(answers);
    assert_int_equal(one_number("SELECT count(*) FROM kv"), 1000);
}

static void a_second_process_is_told_who_holds_the_folder(void **state)
{
    (void)state;
    int go[2], ready[2];
    char byte = 0, error[512], expected[64];
    assert_int_equal(pipe(go) | pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        store *s = open_folder(folder);
        assert_int_equal(write(ready[1], "r", 1), 1);
        assert_int_equal(read(go[0], &byte, 1), 1);
        store_close(s);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    store_embedded_options options = {.folder = folder};
    assert_null(try_open(&options, error));
    snprintf(expected, sizeof expected, "in use by process %d", (int)child);
    assert_non_null(strstr(error, expected));
    assert_int_equal(write(go[1], "g", 1), 1);
    waitpid(child, NULL, 0);
    store_close(open_folder(folder));
    close(go[0]), close(go[1]), close(ready[0]), close(ready[1]);
}

/* Child: writes k0, k1, ... as fast as they are acknowledged, telling each acknowledged one. */
static void write_until_killed(int out)
{
    desk d;
    char key[16];
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(&d, key, key, STORE_FOREVER);
        if (last.status != STORE_OK || write(out, &i, sizeof i) != sizeof i)
            _exit(1);
    }
    pause();
}

static void every_acknowledged_write_survives_kill_9(void **state)
{
    (void)state;
    int pipes[2], newest = -1, n;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        write_until_killed(pipes[1]);
    close(pipes[1]);
    while (newest < 400 && read(pipes[0], &n, sizeof n) == sizeof n)
        newest = n;
    kill(child, SIGKILL);
    while (read(pipes[0], &n, sizeof n) == sizeof n)
        newest = n;
    waitpid(child, NULL, 0);
    close(pipes[0]);
    assert_true(newest >= 400);
    desk d;
    char key[16];
    desk_open(&d, open_folder(folder));
    for (int i = 0; i <= newest; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_value(&d, key, key);
    }
    desk_close(&d);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(in_folder("lunacast.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA integrity_check", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void fill_until_refused(desk *d, char *value)
{
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "fill%d", i);
        if (set(d, key, value, STORE_FOREVER)->status != STORE_OK)
            return;
    }
    fail_msg("the disk never got full");
}

static void a_full_disk_refuses_writes_and_the_store_lives(void **state)
{
    (void)state;
    desk d;
    char *value = mem_alloc(20001);
    memset(value, 'x', 20000);
    signal(SIGXFSZ, SIG_IGN);
    desk_open(&d, open_folder(folder));
    set(&d, "a", "before", STORE_FOREVER);
    limit_files(1 << 20);
    fill_until_refused(&d, value);
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    assert_false(last.unsure);
    assert_non_null(strstr(last.message, "nothing was written"));
    assert_int_equal(set(&d, "a", value, STORE_FOREVER)->status, STORE_UNAVAILABLE);
    assert_int_equal(ping(&d)->status, STORE_UNAVAILABLE);
    assert_value(&d, "a", "before");
    assert_true(list_page(&d, "fill", "", 10)->key_count == 10);
    limit_files(RLIM_INFINITY);
    assert_int_equal(ping(&d)->status, STORE_OK);
    assert_int_equal(set(&d, "a", "after", STORE_FOREVER)->status, STORE_OK);
    desk_close(&d);
    desk_open(&d, open_folder(folder));
    assert_value(&d, "a", "after");
    desk_close(&d);
    free(value);
}

static void damage(const char *bytes, off_t at)
{
    int fd = open(in_folder("lunacast.db"), O_RDWR);
    assert_true(pwrite(fd, bytes, strlen(bytes), at) > 0);
    close(fd);
}

static void a_damaged_file_is_named_with_what_to_do(void **state)
{
    (void)state;
    desk d;
    char error[512];
    store_embedded_options options = {.folder = folder};
    desk_open(&d, open_folder(folder));
    set(&d, "a", "1", STORE_FOREVER);
    desk_close(&d);
    damage("this is no database at all, is it", 0);
    assert_null(try_open(&options, error));
    assert_non_null(strstr(error, in_folder("lunacast.db")));
    assert_non_null(strstr(error, "damaged"));
}

static void a_damaged_page_is_found_at_the_start(void **state)
{
    (void)state;
    desk d;
    char error[512], key[16], *value = mem_alloc(1001);
    store_embedded_options options = {.folder = folder};
    memset(value, 'x', 1000);
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(&d, key, value, STORE_FOREVER);
    }
    desk_close(&d);
    for (off_t page = 4; page < 40; page++)
        damage("\xff\xff\xff\xff\xff\xff\xff\xff", page * 4096);
    assert_null(try_open(&options, error));
    assert_non_null(strstr(error, "damaged"));
    free(value);
}

static void a_folder_that_can_not_be_written_is_named(void **state)
{
    (void)state;
    char error[512];
    store_embedded_options options = {.folder = "/proc/none"};
    assert_null(try_open(&options, error));
    assert_non_null(strstr(error, "/proc/none"));
}

static void a_file_of_a_newer_version_is_left_alone(void **state)
{
    (void)state;
    char error[512];
    sqlite3 *db;
    store_embedded_options options = {.folder = folder};
    assert_int_equal(sqlite3_open(in_folder("lunacast.db"), &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_null(try_open(&options, error));
    assert_non_null(strstr(error, "newer version"));
}

static void overwriting_one_key_keeps_the_file_small(void **state)
{
    (void)state;
    desk d;
    char *value = mem_alloc(301);
    answer *answers = mem_alloc(sizeof *answers);
    memset(value, 'x', 300);
    desk_open(&d, open_folder(folder));
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 999; i++)
            store_set(d.port, SLICE("k"), slice_of(value), STORE_FOREVER, on_answer, answers);
        set(&d, "k", value, STORE_FOREVER);
    }
    assert_in_range(size_of("lunacast.db"), 1, 200 << 10);
    assert_in_range(size_of("lunacast.db-wal"), 0, 9 << 20);
    desk_close(&d);
    assert_int_equal(size_of("lunacast.db-wal"), 0);
    answer_clear(answers);
    free(answers);
    free(value);
}

static void wait_until_small(desk *d, const char *sql_file, off_t most)
{
    for (int i = 0; i < 600 && size_of(sql_file) > most; i++) {
        set(d, "tick", "x", STORE_FOREVER);
        usleep(100000);
    }
}

static void expired_keys_leave_the_memory_and_the_file(void **state)
{
    (void)state;
    desk d;
    char key[16], *value = mem_alloc(2001);
    memset(value, 'x', 2000);
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(&d, key, value, 5000);
    }
    desk_close(&d);
    assert_true(size_of("lunacast.db") > 4 << 20);
    desk_open(&d, open_folder(folder));
    clock_advance(6000);
    assert_int_equal(get(&d, "k1")->status, STORE_ABSENT);
    assert_int_equal(list_page(&d, "k", "", 10)->key_count, 0);
    wait_until_small(&d, "lunacast.db", 2 << 20);
    desk_close(&d);
    assert_in_range(size_of("lunacast.db"), 1, 2 << 20);
    assert_int_equal(one_number("SELECT count(*) FROM kv"), 1);
    free(value);
}

static void a_full_memory_refuses_more_and_takes_less(void **state)
{
    (void)state;
    desk d;
    char error[512], *value = mem_alloc(5001);
    store_embedded_options options = {.folder = folder, .max_bytes = 20000};
    memset(value, 'x', 5000);
    desk_open(&d, try_open(&options, error));
    assert_int_equal(set(&d, "a", value, STORE_FOREVER)->status, STORE_OK);
    assert_int_equal(set(&d, "b", value, STORE_FOREVER)->status, STORE_OK);
    assert_int_equal(set(&d, "c", value, STORE_FOREVER)->status, STORE_OK);
    assert_int_equal(set(&d, "d", value, STORE_FOREVER)->status, STORE_UNAVAILABLE);
    assert_non_null(strstr(last.message, "full"));
    assert_int_equal(set(&d, "a", "less", STORE_FOREVER)->status, STORE_OK);
    assert_int_equal(set(&d, "d", value, STORE_FOREVER)->status, STORE_OK);
    assert_int_equal(del(&d, "b", "")->status, STORE_OK);
    assert_int_equal(set(&d, "b", value, STORE_FOREVER)->status, STORE_OK);
    desk_close(&d);
    free(value);
}

static int refused, accepted;

static void on_count(const store_result *r, void *arg)
{
    (void)arg;
    *(r->status == STORE_OK ? &accepted : &refused) += 1;
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    enum { CALLS = 100000 };
    desk d;
    char key[16];
    refused = accepted = 0;
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < CALLS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store_set(d.port, slice_of(key), SLICE("x"), STORE_FOREVER, on_count, NULL);
    }
    assert_int_equal(refused + accepted, 0);
    desk_close(&d);
    assert_int_equal(refused + accepted, CALLS);
    assert_true(refused > 0 && accepted >= 10000);
    assert_int_equal(one_number("SELECT count(*) FROM kv"), accepted);
}

static void ten_thousand_keys_load_fast(void **state)
{
    (void)state;
    desk d;
    char key[16], *value = mem_alloc(301);
    answer *answers = mem_alloc(sizeof *answers);
    memset(value, 'x', 300);
    desk_open(&d, open_folder(folder));
    for (int i = 0; i < 9999; i++) {
        snprintf(key, sizeof key, "k%d", i);
        store_set(d.port, slice_of(key), slice_of(value), STORE_FOREVER, on_answer, answers);
    }
    desk_close(&d);
    uint64_t before = clock_us();
    desk_open(&d, open_folder(folder));
    uint64_t took = clock_us() - before;
    assert_value(&d, "k77", value);
    desk_close(&d);
    print_message("           loaded in %d microseconds\n", (int)took);
    assert_in_range(took, 0, 5000000); /* sanitizers and a busy machine; a release takes 20 ms */
    answer_clear(answers);
    free(answers);
    free(value);
}

static double gauge(const char *name)
{
    double value = -1;
    assert_true(metrics_get(slice_of(name), &value));
    return value;
}

static void keys_and_bytes_are_counted(void **state)
{
    (void)state;
    desk d;
    desk_open(&d, open_folder(folder));
    set(&d, "a", "1", STORE_FOREVER);
    set(&d, "b", "22", STORE_FOREVER);
    double bytes = gauge("lunacast_store_bytes");
    set(&d, "b", "333", STORE_FOREVER);
    assert_true(gauge("lunacast_store_bytes") == bytes + 1);
    assert_true(gauge("lunacast_store_keys") == 2);
    del(&d, "a", "");
    assert_true(gauge("lunacast_store_keys") == 1);
    desk_close(&d);
    desk_open(&d, open_folder(folder));
    assert_true(gauge("lunacast_store_keys") == 1);
    desk_close(&d);
    assert_true(gauge("lunacast_store_keys") == 0);
    assert_true(gauge("lunacast_store_bytes") == 0);
}

static void the_file_is_private(void **state)
{
    (void)state;
    struct stat st;
    store_close(open_folder(folder));
    assert_int_equal(stat(in_folder("lunacast.db"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void full_durability_works_alike(void **state)
{
    (void)state;
    desk d;
    char error[512];
    store_embedded_options options = {.folder = in_folder("deep/er"), .full = true};
    desk_open(&d, try_open(&options, error));
    assert_int_equal(set(&d, "a", "1", STORE_FOREVER)->status, STORE_OK);
    assert_value(&d, "a", "1");
    desk_close(&d);
}

#define SPEC(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    const struct CMUnitTest specs[] = {
        SPEC(values_versions_and_lives_survive_a_restart),
        SPEC(a_version_is_not_given_twice_though_its_key_is_gone),
        SPEC(what_is_queued_is_written_out_at_the_close),
        SPEC(a_second_process_is_told_who_holds_the_folder),
        SPEC(every_acknowledged_write_survives_kill_9),
        SPEC(a_full_disk_refuses_writes_and_the_store_lives),
        SPEC(a_damaged_file_is_named_with_what_to_do),
        SPEC(a_damaged_page_is_found_at_the_start),
        SPEC(a_folder_that_can_not_be_written_is_named),
        SPEC(a_file_of_a_newer_version_is_left_alone),
        SPEC(overwriting_one_key_keeps_the_file_small),
        SPEC(expired_keys_leave_the_memory_and_the_file),
        SPEC(a_full_memory_refuses_more_and_takes_less),
        SPEC(a_full_queue_refuses_at_once),
        SPEC(ten_thousand_keys_load_fast),
        SPEC(keys_and_bytes_are_counted),
        SPEC(the_file_is_private),
        SPEC(full_durability_works_alike),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
