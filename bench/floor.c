/* The floor: a bare epoll server that does what any server must do with these requests, and nothing
 * else: no parsing beyond the end of the head, no queues, no limits, no safety. What lunacast and
 * its peers cost is compared with this.
 *
 *   GET /            a short text
 *   GET /stream...   becomes a subscriber: multipart/x-mixed-replace
 *   PUT ...          its body goes to every subscriber as one part
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
static const char text[] =
    "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";
static const char done[] = "HTTP/1.1 204 No Content\r\n\r\n";

static int subscribers[SUBSCRIBERS_MAX], subscriber_count;
static char in[BODY_MAX], out[BODY_MAX + sizeof part];
static size_t out_len;

static void send_all(int fd, const char *data, size_t n)
{
    if (write(fd, data, n) < 0 && errno != EAGAIN)
        shutdown(fd, SHUT_RDWR);
}

static void fan_out(int fd, const char *body, size_t n)
{
    memcpy(out, body, n);
    memcpy(out + n, part, sizeof part - 1);
    out_len = n + sizeof part - 1;
    for (int i = 0; i < subscriber_count; i++)
        send_all(subscribers[i], out, out_len);
    send_all(fd, done, sizeof done - 1);
}

static void subscribe(int fd)
{
    if (subscriber_count < SUBSCRIBERS_MAX)
        subscribers[subscriber_count++] = fd;
    send_all(fd, stream_head, sizeof stream_head - 1);
    if (out_len > 0)
        send_all(fd, out, out_len);
}

static void on_readable(int fd)
{
    ssize_t n = read(fd, in, sizeof in);
    char *body = n > 0 ? memmem(in, (size_t)n, "\r\n\r\n", 4) : NULL;
    if (n <= 0)
        close(fd);
    else if (memcmp(in, "GET /stream", 11) == 0)
        subscribe(fd);
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
