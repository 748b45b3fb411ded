/* A connection's life. libuv's own TCP and resolver, OpenSSL by net/tls (bytes in, bytes out), the
 * frames by codec/ws_frame: the same code as the server's.
 *
 *   RESOLVING --addresses--> CONNECTING --connected--> OPENING --101--> OPEN
 *                              |    ^                                    | wire_close
 *                              '----' the next address                CLOSING
 *
 *   any --failure, deadline, close frame, end of the stream (end)--> DEAD
 *   any --wire_abandon--> DEAD
 *
 * Owner: the client, until on_end or wire_abandon; then itself, until the last of its handles and
 * requests has called back (drop). What must never happen: an event after on_end or wire_abandon; a
 * plain text byte before TLS is ready; memory freed inside one of its own callbacks. */
#include "wire.h"

#include "base64url.h"
#include "mem.h"
#include "opening.h"
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLOSING_MS = 2000, RANDOM_KEY = 16 };

typedef enum { RESOLVING, CONNECTING, OPENING, OPEN, CLOSING, DEAD } wire_state;

struct wire {
    wire_state state;
    unsigned holds; /* handles and requests that will call back */
    bool opened, pinged, writing, tcp_open;
    wire_options options;
    const wire_events *events;
    void *owner;
    uv_loop_t *loop;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses, *next;
    uv_tcp_t tcp;
    uv_timer_t timer; /* the deadline of the opening, then pings, then the deadline of the close */
    uv_connect_t connect;
    uv_write_t write;
    tls_session *tls;
    buf out, sending; /* for the socket; owned by uv_write */
    buf head;         /* the answer to the opening */
    buf key;
    char *token;
    ws_parser parser;
    char input[65536];
};

static void drop(wire *w)
{
    if (--w->holds > 0)
        return;
    if (w->addresses)
        uv_freeaddrinfo(w->addresses);
    tls_session_free(w->tls);
    buf_free(&w->out);
    buf_free(&w->sending);
    buf_free(&w->head);
    buf_free(&w->key);
    free(w->token);
    ws_parser_free(&w->parser);
    free(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    drop(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    drop(handle->data);
}

void wire_abandon(wire *w)
{
    if (w->state == DEAD)
        return;
    if (w->state == RESOLVING && w->holds > 1)
        uv_cancel((uv_req_t *)&w->resolve);
    w->state = DEAD;
    uv_close((uv_handle_t *)&w->timer, on_timer_closed);
    if (w->tcp_open)
        uv_close((uv_handle_t *)&w->tcp, on_tcp_closed);
    w->tcp_open = false;
}

static void end(wire *w, const wire_end *why)
{
    if (w->state == DEAD)
        return;
    wire_end all = *why;
    all.opened = w->opened;
    wire_abandon(w);
    w->events->on_end(w->owner, &all);
}

static void fail(wire *w, const char *word, const char *text)
{
    end(w, &(wire_end){.code = WS_ABNORMAL, .word = word, .reason = slice_of(text)});
}

/* Writing ----------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int status);

static void flush(wire *w)
{
    if (w->writing || w->out.len == 0 || w->state == DEAD)
        return;
    w->sending = w->out;
    w->out = (buf){0};
    uv_buf_t bytes = uv_buf_init(w->sending.data, (unsigned)w->sending.len);
    w->write.data = w;
    w->writing = true;
    int code = uv_write(&w->write, (uv_stream_t *)&w->tcp, &bytes, 1, on_written);
    if (code == 0)
        w->holds++;
    else
        fail(w, "lost", uv_strerror(code));
}

static void on_written(uv_write_t *request, int status)
{
    wire *w = request->data;
    w->writing = false;
    buf_free(&w->sending);
    if (status < 0)
        fail(w, "lost", uv_strerror(status));
    flush(w);
    if (w->state == OPEN && !w->writing)
        w->events->on_drain(w->owner);
    drop(w);
}

static void put(wire *w, slice plain)
{
    if (!w->tls)
        buf_append_slice(&w->out, plain);
    else
        tls_write(w->tls, plain, &w->out);
}

static void put_frame(wire *w, ws_opcode opcode, slice data)
{
    uint8_t mask[WS_MASK_BYTES];
    buf bytes = {0};
    RAND_bytes(mask, sizeof mask);
    ws_put_masked(&bytes, opcode, mask, data);
    put(w, (slice){bytes.data, bytes.len});
    buf_free(&bytes);
    flush(w);
}

void wire_send(wire *w, slice text)
{
    if (w->state == OPEN)
        put_frame(w, WS_TEXT, text);
}

size_t wire_waiting(const wire *w)
{
    return w->state == OPEN ? w->out.len + w->sending.len : SIZE_MAX;
}

static void put_close(wire *w, int code)
{
    char bytes[2] = {(char)(code >> 8), (char)code};
    put_frame(w, WS_CLOSE, (slice){bytes, code == WS_NO_CODE ? 0 : sizeof bytes});
}

/* Time -------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    wire *w = timer->data;
    if (w->state == CLOSING) {
        end(w, &(wire_end){.code = WS_NORMAL, .word = "close", .reason = {"", 0}});
    } else if (w->state != OPEN) {
        fail(w, "timeout", "the connection did not open in time");
    } else if (w->pinged) {
        fail(w, "timeout", "the server does not answer pings");
    } else {
        w->pinged = true;
        uv_timer_start(&w->timer, on_timer, w->options.pong_ms, 0);
        put_frame(w, WS_PING, (slice){"", 0});
    }
}

/* Anything that comes shows that the server lives. */
static void heard(wire *w)
{
    if (w->state == OPEN && w->pinged) {
        w->pinged = false;
        uv_timer_start(&w->timer, on_timer, w->options.ping_ms, 0);
    }
}

void wire_close(wire *w)
{
    if (w->state != OPEN) {
        end(w, &(wire_end){.code = WS_NORMAL, .word = "close", .reason = {"", 0}});
        return;
    }
    put_close(w, WS_NORMAL);
    if (w->state != OPEN)
        return;
    w->state = CLOSING;
    uv_timer_start(&w->timer, on_timer, CLOSING_MS, 0);
}

/* Reading ----------------------------------------------------------------------------------- */

static void take_message(wire *w, const ws_message *m)
{
    if (m->opcode == WS_TEXT && w->state == OPEN) {
        w->events->on_text(w->owner, m->data);
    } else if (m->opcode == WS_PING) {
        put_frame(w, WS_PONG, m->data);
    } else if (m->opcode == WS_CLOSE) {
        if (w->state == OPEN)
            put_close(w, m->code);
        end(w, &(wire_end){.code = m->code, .word = "close", .reason = m->data});
    }
}

static void take_frames(wire *w, slice in)
{
    ws_message m;
    while (w->state == OPEN || w->state == CLOSING) {
        ws_result result = ws_parse(&w->parser, &in, &m);
        if (result == WS_MORE)
            return;
        if (result == WS_READY) {
            take_message(w, &m);
            continue;
        }
        put_close(w, w->parser.code);
        end(w, &(wire_end){
                   .code = w->parser.code, .word = "protocol", .reason = slice_of(w->parser.why)});
    }
}

static void open_up(wire *w, size_t used)
{
    w->state = OPEN;
    w->opened = true;
    uv_timer_start(&w->timer, on_timer, w->options.ping_ms, 0);
    w->events->on_open(w->owner);
    take_frames(w, (slice){w->head.data + used, w->head.len - used});
    buf_free(&w->head);
}

static void take_head(wire *w, slice in, bool ended)
{
    opening_answer answer;
    buf_append_slice(&w->head, in);
    slice all = {w->head.len > 0 ? w->head.data : "", w->head.len};
    switch (opening_read(all, ended, (slice){w->key.data, w->key.len}, &answer)) {
    case OPENING_MORE:
        return;
    case OPENING_DONE:
        open_up(w, answer.used);
        return;
    case OPENING_REFUSED:
        end(w, &(wire_end){.code = WS_ABNORMAL,
                           .word = "refused",
                           .status = answer.status,
                           .reason = answer.body});
        return;
    case OPENING_BAD:
        fail(w, "connect", "that is no WebSocket server");
    }
}

static void take(wire *w, slice plain)
{
    if (w->state == OPENING)
        take_head(w, plain, false);
    else
        take_frames(w, plain);
}

static void take_cipher(wire *w, slice cipher)
{
    buf plain = {0};
    tls_result result = tls_feed(w->tls, cipher, &plain, &w->out);
    flush(w);
    if (plain.len > 0)
        take(w, (slice){plain.data, plain.len});
    buf_free(&plain);
    if (result == TLS_FAILED)
        fail(w, "tls", tls_failure(w->tls));
    else if (result == TLS_PEER_ENDED)
        fail(w, "lost", "the server has closed the connection");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    wire *w = handle->data;
    (void)suggested;
    *out = uv_buf_init(w->input, sizeof w->input);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    wire *w = stream->data;
    if (n == 0 || w->state == DEAD)
        return;
    if (n < 0) {
        if (w->state == OPENING && w->head.len > 0)
            take_head(w, (slice){"", 0}, true);
        fail(w, "lost", n == UV_EOF ? "the server has closed the connection" : uv_strerror((int)n));
        return;
    }
    heard(w);
    slice in = {bytes->base, (size_t)n};
    if (w->tls)
        take_cipher(w, in);
    else
        take(w, in);
}

/* Opening ----------------------------------------------------------------------------------- */

static void connect_next(wire *w);

static void on_connected(uv_connect_t *request, int status);

static void begin(wire *w)
{
    unsigned char key[RANDOM_KEY];
    buf request = {0};
    w->state = OPENING;
    RAND_bytes(key, sizeof key);
    base64_encode(&w->key, (slice){(const char *)key, sizeof key});
    opening_request(&request, &w->options.url, (slice){w->key.data, w->key.len}, w->token,
                    w->options.token_in_query);
    uv_tcp_nodelay(&w->tcp, 1);
    uv_read_start((uv_stream_t *)&w->tcp, on_alloc, on_read);
    put(w, (slice){request.data, request.len}); /* TLS keeps it until the handshake is done */
    buf_free(&request);
    if (w->tls)
        take_cipher(w, (slice){"", 0});
    else
        flush(w);
}

static void on_failed_closed(uv_handle_t *handle)
{
    wire *w = handle->data;
    if (w->state != DEAD)
        connect_next(w);
    drop(w);
}

static void on_connected(uv_connect_t *request, int status)
{
    wire *w = request->data;
    if (w->state == DEAD)
        return;
    if (status == 0) {
        begin(w);
        return;
    }
    if (!w->next) {
        fail(w, "connect", uv_strerror(status));
        return;
    }
    w->tcp_open = false;
    uv_close((uv_handle_t *)&w->tcp, on_failed_closed);
}

static void connect_next(wire *w)
{
    const struct sockaddr *address = w->next->ai_addr;
    w->next = w->next->ai_next;
    uv_tcp_init(w->loop, &w->tcp);
    w->tcp.data = w->connect.data = w;
    w->tcp_open = true;
    w->holds++;
    int code = uv_tcp_connect(&w->connect, &w->tcp, address, on_connected);
    if (code != 0)
        fail(w, "connect", uv_strerror(code));
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    wire *w = request->data;
    w->addresses = w->next = addresses;
    if (w->state != DEAD && status == 0) {
        w->state = CONNECTING;
        connect_next(w);
    } else if (w->state != DEAD) {
        fail(w, "connect", uv_strerror(status));
    }
    drop(w);
}

static void on_no_resolver(uv_timer_t *timer)
{
    fail(timer->data, "connect", "the name can't be resolved: no thread for it");
}

static void resolve(wire *w, const char *host)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    snprintf(port, sizeof port, "%u", (unsigned)w->options.url.port);
    w->resolve.data = w;
    w->holds++;
    if (uv_getaddrinfo(w->loop, &w->resolve, on_resolved, host, port, &hints) == 0)
        return;
    w->holds--;
    uv_timer_start(&w->timer, on_no_resolver, 0,
                   0); /* events come from the loop, never from here */
}

wire *wire_open(uv_loop_t *loop, const wire_options *options, const wire_events *events,
                void *owner)
{
    wire *w = mem_alloc(sizeof *w);
    w->options = *options;
    w->events = events;
    w->owner = owner;
    w->loop = loop;
    w->parser.max_message = options->max_message;
    w->parser.from_server = true;
    w->token = options->token ? mem_dup(options->token, strlen(options->token)) : NULL;
    w->holds = 1; /* the timer */
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    uv_timer_start(&w->timer, on_timer, options->connect_ms, 0);
    char *host = mem_dup(options->url.host.p, options->url.host.n);
    if (options->tls)
        w->tls = tls_session_new_client(options->tls, host);
    resolve(w, host);
    free(host);
    return w;
}
