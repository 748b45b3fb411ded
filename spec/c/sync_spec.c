/* How a node comes to know a topic's history from a remote, and mends what it missed: with a remote
 * that answers when the spec says so. */
#include "hub.h"

#include "clock.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The remote -------------------------------------------------------------------------------- */

typedef struct {
    uint64_t epoch, first, last; /* what it has kept */
    hub_past past;
    hub_remote_query query;
    hub_history_done done; /* NULL: nobody asks */
    void *ctx;
    int reads;
} remote;

static void join(void *arg, slice topic)
{
    (void)arg;
    (void)topic;
}

static void publish(void *arg, hub_port *from, slice topic, slice payload, hub_published done,
                    void *ctx)
{
    (void)arg, (void)from, (void)topic, (void)payload;
    done(ctx, 0, (hub_position){0});
}

static void keep(void *arg, hub_port *from, slice topic, slice data, const hub_rule *rule,
                 uint64_t epoch, hub_published done, void *ctx)
{
    (void)arg, (void)from, (void)topic, (void)data, (void)rule, (void)epoch;
    done(ctx, 0, (hub_position){0});
}

static void read_kept(void *arg, hub_port *from, slice topic, const hub_remote_query *query,
                      hub_history_done done, void *ctx)
{
    remote *r = arg;
    (void)from, (void)topic;
    assert_null(r->done); /* one reading of a topic at a time */
    r->query = *query;
    r->done = done;
    r->ctx = ctx;
    r->reads++;
}

static frame *message(uint64_t offset)
{
    char text[24];
    return frame_new(text,
                     (size_t)snprintf(text, sizeof text, "%llu.", (unsigned long long)offset));
}

static void answer(remote *r, int status)
{
    hub_message items[64];
    hub_history_page page = {.items = items, .position = {r->epoch, r->last}, .past = r->past};
    hub_position since = r->query.since;
    bool same = hub_position_carry(&since, r->epoch, &r->past) && since.offset <= r->last;
    uint64_t from = same ? since.offset + 1 : 1;
    hub_history_done done = r->done;
    assert_non_null(done);
    for (uint64_t o = from > r->first ? from : r->first; o <= r->last; o++)
        items[page.n++] = (hub_message){message(o), o, clock_wall_ms()};
    r->done = NULL;
    done(r->ctx, status, status == 0 ? &page : NULL);
    for (size_t i = 0; i < page.n; i++)
        frame_drop(items[i].data);
}

/* A subscriber ------------------------------------------------------------------------------ */

typedef struct {
    hub_subscriber subscriber;
    char said[512];
    int begun, ended;
    hub_position at;
    hub_recovery recovery;
} reader;

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)topic, (void)version, (void)position;
    return frame_new(data->data, data->len);
}

static size_t take(hub_subscriber *s, frame *const *encoded, size_t n)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    for (size_t i = 0; i < n; i++)
        strncat(r->said, encoded[i]->data, encoded[i]->len);
    return n;
}

static void gap(hub_subscriber *s, uint64_t lost)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    size_t n = strlen(r->said);
    snprintf(r->said + n, sizeof r->said - n, "|%llu|", (unsigned long long)lost);
}

static void begun(hub_subscriber *s, hub_position at, hub_recovery recovery)
{
    reader *r = LIST_ENTRY(s, reader, subscriber);
    r->begun++;
    r->at = at;
    r->recovery = recovery;
}

static void end(hub_subscriber *s, slice topic)
{
    (void)topic;
    LIST_ENTRY(s, reader, subscriber)->ended++;
}

static const hub_transport transport = {.name = "read",
                                        .encode = encode,
                                        .end = end,
                                        .index = 1,
                                        .messages = take,
                                        .gap = gap,
                                        .begun = begun};

typedef struct {
    uv_loop_t loop;
    uv_timer_t awake; /* the port's handles alone keep no loop running */
    hub *hub;
    hub_port *port;
    remote remote;
    reader reader;
} world;

static void turn(world *w)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
    hub_port_run(w->port);
}

static void open_world(world *w, uint64_t first, uint64_t last)
{
    hub_rules rules = {0};
    hub_rule rule = {.log = true, .history = {.messages = 20, .bytes = 10000, .age_ms = 60000}};
    *w = (world){.remote = {.epoch = 7, .first = first, .last = last}};
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->awake);
    uv_timer_start(&w->awake, (uv_timer_cb)(void (*)(void))abort, 90000, 0);
    w->hub = hub_new(&(hub_options){.history_bytes = 1 << 20});
    hub_set_remote(w->hub, &(hub_remote){join, join, publish, keep, read_kept, &w->remote, NULL});
    w->port = hub_port_new(w->hub, &w->loop);
    hub_rules_add(&rules, SLICE("t"), &rule);
    hub_set_rules(w->hub, &rules);
}

static void subscribe(world *w, reader *r, hub_position since)
{
    *r = (reader){.begun = 0};
    hub_subscribe_log(w->port, SLICE("t"), &r->subscriber, &transport,
                      &(hub_log_start){.since = since});
}

/* Follows the topic, which has been read. */
static void follow(world *w, hub_position since)
{
    subscribe(w, &w->reader, since);
    hub_joined(w->hub, SLICE("t"));
    turn(w);
    answer(&w->remote, 0);
    turn(w);
    assert_int_equal(w->reader.begun, 1);
}

static void close_world(world *w)
{
    hub_unsubscribe(&w->reader.subscriber);
    if (w->remote.done != NULL)
        answer(&w->remote, -1);
    hub_port_close(w->port);
    uv_close((uv_handle_t *)&w->awake, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hub_free(w->hub);
    assert_int_equal(frame_alive(), 0);
}

static void receive(world *w, uint64_t epoch, uint64_t offset)
{
    frame *f = message(offset);
    hub_receive_kept(w->hub, SLICE("t"), (slice){f->data, f->len}, (hub_position){epoch, offset},
                     clock_wall_ms());
    frame_drop(f);
}

/* Specs ------------------------------------------------------------------------------------- */

static void a_subscriber_begins_when_the_history_was_read(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 4);
    subscribe(&w, &w.reader, (hub_position){7, 2});
    turn(&w);
    assert_int_equal(w.reader.begun, 0);
    hub_joined(w.hub, SLICE("t"));
    turn(&w);
    receive(&w, 7, 5); /* between the question and the answer */
    turn(&w);
    assert_int_equal(w.reader.begun, 0);
    answer(&w.remote, 0);
    turn(&w);
    assert_int_equal(w.reader.recovery, HUB_RECOVERED);
    assert_int_equal(w.reader.at.offset, 2);
    assert_string_equal(w.reader.said, "3.4.5.");
    receive(&w, 7, 6);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.5.6.");
    assert_int_equal(w.remote.reads, 1);
    close_world(&w);
}

static void a_hole_is_mended_in_order(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 3);
    receive(&w, 7, 6);
    receive(&w, 7, 7);
    turn(&w);
    assert_string_equal(w.reader.said, "3.");
    assert_int_equal(w.remote.query.since.offset, 3);
    w.remote.last = 6;
    receive(&w, 7, 8);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.5.6.7.8.");
    assert_int_equal(w.remote.reads, 2);
    close_world(&w);
}

static void what_is_gone_for_good_is_told_where_it_is_missing(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 6);
    turn(&w);
    w.remote.first = 5;
    w.remote.last = 6;
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "|2|5.6.");
    close_world(&w);
}

static void a_message_that_comes_twice_goes_on_once(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 2);
    receive(&w, 7, 3);
    receive(&w, 7, 3);
    turn(&w);
    assert_string_equal(w.reader.said, "3.");
    assert_int_equal(w.remote.reads, 1);
    close_world(&w);
}

static void after_a_lost_link_what_was_missed_is_read(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    w.remote.last = 4;
    hub_relinked(w.hub);
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.");
    hub_relinked(w.hub);
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.");
    close_world(&w);
}

static void another_epoch_is_a_gap_of_unknown_size(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 9, 1);
    turn(&w);
    w.remote.epoch = 9;
    w.remote.last = 1;
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "|0|1.");
    close_world(&w);
}

static void an_epoch_that_goes_on_in_another_costs_nobody_a_message(void **state)
{
    (void)state;
    world w;
    reader back;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 9, 3);
    turn(&w);
    w.remote.epoch = 9;
    w.remote.past.ends[0] = (hub_position){7, 2};
    w.remote.last = 3;
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.");
    subscribe(&w, &back, (hub_position){7, 2});
    turn(&w);
    assert_int_equal(back.recovery, HUB_RECOVERED);
    assert_string_equal(back.said, "3.");
    receive(&w, 9, 4);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.");
    assert_string_equal(back.said, "3.4.");
    assert_int_equal(w.remote.reads, 2);
    hub_unsubscribe(&back.subscriber);
    close_world(&w);
}

static void of_several_epochs_in_a_row_each_goes_on_as_far_as_it_came(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    w.remote.epoch = 11; /* 7 went on into 9 while nobody looked, and that into 11 */
    w.remote.past = (hub_past){{{9, 4}, {7, 2}}};
    w.remote.last = 6;
    hub_relinked(w.hub);
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.5.6.");
    const struct {
        hub_position since;
        hub_recovery recovery;
    } cases[] = {{{7, 2}, HUB_RECOVERED}, {{7, 3}, HUB_NOT_RECOVERED}, {{9, 1}, HUB_RECOVERED},
                 {{9, 4}, HUB_RECOVERED}, {{9, 5}, HUB_NOT_RECOVERED}, {{8, 1}, HUB_NOT_RECOVERED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reader back;
        subscribe(&w, &back, cases[i].since);
        turn(&w);
        if (w.remote.done != NULL)
            answer(&w.remote, 0);
        turn(&w);
        assert_int_equal(back.recovery, cases[i].recovery);
        hub_unsubscribe(&back.subscriber);
    }
    close_world(&w);
}

static void what_an_epoch_had_beyond_its_end_is_lost_to_those_who_saw_it(void **state)
{
    (void)state;
    world w;
    reader back;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 3);
    turn(&w);
    w.remote.epoch = 9;
    w.remote.past.ends[0] = (hub_position){7, 2};
    w.remote.last = 5; /* 3 is another message */
    hub_relinked(w.hub);
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.|0|1.2.3.4.5.");
    subscribe(&w, &back, (hub_position){7, 3});
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_int_equal(back.recovery, HUB_NOT_RECOVERED);
    hub_unsubscribe(&back.subscriber);
    close_world(&w);
}

static void a_message_of_an_epoch_that_is_over_is_not_waited_for(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 9); /* the last that came over the old link */
    turn(&w);
    w.remote.epoch = 9;
    w.remote.last = 1;
    answer(&w.remote, 0);
    turn(&w);
    assert_null(w.remote.done);
    assert_string_equal(w.reader.said, "|0|1.");
    receive(&w, 9, 2);
    turn(&w);
    assert_string_equal(w.reader.said, "|0|1.2.");
    close_world(&w);
}

static void run_while(world *w, const int *counter, int value)
{
    while (*counter == value)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static void a_reading_that_fails_is_begun_again(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 5);
    turn(&w);
    answer(&w.remote, -1);
    turn(&w);
    assert_null(w.remote.done);
    run_while(&w, &w.remote.reads, w.remote.reads);
    w.remote.last = 5;
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "3.4.5.");
    close_world(&w);
}

/* The second's tick may come before the topic's last mail is read. */
static void what_has_ended_is_not_read_again(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    receive(&w, 7, 5);
    turn(&w);
    answer(&w.remote, -1);
    turn(&w);
    int reads = w.remote.reads;
    hub_publish_local(w.port, SLICE("t"), NULL, (hub_meta){.ended = true});
    run_while(&w, &w.reader.ended, 0);
    assert_int_equal(w.remote.reads, reads);
    close_world(&w);
}

static void a_client_that_is_ahead_of_this_node_is_not_told_wrong(void **state)
{
    (void)state;
    world w;
    reader ahead, liar;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    subscribe(&w, &ahead, (hub_position){7, 4}); /* 3 and 4 are on their way to us */
    turn(&w);
    assert_int_equal(ahead.begun, 0);
    w.remote.last = 5;
    answer(&w.remote, 0);
    turn(&w);
    assert_int_equal(ahead.recovery, HUB_RECOVERED);
    assert_string_equal(ahead.said, "5.");
    assert_string_equal(w.reader.said, "3.4.5.");
    subscribe(&w, &liar, (hub_position){7, 99});
    turn(&w);
    answer(&w.remote, 0);
    turn(&w);
    assert_int_equal(liar.recovery, HUB_NOT_RECOVERED);
    assert_string_equal(liar.said, "5.");
    receive(&w, 7, 6);
    turn(&w);
    assert_string_equal(liar.said, "5.6.");
    hub_unsubscribe(&ahead.subscriber);
    hub_unsubscribe(&liar.subscriber);
    close_world(&w);
}

static void on_ready(void *arg, int status)
{
    *(int *)arg = status == 0 ? 1 : -1;
}

static void a_watch_waits_for_what_a_client_may_have_seen(void **state)
{
    (void)state;
    world w;
    int plain = 0, known = 0, ahead = 0;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    hub_watch *a = hub_watch_start(w.port, SLICE("t"), on_ready, &plain);
    hub_watch *b = hub_watch_since(w.port, SLICE("t"), (hub_position){7, 1}, on_ready, &known);
    hub_watch *c = hub_watch_since(w.port, SLICE("t"), (hub_position){7, 9}, on_ready, &ahead);
    assert_int_equal(plain + known, 2);
    turn(&w);
    assert_int_equal(ahead, 0);
    answer(&w.remote, 0);
    turn(&w);
    assert_int_equal(ahead, 1);
    hub_unwatch(a);
    hub_unwatch(b);
    hub_unwatch(c);
    close_world(&w);
}

static void a_topic_that_is_left_while_it_is_read_is_forgotten(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    subscribe(&w, &w.reader, (hub_position){0});
    hub_joined(w.hub, SLICE("t"));
    turn(&w);
    receive(&w, 7, 3);
    hub_unsubscribe(&w.reader.subscriber);
    remote old = w.remote;
    w.remote.done = NULL;
    subscribe(&w, &w.reader, (hub_position){7, 1});
    hub_joined(w.hub, SLICE("t"));
    turn(&w);
    hub_history_page none = {.position = {5, 5}};
    old.done(old.ctx, 0, &none); /* the answer to the one that is gone */
    turn(&w);
    assert_int_equal(w.reader.begun, 0);
    answer(&w.remote, 0);
    turn(&w);
    assert_string_equal(w.reader.said, "2.");
    close_world(&w);
}

static void more_than_can_be_held_is_read_again(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, 2);
    follow(&w, (hub_position){0});
    for (uint64_t o = 4; o < 4 + HUB_LOG_MESSAGES + 10; o++)
        receive(&w, 7, o);
    turn(&w);
    w.remote.last = 5;
    answer(&w.remote, 0);
    turn(&w);
    assert_non_null(w.remote.done);
    w.remote.last = 3 + HUB_LOG_MESSAGES + 10;
    w.remote.first = w.remote.last - 3;
    answer(&w.remote, 0);
    turn(&w);
    assert_memory_equal(w.reader.said, "3.4.5.|", 7);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest specs[] = {
        cmocka_unit_test(a_subscriber_begins_when_the_history_was_read),
        cmocka_unit_test(a_hole_is_mended_in_order),
        cmocka_unit_test(what_is_gone_for_good_is_told_where_it_is_missing),
        cmocka_unit_test(a_message_that_comes_twice_goes_on_once),
        cmocka_unit_test(after_a_lost_link_what_was_missed_is_read),
        cmocka_unit_test(another_epoch_is_a_gap_of_unknown_size),
        cmocka_unit_test(an_epoch_that_goes_on_in_another_costs_nobody_a_message),
        cmocka_unit_test(of_several_epochs_in_a_row_each_goes_on_as_far_as_it_came),
        cmocka_unit_test(what_an_epoch_had_beyond_its_end_is_lost_to_those_who_saw_it),
        cmocka_unit_test(a_message_of_an_epoch_that_is_over_is_not_waited_for),
        cmocka_unit_test(a_reading_that_fails_is_begun_again),
        cmocka_unit_test(what_has_ended_is_not_read_again),
        cmocka_unit_test(a_client_that_is_ahead_of_this_node_is_not_told_wrong),
        cmocka_unit_test(a_watch_waits_for_what_a_client_may_have_seen),
        cmocka_unit_test(a_topic_that_is_left_while_it_is_read_is_forgotten),
        cmocka_unit_test(more_than_can_be_held_is_read_again),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
