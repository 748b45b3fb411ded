/* What a server says, through the real links: a command link before and after its login, and the
 * subscribe link. The first byte chooses, and whether the rest comes whole or in two pieces.
 * Besides what the sanitizers see: every command is answered once, and nothing is left over. */
#include "log.h"
#include "redis_link.h"
#include "redis_sub.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uv_loop_t loop;
static uv_timer_t alive;
static int listener = -1;
static redis_options *options;
static int asked, answered;

static const char logged_in[] = "+OK\r\n$3\r\nx:y\r\n$3\r\nx:y\r\n+PONG\r\n";

static void on_alive(uv_timer_t *timer)
{
    (void)timer;
}

static void set_up(void)
{
    char path[100], url[120], error[300];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "/tmp/lunacast-fuzz-%d", (int)getpid());
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    snprintf(url, sizeof url, "unix:%s", path);
    log_configure(LOG_OFF, true);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 10) != 0)
        abort();
    options = redis_options_parse(url, "", error, sizeof error);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &alive);
    uv_timer_start(&alive, on_alive, 1000, 1000);
}

static void turn(int times)
{
    while (times-- > 0)
        uv_run(&loop, UV_RUN_NOWAIT);
}

static int accept_link(void)
{
    int fd = -1;
    for (int i = 0; i < 100 && fd < 0; i++) {
        turn(1);
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    }
    return fd;
}

static void say(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0)
            return;
        turn(2);
        bytes += sent;
        n -= (size_t)sent;
    }
}

static void talk(const char *bytes, size_t n, bool login, bool split)
{
    int fd = accept_link();
    if (fd < 0)
        abort();
    turn(2);
    if (login)
        say(fd, logged_in, sizeof logged_in - 1);
    say(fd, bytes, split ? n / 2 : n);
    if (split)
        say(fd, bytes + n / 2, n - n / 2);
    turn(3);
    close(fd);
    turn(2);
}

static void on_done(const redisReply *reply, const char *problem, bool unsure, void *arg)
{
    (void)unsure;
    (void)arg;
    if ((reply == NULL) == (problem == NULL))
        abort();
    answered++;
}

static void run_commands(const char *bytes, size_t n, bool login, bool split)
{
    slice argv[] = {SLICE("GET"), SLICE("a")};
    redis_link *l = redis_link_open(options, &loop);
    for (asked = answered = 0; asked < 4; asked++)
        redis_link_send(l, 2, argv, on_done, NULL);
    talk(bytes, n, login, split);
    redis_link_close(l);
    for (int i = 0; i < 1000 && answered < asked; i++)
        turn(1);
    if (answered != asked)
        abort();
}

static void on_name(void *arg, slice name)
{
    (void)arg;
    if (name.n > 64 << 20)
        abort();
}

static void on_message(void *arg, slice name, slice payload)
{
    on_name(arg, name);
    on_name(arg, payload);
}

static void on_fitting(void *arg, slice pattern, slice name, slice payload)
{
    on_name(arg, pattern);
    on_message(arg, name, payload);
}

static void each_name(void *arg, void (*fn)(slice name, void *fn_arg), void *fn_arg)
{
    (void)arg;
    fn(SLICE("a"), fn_arg);
    fn(SLICE("b*"), fn_arg);
}

static void on_relinked(void *arg)
{
    (void)arg;
}

static void run_subscription(const char *bytes, size_t n, bool split)
{
    redis_sub_events events = {on_name, on_message, on_fitting, each_name, on_relinked, NULL};
    redis_sub *s = redis_sub_open(options, SLICE("p:"), &loop, &events);
    talk(bytes, n, true, split);
    redis_sub_join(s, SLICE("c"));
    redis_sub_leave(s, SLICE("a"));
    turn(2);
    redis_sub_close(s);
    turn(3);
    redis_sub_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (listener < 0)
        set_up();
    if (n == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    bool split = (data[0] & 4) != 0;
    if ((data[0] & 3) == 2)
        run_subscription(bytes, n - 1, split);
    else
        run_commands(bytes, n - 1, (data[0] & 3) == 1, split);
    turn(3);
    return 0;
}
