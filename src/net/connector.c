/* A connection attempt. The address that is checked is the one that is connected to: the name is
 * resolved once, so an answer that changes between check and connect (DNS rebinding) changes
 * nothing. An address that hangs gets ATTEMPT_MS while there are others.
 *
 *   RESOLVING --on_found--> TRYING --writable, no error--> done
 *                             | \--error, late--> next address --none left--> done
 *                             \--all refused--> done
 *
 * There is no deadline for the whole: who waits has one, and cancels. Owner: itself, until its
 * timer is closed. What must never happen: done inside connector_start; a descriptor leaked
 * by a cancel. */
#include "connector.h"

#include "mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

enum { ATTEMPT_MS = 2500 };

struct connector {
    resolver_wait wait;
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_poll_t *poll; /* of the running attempt; one each, since a closing handle is not reusable */
    int fd;
    uint16_t port;
    bool allow_internal;
    const address_range *allowed;
    size_t allowed_count;
    resolver_addresses addresses;
    size_t next;
    void (*done)(void *arg, connect_result result, int fd, const char *why);
    void *arg;
    connect_result result;
    const char *why;
};

static void try_next(connector *c);

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void stop_poll(connector *c)
{
    if (c->poll != NULL)
        uv_close((uv_handle_t *)c->poll, on_poll_closed);
    c->poll = NULL;
}

static void close_fd(connector *c)
{
    stop_poll(c);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void tell(uv_timer_t *timer)
{
    connector *c = timer->data;
    int fd = c->fd;
    c->fd = -1;
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    c->done(c->arg, c->result, fd, c->why);
}

/* Later in this turn. */
static void settle(connector *c, connect_result result, const char *why)
{
    stop_poll(c);
    c->result = result;
    c->why = why;
    uv_timer_start(&c->timer, tell, 0, 0);
}

/* One attempt ---------------------------------------------------------------------------------- */

static void attempt_failed(connector *c, int error)
{
    close_fd(c);
    c->result = CONNECT_FAILED;
    c->why = error == ETIMEDOUT ? "the address does not answer" : strerror(error);
    try_next(c);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    connector *c = poll->data;
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
        error = errno;
    uv_timer_stop(&c->timer);
    if (error != 0 || status < 0)
        attempt_failed(c, error != 0 ? error : -status);
    else
        settle(c, CONNECTED, NULL);
}

static void on_late(uv_timer_t *timer)
{
    attempt_failed(timer->data, ETIMEDOUT);
}

static void await_connect(connector *c)
{
    c->poll = mem_alloc(sizeof *c->poll);
    int rc = uv_poll_init(c->loop, c->poll, c->fd);
    if (rc != 0) {
        free(c->poll);
        c->poll = NULL;
        attempt_failed(c, -rc);
        return;
    }
    c->poll->data = c;
    uv_poll_start(c->poll, UV_WRITABLE, on_writable);
    if (c->next < c->addresses.count)
        uv_timer_start(&c->timer, on_late, ATTEMPT_MS, 0);
}

static void attempt(connector *c, const struct sockaddr *address, socklen_t n)
{
    int on = 1;
    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && address->sa_family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (c->fd >= 0 && connect(c->fd, address, n) == 0)
        settle(c, CONNECTED, NULL);
    else if (c->fd >= 0 && errno == EINPROGRESS)
        await_connect(c);
    else
        attempt_failed(c, errno);
}

/* Addresses ------------------------------------------------------------------------------------ */

static bool may_use(const connector *c, const struct sockaddr *address)
{
    uint8_t bytes[ADDRESS_BYTES];
    if (c->allow_internal || !address_is_internal(address))
        return true;
    if (!address_bytes(address, bytes))
        return false;
    for (size_t i = 0; i < c->allowed_count; i++)
        if (address_in_range(bytes, &c->allowed[i]))
            return true;
    return false;
}

static void try_next(connector *c)
{
    while (c->next < c->addresses.count) {
        struct sockaddr *address = (struct sockaddr *)&c->addresses.list[c->next++];
        if (!may_use(c, address))
            continue;
        bool v4 = address->sa_family == AF_INET;
        if (v4)
            ((struct sockaddr_in *)(void *)address)->sin_port = htons(c->port);
        else
            ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(c->port);
        attempt(c, address, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        return;
    }
    settle(c, c->result, c->why);
}

static void take_addresses(connector *c, const resolver_addresses *found)
{
    if (found->problem != NULL) {
        settle(c, CONNECT_UNKNOWN, found->problem);
        return;
    }
    c->addresses = *found;
    c->result = CONNECT_REFUSED;
    c->why = "the address belongs to a private or reserved network";
    try_next(c);
}

static void on_found(resolver_wait *w, const resolver_addresses *found)
{
    take_addresses((connector *)(void *)((char *)w - offsetof(connector, wait)), found);
}

static void attempt_path(connector *c, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        settle(c, CONNECT_FAILED, "the socket's path is too long");
        return;
    }
    strcpy(address.sun_path, path);
    attempt(c, (struct sockaddr *)&address, sizeof address);
}

connector *connector_start(resolver *r, uv_loop_t *loop, const connector_target *target,
                           void (*done)(void *arg, connect_result result, int fd, const char *why),
                           void *arg)
{
    connector *c = mem_alloc(sizeof *c);
    *c = (connector){.loop = loop,
                     .fd = -1,
                     .port = target->port,
                     .allow_internal = target->allow_internal,
                     .allowed = target->allowed,
                     .allowed_count = target->allowed_count,
                     .done = done,
                     .arg = arg};
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    c->wait.on_found = on_found;
    if (target->path != NULL) {
        attempt_path(c, target->path);
        return c;
    }
    const resolver_addresses *found = resolver_find(r, target->host, &c->wait);
    if (found != NULL)
        take_addresses(c, found);
    return c;
}

void connector_cancel(connector *c)
{
    resolver_cancel(&c->wait);
    close_fd(c);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
