/* The link to Redis under faults: gone, frozen, back, foreign, too old, hostile. */
#include "redis_server.h"

#include "redis_link.h"
#include <pthread.h>

static redis_server server;

static int make(void **state)
{
    (void)state;
    redis_start(&server);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    redis_end(&server);
    return 0;
}

typedef struct {
    desk desk;
    redis_options *options;
} client;

static void client_open(client *c, redis_options *options)
{
    c->options = options;
    desk_open(&c->desk, store_redis_open(options));
}

static void client_close(client *c)
{
    desk_close(&c->desk);
    redis_options_free(c->options);
}

static uint64_t took_ms; /* by the last timed call */

#define TIMED(call)                    \
    do {                               \
        uint64_t before = clock_ms();  \
        call;                          \
        took_ms = clock_ms() - before; \
    } while (0)

/* Turns the loop, as a worker would, without asking anything. */
static void idle_for(desk *d, uint64_t ms)
{
    uint64_t end = clock_ms() + ms;
    while (clock_ms() < end) {
        uv_run(&d->loop, UV_RUN_NOWAIT);
        usleep(5000);
    }
}

static long connections_received(void)
{
    const char *line = redis_cli(&server, "info stats | grep total_connections_received");
    const char *colon = strchr(line, ':');
    return colon != NULL ? strtol(colon + 1, NULL, 10) : -1;
}

/* Addresses ----------------------------------------------------------------------------------- */

static void addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *url, *name, *user, *password;
        int db;
    } rows[] = {
        {"redis://localhost", "localhost:6379", "", "", 0},
        {"redis://localhost:7000/3", "localhost:7000", "", "", 3},
        {"redis://", "127.0.0.1:6379", "", "", 0},
        {"redis://:se%40cret@h/1", "h:6379", "", "se@cret", 1},
        {"redis://bob:p:w%2F@h:1", "h:1", "bob", "p:w/", 0},
        {"redis://a@b@h", "h:6379", "", "a@b", 0},
        {"redis://[::1]:7000/2", "[::1]:7000", "", "", 2},
        {"redis://[::1]", "[::1]:6379", "", "", 0},
        {"REDIS://h?db=4", "h:6379", "", "", 4},
        {"redis://h/", "h:6379", "", "", 0},
        {"unix:/run/redis.sock", "unix:/run/redis.sock", "", "", 0},
        {"unix:///run/redis.sock?db=5", "unix:/run/redis.sock", "", "", 5},
        {"redis+unix://u:p@/run/redis.sock", "unix:/run/redis.sock", "u", "p", 0},
        {"redis://h%", "h%:6379", "", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[300] = "";
        redis_options *o = redis_options_parse(rows[i].url, "", error, sizeof error);
        if (o == NULL)
            fail_msg("%s: %s", rows[i].url, error);
        assert_string_equal(o->name, rows[i].name);
        assert_string_equal(o->user, rows[i].user);
        assert_string_equal(o->password, rows[i].password);
        assert_int_equal(o->db, rows[i].db);
        redis_options_free(o);
    }
}

static void wrong_addresses_are_refused_without_telling_the_password(void **state)
{
    (void)state;
    static const struct {
        const char *url, *says;
    } rows[] = {
        {"localhost:6379", "redis://"},
        {"", "redis://"},
        {"rediss://:secret@h", "TLS"},
        {"redis://:secret@h:port", "port"},
        {"redis://:secret@h:0", "port"},
        {"redis://:secret@h:70000", "port"},
        {"redis://:secret@h/x", "database"},
        {"redis://:secret@h?x=1", "?db="},
        {"redis://:secret@[::1", "]"},
        {"unix:", "path"},
        {"unix:/0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
         "23456789012345678901234567890",
         "path"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char error[300] = "";
        assert_null(redis_options_parse(rows[i].url, "", error, sizeof error));
        assert_non_null(strstr(error, rows[i].says));
        assert_null(strstr(error, "secret"));
    }
}

/* Logging in ---------------------------------------------------------------------------------- */

static void it_logs_in_with_user_password_and_database(void **state)
{
    (void)state;
    client c;
    redis_cli(&server, "acl setuser bob on '>p@ss' '~*' '&*' +@all");
    redis_cli(&server, "config set requirepass secret");
    client_open(&c, redis_at(&server, "bob:p%40ss@", "/2"));
    assert_int_equal(set(&c.desk, "a", "1", STORE_FOREVER)->status, STORE_OK);
    client_close(&c);
    client_open(&c, redis_at(&server, ":secret@", "/2"));
    assert_value(&c.desk, "a", "1");
    client_close(&c);
    client_open(&c, redis_at(&server, "default:secret@", ""));
    assert_int_equal(get(&c.desk, "a")->status, STORE_ABSENT);
    client_close(&c);
    assert_int_equal(
        strncmp(redis_cli(&server, "--no-auth-warning -a secret client list"), "id", 2), 0);
}

static void assert_refused(const char *login, const char *tail, const char *says)
{
    client c;
    client_open(&c, redis_at(&server, login, tail));
    TIMED(get(&c.desk, "a"));
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    assert_false(last.unsure);
    if (strstr(last.message, says) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", last.message, says);
    assert_in_range(took_ms, 0, 15000);
    client_close(&c);
}

static void a_refused_login_is_told_and_not_repeated_in_a_hurry(void **state)
{
    (void)state;
    redis_cli(&server, "config set requirepass secret");
    assert_refused(":wrong@", "", "password");
    assert_refused("nobody:wrong@", "", "password");
    assert_refused("", "", "NOAUTH");
    redis_cli(&server, "-a secret config set requirepass ''");
    assert_refused("", "/99", "database 99");
    long before = connections_received();
    assert_refused("", "/99", "database 99");
    assert_in_range(connections_received() - before, 1, 12);
}

static void a_read_only_replica_is_refused(void **state)
{
    (void)state;
    redis_server replica = {0};
    char port[12];
    snprintf(port, sizeof port, "%d", server.port);
    replica.extra[0] = "--replicaof";
    replica.extra[1] = "127.0.0.1";
    replica.extra[2] = port;
    redis_start(&replica);
    redis_server primary = server;
    server = replica;
    assert_refused("", "", "read-only replica");
    server = primary;
    redis_end(&replica);
}

static void a_server_that_became_a_replica_is_left(void **state)
{
    (void)state;
    client c;
    char command[64];
    client_open(&c, redis_at(&server, "", ""));
    assert_int_equal(set(&c.desk, "a", "1", STORE_FOREVER)->status, STORE_OK);
    snprintf(command, sizeof command, "replicaof 127.0.0.1 %d", free_port());
    redis_cli(&server, command);
    assert_int_equal(set(&c.desk, "a", "2", STORE_FOREVER)->status, STORE_UNAVAILABLE);
    assert_non_null(strstr(last.message, "READONLY"));
    assert_int_equal(ping(&c.desk)->status, STORE_UNAVAILABLE);
    redis_cli(&server, "replicaof no one");
    idle_for(&c.desk, 600);
    assert_int_equal(set(&c.desk, "a", "2", STORE_FOREVER)->status, STORE_OK);
    client_close(&c);
}

/* Away and back ------------------------------------------------------------------------------- */

static void
while_redis_is_away_calls_fail_within_two_seconds_and_work_after_its_return(void **state)
{
    (void)state;
    client c;
    client_open(&c, redis_at(&server, "", ""));
    set(&c.desk, "a", "1", STORE_FOREVER);
    redis_stop(&server, SIGKILL);
    TIMED(get(&c.desk, "a"));
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    TIMED(set(&c.desk, "a", "2", STORE_FOREVER));
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    assert_false(last.unsure);
    assert_non_null(strstr(last.message, "Redis at 127.0.0.1"));
    assert_in_range(took_ms, 0, 15000);
    assert_int_equal(ping(&c.desk)->status, STORE_UNAVAILABLE);
    redis_start(&server);
    TIMED(get(&c.desk, "a"));
    assert_int_equal(last.status, STORE_OK);
    assert_in_range(took_ms, 0, 15000);
    assert_value(&c.desk, "a", "1");
    client_close(&c);
}

static void redis_may_come_after_the_server(void **state)
{
    (void)state;
    client c;
    redis_stop(&server, SIGKILL);
    client_open(&c, redis_at(&server, "", ""));
    idle_for(&c.desk, 1000);
    redis_start(&server);
    TIMED(set(&c.desk, "a", "1", STORE_FOREVER));
    assert_int_equal(last.status, STORE_OK);
    assert_in_range(took_ms, 0, 15000);
    client_close(&c);
}

static void a_frozen_redis_is_noticed(void **state)
{
    (void)state;
    client c;
    client_open(&c, redis_at(&server, "", ""));
    set(&c.desk, "a", "1", STORE_FOREVER);
    kill(server.pid, SIGSTOP);
    TIMED(set(&c.desk, "a", "2", STORE_FOREVER));
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    assert_true(last.unsure);
    assert_non_null(strstr(last.message, "may have happened"));
    assert_in_range(took_ms, 1500, 15000);
    TIMED(get(&c.desk, "a"));
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    assert_in_range(took_ms, 0, 15000);
    idle_for(&c.desk, 2500);
    kill(server.pid, SIGCONT);
    TIMED(get(&c.desk, "a"));
    assert_int_equal(last.status, STORE_OK);
    assert_in_range(took_ms, 0, 15000);
    client_close(&c);
}

static void a_silent_freeze_is_noticed_without_any_call(void **state)
{
    (void)state;
    redis_options *o = redis_at(&server, "", "");
    desk d;
    desk_open(&d, store_redis_open(o));
    redis_link *l = redis_link_open(o, &d.loop);
    get(&d, "a");
    assert_true(redis_link_ready(l));
    kill(server.pid, SIGSTOP);
    idle_for(&d, 5500);
    assert_false(redis_link_ready(l));
    assert_non_null(strstr(redis_link_problem(l), "no answer"));
    kill(server.pid, SIGCONT);
    idle_for(&d, 1500);
    get(&d, "a");
    assert_true(redis_link_ready(l));
    redis_link_close(l);
    desk_close(&d);
    redis_options_free(o);
}

static void flushed_data_and_scripts_do_no_harm(void **state)
{
    (void)state;
    client c;
    char version[STORE_VERSION_MAX + 1];
    client_open(&c, redis_at(&server, "", ""));
    strcpy(version, set(&c.desk, "a", "1", STORE_FOREVER)->version);
    assert_int_equal(cas(&c.desk, "a", "2", version, STORE_KEEP_TTL)->status, STORE_OK);
    strcpy(version, last.version);
    redis_cli(&server, "script flush");
    assert_int_equal(cas(&c.desk, "a", "3", version, STORE_KEEP_TTL)->status, STORE_OK);
    redis_cli(&server, "flushall");
    assert_int_equal(get(&c.desk, "a")->status, STORE_ABSENT);
    redis_cli(&server, "client kill type normal");
    idle_for(&c.desk, 300);
    assert_int_equal(set(&c.desk, "a", "4", STORE_FOREVER)->status, STORE_OK);
    client_close(&c);
}

static void a_key_of_another_type_is_refused(void **state)
{
    (void)state;
    client c;
    client_open(&c, redis_at(&server, "", ""));
    redis_cli(&server, "lpush things 1");
    assert_int_equal(get(&c.desk, "things")->status, STORE_TYPE);
    assert_int_equal(incr(&c.desk, "things", 1, 5000)->status, STORE_TYPE);
    assert_int_equal(list_page(&c.desk, "", "", 10)->key_count, 0);
    client_close(&c);
}

static void a_redis_out_of_memory_refuses_writes(void **state)
{
    (void)state;
    client c;
    client_open(&c, redis_at(&server, "", ""));
    set(&c.desk, "a", "1", STORE_FOREVER);
    redis_cli(&server, "config set maxmemory 1");
    assert_int_equal(set(&c.desk, "a", "2", STORE_FOREVER)->status, STORE_UNAVAILABLE);
    assert_non_null(strstr(last.message, "OOM"));
    assert_int_equal(ping(&c.desk)->status, STORE_UNAVAILABLE);
    assert_value(&c.desk, "a", "1");
    client_close(&c);
}

static int refused, failed, accepted;

static void on_count(const store_result *r, void *arg)
{
    (void)arg;
    if (r->status == STORE_OK)
        accepted++;
    else if (strstr(r->message, "too many") != NULL)
        refused++;
    else
        failed++;
}

static void what_waits_for_redis_is_bounded(void **state)
{
    (void)state;
    client c;
    refused = failed = accepted = 0;
    redis_stop(&server, SIGKILL);
    client_open(&c, redis_at(&server, "", ""));
    for (int i = 0; i < 15000; i++)
        store_get(c.desk.port, SLICE("a"), on_count, NULL);
    assert_int_equal(refused + failed, 0);
    idle_for(&c.desk, 3000);
    assert_int_equal(refused, 5000);
    assert_int_equal(failed, 10000);
    char *big = mem_alloc(STORE_VALUE_MAX);
    refused = failed = accepted = 0;
    for (int i = 0; i < 4; i++)
        store_set(c.desk.port, SLICE("a"), (slice){big, STORE_VALUE_MAX}, 0, on_count, NULL);
    redis_start(&server);
    for (int i = 0; i < 150 && refused + failed + accepted < 4; i++)
        idle_for(&c.desk, 100);
    assert_int_equal(refused, 3);
    /* The one that waits is served, or times out where the machine takes too long to start Redis.
     */
    assert_int_equal(accepted + failed, 1);
    free(big);
    client_close(&c);
}

static void ten_thousand_calls_share_the_link_in_order(void **state)
{
    (void)state;
    client c;
    refused = failed = accepted = 0;
    client_open(&c, redis_at(&server, "", ""));
    for (int i = 0; i < 10000; i++)
        store_incr(c.desk.port, SLICE("n"), 1, STORE_FOREVER, on_count, NULL);
    assert_int_equal(incr(&c.desk, "m", 1, STORE_FOREVER)->status, STORE_UNAVAILABLE);
    while (accepted + failed < 10000)
        uv_run(&c.desk.loop, UV_RUN_ONCE);
    assert_int_equal(accepted, 10000);
    assert_value(&c.desk, "n", "10000");
    client_close(&c);
}

static void write_until_killed(int out)
{
    client c;
    char key[16];
    client_open(&c, redis_at(&server, "", ""));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(&c.desk, key, key, STORE_FOREVER);
        if (last.status != STORE_OK || write(out, &i, sizeof i) != sizeof i)
            _exit(1);
    }
    pause();
}

static void every_acknowledged_write_survives_kill_9_of_both(void **state)
{
    (void)state;
    int pipes[2], newest = -1, n;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        write_until_killed(pipes[1]);
    close(pipes[1]);
    while (newest < 300 && read(pipes[0], &n, sizeof n) == sizeof n)
        newest = n;
    kill(child, SIGKILL);
    redis_stop(&server, SIGKILL);
    while (read(pipes[0], &n, sizeof n) == sizeof n)
        newest = n;
    waitpid(child, NULL, 0);
    close(pipes[0]);
    assert_true(newest >= 300);
    redis_start(&server);
    client c;
    char key[16];
    client_open(&c, redis_at(&server, "", ""));
    for (int i = 0; i <= newest; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_value(&c.desk, key, key);
    }
    client_close(&c);
}

static void a_name_that_is_not_known_is_told(void **state)
{
    (void)state;
    client c;
    char error[300];
    client_open(&c, redis_options_parse("redis://no.such.host.invalid", "", error, sizeof error));
    idle_for(&c.desk, 200);
    get(&c.desk, "a");
    assert_int_equal(last.status, STORE_UNAVAILABLE);
    client_close(&c);
}

static void a_name_is_looked_up(void **state)
{
    (void)state;
    client c;
    char url[100], error[300];
    snprintf(url, sizeof url, "redis://localhost:%d", server.port);
    client_open(&c, redis_options_parse(url, "", error, sizeof error));
    assert_int_equal(ping(&c.desk)->status, STORE_OK);
    client_close(&c);
}

/* A server that is none ----------------------------------------------------------------------- */

typedef struct {
    int fd, port;
    _Atomic int accepted;
    const char *bytes;
    size_t n;
    bool hang; /* stays open after the bytes */
    pthread_t thread;
} impostor;

static void *pretend(void *arg)
{
    impostor *im = arg;
    int fd;
    while ((fd = accept(im->fd, NULL, NULL)) >= 0) {
        char input[4096];
        im->accepted++;
        if (read(fd, input, sizeof input) > 0 && im->n > 0 &&
            write(fd, im->bytes, im->n) != (ssize_t)im->n)
            break;
        while (im->hang && read(fd, input, sizeof input) > 0) {}
        close(fd);
    }
    return NULL;
}

static void impostor_start(impostor *im, const char *bytes, bool hang)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *im = (impostor){.port = free_port(), .bytes = bytes, .n = strlen(bytes), .hang = hang};
    a.sin_port = htons((uint16_t)im->port);
    im->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(im->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(im->fd, 10), 0);
    pthread_create(&im->thread, NULL, pretend, im);
}

static void impostor_end(impostor *im)
{
    shutdown(im->fd, SHUT_RDWR);
    pthread_join(im->thread, NULL);
    close(im->fd);
}

#define LOGGED_IN "+OK\r\n$3\r\nx:y\r\n$3\r\nx:y\r\n+PONG\r\n"
#define INFO_5 "+OK\r\n$23\r\nredis_version:5.0.14\r\n1\r\n$3\r\nx:y\r\n+PONG\r\n"

static const struct {
    const char *bytes;
    bool hang;
    const char *says;
} acts[] = {
    {"HTTP/1.1 400 Bad Request\r\n\r\n", false, "no reply of Redis"},
    {"\x16\x03\x01\x02\x01garbage", false, "no reply of Redis"},
    {"", false, "closed"},
    {"$100\r\nabc", false, "closed"},
    {"*3\r\n:1\r\n", true, "did not answer"},
    {"*2147483647\r\n*2147483647\r\n", true, "too many elements"},
    {"*999999\r\n*999999\r\n*999999\r\n", true, "too many elements"},
    {"$9999999999999999999\r\n", true, "no reply of Redis"},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", true,
     "no reply of Redis"},
    {INFO_5, true, "6.2 is needed"},
    {"-LOADING x\r\n-LOADING x\r\n-LOADING x\r\n-LOADING busy\r\n", true, "LOADING"},
    {LOGGED_IN "+more\r\n", true, "Redis"},
    {LOGGED_IN "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n", true, "Redis"},
    {LOGGED_IN, true, "answer"},
    {LOGGED_IN, false, "closed"},
};

enum { ACTS = sizeof acts / sizeof *acts };

static void turn_all(client *clients, uint64_t ms)
{
    uint64_t end = clock_ms() + ms;
    while (clock_ms() < end) {
        for (size_t i = 0; i < ACTS; i++)
            uv_run(&clients[i].desk.loop, UV_RUN_NOWAIT);
        usleep(5000);
    }
}

static void what_is_no_redis_costs_a_connection_and_nothing_more(void **state)
{
    (void)state;
    impostor im[ACTS];
    client clients[ACTS];
    answer *answers = mem_alloc(ACTS * sizeof *answers);
    for (size_t i = 0; i < ACTS; i++) {
        char url[64], error[300];
        impostor_start(&im[i], acts[i].bytes, acts[i].hang);
        snprintf(url, sizeof url, "redis://127.0.0.1:%d", im[i].port);
        client_open(&clients[i], redis_options_parse(url, "", error, sizeof error));
    }
    turn_all(clients, 3500);
    for (size_t i = 0; i < ACTS; i++)
        store_get(clients[i].desk.port, SLICE("a"), on_answer, &answers[i]);
    turn_all(clients, 2500);
    for (size_t i = 0; i < ACTS; i++) {
        if (answers[i].status != STORE_UNAVAILABLE ||
            strstr(answers[i].message, acts[i].says) == NULL)
            fail_msg("row %zu: \"%s\" lacks \"%s\"", i, answers[i].message, acts[i].says);
        assert_in_range(im[i].accepted, 1, 40);
        client_close(&clients[i]);
        impostor_end(&im[i]);
        answer_clear(&answers[i]);
    }
    free(answers);
}

#define SPEC(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(wrong_addresses_are_refused_without_telling_the_password),
        SPEC(it_logs_in_with_user_password_and_database),
        SPEC(a_refused_login_is_told_and_not_repeated_in_a_hurry),
        SPEC(a_read_only_replica_is_refused),
        SPEC(a_server_that_became_a_replica_is_left),
        SPEC(while_redis_is_away_calls_fail_within_two_seconds_and_work_after_its_return),
        SPEC(redis_may_come_after_the_server),
        SPEC(a_frozen_redis_is_noticed),
        SPEC(a_silent_freeze_is_noticed_without_any_call),
        SPEC(flushed_data_and_scripts_do_no_harm),
        SPEC(a_key_of_another_type_is_refused),
        SPEC(a_redis_out_of_memory_refuses_writes),
        SPEC(what_waits_for_redis_is_bounded),
        SPEC(ten_thousand_calls_share_the_link_in_order),
        SPEC(every_acknowledged_write_survives_kill_9_of_both),
        cmocka_unit_test(a_name_that_is_not_known_is_told),
        SPEC(a_name_is_looked_up),
        cmocka_unit_test(what_is_no_redis_costs_a_connection_and_nothing_more),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
