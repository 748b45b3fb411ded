/* Connections: bytes, batches, queues, closing, deadlines. */
#include "net_rig.h"

static void bytes_arrive_and_the_end_is_told(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    turn(2);
    assert_memory_equal(seen.data, "abc", 3);
    shutdown(peer, SHUT_WR);
    turn(2);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.closed, 0);
    conn_write(c, "still", 5);
    assert_int_equal(drain_peer(peer), 5);
    conn_close(c);
    turn(2);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(peer_result(peer), 0);
    close(peer);
}

static void answer_in_many_writes(conn *c)
{
    for (int i = 0; i < 100; i++)
        conn_write(c, "0123456789", 10);
    memcpy(conn_reserve(c, 10), "abcdefghij", 10);
    conn_commit(c, 10);
    assert_int_equal(conn_queued(c), 1010);
}

static void what_is_written_in_on_data_leaves_in_one_packet(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    conn *c = conn_open(pool, pair[0], NULL);
    conn_set_owner(c, &ops, NULL);
    seen.react = answer_in_many_writes;
    assert_int_equal(send(pair[1], "x", 1, 0), 1);
    turn(2);
    char bytes[2000];
    assert_int_equal(recv(pair[1], bytes, sizeof bytes, 0), 1010);
    assert_int_equal(recv(pair[1], bytes, sizeof bytes, 0), -1);
    assert_int_equal(conn_queued(c), 0);
    close(pair[1]);
}

static void frames_are_kept_by_reference_and_arrive_in_order(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(100000);
    frame *f = frame_new(bytes, 100000);
    for (int i = 0; i < 10; i++) {
        conn_write_frame(c, f);
        conn_write(c, "tail", 4);
    }
    assert_int_equal(frame_alive(), 1);
    frame_drop(f);
    assert_int_equal(frame_alive(), 1);
    assert_true(conn_queued(c) > 500000);
    size_t total = 0;
    for (int i = 0; i < 200 && total < 1000040; i++) {
        total += drain_peer(peer);
        turn(1);
    }
    assert_int_equal(total, 1000040);
    assert_int_equal(conn_queued(c), 0);
    assert_int_equal(seen.drained, 1);
    assert_int_equal(frame_alive(), 0);
    free(bytes);
    close(peer);
}

static void a_connection_that_is_behind_copies_no_frame(void **state)
{
    (void)state;
    int peer;
    char bytes[1000] = "";
    conn *c = connect_pair(&peer);
    frame *f = frame_new(bytes, sizeof bytes), *tiny = frame_new("tiny", 4);
    while (conn_queued(c) == 0)
        conn_write_frame(c, f);
    uint32_t held = f->refs;
    assert_true(conn_cork(c)); /* as for several messages at once */
    for (int i = 0; i < 100; i++) {
        conn_write_frame(c, f);
        conn_write_frame(c, tiny);
    }
    conn_uncork(c);
    assert_int_equal(f->refs, held + 100);
    assert_int_equal(tiny->refs, 1); /* a reference costs more */
    frame_drop(f);
    frame_drop(tiny);
    while (conn_queued(c) > 0) {
        drain_peer(peer);
        turn(1);
    }
    assert_int_equal(frame_alive(), 0);
    close(peer);
}

static void a_paused_connection_is_held_back_and_goes_on(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_pause(c);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    turn(3);
    assert_int_equal(seen.calls, 0);
    conn_resume(c);
    turn(3);
    assert_int_equal(seen.len, 3);
    close(peer);
}

static void closing_flushes_first(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(1000000);
    conn_write(c, bytes, 1000000);
    assert_true(conn_queued(c) > 0);
    conn_close(c);
    conn_write(c, "never", 5);
    size_t total = 0;
    for (int i = 0; i < 200 && total < 1000000; i++) {
        total += drain_peer(peer);
        turn(1);
    }
    assert_int_equal(total, 1000000);
    turn(2);
    assert_int_equal(peer_result(peer), 0);
    assert_int_equal(seen.closed, 0);
    close(peer);
    turn(3);
    assert_int_equal(seen.closed, 1);
    free(bytes);
}

static void lingering_ends_after_its_time(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_close(c);
    turn(2);
    assert_int_equal(seen.closed, 0);
    assert_int_equal(send(peer, "ignored", 7, 0), 7);
    turn(1700);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(seen.calls, 0);
    close(peer);
}

static void a_stalled_write_is_cut_and_progress_prevents_it(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    char *bytes = mem_alloc(4000000);
    conn_write(c, bytes, 4000000);
    for (int i = 0; i < 3; i++) {
        clock_advance(20000);
        turn(300);
        assert_true(drain_peer(peer) > 0);
        turn(300);
    }
    assert_int_equal(seen.closed, 0);
    clock_advance(31000);
    turn(800);
    assert_int_equal(seen.closed, 1);
    free(bytes);
    close(peer);
}

static void deadlines_come_once_and_can_be_moved(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_deadline(c, 5000);
    conn_deadline(c, 60000);
    clock_advance(10000);
    turn(800);
    assert_int_equal(seen.deadlines, 0);
    conn_deadline(c, 5000);
    clock_advance(6000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    conn_deadline(c, 5000);
    conn_deadline(c, 0);
    clock_advance(300000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    conn_deadline(c, 300000); /* beyond one turn of the wheel */
    clock_advance(299000);
    turn(800);
    assert_int_equal(seen.deadlines, 1);
    turn(1000);
    assert_int_equal(seen.deadlines, 2);
    close(peer);
}

static void move_deadline(conn *c)
{
    conn_deadline(c, 10000);
}

static void bytes_that_waited_while_we_were_stopped_count_before_deadlines(void **state)
{
    (void)state;
    int peer;
    conn *c = connect_pair(&peer);
    conn_deadline(c, 10000);
    turn(600);
    seen.react = move_deadline;
    assert_int_equal(send(peer, "x", 1, 0), 1);
    clock_advance(3600000);
    turn(1000);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.deadlines, 0);
    close(peer);
}

static void an_aborted_tcp_connection_is_reset(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    int peer = dial(address.port);
    turn(3);
    assert_string_equal(greeted.peer, "127.0.0.1");
    conn_write(greeted.last, "half", 4);
    conn_abort(greeted.last);
    turn(3);
    drain_peer(peer);
    assert_int_equal(seen.closed, 1);
    assert_int_equal(errno, ECONNRESET);
    close(peer);
    stop_listening();
}

static void a_reset_by_the_peer_is_noticed_even_when_paused_or_ended(void **state)
{
    (void)state;
    listen_address address;
    int fd = listen_on("127.0.0.1:0", &address);
    serve(fd);
    struct linger hard = {1, 0};
    for (int kind = 0; kind < 3; kind++) {
        int peer = dial(address.port);
        turn(3);
        if (kind == 1) {
            conn_pause(greeted.last);
            assert_int_equal(send(peer, "x", 1, 0), 1);
        } else if (kind == 2) {
            shutdown(peer, SHUT_WR);
        }
        turn(3);
        setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(peer);
        turn(3);
        assert_int_equal(seen.closed, kind + 1);
    }
    stop_listening();
}

static void a_bad_descriptor_gives_no_connection(void **state)
{
    (void)state;
    assert_null(conn_open(pool, open("/dev/null", O_RDWR), NULL));
    assert_null(conn_open(pool, -1, NULL));
    assert_int_equal(conn_pool_count(pool), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(bytes_arrive_and_the_end_is_told),
        SPEC(what_is_written_in_on_data_leaves_in_one_packet),
        SPEC(frames_are_kept_by_reference_and_arrive_in_order),
        SPEC(a_connection_that_is_behind_copies_no_frame),
        SPEC(a_paused_connection_is_held_back_and_goes_on),
        SPEC(closing_flushes_first),
        SPEC(lingering_ends_after_its_time),
        SPEC(a_stalled_write_is_cut_and_progress_prevents_it),
        SPEC(deadlines_come_once_and_can_be_moved),
        SPEC(bytes_that_waited_while_we_were_stopped_count_before_deadlines),
        SPEC(an_aborted_tcp_connection_is_reset),
        SPEC(a_reset_by_the_peer_is_noticed_even_when_paused_or_ended),
        SPEC(a_bad_descriptor_gives_no_connection),
    };
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
