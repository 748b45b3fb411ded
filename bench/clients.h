/* What the crowds of bench/ share: sockets, WebSocket frames, and a publisher. Included once per
 * program. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
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

enum { PER_ADDRESS = 20000, LINE = 4096, STALL_S = 60 };

static int port;

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
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
        fprintf(stderr, "bench: a message of at most 65535 bytes\n");
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
