/* The hub: order, the newest value, pace, silence, ends, watches, several workers. */
#include "hub.h"

#include "clock.h"
#include "mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    hub_subscriber subscriber;
    int deliveries, ends;
    uint64_t version;
    char text[64];
    bool leaves; /* unsubscribes when it gets a value */
    struct viewer *other;
} viewer;

static _Atomic int encodings;

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    (void)topic;
    (void)version;
    encodings++;
    return frame_join("<", 1, data->data, data->len);
}

static void deliver(hub_subscriber *s, frame *encoded, uint64_t version)
{
    viewer *v = LIST_ENTRY(s, viewer, subscriber);
    v->deliveries++;
    assert_true(version >= v->version);
    v->version = version;
    snprintf(v->text, sizeof v->text, "%.*s", (int)encoded->len, encoded->data);
    if (v->leaves)
        hub_unsubscribe(s);
    if (v->other != NULL)
        hub_unsubscribe(&((viewer *)v->other)->subscriber);
}

static void end(hub_subscriber *s, slice topic)
{
    (void)topic;
    LIST_ENTRY(s, viewer, subscriber)->ends++;
}

static const hub_transport transport = {"test", encode, deliver, end, 0, NULL, NULL, NULL};

typedef struct {
    hub_subscriber subscriber;
    char said[256];
    size_t count;
    uint64_t lost;
    int gaps;
    bool leaves;
} reader;

static void read_message(reader *r, const frame *encoded)
{
    size_t n = strlen(r->said);
    r->count++;
    if (n + encoded->len < sizeof r->said)
        memcpy(r->said + n, encoded->data, encoded->len);
    if (r->leaves)
        hub_unsubscribe(&r->subscriber);
}

static size_t read_messages(hub_subscriber *s, frame *const *frames, size_t count)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    assert_true(count > 0);
    for (size_t i = 0; i < count && s->topic != NULL; i++)
        read_message(r, frames[i]);
    return count;
}
static void read_gap(hub_subscriber *s, uint64_t lost)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    assert_int_equal(r->count, 0); /* told before what follows the gap */
    r->lost += lost;
    r->gaps++;
}

static void read_end(hub_subscriber *s, slice topic)
{
    (void)s;
    (void)topic;
}

static const hub_transport reading = {"read", encode,        NULL,     read_end,
                                      1,      read_messages, read_gap, NULL};

/* Keeps a loop waiting for the hub's own, unreferenced timers. */
static void on_awake(uv_timer_t *timer)
{
    (void)timer;
}

typedef struct {
    uv_loop_t loop;
    hub *hub;
    hub_port *port;
} world;

static void open_world(world *w, uint32_t max_fps)
{
    hub_options options = {.max_fps = max_fps, .keep_alive_ms = 30000};
    uv_loop_init(&w->loop);
    w->hub = hub_new(&options);
    w->port = hub_port_new(w->hub, &w->loop);
    encodings = 0;
}

static void close_world(world *w)
{
    hub_port_close(w->port);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hub_free(w->hub);
    assert_int_equal(frame_alive(), 0);
}

static void publish(world *w, const char *topic, const char *text, uint64_t version)
{
    frame *f = frame_new(text, strlen(text));
    hub_publish(w->port, slice_of(topic), f, (hub_meta){.version = version}, NULL, NULL);
    frame_drop(f);
}

static void subscribe(world *w, const char *topic, viewer *v)
{
    hub_subscribe(w->port, slice_of(topic), &v->subscriber, &transport);
}

static void publish_message(world *w, const char *topic, const char *text)
{
    frame *f = frame_new(text, strlen(text));
    hub_publish(w->port, slice_of(topic), f, (hub_meta){.log = true}, NULL, NULL);
    frame_drop(f);
}

static void subscribe_log(world *w, const char *topic, reader *r)
{
    hub_subscribe_log(w->port, slice_of(topic), &r->subscriber, &reading, NULL);
}

static void every_message_reaches_its_subscribers_in_order_encoded_once(void **state)
{
    (void)state;
    world w;
    reader a = {0}, b = {0}, other = {0}, leaver = {.leaves = true}, late = {0};
    viewer newest = {0};
    open_world(&w, 1); /* the pace is for values only */
    subscribe_log(&w, "t", &a);
    subscribe_log(&w, "t", &leaver);
    subscribe_log(&w, "t", &b);
    subscribe_log(&w, "u", &other);
    subscribe(&w, "t", &newest);
    publish_message(&w, "t", "1");
    publish_message(&w, "t", "2");
    publish_message(&w, "t", "3");
    hub_port_run(w.port);
    subscribe_log(&w, "t", &late);
    publish_message(&w, "t", "4");
    hub_port_run(w.port);
    assert_string_equal(a.said, "<1<2<3<4");
    assert_string_equal(b.said, "<1<2<3<4");
    assert_string_equal(leaver.said, "<1");
    assert_string_equal(late.said, "<4");
    assert_int_equal(encodings, 4);
    assert_int_equal(other.count, 0);
    assert_int_equal(newest.deliveries, 0);
    assert_int_equal(hub_subscriber_count(w.hub, slice_of("t")), 4);
    publish(&w, "t", "value", 9);
    hub_port_run(w.port);
    assert_string_equal(newest.text, "<value");
    assert_int_equal(a.count, 4);
    hub_unsubscribe(&a.subscriber);
    hub_unsubscribe(&b.subscriber);
    hub_unsubscribe(&late.subscriber);
    publish_message(&w, "t", "5");
    hub_port_run(w.port);
    close_world(&w);
    assert_int_equal(newest.ends, 1);
}

static void a_worker_that_stands_still_loses_the_oldest_and_says_so(void **state)
{
    (void)state;
    world w;
    reader a = {0};
    open_world(&w, 0);
    subscribe_log(&w, "t", &a);
    for (int i = 0; i < HUB_LOG_MESSAGES + 7; i++)
        publish_message(&w, "t", i < 7 ? "old" : "new");
    hub_port_run(w.port);
    assert_int_equal(a.lost, 7);
    assert_int_equal(a.count, HUB_LOG_MESSAGES);
    assert_memory_equal(a.said, "<new<new", 8);
    close_world(&w);
}

static void a_worker_that_stands_still_holds_bytes_up_to_the_bound(void **state)
{
    (void)state;
    world w;
    reader a = {0};
    char *large = mem_alloc(HUB_LOG_BYTES / 4 + 1);
    memset(large, 'x', HUB_LOG_BYTES / 4);
    open_world(&w, 0);
    subscribe_log(&w, "t", &a);
    for (int i = 0; i < 6; i++)
        publish_message(&w, "t", large);
    hub_port_run(w.port);
    assert_int_equal(a.lost, 2);
    assert_int_equal(a.count, 4);
    free(large);
    close_world(&w);
}

static void every_subscriber_gets_the_value_encoded_once(void **state)
{
    (void)state;
    world w;
    viewer a = {0}, b = {0}, other = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    subscribe(&w, "t", &b);
    subscribe(&w, "u", &other);
    publish(&w, "t", "one", 1);
    hub_port_run(w.port);
    assert_string_equal(a.text, "<one");
    assert_string_equal(b.text, "<one");
    assert_int_equal(encodings, 1);
    assert_int_equal(other.deliveries, 0);
    assert_int_equal(hub_subscriber_count(w.hub, slice_of("t")), 2);
    close_world(&w);
    assert_int_equal(a.ends, 1);
}

static void a_late_subscriber_gets_the_newest_value(void **state)
{
    (void)state;
    world w;
    viewer a = {0}, late = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    publish(&w, "t", "one", 1);
    hub_port_run(w.port);
    subscribe(&w, "t", &late);
    assert_string_equal(late.text, "<one");
    hub_unsubscribe(&a.subscriber);
    hub_unsubscribe(&late.subscriber);
    close_world(&w);
}

static void an_older_version_is_never_delivered_after_a_newer(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    publish(&w, "t", "two", 2);
    publish(&w, "t", "one", 1);
    hub_port_run(w.port);
    publish(&w, "t", "again", 2);
    hub_port_run(w.port);
    assert_string_equal(a.text, "<two");
    assert_int_equal(a.deliveries, 1);
    close_world(&w);
}

static void a_burst_in_one_turn_is_one_delivery_of_the_newest(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    for (uint64_t i = 1; i <= 100; i++)
        publish(&w, "t", i == 100 ? "last" : "x", i);
    hub_port_run(w.port);
    assert_int_equal(a.deliveries, 1);
    assert_string_equal(a.text, "<last");
    close_world(&w);
}

static void the_pace_sends_the_first_at_once_and_ends_with_the_newest(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    open_world(&w, 10);
    subscribe(&w, "t", &a);
    publish(&w, "t", "first", 1);
    hub_port_run(w.port);
    assert_string_equal(a.text, "<first");
    for (uint64_t i = 2; i <= 9; i++) {
        publish(&w, "t", i == 9 ? "newest" : "x", i);
        hub_port_run(w.port);
    }
    assert_int_equal(a.deliveries, 1);
    clock_advance(100);
    for (int i = 0; i < 100 && a.deliveries < 2; i++)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_string_equal(a.text, "<newest");
    assert_int_equal(a.deliveries, 2);
    close_world(&w);
}

static void a_rule_s_rate_makes_a_topic_s_pace_slower_and_no_other_s(void **state)
{
    (void)state;
    world w;
    viewer slow = {0}, quick = {0};
    hub_rules rules = {0};
    open_world(&w, 100);
    hub_rules_add(&rules, SLICE("slow"), &(hub_rule){.rate = 2});
    hub_set_rules(w.hub, &rules);
    subscribe(&w, "slow", &slow);
    subscribe(&w, "quick", &quick);
    for (uint64_t i = 1; i <= 2; i++) {
        publish(&w, "slow", i == 1 ? "x" : "newest", i);
        publish(&w, "quick", i == 1 ? "x" : "newest", i);
        hub_port_run(w.port);
    }
    assert_int_equal(slow.deliveries, 1);
    clock_advance(10);
    for (int i = 0; i < 100 && quick.deliveries < 2; i++)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(quick.deliveries, 2);
    assert_int_equal(slow.deliveries, 1);
    clock_advance(490);
    for (int i = 0; i < 100 && slow.deliveries < 2; i++)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_string_equal(slow.text, "<newest");
    close_world(&w);
}

static void a_subscriber_may_leave_or_remove_another_while_it_is_served(void **state)
{
    (void)state;
    world w;
    viewer a = {.leaves = true}, b = {0}, c = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    subscribe(&w, "t", &b);
    subscribe(&w, "t", &c);
    b.other = (struct viewer *)&c;
    publish(&w, "t", "one", 1);
    hub_port_run(w.port);
    assert_int_equal(a.deliveries, 1);
    assert_int_equal(b.deliveries, 1);
    assert_int_equal(c.deliveries, 0);
    assert_int_equal(hub_subscriber_count(w.hub, slice_of("t")), 1);
    close_world(&w);
}

static void an_ended_topic_tells_its_subscribers_and_can_begin_again(void **state)
{
    (void)state;
    world w;
    viewer a = {0}, b = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    publish(&w, "t", "one", 5);
    hub_publish(w.port, slice_of("t"), NULL, (hub_meta){.ended = true}, NULL, NULL);
    hub_port_run(w.port);
    assert_int_equal(a.ends, 1);
    subscribe(&w, "t", &b);
    publish(&w, "t", "again", 1);
    hub_port_run(w.port);
    assert_string_equal(b.text, "<again");
    close_world(&w);
}

static void count_ready(void *arg, int status)
{
    assert_int_equal(status, 0);
    (*(int *)arg)++;
}

static void a_watch_keeps_the_topic_so_that_no_update_is_missed(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    int ready = 0;
    open_world(&w, 0);
    hub_watch *watch = hub_watch_start(w.port, slice_of("t"), count_ready, &ready);
    assert_int_equal(ready, 1);
    publish(&w, "t", "between", 3);
    uint64_t version = 0;
    frame *latest = hub_latest(w.port, slice_of("t"), &version);
    assert_non_null(latest);
    assert_int_equal(version, 3);
    frame_drop(latest);
    subscribe(&w, "t", &a);
    hub_unwatch(watch);
    hub_port_run(w.port);
    assert_string_equal(a.text, "<between");
    close_world(&w);
}

static void silence_is_broken_by_the_newest_value(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    publish(&w, "t", "one", 1);
    hub_port_run(w.port);
    clock_advance(30000);
    uv_timer_t awake;
    uv_timer_init(&w.loop, &awake);
    uv_timer_start(&awake, on_awake, 60000, 0);
    for (int i = 0; i < 100 && a.deliveries < 2; i++)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(a.deliveries, 2);
    assert_int_equal(encodings, 1);
    uv_close((uv_handle_t *)&awake, NULL);
    close_world(&w);
}

static void a_topic_ends_with_its_life(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    open_world(&w, 0);
    subscribe(&w, "t", &a);
    frame *f = frame_new("x", 1);
    hub_publish(w.port, slice_of("t"), f, (hub_meta){.version = 1, .ttl_ms = 5000}, NULL, NULL);
    frame_drop(f);
    hub_port_run(w.port);
    clock_advance(5000);
    uv_timer_t awake;
    uv_timer_init(&w.loop, &awake);
    uv_timer_start(&awake, on_awake, 60000, 0);
    for (int i = 0; i < 100 && a.ends == 0; i++)
        uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(a.ends, 1);
    uv_close((uv_handle_t *)&awake, NULL);
    close_world(&w);
}

/* Several workers ---------------------------------------------------------------------------- */

enum { WORKERS = 3, UPDATES = 2000 };

typedef struct {
    world w;
    hub *hub;
    viewer viewer;
    uv_sem_t ready;
    _Atomic bool *done;
} mate;

static void *work(void *arg)
{
    mate *m = arg;
    uv_loop_init(&m->w.loop);
    m->w.port = hub_port_new(m->hub, &m->w.loop);
    hub_subscribe(m->w.port, slice_of("t"), &m->viewer.subscriber, &transport);
    uv_sem_post(&m->ready);
    uv_timer_t awake;
    uv_timer_init(&m->w.loop, &awake);
    uv_timer_start(&awake, on_awake, 1, 1);
    while (m->viewer.version < UPDATES)
        uv_run(&m->w.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&awake, NULL);
    hub_port_close(m->w.port);
    uv_run(&m->w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&m->w.loop), 0);
    return NULL;
}

static void every_worker_ends_on_the_newest_in_order(void **state)
{
    (void)state;
    mate mates[WORKERS];
    pthread_t threads[WORKERS];
    world w;
    open_world(&w, 0);
    for (int i = 0; i < WORKERS; i++) {
        mates[i] = (mate){.hub = w.hub};
        uv_sem_init(&mates[i].ready, 0);
        pthread_create(&threads[i], NULL, work, &mates[i]);
    }
    for (int i = 0; i < WORKERS; i++)
        uv_sem_wait(&mates[i].ready);
    for (uint64_t v = 1; v <= UPDATES; v++)
        publish(&w, "t", v == UPDATES ? "last" : "x", v);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_string_equal(mates[i].viewer.text, "<last");
        uv_sem_destroy(&mates[i].ready);
    }
    close_world(&w);
}

/* A remote ----------------------------------------------------------------------------------- */

static int joins, leaves;
static hub *remote_hub;

static void join(void *arg, slice topic)
{
    (void)arg;
    (void)topic;
    joins++;
}

static void leave(void *arg, slice topic)
{
    (void)arg;
    (void)topic;
    leaves++;
}

static void publish_remote(void *arg, hub_port *from, slice topic, slice payload,
                           hub_published done, void *ctx)
{
    (void)arg;
    (void)from;
    hub_receive(remote_hub, topic, payload);
    if (done != NULL)
        done(ctx, 0, (hub_position){0});
}

static void refreshed(slice topic, void *arg)
{
    assert_true(slice_eq(topic, slice_of("t")));
    (*(int *)arg)++;
}

static void values_travel_through_a_remote_and_return(void **state)
{
    (void)state;
    world w;
    viewer a = {0};
    int ready = 0, refreshes = 0;
    hub_options options = {0};
    hub_remote remote = {join, leave, publish_remote, NULL, NULL, NULL, NULL};
    uv_loop_init(&w.loop);
    joins = leaves = 0;
    remote_hub = w.hub = hub_new(&options);
    hub_set_remote(w.hub, &remote);
    w.port = hub_port_new(w.hub, &w.loop);
    hub_on_refresh(w.port, refreshed, &refreshes);
    hub_watch *watch = hub_watch_start(w.port, slice_of("t"), count_ready, &ready);
    assert_int_equal(joins, 1);
    assert_int_equal(ready, 0);
    hub_joined(w.hub, slice_of("t"));
    hub_port_run(w.port);
    assert_int_equal(ready, 1);
    subscribe(&w, "t", &a);
    hub_unwatch(watch);
    publish(&w, "t", "line\nbreak", 7);
    hub_port_run(w.port);
    assert_string_equal(a.text, "<line\nbreak");
    reader message = {0};
    subscribe_log(&w, "t", &message);
    publish_message(&w, "t", "a\nmessage");
    hub_port_run(w.port);
    assert_string_equal(message.said, "<a\nmessage");
    assert_string_equal(a.text, "<line\nbreak");
    message.count = 0;
    hub_relinked(w.hub);
    hub_port_run(w.port);
    assert_int_equal(message.gaps, 1);
    assert_int_equal(refreshes, 1);
    hub_unsubscribe(&message.subscriber);
    hub_receive(w.hub, slice_of("t"), slice_of("rubbish"));
    hub_receive(w.hub, slice_of("t"), slice_of("1 8"));
    hub_relinked(w.hub);
    hub_port_run(w.port);
    assert_int_equal(refreshes, 2);
    hub_unsubscribe(&a.subscriber);
    assert_int_equal(leaves, 1);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_subscriber_gets_the_value_encoded_once),
        cmocka_unit_test(a_late_subscriber_gets_the_newest_value),
        cmocka_unit_test(an_older_version_is_never_delivered_after_a_newer),
        cmocka_unit_test(a_burst_in_one_turn_is_one_delivery_of_the_newest),
        cmocka_unit_test(the_pace_sends_the_first_at_once_and_ends_with_the_newest),
        cmocka_unit_test(a_rule_s_rate_makes_a_topic_s_pace_slower_and_no_other_s),
        cmocka_unit_test(a_subscriber_may_leave_or_remove_another_while_it_is_served),
        cmocka_unit_test(an_ended_topic_tells_its_subscribers_and_can_begin_again),
        cmocka_unit_test(a_watch_keeps_the_topic_so_that_no_update_is_missed),
        cmocka_unit_test(silence_is_broken_by_the_newest_value),
        cmocka_unit_test(a_topic_ends_with_its_life),
        cmocka_unit_test(every_message_reaches_its_subscribers_in_order_encoded_once),
        cmocka_unit_test(a_worker_that_stands_still_loses_the_oldest_and_says_so),
        cmocka_unit_test(a_worker_that_stands_still_holds_bytes_up_to_the_bound),
        cmocka_unit_test(every_worker_ends_on_the_newest_in_order),
        cmocka_unit_test(values_travel_through_a_remote_and_return),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
