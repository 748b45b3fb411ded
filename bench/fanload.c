/* Load for fan-out: one publisher, N subscribers, a closed loop. Message k+W is published when
 * every subscriber has seen number k (or a later one), so that servers that queue and servers that
 * skip are measured alike; W is 1 unless told (-w), and each of W has a connection to publish on.
 * Or it only holds subscribers open (-H), for the memory of idle ones.
 *
 *   fanload -p PORT -c SUBSCRIBERS -n MESSAGES -s SUBSCRIBE -P PUBLISH -b BODY [-S PID] [-w WINDOW]
 *           [-f] [-H SECONDS]
 *
 * In the three texts \r \n are escapes; {seq} is a 10-digit number, {len} the body's length. A
 * subscriber has seen a message when "seq=" and its number have come, or with -f when as many
 * WebSocket messages have (they may be compressed). Prints one JSON object: deliveries, server CPU
 * per delivery (all threads of PID and of its children), and the time from the start of a publish
 * to the last subscriber, and to each. */
#include "cpu.h"

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
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 1024,
    DIGITS = 10,
    WARM_UP = 20,
    STALL_S = 20,
    PER_ADDRESS = 20000,
    WINDOW_MAX = 1024
};

static const char mark[] = "seq=";
enum { MARK = sizeof mark - 1, TAIL = MARK + DIGITS };

typedef struct {
    int fd;
    bool publishes; /* what comes are answers */
    long seen;
    char tail[TAIL]; /* the end of what came, for a mark that was cut in two */
    size_t tail_len;
    /* With -f: */
    unsigned last_four; /* bytes of the head */
    bool in_frames, counts;
    unsigned char header[10];
    size_t have;
    unsigned long long left; /* of a frame's payload */
} subscriber;

static struct {
    int port, count, messages, pid, hold, window;
    bool frames;
    char *subscribe, *publish, *body;
} options = {
    .count = 100, .messages = 1000, .window = 1, .subscribe = "", .publish = "", .body = ""};

static subscriber *subscribers, *publishers; /* as many publishers as the window is wide */
static int epoll, closed;
static long sequence, completed; /* published; seen by all */
static long arrived[WINDOW_MAX]; /* subscribers that have seen a message, by its number */
static double published[WINDOW_MAX];
static double *to_each, *to_last;
static size_t each_count, each_cap, last_count;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "fanload: %s (message %ld, %ld of %d saw it, %d closed): %s\n", what, sequence,
            arrived[(completed + 1) % WINDOW_MAX], options.count, closed, strerror(errno));
    exit(1);
}

/* Texts -------------------------------------------------------------------------------------- */

static char *unescape(const char *text)
{
    char *copy = strdup(text), *to = copy;
    for (; *text != '\0'; text++) {
        if (text[0] == '\\' && (text[1] == 'r' || text[1] == 'n'))
            *to++ = *++text == 'r' ? '\r' : '\n';
        else
            *to++ = *text;
    }
    *to = '\0';
    return copy;
}

static char *fill(const char *text, const char *key, const char *value)
{
    const char *at = strstr(text, key);
    char *result;
    if (at == NULL)
        return strdup(text);
    if (asprintf(&result, "%.*s%s%s", (int)(at - text), text, value, at + strlen(key)) < 0)
        die("memory");
    return result;
}

/* Connections -------------------------------------------------------------------------------- */

/* Ports of one address run out at about 28,000: the next thousands come from the next address. A
 * port is chosen at the connect, so that one may serve towards two servers. */
static int dial(int index)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(0x7f000002u + (unsigned)(index / PER_ADDRESS));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("socket");
    address.sin_port = htons((uint16_t)options.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void watch(int fd, subscriber *s)
{
    struct epoll_event event = {EPOLLIN, {.ptr = s}};
    fcntl(fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void connect_all(void)
{
    subscribers = calloc((size_t)options.count, sizeof *subscribers);
    for (int i = 0; i < options.count; i++) {
        subscribers[i].fd = dial(i);
        size_t n = strlen(options.subscribe);
        if (write(subscribers[i].fd, options.subscribe, n) != (ssize_t)n)
            die("subscribe");
        watch(subscribers[i].fd, &subscribers[i]);
    }
}

/* The loop ----------------------------------------------------------------------------------- */

static void publish(void)
{
    char number[24], length[24];
    snprintf(number, sizeof number, "%0*ld", DIGITS, ++sequence);
    char *body = fill(options.body, "{seq}", number);
    snprintf(length, sizeof length, "%zu", strlen(body));
    char *head = fill(options.publish, "{len}", length), *all;
    int n = asprintf(&all, "%s%s", head, body);
    arrived[sequence % WINDOW_MAX] = 0;
    published[sequence % WINDOW_MAX] = now();
    if (write(publishers[sequence % options.window].fd, all, (size_t)n) != n)
        die("publish");
    free(body);
    free(head);
    free(all);
}

static void saw_one(long number)
{
    arrived[number % WINDOW_MAX]++;
    if (number > WARM_UP && each_count < each_cap)
        to_each[each_count++] = now() - published[number % WINDOW_MAX];
}

static void saw(subscriber *s, long number)
{
    while (s->seen < number)
        saw_one(++s->seen);
}

static void scan(subscriber *s, const char *data, size_t n)
{
    static char joined[(1 << 18) + TAIL];
    memcpy(joined, s->tail, s->tail_len);
    memcpy(joined + s->tail_len, data, n);
    size_t total = s->tail_len + n, keep = total < TAIL - 1 ? total : TAIL - 1;
    const char *at = joined, *end = joined + total;
    while ((at = memmem(at, (size_t)(end - at), mark, MARK)) != NULL && end - at >= TAIL) {
        char number[DIGITS + 1] = {0};
        memcpy(number, at + MARK, DIGITS);
        saw(s, atol(number));
        at += TAIL;
    }
    memcpy(s->tail, end - keep, keep);
    s->tail_len = keep;
}

static size_t header_size(const subscriber *s)
{
    int length = s->have < 2 ? 0 : s->header[1] & 0x7F;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

static void begin_payload(subscriber *s)
{
    size_t size = header_size(s);
    s->left = size == 2 ? s->header[1] & 0x7F : 0;
    for (size_t i = 2; i < size; i++)
        s->left = s->left << 8 | s->header[i];
    s->counts = (s->header[0] & 0x0F) < 8;
    s->have = 0;
    if (s->left == 0 && s->counts)
        saw(s, s->seen + 1);
}

static void take_byte(subscriber *s, unsigned char byte)
{
    if (!s->in_frames) {
        s->last_four = s->last_four << 8 | byte;
        s->in_frames = s->last_four == 0x0d0a0d0a;
        return;
    }
    s->header[s->have++] = byte;
    if (s->have >= 2 && s->have == header_size(s))
        begin_payload(s);
}

static void count_frames(subscriber *s, const char *data, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (s->left == 0) {
            take_byte(s, (unsigned char)data[i++]);
            continue;
        }
        size_t part = n - i < s->left ? n - i : (size_t)s->left;
        i += part;
        s->left -= part;
        if (s->left == 0 && s->counts)
            saw(s, s->seen + 1);
    }
}

static void read_event(subscriber *s)
{
    static char data[1 << 18];
    ssize_t n = read(s->fd, data, sizeof data);
    if (n > 0 && !s->publishes && options.frames)
        count_frames(s, data, (size_t)n);
    else if (n > 0 && !s->publishes)
        scan(s, data, (size_t)n);
    if (n > 0 || (n < 0 && errno == EAGAIN))
        return;
    if (s->publishes)
        die("a publisher's connection was closed");
    epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    closed++;
}

static void turn(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++)
        read_event(events[i].data.ptr);
}

static void settle(double seconds)
{
    for (double until = now() + seconds; now() < until;)
        turn(50);
}

static void complete(void)
{
    while (completed < sequence &&
           arrived[(completed + 1) % WINDOW_MAX] >= options.count - closed) {
        completed++;
        if (completed > WARM_UP)
            to_last[last_count++] = now() - published[completed % WINDOW_MAX];
    }
}

/* Until message number `last` has come everywhere, with at most `window` under way. */
static void deliver_until(long last, int window)
{
    while (completed < last) {
        while (sequence < last && sequence - completed < window)
            publish();
        turn(200);
        complete();
        if (completed < sequence && now() - published[(completed + 1) % WINDOW_MAX] > STALL_S)
            die("a message does not arrive");
    }
}

/* -------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *values, size_t n, double p)
{
    qsort(values, n, sizeof *values, ascending);
    return n > 0 ? values[(size_t)((double)(n - 1) * p)] * 1e3 : 0;
}

static void measure(void)
{
    each_cap = (size_t)options.count * (size_t)options.messages;
    to_each = calloc(each_cap + 1, sizeof *to_each);
    to_last = calloc((size_t)options.messages + 1, sizeof *to_last);
    publishers = calloc((size_t)options.window, sizeof *publishers);
    for (int i = 0; i < options.window; i++) {
        publishers[i] = (subscriber){.fd = dial(options.count + i), .publishes = true};
        watch(publishers[i].fd, &publishers[i]);
    }
    settle(1);
    deliver_until(WARM_UP, 1);
    double cpu = options.pid ? server_cpu(options.pid) : 0, began = now();
    deliver_until(WARM_UP + options.messages, options.window);
    double wall = now() - began;
    cpu = options.pid ? server_cpu(options.pid) - cpu : 0;
    double deliveries = (double)options.messages * (options.count - closed);
    printf("{\"subscribers\":%d,\"messages\":%d,\"closed\":%d,\"per_second\":%.0f,"
           "\"cpu_us\":%.4f,\"us\":%.4f,\"last_p50_ms\":%.3f,\"last_p99_ms\":%.3f,"
           "\"each_p50_ms\":%.3f,\"each_p99_ms\":%.3f}\n",
           options.count, options.messages, closed, deliveries / wall, cpu / deliveries * 1e6,
           wall / deliveries * 1e6, percentile(to_last, last_count, 0.5),
           percentile(to_last, last_count, 0.99), percentile(to_each, each_count, 0.5),
           percentile(to_each, each_count, 0.99));
}

static void read_options(int argc, char **argv)
{
    for (int c; (c = getopt(argc, argv, "p:c:n:s:P:b:S:H:w:f")) > 0;) {
        switch (c) {
        case 'p':
            options.port = atoi(optarg);
            break;
        case 'c':
            options.count = atoi(optarg);
            break;
        case 'n':
            options.messages = atoi(optarg);
            break;
        case 's':
            options.subscribe = unescape(optarg);
            break;
        case 'P':
            options.publish = unescape(optarg);
            break;
        case 'b':
            options.body = unescape(optarg);
            break;
        case 'S':
            options.pid = atoi(optarg);
            break;
        case 'H':
            options.hold = atoi(optarg);
            break;
        case 'w':
            options.window = atoi(optarg);
            if (options.window < 1 || options.window > WINDOW_MAX / 2)
                exit(2);
            break;
        case 'f':
            options.frames = true;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    read_options(argc, argv);
    epoll = epoll_create1(0);
    connect_all();
    if (options.hold > 0) {
        settle(1);
        printf("held %d\n", options.count - closed);
        fflush(stdout);
        settle(options.hold);
    } else {
        measure();
    }
    return 0;
}
