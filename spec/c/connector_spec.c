/* Where a connection goes when a name server lies: the address that was checked is the one that is
 * connected to, whatever the name answers a moment later. This program's own getaddrinfo stands for
 * the name server. */
#include "clock.h"
#include "connector.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The name server ------------------------------------------------------------------------------ */

static const char *const *answers; /* of one look-up after another; the last one stays */
static atomic_int asked;

static struct addrinfo *one_address(const char *text, struct addrinfo *next)
{
    struct {
        struct addrinfo info;
        struct sockaddr_storage address;
    } *made = calloc(1, sizeof *made);
    struct sockaddr_in *v4 = (struct sockaddr_in *)&made->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&made->address;
    made->info = (struct addrinfo){.ai_family = AF_INET,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_addrlen = sizeof *v4,
                                   .ai_addr = (struct sockaddr *)&made->address,
                                   .ai_next = next};
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        return &made->info;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
    v6->sin6_family = AF_INET6;
    made->info.ai_family = AF_INET6;
    made->info.ai_addrlen = sizeof *v6;
    return &made->info;
}

/* An answer is one address or several, from the last to the first. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    (void)node;
    (void)service;
    (void)hints;
    char text[200], *rest = text;
    int n = atomic_fetch_add(&asked, 1);
    for (int i = 0; i < n && answers[1] != NULL; i++)
        answers++;
    snprintf(text, sizeof text, "%s", *answers);
    *found = NULL;
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL;)
        *found = one_address(word, *found);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

/* The rig -------------------------------------------------------------------------------------- */

static uv_loop_t loop;
static resolver *names;
static uint16_t port;
static int listener = -1;

static struct {
    int calls, fd;
    connect_result result;
} outcome;

static void on_done(void *arg, connect_result result, int fd, const char *why)
{
    (void)arg;
    (void)why;
    outcome.calls++;
    outcome.result = result;
    outcome.fd = fd;
}

/* Everybody who reaches this machine by whatever loopback address is seen here. */
static void start_listening(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 10), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    port = ntohs(address.sin_port);
}

static int start(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    names = resolver_new(&loop);
    atomic_store(&asked, 0);
    start_listening();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    close(listener);
    resolver_close(names);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* Which of our addresses was connected to; "": none. */
static const char *reached(void)
{
    static char text[INET_ADDRSTRLEN];
    struct sockaddr_in address;
    socklen_t n = sizeof address;
    *text = '\0';
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return text;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    close(fd);
    return text;
}

static connect_result connect_to_name(const address_range *allowed)
{
    connector_target target = {
        .host = SLICE("rebind.example"), .port = port, .allowed = allowed, .allowed_count = 1};
    memset(&outcome, 0, sizeof outcome);
    connector_start(names, &loop, &target, on_done, NULL);
    while (outcome.calls == 0)
        uv_run(&loop, UV_RUN_ONCE);
    if (outcome.fd >= 0)
        close(outcome.fd);
    assert_int_equal(outcome.calls, 1);
    return outcome.result;
}

static address_range range_of(const char *text)
{
    address_range range;
    assert_true(address_range_parse(slice_of(text), &range));
    return range;
}

static void the_address_that_was_checked_is_connected_to(void **state)
{
    (void)state;
    static const char *const rebinding[] = {"127.0.0.2", "127.0.0.1", NULL};
    address_range allowed = range_of("127.0.0.2");
    answers = rebinding;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(connect_to_name(&allowed), CONNECTED);
        assert_string_equal(reached(), "127.0.0.2");
    }
    assert_int_equal(atomic_load(&asked), 1);
}

static void a_later_answer_is_checked_too(void **state)
{
    (void)state;
    static const char *const rebinding[] = {"127.0.0.2", "127.0.0.1", NULL};
    address_range allowed = range_of("127.0.0.2");
    answers = rebinding;
    assert_int_equal(connect_to_name(&allowed), CONNECTED);
    assert_string_equal(reached(), "127.0.0.2");
    clock_advance(RESOLVER_KEEP_MS + 1000);
    assert_int_equal(connect_to_name(&allowed), CONNECT_REFUSED);
    assert_string_equal(reached(), "");
    assert_int_equal(atomic_load(&asked), 2);
}

static void a_private_address_among_others_is_passed_over(void **state)
{
    (void)state;
    static const char *const mixed[] = {"127.0.0.2 10.0.0.1 ::1 127.0.0.1", NULL};
    address_range allowed = range_of("127.0.0.2");
    answers = mixed;
    assert_int_equal(connect_to_name(&allowed), CONNECTED);
    assert_string_equal(reached(), "127.0.0.2");
    assert_string_equal(reached(), "");
}

static void private_addresses_in_any_form_are_refused(void **state)
{
    (void)state;
    static const char *const forms[] = {"127.0.0.1",         "0.0.0.0",        "::1",
                                        "::ffff:127.0.0.1",  "::127.0.0.1",    "64:ff9b::127.0.0.1",
                                        "64:ff9b:1::7f00:1", "2002:7f00:1::1", "::",
                                        "::ffff:0:127.0.0.1"};
    address_range allowed = range_of("192.0.2.1");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *const only[] = {forms[i], NULL};
        answers = only;
        atomic_store(&asked, 0);
        clock_advance(RESOLVER_KEEP_MS + 1000);
        if (connect_to_name(&allowed) != CONNECT_REFUSED)
            fail_msg("%s is used", forms[i]);
        assert_string_equal(reached(), "");
        assert_int_equal(atomic_load(&asked), 1);
    }
}

#define SPEC(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPEC(the_address_that_was_checked_is_connected_to),
        SPEC(a_later_answer_is_checked_too),
        SPEC(a_private_address_among_others_is_passed_over),
        SPEC(private_addresses_in_any_form_are_refused),
    };
    return cmocka_run_group_tests_name("connecting to names", tests, NULL, NULL);
}
