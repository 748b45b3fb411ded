/* What waits to be sent: a bounded list in order, fed into the connection as fast as the system
 * takes it. Without a connection commands are not kept, since the next one begins with all that
 * matters (name, session, subscriptions); publications are. */
#include "client.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PRESSED = 256 * 1024 }; /* bytes in the connection's hands: more waits here */

struct queued {
    queued *next;
    bool command;
    size_t n;
    char text[];
};

static bool flows(const lunacast *c)
{
    return c->wire && c->state == LUNACAST_OPEN && wire_waiting(c->wire) < PRESSED;
}

static void unlink_after(lunacast *c, queued *before)
{
    queued *q = before ? before->next : c->first;
    if (before)
        before->next = q->next;
    else
        c->first = q->next;
    if (c->last == q)
        c->last = before;
    c->queued--;
    c->queued_bytes -= q->n;
    free(q);
}

static bool has_room(const lunacast *c, size_t n)
{
    return c->queued < c->options.queue_messages && n <= c->options.queue_bytes &&
           c->queued_bytes <= c->options.queue_bytes - n;
}

static bool drop_oldest(lunacast *c)
{
    queued *before = NULL;
    for (queued *q = c->first; q; before = q, q = q->next) {
        if (q->command)
            continue;
        unlink_after(c, before);
        c->dropped++;
        return true;
    }
    return false;
}

static bool make_room(lunacast *c, size_t n)
{
    if (n > c->options.queue_bytes)
        return false;
    while (!has_room(c, n)) {
        if (c->options.overflow != LUNACAST_DROP_OLDEST || !drop_oldest(c))
            return false;
    }
    return true;
}

static void append(lunacast *c, slice text, bool command)
{
    queued *q = mem_alloc(sizeof *q + text.n);
    q->command = command;
    q->n = text.n;
    memcpy(q->text, text.p, text.n);
    if (c->last)
        c->last->next = q;
    else
        c->first = q;
    c->last = q;
    c->queued++;
    c->queued_bytes += text.n;
}

int queue_send(lunacast *c, slice text, bool command)
{
    if (text.n > c->options.max_message)
        return LUNACAST_TOO_LARGE;
    if (command && c->state != LUNACAST_OPEN)
        return LUNACAST_OK;
    if ((c->beginning && c->wire) || (!c->first && flows(c))) {
        sealing_send(c, text);
        return LUNACAST_OK;
    }
    if (!make_room(c, text.n))
        return LUNACAST_FULL;
    append(c, text, command);
    return LUNACAST_OK;
}

void queue_pump(lunacast *c)
{
    while (!c->freed && c->first && flows(c)) {
        sealing_send(c, (slice){c->first->text, c->first->n});
        unlink_after(c, NULL);
    }
}

void queue_flush(lunacast *c)
{
    while (c->wire && c->first) {
        sealing_send(c, (slice){c->first->text, c->first->n});
        unlink_after(c, NULL);
    }
}

void queue_drop_commands(lunacast *c)
{
    queued *before = NULL;
    for (queued *q = c->first; q;) {
        queued *next = q->next;
        if (q->command)
            unlink_after(c, before);
        else
            before = q;
        q = next;
    }
}

void queue_clear(lunacast *c)
{
    while (c->first)
        unlink_after(c, NULL);
}

size_t lunacast_waiting(const lunacast *c)
{
    return c->queued;
}

uint64_t lunacast_dropped(const lunacast *c)
{
    return c->dropped;
}

/* Publishing -------------------------------------------------------------------------------- */

static void put_time(buf *out)
{
    char text[40];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof text - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
    message_put(out, "timestamp", text);
}

int lunacast_publish(lunacast *c, const char *topic, const char *session, const char *payload,
                     size_t size)
{
    buf out = {0};
    if (!client_text_valid(topic, 100, true) || !client_text_valid(session, 80, false))
        return LUNACAST_BAD_ARGUMENT;
    if (c->stopped)
        return LUNACAST_CLOSED;
    if (size > c->options.max_message)
        return LUNACAST_TOO_LARGE;
    if (!message_valid((slice){payload, size}))
        return LUNACAST_BAD_JSON;
    buf_text(&out, "publish-json:");
    message_put(&out, "publisher_name", c->options.name);
    message_put(&out, "topic", topic);
    message_name(&out, "payload");
    buf_append(&out, payload, size);
    put_time(&out);
    message_put(&out, "session_id", session);
    buf_byte(&out, '}');
    int code = queue_send(c, (slice){out.data, out.len}, false);
    buf_free(&out);
    return code;
}

int lunacast_set_data(lunacast *c, const char *json, size_t size)
{
    buf out = {0};
    if (size > c->options.max_message)
        return LUNACAST_TOO_LARGE;
    if (!message_valid((slice){json, size}))
        return LUNACAST_BAD_JSON;
    free(c->data);
    c->data = mem_dup(json, size);
    buf_text(&out, "set-data:");
    buf_append(&out, json, size);
    int code = queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
    return code;
}
