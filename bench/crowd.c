/* A crowd of WebSocket clients of the topic "bench.crowd" that comes back at once, with a cursor
 * that is BEHIND messages old. Each must be told "recovered":true and get exactly what it missed;
 * how long until all have? Prints one JSON object.
 *
 *   crowd -p PORT -c CLIENTS -b BEHIND */
#include "clients.h"

enum { EVENTS = 1024 };

typedef struct {
    int fd;
    int state;       /* 0 connecting, 1 reading, 2 done */
    int got;         /* messages */
    char tail[LINE]; /* of what was read */
    size_t tail_n;
} client;

static int clients_n = 100, behind = 100;
static bool events_only;
static char request[LINE]; /* what each sends at once: a round trip less */
static size_t request_n;
static int epoll;
static client *clients;

static void watch(client *c, unsigned events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, op, c->fd, &e) != 0)
        die("epoll_ctl");
}

static void prepare_request(const char *position)
{
    char subscribe[300];
    if (events_only) {
        request_n = (size_t)snprintf(request, sizeof request,
                                     "GET /sse?topic=bench.crowd&session_id=s HTTP/1.1\r\n"
                                     "Host: 127.0.0.1\r\nLast-Event-ID: %s\r\n\r\n",
                                     position);
        return;
    }
    snprintf(subscribe, sizeof subscribe,
             "subscribe-json:{\"topic\":\"bench.crowd\",\"session_id\":\"s\",\"since\":\"%s\"}",
             position);
    request_n = sizeof opening - 1;
    memcpy(request, opening, request_n);
    request_n += put_frame(request + request_n, subscribe, strlen(subscribe));
}

static void greet(client *c)
{
    if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
        die("send");
    c->state = 1;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static int count(const char *text, size_t n, const char *what)
{
    int found = 0;
    size_t length = strlen(what);
    for (const char *at = text; (at = memmem(at, n - (size_t)(at - text), what, length)) != NULL;
         at += length)
        found++;
    return found;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int recovered, finished, wrong;
static double *times, started;

static void read_resumed(client *c)
{
    static char bytes[1 << 18];
    memcpy(bytes, c->tail, c->tail_n);
    ssize_t got = recv(c->fd, bytes + c->tail_n, sizeof bytes - c->tail_n, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return;
        die("a client was cut off");
    }
    size_t n = c->tail_n + (size_t)got;
    /* Each mark is counted once: the rest that is kept is shorter than it. */
    recovered += count(bytes, n, "\"recovered\":true");
    wrong += count(bytes, n, "\"recovered\":false") + count(bytes, n, "\"gap\":true") +
             count(bytes, n, "event: gap");
    c->got += count(bytes, n, "\"payload\":");
    c->tail_n = n < 9 ? n : 9; /* "payload": has ten bytes */
    memcpy(c->tail, bytes + n - c->tail_n, c->tail_n);
    if (c->got > behind)
        wrong++;
    if (c->got == behind && c->state == 1) {
        c->state = 2;
        times[finished++] = now() - started;
    }
}

static void open_all(void)
{
    clients = calloc((size_t)clients_n, sizeof *clients);
    epoll = epoll_create1(0);
    for (int i = 0; i < clients_n; i++) {
        clients[i].fd = open_socket(i, false);
        watch(&clients[i], EPOLLOUT, EPOLL_CTL_ADD);
    }
}

static void turn(int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        client *c = events[i].data.ptr;
        if (c->state == 0)
            greet(c);
        else
            read_resumed(c);
    }
}

static void run_resume(void)
{
    char line[1 << 16], position[100] = "";
    int fd = open_publisher();
    send_text(fd, "subscribe-json:{\"topic\":\"bench.crowd\",\"session_id\":\"s\"}");
    read_until(fd, "\"subscribed\"", line, sizeof line);
    publish(fd, 0, 100);
    read_until(fd, "\"payload\":", line, sizeof line);
    const char *at = strstr(line, "\"channel\"");
    at = at != NULL ? strstr(at, "\"position\":\"") : NULL;
    if (at == NULL || sscanf(at, "\"position\":\"%99[^\"]", position) != 1)
        die("no position");
    for (int i = 1; i <= behind; i++)
        publish(fd, i, 100);
    snprintf(line, 100, "\"payload\":%8d", behind);
    char last[100];
    strcpy(last, line);
    read_until(fd, last, line, sizeof line);
    prepare_request(position);
    times = calloc((size_t)clients_n, sizeof *times);
    started = now();
    open_all();
    while (finished < clients_n && now() < started + STALL_S)
        turn(1000);
    double all = now() - started;
    qsort(times, (size_t)finished, sizeof *times, by_size);
    printf("{\"clients\":%d,\"behind\":%d,\"finished\":%d,\"recovered\":%d,\"wrong\":%d,"
           "\"seconds\":%.3f,\"median_s\":%.3f,\"p99_s\":%.3f}\n",
           clients_n, behind, finished, recovered, wrong, all,
           finished > 0 ? times[finished / 2] : 0, finished > 0 ? times[finished * 99 / 100] : 0);
    bool good = finished == clients_n && wrong == 0 && (events_only || recovered == clients_n);
    exit(good ? 0 : 1);
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "p:c:b:e")) != -1;) {
        int value = atoi(optarg != NULL ? optarg : "");
        if (option == 'p')
            port = value;
        else if (option == 'c')
            clients_n = value;
        else if (option == 'b')
            behind = value;
        else if (option == 'e')
            events_only = true;
        else
            return 2;
    }
    run_resume();
}
