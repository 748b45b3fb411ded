/* Both ends of bench/gateway/run, in one small program:
 *
 *   streams serve PORT              an upstream: /sse sends an event ten times a second, /big 100 MiB,
 *                                   everything else a short text
 *   streams read PORT PATH N SECS [PID]
 *                                   N readers of PATH for so long, once all are there; prints
 *                                   "events COUNT p50 MS p99 MS cpu US": the events' ages, and
 *                                   what each has cost the process PID and its children
 *   streams get PORT PATH           one download; prints "bytes COUNT"
 *
 * An event's data is the nanosecond (monotonic clock) at which it was sent. One thread, epoll. */
#include "../cpu.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536, BIG = 100 << 20, SAMPLES = 4 << 20, HZ = 10, TURNS = 100 };

static char state[MAX_FD]; /* 0 short, 1 events, 2 big */
static size_t left[MAX_FD];
static char piece[1 << 18];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int ep, int fd, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(ep, op, fd, &e) != 0)
        die("epoll_ctl");
}

/* The upstream --------------------------------------------------------------------------------- */

static void send_big(int ep, int fd)
{
    while (left[fd] > 0) {
        size_t n = left[fd] < sizeof piece ? left[fd] : sizeof piece;
        ssize_t sent = send(fd, piece, n, MSG_NOSIGNAL);
        if (sent < 0) {
            watch(ep, fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        left[fd] -= (size_t)sent;
    }
    watch(ep, fd, EPOLLIN, EPOLL_CTL_MOD);
}

static void answer(int ep, int fd, const char *request)
{
    static const char brief[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 13\r\n\r\nHello, world!";
    static const char events[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n";
    static const char big[] = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                              "Content-Length: 104857600\r\n\r\n";
    if (strncmp(request, "GET /sse", 8) == 0) {
        state[fd] = 1;
        send(fd, events, sizeof events - 1, MSG_NOSIGNAL);
    } else if (strncmp(request, "GET /big", 8) == 0) {
        left[fd] = BIG;
        send(fd, big, sizeof big - 1, MSG_NOSIGNAL);
        send_big(ep, fd);
    } else {
        send(fd, brief, sizeof brief - 1, MSG_NOSIGNAL);
    }
}

static void take(int ep, int fd, uint32_t events)
{
    static char in[65536];
    if (events & EPOLLOUT)
        send_big(ep, fd);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t n = recv(fd, in, sizeof in - 1, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        state[fd] = 0;
        close(fd);
        return;
    }
    in[n] = '\0';
    for (char *p = in, *end; (end = strstr(p, "\r\n\r\n")) != NULL; p = end + 4)
        answer(ep, fd, p);
}

/* A hundredth of the streams each thousandth of a second: clients of the world do not keep step. */
static void tick(int max)
{
    static int part;
    char event[64], chunk[96];
    int n = snprintf(event, sizeof event, "data: %llu\n\n", (unsigned long long)now_ns());
    n = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n", (unsigned)n, event);
    for (int fd = 0; fd <= max; fd++)
        if (state[fd] == 1 && fd % TURNS == part)
            send(fd, chunk, (size_t)n, MSG_NOSIGNAL);
    part = (part + 1) % TURNS;
}

static int listen_at(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0)
        die("listen");
    return fd;
}

static void serve(int port)
{
    int ep = epoll_create1(0), listening = listen_at(port), on = 1, max = 0;
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec every = {{0, 1000000000 / HZ / TURNS}, {0, 1000000000 / HZ / TURNS}};
    timerfd_settime(timer, 0, &every, NULL);
    watch(ep, listening, EPOLLIN, EPOLL_CTL_ADD);
    watch(ep, timer, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event e[256];
        int n = epoll_wait(ep, e, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = e[i].data.fd;
            uint64_t ticks;
            if (fd == timer) {
                if (read(timer, &ticks, sizeof ticks) == sizeof ticks)
                    tick(max);
            } else if (fd == listening) {
                int c = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
                if (c < 0)
                    continue;
                setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                max = c > max ? c : max;
                watch(ep, c, EPOLLIN, EPOLL_CTL_ADD);
            } else {
                take(ep, fd, e[i].events);
            }
        }
    }
}

/* The readers ---------------------------------------------------------------------------------- */

static uint32_t *ages; /* microseconds */
static size_t count;

static int open_reader(int port, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char request[256];
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
    if (send(fd, request, (size_t)n, 0) != n)
        die("send");
    return fd;
}

static bool has_begun[MAX_FD]; /* an event has come */
static int begun;

static void note_begin(int fd, const char *in)
{
    if (has_begun[fd] || strstr(in, "data: ") == NULL)
        return;
    has_begun[fd] = true;
    begun++;
}

static void note_ages(const char *in, uint64_t at)
{
    for (const char *p = in; (p = strstr(p, "data: ")) != NULL && count < SAMPLES; p += 6) {
        uint64_t sent = strtoull(p + 6, NULL, 10);
        ages[count++] = (uint32_t)((at - sent) / 1000);
    }
}

static int by_age(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void read_some(int fd, bool counts)
{
    static char in[65536];
    ssize_t got = recv(fd, in, sizeof in - 1, 0);
    if (got <= 0) {
        fprintf(stderr, "a stream ended\n");
        exit(1);
    }
    in[got] = '\0';
    if (counts)
        note_ages(in, now_ns());
    else
        note_begin(fd, in);
}

static void read_until(int ep, uint64_t end, bool counts)
{
    while (now_ns() < end) {
        struct epoll_event e[256];
        int n = epoll_wait(ep, e, 256, 10);
        for (int i = 0; i < n; i++)
            read_some(e[i].data.fd, counts);
    }
}

static void read_events(int port, const char *path, int readers, double seconds, int server)
{
    int ep = epoll_create1(0);
    ages = malloc(SAMPLES * sizeof *ages);
    for (int i = 0; i < readers; i++)
        watch(ep, open_reader(port, path), EPOLLIN, EPOLL_CTL_ADD);
    for (uint64_t late = now_ns() + 20000000000u; begun < readers && now_ns() < late;)
        read_until(ep, now_ns() + 100000000u, false);
    double cpu = server_cpu(server);
    read_until(ep, now_ns() + (uint64_t)(seconds * 1e9), true);
    cpu = server_cpu(server) - cpu;
    if (count == 0) {
        fprintf(stderr, "no events came\n");
        exit(1);
    }
    qsort(ages, count, sizeof *ages, by_age);
    printf("events %zu p50 %.3f p99 %.3f cpu %.3f\n", count, ages[count / 2] / 1e3,
           ages[count * 99 / 100] / 1e3, cpu * 1e6 / (double)count);
}

static void get(int port, const char *path)
{
    static char in[1 << 18];
    int fd = open_reader(port, path);
    size_t total = 0;
    ssize_t n;
    while (total < BIG && (n = recv(fd, in, sizeof in, 0)) > 0)
        total += (size_t)n;
    printf("bytes %zu\n", total);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(atoi(argv[2]));
    else if ((argc == 6 || argc == 7) && strcmp(argv[1], "read") == 0)
        read_events(atoi(argv[2]), argv[3], atoi(argv[4]), atof(argv[5]), argc == 7 ? atoi(argv[6]) : 0);
    else if (argc == 4 && strcmp(argv[1], "get") == 0)
        get(atoi(argv[2]), argv[3]);
    else
        return 2;
    return 0;
}
