/* Positions, histories and rules of topics, on the embedded hub. */
#include "hub.h"

#include "clock.h"
#include "hub_history.h"
#include "mem.h"
#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    hub_subscriber subscriber;
    char said[4096];
    size_t count, room; /* takes so many messages; 0: all */
    uint64_t lost;
    int gaps, begun;
    hub_position at;
    hub_recovery recovery;
    bool leaves;
} reader;

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    char text[HUB_POSITION_TEXT];
    (void)topic;
    (void)version;
    hub_position_text(position, text);
    char *colon = strchr(text, ':');
    return frame_join(colon != NULL ? colon + 1 : "", colon != NULL ? strlen(colon + 1) : 0,
                      data->data, data->len);
}

static size_t take(hub_subscriber *s, frame *const *encoded, size_t n)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    size_t i = 0;
    for (; i < n && (r->room == 0 || r->count < r->room); i++) {
        size_t at = strlen(r->said);
        r->count++;
        if (at + encoded[i]->len < sizeof r->said)
            memcpy(r->said + at, encoded[i]->data, encoded[i]->len);
    }
    if (r->leaves)
        hub_unsubscribe(s);
    return r->leaves ? n : i;
}

static void gap(hub_subscriber *s, uint64_t lost)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    r->gaps++;
    r->lost += lost;
    strcat(r->said, "|");
}

static void begun(hub_subscriber *s, hub_position at, hub_recovery recovery)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    assert_int_equal(r->count, 0);
    r->begun++;
    r->at = at;
    r->recovery = recovery;
}

static void end(hub_subscriber *s, slice topic)
{
    (void)s;
    (void)topic;
}

static const hub_transport transport = {"read", encode, NULL, end, 1, take, gap, begun};

typedef struct {
    uv_loop_t loop;
    hub *hub;
    hub_port *port;
} world;

static void set_rule(world *w, const char *pattern, hub_history_limits limits)
{
    hub_rules rules = {0};
    hub_rule rule = {.log = true, .history = limits};
    assert_true(hub_rules_add(&rules, slice_of(pattern), &rule));
    hub_set_rules(w->hub, &rules);
}

static void open_world(world *w, size_t max_bytes)
{
    uv_loop_init(&w->loop);
    w->hub = hub_new(&(hub_options){.keep_alive_ms = 30000, .history_bytes = max_bytes});
    w->port = hub_port_new(w->hub, &w->loop);
    set_rule(w, "t*", (hub_history_limits){.messages = 5, .bytes = 1000, .age_ms = 60000});
}

static void close_world(world *w)
{
    hub_port_close(w->port);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hub_free(w->hub);
    assert_int_equal(frame_alive(), 0);
}

static hub_position last;

static void on_published(void *ctx, int status, hub_position position)
{
    (void)ctx;
    assert_int_equal(status, 0);
    last = position;
}

static hub_position publish(world *w, const char *topic, const char *text)
{
    frame *f = frame_new(text, strlen(text));
    hub_publish(w->port, slice_of(topic), f, (hub_meta){.log = true}, on_published, NULL);
    frame_drop(f);
    return last;
}

static void publish_many(world *w, const char *topic, int n)
{
    for (int i = 0; i < n; i++)
        publish(w, topic, ".");
}

static void subscribe(world *w, reader *r, hub_position since, uint32_t history)
{
    hub_log_start start = {.since = since, .history = history};
    hub_subscribe_log(w->port, slice_of("t"), &r->subscriber, &transport, &start);
}

static void a_position_is_text_and_back(void **state)
{
    (void)state;
    char text[HUB_POSITION_TEXT];
    hub_position p, back;
    p = (hub_position){UINT64_MAX, 1};
    assert_int_equal(hub_position_text(p, text), strlen("ffffffffffffffff:1"));
    assert_true(hub_position_parse(slice_of(text), &back));
    assert_true(back.epoch == p.epoch && back.offset == 1);
    assert_int_equal(hub_position_text((hub_position){0}, text), 0);
    static const char *const wrong[] = {"",
                                        ":",
                                        "1",
                                        "1:",
                                        ":1",
                                        "0:1",
                                        "g:1",
                                        "1:a",
                                        "1:-1",
                                        "A:1",
                                        "1:1 ",
                                        "1:1:1",
                                        " 1:1",
                                        "+1:1",
                                        "11111111111111111:1",
                                        "1:11111111111111111111"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(hub_position_parse(slice_of(wrong[i]), &back));
}

static void each_message_has_a_position_one_after_the_other(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1 << 20);
    hub_position first = publish(&w, "t", "a"), second = publish(&w, "t", "b");
    assert_true(first.epoch != 0 && first.epoch == second.epoch);
    assert_int_equal(first.offset, 1);
    assert_int_equal(second.offset, 2);
    hub_position other = publish(&w, "t2", "a");
    assert_int_equal(other.offset, 1);
    assert_true(other.epoch != first.epoch);
    assert_true(publish(&w, "u", "a").epoch == 0);
    close_world(&w);
}

static void who_comes_back_gets_what_it_missed_and_then_what_comes(void **state)
{
    (void)state;
    world w;
    reader r = {0};
    open_world(&w, 1 << 20);
    hub_position had = publish(&w, "t", "a");
    publish(&w, "t", "b");
    publish(&w, "t", "c");
    subscribe(&w, &r, had, 0);
    assert_int_equal(r.begun, 1);
    assert_int_equal(r.recovery, HUB_RECOVERED);
    assert_int_equal(r.at.offset, 1);
    assert_int_equal(r.count, 0);
    publish(&w, "t", "d"); /* before it was served: not twice */
    hub_port_run(w.port);
    publish(&w, "t", "e");
    hub_port_run(w.port);
    assert_string_equal(r.said, "2b3c4d5e");
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void who_missed_nothing_is_told_so(void **state)
{
    (void)state;
    world w;
    reader r = {0};
    open_world(&w, 1 << 20);
    hub_position had = publish(&w, "t", "a");
    subscribe(&w, &r, had, 3);
    hub_port_run(w.port);
    assert_int_equal(r.recovery, HUB_RECOVERED);
    assert_int_equal(r.count, 0);
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void who_was_away_too_long_gets_the_newest(void **state)
{
    (void)state;
    world w;
    reader r = {0}, asks = {0}, other = {0}, ahead = {0};
    open_world(&w, 1 << 20);
    hub_position had = publish(&w, "t", "a");
    publish_many(&w, "t", 6);
    subscribe(&w, &r, had, 0);
    subscribe(&w, &asks, had, 3);
    subscribe(&w, &other, (hub_position){had.epoch + 1, 6}, 0);
    subscribe(&w, &ahead, (hub_position){had.epoch, 8}, 0);
    hub_port_run(w.port);
    assert_int_equal(r.recovery, HUB_NOT_RECOVERED);
    assert_string_equal(r.said, "7.");
    assert_string_equal(asks.said, "5.6.7.");
    assert_string_equal(other.said, "7.");
    assert_string_equal(ahead.said, "7.");
    assert_int_equal(r.gaps + asks.gaps + other.gaps, 0);
    hub_unsubscribe(&r.subscriber);
    hub_unsubscribe(&asks.subscriber);
    hub_unsubscribe(&other.subscriber);
    hub_unsubscribe(&ahead.subscriber);
    close_world(&w);
}

static void the_oldest_that_is_kept_is_enough(void **state)
{
    (void)state;
    world w;
    reader r = {0};
    open_world(&w, 1 << 20);
    hub_position had = publish(&w, "t", "a");
    publish_many(&w, "t", 5);
    subscribe(&w, &r, had, 0);
    hub_port_run(w.port);
    assert_int_equal(r.recovery, HUB_RECOVERED);
    assert_string_equal(r.said, "2.3.4.5.6.");
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void a_new_one_may_ask_for_some_history(void **state)
{
    (void)state;
    world w;
    reader r = {0}, now = {0};
    open_world(&w, 1 << 20);
    publish_many(&w, "t", 4);
    subscribe(&w, &r, (hub_position){0}, 2);
    subscribe(&w, &now, (hub_position){0}, 0);
    hub_port_run(w.port);
    publish(&w, "t", "!");
    hub_port_run(w.port);
    assert_int_equal(r.recovery, HUB_FROM_NOW);
    assert_int_equal(r.at.offset, 2);
    assert_string_equal(r.said, "3.4.5!");
    assert_string_equal(now.said, "5!");
    hub_unsubscribe(&r.subscriber);
    hub_unsubscribe(&now.subscriber);
    close_world(&w);
}

static void one_that_takes_less_goes_on_where_it_stopped(void **state)
{
    (void)state;
    world w;
    reader r = {.room = 2}, other = {0};
    open_world(&w, 1 << 20);
    subscribe(&w, &r, (hub_position){0}, 0);
    subscribe(&w, &other, (hub_position){0}, 0);
    publish_many(&w, "t", 4);
    hub_port_run(w.port);
    publish(&w, "t", "!");
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.2.");
    r.room = 4;
    hub_resume(&r.subscriber);
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.2.3.4.");
    r.room = 0;
    hub_resume(&r.subscriber);
    hub_port_run(w.port);
    publish(&w, "t", "?");
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.2.3.4.5!6?");
    assert_string_equal(other.said, r.said);
    hub_unsubscribe(&r.subscriber);
    hub_unsubscribe(&other.subscriber);
    close_world(&w);
}

static void one_that_fell_out_of_the_history_is_told_how_many_are_gone(void **state)
{
    (void)state;
    world w;
    reader r = {.room = 1};
    open_world(&w, 1 << 20);
    subscribe(&w, &r, (hub_position){0}, 0);
    publish_many(&w, "t", 9);
    hub_port_run(w.port);
    r.room = 0;
    hub_resume(&r.subscriber);
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.|5.6.7.8.9.");
    assert_int_equal(r.lost, 3);
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void a_worker_that_stands_still_serves_from_the_history(void **state)
{
    (void)state;
    world w;
    reader r = {0}, gone = {.leaves = true};
    open_world(&w, 1 << 20);
    set_rule(&w, "t*", (hub_history_limits){.messages = 5000, .bytes = 1 << 20});
    subscribe(&w, &r, (hub_position){0}, 0);
    subscribe(&w, &gone, (hub_position){0}, 0);
    publish_many(&w, "t", 3000);
    hub_port_run(w.port);
    assert_int_equal(r.gaps, 0);
    assert_int_equal(r.count, 3000);
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void a_history_outlives_its_listeners_and_ages(void **state)
{
    (void)state;
    world w;
    reader r = {0}, late = {0};
    open_world(&w, 1 << 20);
    hub_position had = publish(&w, "t", "a");
    publish(&w, "t", "b");
    clock_advance(59000);
    publish(&w, "t", "c");
    clock_advance(2000); /* a and b are too old now */
    subscribe(&w, &r, had, 9);
    hub_port_run(w.port);
    assert_int_equal(r.recovery, HUB_NOT_RECOVERED);
    assert_string_equal(r.said, "3c");
    hub_unsubscribe(&r.subscriber);
    clock_advance(600000);
    subscribe(&w, &late, (hub_position){had.epoch, 3}, 0);
    assert_int_equal(late.recovery, HUB_RECOVERED); /* nothing is left, and nothing was missed */
    hub_unsubscribe(&late.subscriber);
    close_world(&w);
}

static void bytes_bound_a_topic_and_the_newest_message_always_stays(void **state)
{
    (void)state;
    world w;
    reader r = {0};
    char large[700];
    open_world(&w, 1 << 20);
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    publish(&w, "t", large);
    publish(&w, "t", large);
    subscribe(&w, &r, (hub_position){0}, 5);
    hub_port_run(w.port);
    assert_int_equal(r.count, 1);
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static double evicted(void)
{
    double value = 0;
    metrics_get(SLICE("lunacast_history_evicted_total"), &value);
    return value;
}

static void all_together_are_bounded_and_the_least_used_loses_first(void **state)
{
    (void)state;
    world w;
    char text[900];
    double before = evicted(), bytes = 0;
    open_world(&w, 8000);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    hub_position first = publish(&w, "t", text);
    for (int i = 0; i < 20; i++) {
        char name[20];
        snprintf(name, sizeof name, "t%d", i);
        publish(&w, name, text);
    }
    assert_true(metrics_get(SLICE("lunacast_history_bytes"), &bytes));
    assert_in_range((int)bytes, 4000, 8000);
    assert_true(evicted() > before);
    reader r = {0};
    subscribe(&w, &r, first, 1);
    hub_port_run(w.port);
    assert_int_equal(r.count, 0);
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
    assert_true(metrics_get(SLICE("lunacast_history_bytes"), &bytes));
    assert_int_equal((int)bytes, 0);
}

static void set_rate(world *w, const char *pattern, uint32_t rate)
{
    hub_rules rules = {0};
    hub_rule rule = {.log = true, .rate = rate, .history = {.messages = 5, .bytes = 1000}};
    assert_true(hub_rules_add(&rules, slice_of(pattern), &rule));
    hub_set_rules(w->hub, &rules);
}

static void what_is_over_the_rate_is_left_out_and_told_once(void **state)
{
    (void)state;
    world w;
    reader r = {0};
    open_world(&w, 1 << 20);
    set_rate(&w, "t", 2);
    subscribe(&w, &r, (hub_position){0}, 0);
    for (int i = 0; i < 5; i++) {
        publish(&w, "t", ".");
        hub_port_run(w.port);
    }
    assert_string_equal(r.said, "1.2.|");
    assert_int_equal(r.lost, 0);
    clock_advance(500);
    publish_many(&w, "t", 3);
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.2.|6.|");
    clock_advance(5000);
    publish(&w, "t", "!");
    hub_port_run(w.port);
    assert_string_equal(r.said, "1.2.|6.|9!");
    hub_unsubscribe(&r.subscriber);
    close_world(&w);
}

static void the_best_rule_is_the_exact_name_then_the_longest_beginning(void **state)
{
    (void)state;
    hub_rules rules = {0};
    static const char *const patterns[] = {"*", "news.*", "news.sport.*", "news.sport.x", "a*b"};
    for (uint32_t i = 0; i < 5; i++)
        assert_true(hub_rules_add(&rules, slice_of(patterns[i]), &(hub_rule){.rate = i + 1}));
    assert_int_equal(hub_rules_find(&rules, SLICE("other")).rate, 1);
    assert_int_equal(hub_rules_find(&rules, SLICE("news.")).rate, 2);
    assert_int_equal(hub_rules_find(&rules, SLICE("news")).rate, 1);
    assert_int_equal(hub_rules_find(&rules, SLICE("news.sport.y")).rate, 3);
    assert_int_equal(hub_rules_find(&rules, SLICE("news.sport.x")).rate, 4);
    assert_int_equal(hub_rules_find(&rules, SLICE("a*b")).rate, 5);
    hub_rules_free(&rules);
    assert_int_equal(hub_rules_find(&rules, SLICE("x")).rate, 0);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(a_position_is_text_and_back),
        cmocka_unit_test(each_message_has_a_position_one_after_the_other),
        cmocka_unit_test(who_comes_back_gets_what_it_missed_and_then_what_comes),
        cmocka_unit_test(who_missed_nothing_is_told_so),
        cmocka_unit_test(who_was_away_too_long_gets_the_newest),
        cmocka_unit_test(the_oldest_that_is_kept_is_enough),
        cmocka_unit_test(a_new_one_may_ask_for_some_history),
        cmocka_unit_test(one_that_takes_less_goes_on_where_it_stopped),
        cmocka_unit_test(one_that_fell_out_of_the_history_is_told_how_many_are_gone),
        cmocka_unit_test(a_worker_that_stands_still_serves_from_the_history),
        cmocka_unit_test(a_history_outlives_its_listeners_and_ages),
        cmocka_unit_test(bytes_bound_a_topic_and_the_newest_message_always_stays),
        cmocka_unit_test(all_together_are_bounded_and_the_least_used_loses_first),
        cmocka_unit_test(what_is_over_the_rate_is_left_out_and_told_once),
        cmocka_unit_test(the_best_rule_is_the_exact_name_then_the_longest_beginning),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
