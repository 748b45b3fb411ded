/* Counting on many threads, and the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "metrics.h"
#include <pthread.h>
#include <stdlib.h>

static char *text;

static void read_text(void)
{
    buf out = {0};
    free(text);
    buf_byte(&out, (char)10);
    metrics_text(&out);
    text = buf_cstr(&out);
}

static void assert_line(const char *line)
{
    char want[512];
    snprintf(want, sizeof want, "\n%s\n", line);
    if (strstr(text, want) == NULL)
        fail_msg("no line \"%s\" in\n%s", line, text);
}

static double number(const char *name)
{
    double value = -1;
    assert_true(metrics_get(slice_of(name), &value));
    return value;
}

static void *count_on_a_thread(void *arg)
{
    metrics_set_worker((int)(intptr_t)arg);
    metrics_set(METRIC_LUA_MEMORY, 1000 + (int)(intptr_t)arg);
    metrics_set(METRIC_LOOP_LAG, 1500);
    for (int i = 0; i < 10000; i++) {
        metrics_add(METRIC_BYTES_SENT, 3);
        metrics_request(SLICE("/hello/{name}"), SLICE("GET"), i % 10 ? 200 : 404, 800);
        metrics_time(METRIC_STORE_SECONDS, SLICE("get"), 20000000);
    }
    return NULL;
}

static void threads_are_added_up(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_on_a_thread, (void *)i);
    for (int i = 0; i < 20; i++)
        read_text();
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    read_text();
    assert_line("lunacast_bytes_sent_total 120000");
    assert_line(
        "lunacast_requests_total{route=\"/hello/{name}\",method=\"GET\",status=\"200\"} 36000");
    assert_line(
        "lunacast_requests_total{route=\"/hello/{name}\",method=\"GET\",status=\"404\"} 4000");
    assert_line("lunacast_request_seconds_bucket{route=\"/hello/{name}\",le=\"0.0005\"} 0");
    assert_line("lunacast_request_seconds_bucket{route=\"/hello/{name}\",le=\"0.001\"} 40000");
    assert_line("lunacast_request_seconds_bucket{route=\"/hello/{name}\",le=\"+Inf\"} 40000");
    assert_line("lunacast_request_seconds_count{route=\"/hello/{name}\"} 40000");
    assert_line("lunacast_store_seconds_bucket{operation=\"get\",le=\"10\"} 0");
    assert_line("lunacast_store_seconds_bucket{operation=\"get\",le=\"+Inf\"} 40000");
    assert_line("lunacast_lua_memory_bytes{worker=\"3\"} 1003");
    assert_line("lunacast_loop_lag_seconds{worker=\"0\"} 0.0015");
    assert_true(number("lunacast_requests_total") == 40000);
    assert_true(number("lunacast_store_seconds") == 40000);
    assert_true(number("lunacast_lua_memory_bytes") == 4006);
}

static void every_family_is_headed_once_and_sorted(void **state)
{
    (void)state;
    char before[128] = "", name[128];
    int families = 0;
    read_text();
    for (char *at = text; (at = strstr(at, "# TYPE ")) != NULL; at++) {
        assert_int_equal(sscanf(at, "# TYPE %127s", name), 1);
        if (strcmp(before, name) >= 0)
            fail_msg("%s after %s", name, before);
        snprintf(before, sizeof before, "%s", name);
        families++;
    }
    assert_true(families > METRIC_COUNT);
    assert_line("# TYPE lunacast_request_seconds histogram");
    assert_line("# HELP lunacast_viewers Open picture streams.");
    assert_line("lunacast_info{version=\"" LUNACAST_VERSION "\"} 1");
    assert_true(number("process_resident_memory_bytes") > 1 << 20);
    assert_true(number("process_start_time_seconds") > 1.6e9);
    assert_true(number("process_open_fds") >= 3);
}

static void scripts_count_under_their_own_names(void **state)
{
    (void)state;
    const char *reason = NULL;
    metrics_family *jobs =
        metrics_declare(SLICE("jobs_total"), SLICE("Jobs\ndone."), METRICS_COUNTER, &reason);
    assert_non_null(jobs);
    assert_ptr_equal(metrics_declare(SLICE("jobs_total"), SLICE(""), METRICS_COUNTER, &reason),
                     jobs);
    assert_null(metrics_declare(SLICE("jobs_total"), SLICE(""), METRICS_GAUGE, &reason));
    assert_non_null(strstr(reason, "another type"));
    assert_null(metrics_declare(SLICE("9jobs"), SLICE(""), METRICS_GAUGE, &reason));
    assert_null(metrics_declare(SLICE("a b"), SLICE(""), METRICS_GAUGE, &reason));
    assert_null(metrics_declare(SLICE("lunacast_x"), SLICE(""), METRICS_GAUGE, &reason));
    metrics_label label = {SLICE("kind"), SLICE("a\"b\\c\nd\xff")};
    metrics_record(jobs, &label, 1, 2);
    metrics_record(jobs, &label, 1, 0.5);
    metrics_record(jobs, NULL, 0, 7);
    metrics_family *size = metrics_declare(SLICE("size"), SLICE("Size."), METRICS_GAUGE, &reason);
    metrics_record(size, NULL, 0, 5);
    metrics_record(size, NULL, 0, 3);
    read_text();
    assert_line("# HELP jobs_total Jobs\\ndone.");
    assert_line("jobs_total{kind=\"a\\\"b\\\\c\\nd?\"} 2.5");
    assert_line("jobs_total 7");
    assert_line("size 3");
    double value;
    assert_false(metrics_get(SLICE("no_such"), &value));
}

static void the_number_of_series_is_bounded(void **state)
{
    (void)state;
    const char *reason;
    metrics_family *f = metrics_declare(SLICE("wide"), SLICE(""), METRICS_COUNTER, &reason);
    metrics_configure(50);
    for (int i = 0; i < 200; i++) {
        char name[16];
        metrics_label label = {SLICE("i"), {name, (size_t)snprintf(name, sizeof name, "%d", i)}};
        metrics_record(f, &label, 1, 1);
    }
    assert_true(number("wide") == 50);
    assert_true(number("lunacast_metrics_dropped_total") == 150);
    metrics_configure(10000);
}

static int free_text(void **state)
{
    (void)state;
    free(text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_added_up),
        cmocka_unit_test(every_family_is_headed_once_and_sorted),
        cmocka_unit_test(scripts_count_under_their_own_names),
        cmocka_unit_test(the_number_of_series_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, free_text);
}
