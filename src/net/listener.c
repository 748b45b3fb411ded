/* Accepting. Why not uv_listen: it accepts one connection per turn of the loop's watcher and has no
 * answer to EMFILE but its own emergency descriptor that drops connections silently.
 *
 *   ACCEPTING --no descriptor, reserve used up: pause_accepting--> PAUSED --100 ms--> ACCEPTING
 *        \--listener_stop------------------\--listener_stop--> STOPPED
 *                                                                 \--both handles closed--> freed
 *
 * A paused listener leaves new connections in the kernel's backlog; the streams that live go on.
 * Out of descriptors, the spare one is given up for a moment to accept and close the connection
 * that waits longest, so that its peer learns of it.
 *
 * What must never happen: a spin on a listening socket that stays readable. */
#include "listener.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "tls.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RESERVE = 32,
    ACCEPT_BURST = 64,
    LAST_BURST = 4096,
    PAUSE_MS = 100,
    COMPLAIN_MS = 1000,
    UNSENT_MAX = 128 << 10,
    RETRY_MAX_MS = 5000
};

#ifndef TCP_RTO_MAX_MS /* Linux 6.15 */
#define TCP_RTO_MAX_MS 44
#endif

struct listener {
    uv_poll_t poll;
    uv_timer_t timer;
    conn_pool *pool;
    tls_context *tls;
    void (*on_conn)(conn *c, const char *refusal, void *arg);
    void *arg;
    int fd, spare;
    int open_handles;
    uint64_t complained;
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    listener *l = timer->data;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void pause_accepting(listener *l, const char *why)
{
    uint64_t now = clock_ms();
    metrics_add(METRIC_ACCEPT_PAUSES, 1);
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->timer, on_pause_over, PAUSE_MS, 0);
    if (l->complained != 0 && now - l->complained < COMPLAIN_MS)
        return;
    l->complained = now;
    log_warn("new connections wait", LOG_TEXT("why", why),
             LOG_NUM("connections", conn_pool_count(l->pool)));
}

static void shed_one(listener *l)
{
    if (l->spare >= 0)
        close(l->spare);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void greet(listener *l, int fd)
{
    const char *refusal = NULL;
    if (conn_pool_count(l->pool) >= conn_pool_limits(l->pool)->max_conns) {
        metrics_add(METRIC_CONNECTIONS_REFUSED, 1);
        refusal = "the server is full; try again in a second";
    }
    conn *c = conn_open(l->pool, fd, l->tls);
    if (c == NULL)
        return;
    size_t excess = conn_excess(c);
    if (excess > 0)
        refusal = conn_note_excess(c);
    if (excess > RESERVE)
        conn_abort(c);
    else
        l->on_conn(c, refusal, l->arg);
}

/* False: no more for now. */
static bool accept_one(listener *l)
{
    if (conn_pool_count(l->pool) >= conn_pool_limits(l->pool)->max_conns + RESERVE) {
        pause_accepting(l, "the worker is full");
        return false;
    }
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        greet(l, fd);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE) {
        shed_one(l);
        pause_accepting(l, "no file descriptor is left; raise the limit (ulimit -n)");
    } else if (errno == ENOMEM || errno == ENOBUFS) {
        pause_accepting(l, "the kernel has no memory for sockets");
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        return true; /* that one died in the backlog */
    }
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    listener *l = poll->data;
    (void)events;
    if (status < 0) {
        pause_accepting(l, uv_strerror(status));
        return;
    }
    for (int i = 0; i < ACCEPT_BURST && uv_is_active((uv_handle_t *)poll) && accept_one(l); i++)
        ;
}

/* Accepted sockets inherit these. The timeout finds peers that vanished without a word: the kernel
 * takes what we write for minutes otherwise. The mark keeps what a slow peer has not taken out of
 * the kernel's buffers (megabytes a connection), in our hands, where old pictures give way to new
 * ones. A peer that stood still and reads again is tried every few seconds; else the kernel doubles
 * its pauses up to two minutes. They fail on a unix socket, where nobody needs them, and the last
 * on an older kernel. */
static void set_options(const listener *l)
{
    int on = 1;
    unsigned stall = (unsigned)conn_pool_limits(l->pool)->write_stall_ms, unsent = UNSENT_MAX;
    unsigned retry = RETRY_MAX_MS;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(l->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall, sizeof stall);
    setsockopt(l->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    setsockopt(l->fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &retry, sizeof retry);
}

listener *listener_start(conn_pool *pool, int fd, struct tls_context *tls,
                         void (*on_conn)(conn *c, const char *refusal, void *arg), void *arg)
{
    listener *l = mem_alloc(sizeof *l);
    uv_loop_t *loop = conn_pool_loop(pool);
    if (uv_poll_init(loop, &l->poll, fd) != 0) {
        close(fd);
        free(l);
        return NULL;
    }
    uv_timer_init(loop, &l->timer);
    l->poll.data = l->timer.data = l;
    l->open_handles = 2;
    l->pool = pool;
    l->fd = fd;
    l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->tls = tls != NULL ? tls_context_hold(tls) : NULL;
    l->on_conn = on_conn;
    l->arg = arg;
    set_options(l);
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
    return l;
}

void listener_set_tls(listener *l, struct tls_context *tls)
{
    tls_context *old = l->tls;
    l->tls = tls != NULL ? tls_context_hold(tls) : NULL;
    if (old != NULL)
        tls_context_drop(old);
}

static void on_handle_closed(uv_handle_t *handle)
{
    listener *l = handle->data;
    if (--l->open_handles > 0)
        return;
    listener_set_tls(l, NULL);
    if (l->spare >= 0)
        close(l->spare);
    free(l);
}

/* Whoever connected before the end is served: closing would reset what waits in the backlog. */
void listener_stop(listener *l)
{
    for (int i = 0; i < LAST_BURST && accept_one(l); i++)
        ;
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    close(l->fd);
}
