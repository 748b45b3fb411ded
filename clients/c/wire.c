/* A WebSocket over a transport: the opening, frames by codec/ws_frame, pings, the good-bye.
 *
 *   OPENING --101 (open_up)--> OPEN --wire_close--> CLOSING
 *   any --failure, deadline, close frame, end of the stream (end)--> DEAD
 *   any --wire_abandon--> DEAD
 *
 * Owner: the client, until on_end or wire_abandon; then itself, until its transport is gone. What
 * must never happen: an event after on_end or wire_abandon; memory freed inside one of its own
 * callbacks. */
#include "wire.h"

#include "base64url.h"
#include "mem.h"
#include "opening.h"
#include "transport.h"
#include "ws_frame.h"
#include <openssl/rand.h>
#include <stdlib.h>

enum { CLOSING_MS = 2000, RANDOM_KEY = 16 };

typedef enum { OPENING, OPEN, CLOSING, DEAD } wire_state;

struct wire {
    wire_state state;
    bool opened, pinged;
    wire_options options;
    const wire_events *events;
    void *owner;
    transport *transport;
    buf head; /* the answer to the opening */
    buf key;
    char *token;
    ws_parser parser;
};

static void on_gone(void *owner)
{
    wire *w = owner;
    buf_free(&w->head);
    buf_free(&w->key);
    free(w->token);
    ws_parser_free(&w->parser);
    free(w);
}

void wire_abandon(wire *w)
{
    w->state = DEAD;
    transport_abandon(w->transport);
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

static void put_frame(wire *w, ws_opcode opcode, slice data)
{
    uint8_t mask[WS_MASK_BYTES];
    buf bytes = {0};
    RAND_bytes(mask, sizeof mask);
    ws_put_masked(&bytes, opcode, mask, data);
    transport_write(w->transport, (slice){bytes.data, bytes.len});
    buf_free(&bytes);
}

void wire_send(wire *w, slice text)
{
    if (w->state == OPEN)
        put_frame(w, WS_TEXT, text);
}

size_t wire_waiting(const wire *w)
{
    return w->state == OPEN ? transport_waiting(w->transport) : SIZE_MAX;
}

static void put_close(wire *w, int code)
{
    char bytes[2] = {(char)(code >> 8), (char)code};
    put_frame(w, WS_CLOSE, (slice){bytes, code == WS_NO_CODE ? 0 : sizeof bytes});
}

/* Time -------------------------------------------------------------------------------------- */

static void on_alarm(void *owner)
{
    wire *w = owner;
    if (w->state == CLOSING) {
        end(w, &(wire_end){.code = WS_NORMAL, .word = "close", .reason = {"", 0}});
    } else if (w->state != OPEN) {
        fail(w, "timeout", "the connection did not open in time");
    } else if (w->pinged) {
        fail(w, "timeout", "the server does not answer pings");
    } else {
        w->pinged = true;
        transport_alarm(w->transport, w->options.pong_ms);
        put_frame(w, WS_PING, (slice){"", 0});
    }
}

/* Anything that comes shows that the server lives. */
static void heard(wire *w)
{
    if (w->state == OPEN && w->pinged) {
        w->pinged = false;
        transport_alarm(w->transport, w->options.ping_ms);
    }
}

void wire_close(wire *w, int code)
{
    if (w->state != OPEN) {
        end(w, &(wire_end){.code = WS_NORMAL, .word = "close", .reason = {"", 0}});
        return;
    }
    put_close(w, code);
    if (w->state != OPEN)
        return;
    w->state = CLOSING;
    transport_alarm(w->transport, CLOSING_MS);
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
    transport_alarm(w->transport, w->options.ping_ms);
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

static void on_bytes(void *owner, slice plain)
{
    wire *w = owner;
    heard(w);
    if (w->state == OPENING)
        take_head(w, plain, false);
    else
        take_frames(w, plain);
}

static void on_drain(void *owner)
{
    wire *w = owner;
    if (w->state == OPEN)
        w->events->on_drain(w->owner);
}

/* A refusal may end with the stream. */
static void on_ended(void *owner, const char *word, const char *text)
{
    wire *w = owner;
    if (w->state == OPENING && w->head.len > 0 && strcmp(word, "lost") == 0)
        take_head(w, (slice){"", 0}, true);
    fail(w, word, text);
}

/* Opening ----------------------------------------------------------------------------------- */

static void on_ready(void *owner)
{
    wire *w = owner;
    unsigned char key[RANDOM_KEY];
    buf request = {0};
    RAND_bytes(key, sizeof key);
    base64_encode(&w->key, (slice){(const char *)key, sizeof key});
    opening_request(&request, &w->options.url, (slice){w->key.data, w->key.len}, w->token,
                    w->options.token_in_query);
    transport_write(w->transport, (slice){request.data, request.len});
    buf_free(&request);
}

wire *wire_open(uv_loop_t *loop, const wire_options *options, const wire_events *events,
                void *owner)
{
    static const transport_events ours = {on_ready, on_bytes, on_drain,
                                          on_alarm, on_ended, on_gone};
    wire *w = mem_alloc(sizeof *w);
    w->options = *options;
    w->events = events;
    w->owner = owner;
    w->parser.max_message = options->max_message;
    w->parser.from_server = true;
    w->token = options->token ? mem_dup(options->token, strlen(options->token)) : NULL;
    w->transport = transport_open(loop, &options->url, options->tls, options->connect_ms, &ours, w);
    return w;
}
