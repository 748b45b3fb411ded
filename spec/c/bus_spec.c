/* The hub across nodes: two hubs in one process, each a node of its own, joined by a Redis. */
#include "redis_server.h"

#include "hub.h"
#include "redis_bus.h"
#include <time.h>

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

/* A viewer that remembers what it saw. */
typedef struct {
    hub_subscriber subscriber;
    char newest[64];
    int count;
    bool ended;
} viewer;

static frame *encode(slice topic, const frame *data, uint64_t version, hub_position position)
{
    (void)position;
    (void)topic;
    (void)version;
    return frame_new(data->data, data->len);
}

static void deliver(hub_subscriber *s, frame *encoded, uint64_t version)
{
    viewer *v = LIST_ENTRY(s, viewer, subscriber);
    (void)version;
    v->count++;
    snprintf(v->newest, sizeof v->newest, "%.*s", (int)encoded->len, encoded->data);
}

static void end(hub_subscriber *s, slice topic)
{
    (void)topic;
    LIST_ENTRY(s, viewer, subscriber)->ended = true;
}

static const hub_transport transport = {"spec", encode, deliver, end, 0, NULL, NULL, NULL};

typedef struct {
    uv_loop_t loop;
    uv_timer_t alive;
    redis_options *options;
    hub *hub;
    hub_port *port;
    redis_bus *bus;
    int refreshed;
    char refreshed_topic[64];
} node;

static void on_refresh(slice topic, void *arg)
{
    node *n = arg;
    n->refreshed++;
    snprintf(n->refreshed_topic, sizeof n->refreshed_topic, "%.*s", (int)topic.n, topic.p);
}

static void node_open(node *n)
{
    memset(n, 0, sizeof *n);
    uv_loop_init(&n->loop);
    uv_timer_init(&n->loop, &n->alive);
    uv_timer_start(&n->alive, on_alive, 1000, 1000);
    n->options = redis_at(&server, "", "");
    n->hub =
        hub_new(&(hub_options){.max_fps = 0, .keep_alive_ms = 1000000, .history_bytes = 1 << 30});
    n->bus = redis_bus_new(n->hub, n->options);
    n->port = hub_port_new(n->hub, &n->loop);
    redis_bus_attach(n->bus, n->port, &n->loop);
    hub_on_refresh(n->port, on_refresh, n);
}

static void node_close(node *n)
{
    redis_bus_detach(n->bus, n->port);
    hub_port_close(n->port);
    uv_close((uv_handle_t *)&n->alive, NULL);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&n->loop), 0);
    redis_bus_free(n->bus);
    hub_free(n->hub);
    redis_options_free(n->options);
}

static node nodes[2];

static void turn(void)
{
    for (size_t i = 0; i < 2; i++) {
        uv_run(&nodes[i].loop, UV_RUN_NOWAIT);
        hub_port_run(nodes[i].port);
    }
    usleep(1000);
}

#define UNTIL(condition)                           \
    do {                                           \
        uint64_t deadline = clock_ms() + 60000;    \
        while (!(condition)) {                     \
            turn();                                \
            if (clock_ms() > deadline)             \
                fail_msg("never: %s", #condition); \
        }                                          \
    } while (0)

static void turn_for(uint64_t ms)
{
    uint64_t deadline = clock_ms() + ms;
    while (clock_ms() < deadline)
        turn();
}

static int published, publish_failed;

static void on_published(void *ctx, int status, hub_position position)
{
    (void)position;
    (void)ctx;
    *(status == 0 ? &published : &publish_failed) += 1;
}

static void publish(node *n, const char *topic, const char *text, uint64_t version)
{
    frame *f = frame_new(text, strlen(text));
    hub_publish(n->port, slice_of(topic), f, (hub_meta){.version = version}, on_published, NULL);
    frame_drop(f);
}

static void on_ready(void *arg, int status)
{
    *(int *)arg = status == 0 ? 1 : -1;
}

/* Subscribes and waits until Redis has confirmed. */
static void watch(node *n, const char *topic, viewer *v)
{
    int ready = 0;
    *v = (viewer){0};
    hub_watch *w = hub_watch_start(n->port, slice_of(topic), on_ready, &ready);
    UNTIL(ready != 0);
    assert_int_equal(ready, 1);
    hub_subscribe(n->port, slice_of(topic), &v->subscriber, &transport);
    hub_unwatch(w);
}

static void open_both(void)
{
    published = publish_failed = 0;
    node_open(&nodes[0]);
    node_open(&nodes[1]);
}

static void close_both(void)
{
    node_close(&nodes[0]);
    node_close(&nodes[1]);
    assert_int_equal(frame_alive(), 0);
}

static void a_message_reaches_the_viewers_of_every_node(void **state)
{
    (void)state;
    viewer here, there, other;
    open_both();
    watch(&nodes[0], "a", &here);
    watch(&nodes[1], "a", &there);
    watch(&nodes[1], "b", &other);
    publish(&nodes[0], "a", "one", 1);
    UNTIL(here.count == 1 && there.count == 1 && published == 1);
    assert_string_equal(here.newest, "one");
    assert_string_equal(there.newest, "one");
    publish(&nodes[1], "a", "two", 2);
    UNTIL(strcmp(here.newest, "two") == 0 && strcmp(there.newest, "two") == 0);
    assert_int_equal(other.count, 0);
    hub_unsubscribe(&here.subscriber);
    hub_unsubscribe(&there.subscriber);
    hub_unsubscribe(&other.subscriber);
    close_both();
}

static void an_older_version_never_follows_a_newer_one(void **state)
{
    (void)state;
    viewer v;
    open_both();
    watch(&nodes[1], "a", &v);
    publish(&nodes[0], "a", "new", 5);
    publish(&nodes[1], "a", "old", 4);
    UNTIL(published == 2);
    turn_for(100);
    assert_string_equal(v.newest, "new");
    hub_unsubscribe(&v.subscriber);
    close_both();
}

static void any_bytes_are_a_topic_and_a_message(void **state)
{
    (void)state;
    viewer v;
    open_both();
    watch(&nodes[1], "user:\x01 *?[a]\\\xff", &v);
    publish(&nodes[0], "user:\x01 *?[a]\\\xff", "\x01\r\n$5\r\n\xff", 1);
    UNTIL(v.count == 1);
    assert_string_equal(v.newest, "\x01\r\n$5\r\n\xff");
    hub_unsubscribe(&v.subscriber);
    close_both();
}

static long channels(void)
{
    char shell[200], line[64] = "0";
    snprintf(shell, sizeof shell, "redis-cli -p %d pubsub channels | grep -c .", server.port);
    FILE *f = popen(shell, "r");
    if (fgets(line, sizeof line, f) == NULL)
        line[0] = '0';
    pclose(f);
    return strtol(line, NULL, 10);
}

static void a_topic_without_viewers_is_left(void **state)
{
    (void)state;
    viewer v;
    open_both();
    watch(&nodes[0], "a", &v);
    assert_int_equal(channels(), 1);
    hub_unsubscribe(&v.subscriber);
    UNTIL(channels() == 0);
    for (int i = 0; i < 50; i++) {
        watch(&nodes[0], "a", &v);
        if (i < 49)
            hub_unsubscribe(&v.subscriber);
    }
    publish(&nodes[1], "a", "x", 1);
    UNTIL(v.count == 1);
    hub_unsubscribe(&v.subscriber);
    close_both();
}

static void after_a_restart_of_redis_all_is_joined_again_and_refreshed(void **state)
{
    (void)state;
    viewer here, there;
    open_both();
    watch(&nodes[0], "a", &here);
    watch(&nodes[1], "a", &there);
    nodes[0].refreshed = nodes[1].refreshed = 0;
    redis_stop(&server, SIGKILL);
    turn_for(300);
    publish(&nodes[0], "a", "lost", 1);
    UNTIL(publish_failed == 1);
    redis_start(&server);
    uint64_t back = clock_ms();
    UNTIL(nodes[0].refreshed > 0 && nodes[1].refreshed > 0);
    assert_in_range(clock_ms() - back, 0, 5000); /* a second, where the machine has time */
    assert_string_equal(nodes[1].refreshed_topic, "a");
    publish(&nodes[0], "a", "found", 2);
    UNTIL(strcmp(here.newest, "found") == 0 && strcmp(there.newest, "found") == 0);
    hub_unsubscribe(&here.subscriber);
    hub_unsubscribe(&there.subscriber);
    close_both();
}

static void a_frozen_redis_is_noticed_by_the_subscribe_link(void **state)
{
    (void)state;
    viewer v;
    open_both();
    watch(&nodes[1], "a", &v);
    turn_for(1500);
    nodes[1].refreshed = 0;
    kill(server.pid, SIGSTOP);
    turn_for(5500);
    kill(server.pid, SIGCONT);
    UNTIL(nodes[1].refreshed > 0);
    publish(&nodes[0], "a", "x", 1);
    UNTIL(v.count == 1);
    hub_unsubscribe(&v.subscriber);
    close_both();
}

static void viewers_that_come_while_redis_is_away_are_joined_later(void **state)
{
    (void)state;
    viewer v = {0};
    redis_stop(&server, SIGKILL);
    open_both();
    hub_subscribe(nodes[1].port, SLICE("late"), &v.subscriber, &transport);
    turn_for(500);
    redis_start(&server);
    UNTIL(channels() == 1);
    publish(&nodes[0], "late", "x", 1);
    UNTIL(v.count == 1);
    hub_unsubscribe(&v.subscriber);
    close_both();
}

/* CPU time of this process, which both nodes are in: the machine may have other things to do. */
static int cpu_ms(void)
{
    return (int)(clock() / (CLOCKS_PER_SEC / 1000));
}

static void a_hundred_thousand_topics_are_joined_again_quickly(void **state)
{
    (void)state;
    enum { TOPICS = 100000 };
    viewer *viewers = mem_alloc(TOPICS * sizeof *viewers);
    char topic[32];
    open_both();
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "topic:%d", i);
        hub_subscribe(nodes[1].port, slice_of(topic), &viewers[i].subscriber, &transport);
    }
    UNTIL(channels() == TOPICS && nodes[1].refreshed >= TOPICS);
    nodes[1].refreshed = 0;
    redis_cli(&server, "client kill type pubsub");
    int before = cpu_ms();
    UNTIL(nodes[1].refreshed == TOPICS);
    print_message("           joined again in %d ms of CPU\n", cpu_ms() - before);
    assert_in_range(cpu_ms() - before, 0, 5000);
    publish(&nodes[0], "topic:99999", "x", 1);
    UNTIL(viewers[TOPICS - 1].count == 1);
    for (int i = 0; i < TOPICS; i++)
        hub_unsubscribe(&viewers[i].subscriber);
    UNTIL(channels() == 0);
    close_both();
    free(viewers);
}

static size_t take(hub_subscriber *s, frame *const *encoded, size_t n)
{
    (void)encoded;
    LIST_ENTRY(s, viewer, subscriber)->count += (int)n;
    return n;
}

static int followers; /* that have begun */

static void begun(hub_subscriber *s, hub_position at, hub_recovery recovery)
{
    (void)s, (void)at, (void)recovery;
    followers++;
}

static void no_gap(hub_subscriber *s, uint64_t lost)
{
    (void)s, (void)lost;
    fail_msg("a gap");
}

static const hub_transport of_messages = {
    .name = "log", .encode = encode, .index = 1, .messages = take, .gap = no_gap, .begun = begun};

static void say(node *n, const char *topic)
{
    frame *f = frame_new("m", 1);
    hub_publish(n->port, slice_of(topic), f, (hub_meta){.log = true}, on_published, NULL);
    frame_drop(f);
}

static void
more_histories_than_the_link_has_room_for_are_read_again_beside_other_commands(void **state)
{
    (void)state;
    enum { TOPICS = REDIS_QUEUE_MAX + 2000 };
    viewer *viewers = mem_alloc(TOPICS * sizeof *viewers);
    char topic[32];
    open_both();
    for (size_t i = 0; i < 2; i++) {
        hub_rules rules = {0};
        hub_rule rule = {.log = true, .history = {.messages = 9, .bytes = 999, .age_ms = 60000}};
        hub_rules_add(&rules, SLICE("log:*"), &rule);
        hub_set_rules(nodes[i].hub, &rules);
    }
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "log:%d", i);
        hub_subscribe_log(nodes[1].port, slice_of(topic), &viewers[i].subscriber, &of_messages,
                          NULL);
    }
    UNTIL(nodes[1].refreshed >= TOPICS && followers == TOPICS);
    nodes[1].refreshed = 0;
    redis_cli(&server, "client kill type pubsub");
    say(&nodes[0], topic);
    published = publish_failed = 0;
    UNTIL(nodes[1].refreshed == TOPICS);
    for (int i = 0; i < 10; i++)
        say(&nodes[1], "log:0");
    UNTIL(viewers[TOPICS - 1].count == 1 && viewers[0].count == 10);
    assert_int_equal(publish_failed, 0);
    for (int i = 0; i < TOPICS; i++)
        hub_unsubscribe(&viewers[i].subscriber);
    close_both();
    free(viewers);
}

#define SPEC(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    const struct CMUnitTest specs[] = {
        SPEC(a_message_reaches_the_viewers_of_every_node),
        SPEC(an_older_version_never_follows_a_newer_one),
        SPEC(any_bytes_are_a_topic_and_a_message),
        SPEC(a_topic_without_viewers_is_left),
        SPEC(after_a_restart_of_redis_all_is_joined_again_and_refreshed),
        SPEC(a_frozen_redis_is_noticed_by_the_subscribe_link),
        SPEC(viewers_that_come_while_redis_is_away_are_joined_later),
        SPEC(a_hundred_thousand_topics_are_joined_again_quickly),
        SPEC(more_histories_than_the_link_has_room_for_are_read_again_beside_other_commands),
    };
    return cmocka_run_group_tests(specs, NULL, NULL);
}
