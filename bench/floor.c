/* The floor: a bare epoll server that does what any server must do with these requests, and nothing
 * else: no parsing beyond the end of the head, no queues, no limits, no safety. What lunacast and
 * its peers cost is compared with this.
 *
 *   GET /            a short text
 *   GET /stream...   becomes a subscriber: multipart/x-mixed-replace
 *   GET /sse         the same: server-sent events
 *   GET /ws          the same: a WebSocket, whatever was offered
 *   PUT, POST ...    its body goes to every subscriber as one part, event or message
 *
 * usage: floor PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, SUBSCRIBERS_MAX = 100000, BODY_MAX = 1 << 17 };

static const char part[] = "\r\n--frame\r\nContent-Type: image/svg+xml\r\n\r\n";
static const char stream_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    "--frame\r\nContent-Type: image/svg+xml\r\n\r\n";
static const char sse_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
static const char ws_head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n\r\n";
static const char text[] =
    "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
static const char done[] = "HTTP/1.1 204 No Content\r\n\r\n";

typedef enum { MIXED, SSE, WS, KINDS } stream_kind;

typedef struct {
    char data[BODY_MAX + 64];
    size_t n;
} bytes;

static int subscribers[SUBSCRIBERS_MAX], subscriber_count;
static stream_kind kinds[SUBSCRIBERS_MAX];
static char in[BODY_MAX];
static bytes out[KINDS];

static void send_all(int fd, const char *data, size_t n)
{
    if (write(fd, data, n) < 0 && errno != EAGAIN)
        shutdown(fd, SHUT_RDWR);
}

static void put(bytes *b, const void *data, size_t n)
{
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void encode(const char *body, size_t n)
{
    unsigned char header[4] = {0x81, n < 126 ? (unsigned char)n : 126, (unsigned char)(n >> 8),
                               (unsigned char)n};
    for (int kind = 0; kind < KINDS; kind++)
        out[kind].n = 0;
    put(&out[MIXED], body, n);
    put(&out[MIXED], part, sizeof part - 1);
    put(&out[SSE], "data: ", 6);
    put(&out[SSE], body, n);
    put(&out[SSE], "\n\n", 2);
    put(&out[WS], header, n < 126 ? 2 : 4);
    put(&out[WS], body, n);
}

static void fan_out(int fd, const char *body, size_t n)
{
    encode(body, n);
    for (int i = 0; i < subscriber_count; i++)
        send_all(subscribers[i], out[kinds[i]].data, out[kinds[i]].n);
    send_all(fd, done, sizeof done - 1);
}

static void subscribe(int fd, stream_kind kind, const char *head)
{
    if (subscriber_count < SUBSCRIBERS_MAX) {
        kinds[subscriber_count] = kind;
        subscribers[subscriber_count++] = fd;
    }
    send_all(fd, head, strlen(head));
    if (kind == MIXED && out[MIXED].n > 0)
        send_all(fd, out[MIXED].data, out[MIXED].n);
}

static void on_readable(int fd)
{
    ssize_t n = read(fd, in, sizeof in);
    char *body = n > 0 ? memmem(in, (size_t)n, "\r\n\r\n", 4) : NULL;
    if (n <= 0)
        close(fd);
    else if (memcmp(in, "GET /stream", 11) == 0)
        subscribe(fd, MIXED, stream_head);
    else if (memcmp(in, "GET /sse", 8) == 0)
        subscribe(fd, SSE, sse_head);
    else if (memcmp(in, "GET /ws", 7) == 0)
        subscribe(fd, WS, ws_head);
    else if (body != NULL && in[0] == 'P')
        fan_out(fd, body + 4, (size_t)(in + n - (body + 4)));
    else
        send_all(fd, text, sizeof text - 1);
}

static void accept_all(int epoll, int listener)
{
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {EPOLLIN, {.fd = fd}};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 65535) != 0) {
        perror("floor");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0), epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                on_readable(events[i].data.fd);
        }
    }
}
