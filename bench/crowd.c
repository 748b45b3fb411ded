/* A crowd of WebSocket clients of one topic.
 *
 *   crowd resume -p PORT -c CLIENTS -b BEHIND
 *     All connect at once with a cursor that is BEHIND messages old. Each must be told
 *     "recovered":true and get exactly what it missed; how long until all have?
 *   crowd slow -p PORT -c CLIENTS -S PID [-t SECONDS] [-r RATE] [-z BYTES] [-w PERCENT]
 *     RATE messages of BYTES a second; PERCENT of the clients read nothing. How late is a message
 *     at the others, and how does the server's memory grow?
 *
 * Both use the topic "bench.crowd", whose rule the application sets. Prints one JSON object. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, PER_ADDRESS = 20000, LINE = 4096, STALL_S = 60, MESSAGES_MAX = 100000 };

typedef struct {
    int fd;
    int state; /* 0 connecting, 1 head, 2 reading, 3 done */
    int got;   /* messages */
    bool slow;
    size_t bytes;    /* after the head */
    char tail[LINE]; /* of what was read */
    size_t tail_n;
} client;

static int port, clients_n = 100, behind = 100, seconds = 60, rate = 30, percent = 10;
static size_t size = 20480;
static long server;
static int epoll;
static client *clients;

static void die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sockets ------------------------------------------------------------------------------------ */

static int open_socket(int n, bool blocking)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned)(n / PER_ADDRESS));
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
        die("bind");
    to.sin_port = htons((unsigned short)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect");
    return fd;
}

static const char opening[] = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* A masked text frame; the mask is 0. Returns its length. */
static size_t put_frame(char *out, const char *text, size_t n)
{
    size_t at = 0;
    out[at++] = (char)0x81;
    if (n < 126) {
        out[at++] = (char)(0x80 | n);
    } else if (n < 65536) {
        out[at++] = (char)(0x80 | 126);
        out[at++] = (char)(n >> 8);
        out[at++] = (char)n;
    } else {
        fprintf(stderr, "crowd: a message of at most 65535 bytes\n");
        exit(1);
    }
    memset(out + at, 0, 4);
    memcpy(out + at + 4, text, n);
    return at + 4 + n;
}

static void send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send");
        data += sent;
        n -= (size_t)sent;
    }
}

static void send_text(int fd, const char *text)
{
    size_t n = strlen(text);
    char *frame = malloc(n + 16);
    send_all(fd, frame, put_frame(frame, text, n));
    free(frame);
}

/* The publisher: a blocking connection. Reads until the text has come. */
static void read_until(int fd, const char *text, char *out, size_t room)
{
    size_t n = 0;
    double end = now() + STALL_S;
    for (;;) {
        ssize_t got = recv(fd, out + n, room - n - 1, 0);
        if (got <= 0 || now() > end)
            die("the publisher reads");
        for (ssize_t i = 0; i < got; i++)
            if (out[n + (size_t)i] == '\0')
                out[n + (size_t)i] = ' ';
        n += (size_t)got;
        out[n] = '\0';
        if (strstr(out, text) != NULL)
            return;
        if (n > room / 2) {
            memmove(out, out + n - room / 4, room / 4);
            n = room / 4;
        }
    }
}

static int open_publisher(void)
{
    char line[LINE];
    int fd = open_socket(0, true);
    send_all(fd, opening, sizeof opening - 1);
    read_until(fd, "\r\n\r\n", line, sizeof line);
    return fd;
}

static void publish(int fd, int number, size_t bytes)
{
    char *text = malloc(bytes + 200);
    int n = sprintf(text,
                    "publish-json:{\"topic\":\"bench.crowd\",\"session_id\":\"s\","
                    "\"publisher_name\":\"p\",\"timestamp\":\"t\",\"payload\":%8d,\"x\":\"",
                    number);
    memset(text + n, 'x', bytes);
    strcpy(text + n + bytes, "\"}");
    send_text(fd, text);
    free(text);
}

/* Clients ------------------------------------------------------------------------------------ */

static void watch(client *c, unsigned events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll, op, c->fd, &e) != 0)
        die("epoll_ctl");
}

/* The request and the subscription leave together: a round trip less. */
static void greet(client *c, const char *subscribe)
{
    char bytes[LINE];
    size_t n = sizeof opening - 1;
    memcpy(bytes, opening, n);
    n += put_frame(bytes + n, subscribe, strlen(subscribe));
    if (send(c->fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
    c->state = 1;
    watch(c, c->slow ? 0 : EPOLLIN, EPOLL_CTL_MOD);
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

/* resume ------------------------------------------------------------------------------------- */

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
    wrong += count(bytes, n, "\"recovered\":false") + count(bytes, n, "\"gap\":true");
    c->got += count(bytes, n, "\"payload\":");
    c->tail_n = n < 9 ? n : 9; /* "payload": has ten bytes */
    memcpy(c->tail, bytes + n - c->tail_n, c->tail_n);
    if (c->got > behind)
        wrong++;
    if (c->got == behind && c->state == 1) {
        c->state = 3;
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

static void turn(const char *subscribe, void (*on_data)(client *c), int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        client *c = events[i].data.ptr;
        if (c->state == 0)
            greet(c, subscribe);
        else
            on_data(c);
    }
}

static void run_resume(void)
{
    char line[1 << 16], subscribe[300], position[100] = "";
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
    snprintf(subscribe, sizeof subscribe,
             "subscribe-json:{\"topic\":\"bench.crowd\",\"session_id\":\"s\",\"since\":\"%s\"}",
             position);
    times = calloc((size_t)clients_n, sizeof *times);
    started = now();
    open_all();
    while (finished < clients_n && now() < started + STALL_S)
        turn(subscribe, read_resumed, 1000);
    double all = now() - started;
    qsort(times, (size_t)finished, sizeof *times, by_size);
    printf("{\"clients\":%d,\"behind\":%d,\"finished\":%d,\"recovered\":%d,\"wrong\":%d,"
           "\"seconds\":%.3f,\"median_s\":%.3f,\"p99_s\":%.3f}\n",
           clients_n, behind, finished, recovered, wrong, all,
           finished > 0 ? times[finished / 2] : 0, finished > 0 ? times[finished * 99 / 100] : 0);
    exit(finished == clients_n && recovered == clients_n && wrong == 0 ? 0 : 1);
}

/* slow --------------------------------------------------------------------------------------- */

static double sent_at[MESSAGES_MAX];
static size_t frame_size, late_n, cut;
static float *late;

static size_t body_size(void)
{
    static const char shape[] =
        "{\"topic\":\"bench.crowd\",\"session_id\":\"s\","
        "\"publisher_name\":\"p\",\"timestamp\":\"t\",\"payload\":,\"x\":\"\"}";
    return sizeof shape - 1 + 8 + size;
}

/* All messages have one size, so that bytes are counted and thrown away in the kernel. */
static void read_live(client *c)
{
    char head[LINE];
    ssize_t got;
    if (c->state == 1) {
        got = recv(c->fd, head, sizeof head, MSG_PEEK);
        char *end = got > 0 ? memmem(head, (size_t)got, "\r\n\r\n", 4) : NULL;
        if (end == NULL)
            return;
        recv(c->fd, head, (size_t)(end + 4 - head), 0);
        c->state = 2;
        finished++;
        return;
    }
    got = recv(c->fd, NULL, 1 << 24, MSG_TRUNC);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
        cut++;
        return;
    }
    if (got < 0)
        return;
    c->bytes += (size_t)got;
    double t = now();
    for (; (size_t)(c->got + 1) * frame_size <= c->bytes && c->got < MESSAGES_MAX; c->got++)
        late[late_n++] = (float)(t - sent_at[c->got]);
}

static long rss_kib(void)
{
    char name[64], line[200];
    long kib = 0;
    snprintf(name, sizeof name, "/proc/%ld/status", server);
    FILE *f = fopen(name, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void run_slow(void)
{
    int fd = open_publisher(), sent = 0, readers = 0;
    size_t body = body_size();
    frame_size = body + (body < 126 ? 2 : body < 65536 ? 4 : 10);
    open_all();
    for (int i = 0; i < clients_n; i++)
        clients[i].slow = i % 100 < percent;
    for (int i = 0; i < clients_n; i++)
        readers += clients[i].slow ? 0 : 1;
    late = malloc(sizeof *late * (size_t)readers * (size_t)(seconds * rate + 1));
    double limit = now() + STALL_S;
    while (finished < readers && now() < limit)
        turn("subscribe:bench.crowd|s", read_live, 100);
    if (finished < readers)
        die("not all are connected");
    double begin = now(), quiet = begin + seconds + 5;
    long first = 0, most = 0, third = 0;
    while (now() < quiet) {
        while (sent < seconds * rate && now() >= begin + (double)sent / rate) {
            sent_at[sent] = now();
            publish(fd, sent++, size);
        }
        turn("", read_live, 5);
        long kib = rss_kib();
        first = first == 0 ? kib : first;
        most = kib > most ? kib : most;
        if (now() < begin + seconds / 3.0)
            third = most;
        if (sent == seconds * rate && late_n == (size_t)readers * (size_t)sent)
            break;
    }
    qsort(late, late_n, sizeof *late, by_float);
    printf("{\"clients\":%d,\"slow\":%d,\"messages\":%d,\"bytes\":%zu,\"deliveries\":%zu,"
           "\"expected\":%zu,\"cut\":%zu,\"p50_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f,"
           "\"rss_before_kib\":%ld,\"rss_third_kib\":%ld,\"rss_most_kib\":%ld}\n",
           clients_n, clients_n - readers, sent, size, late_n, (size_t)readers * (size_t)sent, cut,
           late_n ? late[late_n / 2] * 1e3 : 0, late_n ? late[late_n * 99 / 100] * 1e3 : 0,
           late_n ? late[late_n - 1] * 1e3 : 0, first, third, most);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    for (int option; (option = getopt(argc - 1, argv + 1, "p:c:b:S:t:r:z:w:")) != -1;) {
        long value = strtol(optarg, NULL, 10);
        switch (option) {
        case 'p':
            port = (int)value;
            break;
        case 'c':
            clients_n = (int)value;
            break;
        case 'b':
            behind = (int)value;
            break;
        case 'S':
            server = value;
            break;
        case 't':
            seconds = (int)value;
            break;
        case 'r':
            rate = (int)value;
            break;
        case 'z':
            size = (size_t)value;
            break;
        case 'w':
            percent = (int)value;
            break;
        default:
            return 2;
        }
    }
    if (strcmp(mode, "resume") == 0)
        run_resume();
    else if (strcmp(mode, "slow") == 0)
        run_slow();
    else
        return 2;
    return 0;
}
