/* libuv's own TCP and resolver, OpenSSL by net/tls (bytes in, bytes out): the same code as the
 * server's.
 *
 *   RESOLVING --addresses--> CONNECTING --on_connected--> READY
 *                              |    ^
 *                              '----' the next address
 *   any --failure, end of the stream (fail), transport_abandon--> DEAD
 *
 * Owner: whoever opened it, until on_end or transport_abandon; then itself, until the last of its
 * handles and requests has called back (drop). What must never happen: an event but on_gone when it
 * is DEAD; a plain text byte on the socket of a TLS session; memory freed inside one of its own
 * callbacks. */
#include "transport.h"

#include "buf.h"
#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

typedef enum { RESOLVING, CONNECTING, READY, DEAD } transport_state;

struct transport {
    transport_state state;
    unsigned holds; /* handles and requests that will call back */
    bool writing, tcp_open;
    const transport_events *events;
    void *owner;
    uv_loop_t *loop;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses, *next;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    tls_session *tls;
    buf out, sending; /* for the socket; owned by uv_write */
    char input[65536];
};

static void drop(transport *t)
{
    if (--t->holds > 0)
        return;
    const transport_events *events = t->events;
    void *owner = t->owner;
    if (t->addresses)
        uv_freeaddrinfo(t->addresses);
    tls_session_free(t->tls);
    buf_free(&t->out);
    buf_free(&t->sending);
    free(t);
    events->on_gone(owner);
}

static void on_handle_closed(uv_handle_t *handle)
{
    drop(handle->data);
}

void transport_abandon(transport *t)
{
    if (t->state == DEAD)
        return;
    if (t->state == RESOLVING && t->holds > 1)
        uv_cancel((uv_req_t *)&t->resolve);
    t->state = DEAD;
    uv_close((uv_handle_t *)&t->timer, on_handle_closed);
    if (t->tcp_open)
        uv_close((uv_handle_t *)&t->tcp, on_handle_closed);
    t->tcp_open = false;
}

static void fail(transport *t, const char *word, const char *text)
{
    if (t->state == DEAD)
        return;
    transport_abandon(t);
    t->events->on_end(t->owner, word, text);
}

/* Time -------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    transport *t = timer->data;
    t->events->on_alarm(t->owner);
}

void transport_alarm(transport *t, unsigned ms)
{
    if (t->state != DEAD)
        uv_timer_start(&t->timer, on_timer, ms, 0);
}

/* Writing ----------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status);

static void flush(transport *t)
{
    if (t->writing || t->out.len == 0 || t->state == DEAD)
        return;
    t->sending = t->out;
    t->out = (buf){0};
    uv_buf_t bytes = uv_buf_init(t->sending.data, (unsigned)t->sending.len);
    t->write.data = t;
    t->writing = true;
    int code = uv_write(&t->write, (uv_stream_t *)&t->tcp, &bytes, 1, on_written);
    if (code == 0)
        t->holds++;
    else
        fail(t, "lost", uv_strerror(code));
}

static void on_written(uv_write_t *request, int status)
{
    transport *t = request->data;
    t->writing = false;
    buf_free(&t->sending);
    if (status < 0)
        fail(t, "lost", uv_strerror(status));
    flush(t);
    if (t->state == READY && !t->writing)
        t->events->on_drain(t->owner);
    drop(t);
}

void transport_write(transport *t, slice plain)
{
    if (t->state != READY)
        return;
    if (!t->tls)
        buf_append_slice(&t->out, plain);
    else
        tls_write(t->tls, plain, &t->out);
    flush(t);
}

size_t transport_waiting(const transport *t)
{
    return t->out.len + t->sending.len;
}

/* Reading ----------------------------------------------------------------------------------- */

static void take_cipher(transport *t, slice cipher)
{
    buf plain = {0};
    tls_result result = tls_feed(t->tls, cipher, &plain, &t->out);
    flush(t);
    if (plain.len > 0 && t->state == READY)
        t->events->on_bytes(t->owner, (slice){plain.data, plain.len});
    buf_free(&plain);
    if (result == TLS_FAILED)
        fail(t, "tls", tls_failure(t->tls));
    else if (result == TLS_PEER_ENDED)
        fail(t, "lost", "the server has closed the connection");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    transport *t = handle->data;
    (void)suggested;
    *out = uv_buf_init(t->input, sizeof t->input);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    transport *t = stream->data;
    if (n == 0 || t->state == DEAD)
        return;
    slice in = {bytes->base, n > 0 ? (size_t)n : 0};
    if (n < 0)
        fail(t, "lost", n == UV_EOF ? "the server has closed the connection" : uv_strerror((int)n));
    else if (t->tls)
        take_cipher(t, in);
    else
        t->events->on_bytes(t->owner, in);
}

/* Connecting -------------------------------------------------------------------------------- */

static void connect_next(transport *t);

static void begin(transport *t)
{
    t->state = READY;
    uv_tcp_nodelay(&t->tcp, 1);
    uv_read_start((uv_stream_t *)&t->tcp, on_alloc, on_read);
    t->events->on_ready(t->owner);
    if (t->tls && t->state == READY)
        take_cipher(t, (slice){"", 0});
}

static void on_failed_closed(uv_handle_t *handle)
{
    transport *t = handle->data;
    if (t->state != DEAD)
        connect_next(t);
    drop(t);
}

static void on_connected(uv_connect_t *request, int status)
{
    transport *t = request->data;
    if (t->state == DEAD)
        return;
    if (status == 0) {
        begin(t);
        return;
    }
    if (!t->next) {
        fail(t, "connect", uv_strerror(status));
        return;
    }
    t->tcp_open = false;
    uv_close((uv_handle_t *)&t->tcp, on_failed_closed);
}

static void connect_next(transport *t)
{
    const struct sockaddr *address = t->next->ai_addr;
    t->next = t->next->ai_next;
    uv_tcp_init(t->loop, &t->tcp);
    t->tcp.data = t->connect.data = t;
    t->tcp_open = true;
    t->holds++;
    int code = uv_tcp_connect(&t->connect, &t->tcp, address, on_connected);
    if (code != 0)
        fail(t, "connect", uv_strerror(code));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    transport *t = request->data;
    t->addresses = t->next = addresses;
    if (t->state != DEAD && status == 0) {
        t->state = CONNECTING;
        connect_next(t);
    } else if (t->state != DEAD) {
        fail(t, "connect", uv_strerror(status));
    }
    drop(t);
}

static void on_no_resolver(uv_timer_t *timer)
{
    fail(timer->data, "connect", "the name can't be resolved: no thread for it");
}

static void on_no_tls(uv_timer_t *timer)
{
    fail(timer->data, "tls", "TLS can't be begun with this host");
}

/* False: there is no thread for it. */
static bool resolve(transport *t, const char *host, unsigned port_number)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%u", port_number);
    t->resolve.data = t;
    if (uv_getaddrinfo(t->loop, &t->resolve, on_resolved, host, port, &hints) != 0)
        return false;
    t->holds++;
    return true;
}

transport *transport_open(uv_loop_t *loop, const url_parts *url, tls_context *tls,
                          unsigned alarm_ms, const transport_events *events, void *owner)
{
    transport *t = mem_alloc(sizeof *t);
    t->events = events;
    t->owner = owner;
    t->loop = loop;
    t->holds = 1; /* the timer */
    uv_timer_init(loop, &t->timer);
    t->timer.data = t;
    transport_alarm(t, alarm_ms);
    char *host = mem_dup(url->host.p, url->host.n);
    if (tls)
        t->tls = tls_session_new_client(tls, host);
    /* Events come from the loop, never from here. */
    if (tls && !t->tls)
        uv_timer_start(&t->timer, on_no_tls, 0, 0);
    else if (!resolve(t, host, url->port))
        uv_timer_start(&t->timer, on_no_resolver, 0, 0);
    free(host);
    return t;
}
