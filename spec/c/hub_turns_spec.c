/* The hub when there is more to give than a worker can: turns, and messages that come too late. */
#include "hub.h"

#include "clock.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CROWD = 10000 };

typedef struct {
    hub_subscriber subscriber;
    char said[64]; /* the messages; "?N" where N were lost */
    hub_position begun;
    int ends;
} reader;

typedef struct {
    uv_loop_t loop;
    uv_timer_t awake; /* the hub's own handles keep no loop alive */
    hub *hub;
    hub_port *port;
    reader *crowd;
} world;

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic;
    (void)version;
    (void)position;
    return frame_new(data->data, data->len);
}

static void say(reader *r, const char *text, size_t n)
{
    size_t at = strlen(r->said);
    if (at + n < sizeof r->said)
        memcpy(r->said + at, text, n);
}

static size_t messages(hub_subscriber *s, frame *const *frames, size_t n)
{
    for (size_t i = 0; i < n; i++) /* of a large one the first byte */
        say(LIST_ENTRY(s, reader, subscriber), frames[i]->data,
            frames[i]->len > 9 ? 1 : frames[i]->len);
    return n;
}

static void deliver(hub_subscriber *s, frame *encoded, uint64_t version)
{
    (void)version;
    messages(s, &encoded, 1);
}

static void gap(hub_subscriber *s, uint64_t lost)
{
    char text[30];
    int n = snprintf(text, sizeof text, "?%d", (int)lost);
    say(LIST_ENTRY(s, reader, subscriber), text, (size_t)n);
}

static void begun(hub_subscriber *s, hub_position at, hub_recovery recovery)
{
    (void)recovery;
    LIST_ENTRY(s, reader, subscriber)->begun = at;
}

static void end(hub_subscriber *s, slice topic)
{
    (void)topic;
    LIST_ENTRY(s, reader, subscriber)->ends++;
}

static const hub_transport transport = {"test", encode, deliver, end, 0, messages, gap, begun};

static void on_awake(uv_timer_t *timer)
{
    (void)timer;
}

static void open_world(world *w)
{
    hub_options options = {.keep_alive_ms = 30000, .history_bytes = 1 << 20};
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->awake);
    uv_timer_start(&w->awake, on_awake, 60000, 0);
    w->hub = hub_new(&options);
    w->port = hub_port_new(w->hub, &w->loop);
    w->crowd = NULL;
}

static void close_world(world *w)
{
    uv_close((uv_handle_t *)&w->awake, NULL);
    hub_port_close(w->port);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hub_free(w->hub);
    assert_int_equal(frame_alive(), 0);
    free(w->crowd);
}

static void rule(world *w, const char *topic, const hub_rule *r)
{
    hub_rules rules = {0};
    assert_true(hub_rules_add(&rules, slice_of(topic), r));
    hub_set_rules(w->hub, &rules);
}

static void subscribe(world *w, const char *topic, reader *r)
{
    hub_subscribe_log(w->port, slice_of(topic), &r->subscriber, &transport, NULL);
}

static void gather(world *w)
{
    w->crowd = mem_alloc(CROWD * sizeof *w->crowd);
    for (int i = 0; i < CROWD; i++)
        subscribe(w, "crowd", &w->crowd[i]);
}

static void gather_viewers(world *w)
{
    w->crowd = mem_alloc(CROWD * sizeof *w->crowd);
    for (int i = 0; i < CROWD; i++)
        hub_subscribe(w->port, SLICE("crowd"), &w->crowd[i].subscriber, &transport);
}

static void publish_bytes(world *w, const char *topic, slice data, hub_meta meta)
{
    frame *f = frame_new(data.p, data.n);
    hub_publish(w->port, slice_of(topic), f, meta, NULL, NULL);
    frame_drop(f);
}

static void publish(world *w, const char *topic, const char *text)
{
    publish_bytes(w, topic, slice_of(text), (hub_meta){.log = true});
}

static void show(world *w, const char *topic, const char *text)
{
    publish_bytes(w, topic, slice_of(text), (hub_meta){0});
}

/* How many of the crowd have heard this, and nothing else. */
static int count(const world *w, const char *said)
{
    int n = 0;
    for (int i = 0; i < CROWD; i++)
        n += strcmp(w->crowd[i].said, said) == 0;
    return n;
}

static int run_until_all(world *w, const char *said)
{
    int turns = 0;
    for (; turns < 1000 && count(w, said) < CROWD; turns++)
        uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(count(w, said), CROWD);
    return turns;
}

/* Turns -------------------------------------------------------------------------------------- */

static void a_crowd_is_served_over_several_turns_and_others_in_between(void **state)
{
    (void)state;
    world w;
    reader other = {0};
    open_world(&w);
    gather(&w);
    subscribe(&w, "other", &other);
    publish(&w, "crowd", "a");
    hub_port_run(w.port);
    int first = count(&w, "a");
    assert_true(first > 1000 && first < CROWD);
    publish(&w, "other", "x");
    publish(&w, "crowd", "b");
    hub_port_run(w.port);
    assert_string_equal(other.said, "x");
    assert_true(count(&w, "") > 0);
    assert_true(run_until_all(&w, "ab") > 1);
    close_world(&w);
}

static void large_messages_make_shorter_turns(void **state)
{
    (void)state;
    world w;
    char *large = mem_alloc(100000);
    memset(large, 'L', 100000);
    open_world(&w);
    gather(&w);
    publish(&w, "crowd", "s");
    hub_port_run(w.port);
    int of_small = count(&w, "s");
    run_until_all(&w, "s");
    publish_bytes(&w, "crowd", (slice){large, 100000}, (hub_meta){.log = true});
    publish_bytes(&w, "crowd", (slice){large, 100000}, (hub_meta){.log = true});
    hub_port_run(w.port);
    int of_large = count(&w, "sL");
    assert_true(of_large > 100 && of_large < of_small / 5);
    assert_int_equal(count(&w, "sLL"), 0); /* nobody gets the second before all have the first */
    run_until_all(&w, "sLL");
    free(large);
    close_world(&w);
}

static void who_leaves_or_comes_during_a_turn_s_end_is_no_matter(void **state)
{
    (void)state;
    world w;
    reader late = {0};
    open_world(&w);
    gather(&w);
    publish(&w, "crowd", "a");
    hub_port_run(w.port);
    subscribe(&w, "crowd", &late);
    for (int i = 0; i < CROWD; i += 2) {
        hub_unsubscribe(&w.crowd[i].subscriber);
        strcpy(w.crowd[i].said, "ab");
    }
    publish(&w, "crowd", "b");
    run_until_all(&w, "ab");
    assert_string_equal(late.said, "b");
    publish(&w, "crowd", "c");
    hub_port_run(w.port);
    for (int i = 1; i < CROWD; i += 2)
        hub_unsubscribe(&w.crowd[i].subscriber);
    hub_unsubscribe(&late.subscriber);
    close_world(&w);
}

static void a_topic_that_ends_between_turns_ends_for_all(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    gather(&w);
    publish(&w, "crowd", "a");
    hub_port_run(w.port);
    assert_true(count(&w, "") > 0);
    hub_publish(w.port, slice_of("crowd"), NULL, (hub_meta){.ended = true}, NULL, NULL);
    hub_port_run(w.port);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(w.crowd[i].ends, 1);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    close_world(&w);
}

static void a_crowd_that_comes_back_is_served_over_several_turns(void **state)
{
    (void)state;
    world w;
    reader live = {0};
    open_world(&w);
    rule(&w, "crowd", &(hub_rule){.log = true, .history = {100, 1 << 20, 60000}});
    subscribe(&w, "crowd", &live);
    w.crowd = mem_alloc(CROWD * sizeof *w.crowd);
    publish(&w, "crowd", "a");
    publish(&w, "crowd", "b");
    hub_port_run(w.port);
    for (int i = 0; i < CROWD; i++) {
        hub_log_start start = {.since = live.begun};
        hub_subscribe_log(w.port, slice_of("crowd"), &w.crowd[i].subscriber, &transport, &start);
    }
    hub_port_run(w.port);
    assert_true(count(&w, "ab") < CROWD);
    publish(&w, "crowd", "c");
    hub_port_run(w.port);
    run_until_all(&w, "abc");
    assert_string_equal(live.said, "abc");
    close_world(&w);
}

/* Newest values ------------------------------------------------------------------------------ */

static void a_value_goes_to_a_crowd_over_several_turns_and_to_others_in_between(void **state)
{
    (void)state;
    world w;
    reader other = {0};
    open_world(&w);
    gather_viewers(&w);
    hub_subscribe(w.port, SLICE("other"), &other.subscriber, &transport);
    show(&w, "crowd", "a");
    hub_port_run(w.port);
    int first = count(&w, "a");
    assert_true(first > 1000 && first < CROWD);
    show(&w, "other", "x");
    hub_port_run(w.port);
    assert_string_equal(other.said, "x");
    assert_true(count(&w, "") > 0);
    assert_true(run_until_all(&w, "a") > 0);
    close_world(&w);
}

static void who_is_not_served_yet_gets_the_newer_value_and_nobody_one_twice(void **state)
{
    (void)state;
    world w;
    reader late = {0};
    open_world(&w);
    gather_viewers(&w);
    show(&w, "crowd", "a");
    hub_port_run(w.port);
    int first = count(&w, "a");
    hub_subscribe(w.port, SLICE("crowd"), &late.subscriber, &transport);
    assert_string_equal(late.said, "a");
    show(&w, "crowd", "b");
    hub_port_run(w.port);
    for (int turn = 0; turn < 1000 && count(&w, "ab") < first; turn++)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_int_equal(count(&w, "ab"), first);
    assert_int_equal(count(&w, "b"), CROWD - first);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_string_equal(late.said, "ab");
    close_world(&w);
}

static void the_pace_holds_in_the_middle_of_a_round(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    gather_viewers(&w);
    hub_set_pace(w.hub, 1, 0);
    uint64_t began = clock_ms();
    show(&w, "crowd", "a");
    hub_port_run(w.port);
    int first = count(&w, "a");
    show(&w, "crowd", "b");
    hub_port_run(w.port);
    while (count(&w, "") > 0)
        uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_true(count(&w, "a") == first || clock_ms() - began >= 1000);
    clock_advance(1000);
    while (count(&w, "ab") < first)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(count(&w, "b"), CROWD - first);
    close_world(&w);
}

static void after_a_silence_a_crowd_gets_the_value_again_over_several_turns(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    gather_viewers(&w);
    show(&w, "crowd", "a");
    hub_port_run(w.port);
    run_until_all(&w, "a");
    clock_advance(30000);
    while (count(&w, "aa") == 0)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_true(count(&w, "a") > 0);
    run_until_all(&w, "aa");
    close_world(&w);
}

static void viewers_leave_and_a_topic_ends_in_the_middle_of_a_round(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    gather_viewers(&w);
    show(&w, "crowd", "a");
    hub_port_run(w.port);
    show(&w, "crowd", "b");
    for (int i = 0; i < CROWD; i += 2)
        hub_unsubscribe(&w.crowd[i].subscriber);
    hub_publish(w.port, SLICE("crowd"), NULL, (hub_meta){.ended = true}, NULL, NULL);
    hub_port_run(w.port);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(w.crowd[i].ends, i % 2);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    close_world(&w);
}

/* Too late ----------------------------------------------------------------------------------- */

static void what_waited_for_too_long_is_left_out_and_told(void **state)
{
    (void)state;
    world w;
    reader a = {0};
    open_world(&w);
    rule(&w, "t", &(hub_rule){.log = true, .max_wait_ms = 200});
    subscribe(&w, "t", &a);
    publish(&w, "t", "1");
    publish(&w, "t", "2");
    clock_advance(150);
    publish(&w, "t", "3");
    clock_advance(100);
    publish(&w, "t", "4");
    hub_port_run(w.port);
    assert_string_equal(a.said, "?234");
    close_world(&w);
}

static void the_newest_message_goes_out_however_late(void **state)
{
    (void)state;
    world w;
    reader a = {0};
    open_world(&w);
    rule(&w, "t", &(hub_rule){.log = true, .max_wait_ms = 200});
    subscribe(&w, "t", &a);
    publish(&w, "t", "1");
    publish(&w, "t", "2");
    clock_advance(100000);
    hub_port_run(w.port);
    assert_string_equal(a.said, "?12");
    close_world(&w);
}

static void with_a_history_it_is_left_out_now_and_there_for_who_comes_back(void **state)
{
    (void)state;
    world w;
    reader a = {0}, b = {0};
    open_world(&w);
    rule(&w, "t", &(hub_rule){.log = true, .max_wait_ms = 200, .history = {100, 10000, 600000}});
    subscribe(&w, "t", &a);
    publish(&w, "t", "1");
    hub_port_run(w.port);
    publish(&w, "t", "2");
    publish(&w, "t", "3");
    clock_advance(300);
    publish(&w, "t", "4");
    hub_port_run(w.port);
    assert_string_equal(a.said, "1?24");
    hub_log_start start = {.since = a.begun};
    hub_subscribe_log(w.port, slice_of("t"), &b.subscriber, &transport, &start);
    hub_port_run(w.port);
    assert_string_equal(b.said, "1234");
    publish(&w, "t", "5");
    hub_port_run(w.port);
    assert_string_equal(a.said, "1?245");
    assert_string_equal(b.said, "12345");
    close_world(&w);
}

static void in_a_crowd_the_delay_ends_at_the_bound(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    rule(&w, "crowd", &(hub_rule){.log = true, .max_wait_ms = 200});
    gather(&w);
    publish(&w, "crowd", "a");
    hub_port_run(w.port);
    for (int i = 0; i < 5; i++) /* while the crowd is still being given the first */
        publish(&w, "crowd", "b");
    clock_advance(300);
    publish(&w, "crowd", "c");
    run_until_all(&w, "a?5c");
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_is_served_over_several_turns_and_others_in_between),
        cmocka_unit_test(large_messages_make_shorter_turns),
        cmocka_unit_test(who_leaves_or_comes_during_a_turn_s_end_is_no_matter),
        cmocka_unit_test(a_topic_that_ends_between_turns_ends_for_all),
        cmocka_unit_test(a_crowd_that_comes_back_is_served_over_several_turns),
        cmocka_unit_test(a_value_goes_to_a_crowd_over_several_turns_and_to_others_in_between),
        cmocka_unit_test(who_is_not_served_yet_gets_the_newer_value_and_nobody_one_twice),
        cmocka_unit_test(the_pace_holds_in_the_middle_of_a_round),
        cmocka_unit_test(after_a_silence_a_crowd_gets_the_value_again_over_several_turns),
        cmocka_unit_test(viewers_leave_and_a_topic_ends_in_the_middle_of_a_round),
        cmocka_unit_test(what_waited_for_too_long_is_left_out_and_told),
        cmocka_unit_test(the_newest_message_goes_out_however_late),
        cmocka_unit_test(with_a_history_it_is_left_out_now_and_there_for_who_comes_back),
        cmocka_unit_test(in_a_crowd_the_delay_ends_at_the_bound),
    };
    return cmocka_run_group_tests_name("turns of the hub", tests, NULL, NULL);
}
