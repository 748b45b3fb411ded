/* Questions that wait for an answer: presence, history. The server answers in any order and names
 * topic and session; all questions have the same patience, so the first is the first to be due. */
#include "client.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

struct ask {
    ask *next;
    const char *type; /* "presence", "history" */
    char *topic, *session;
    lunacast_answer answer;
    void *user;
    uint64_t due;
};

static void free_ask(ask *a)
{
    free(a->topic);
    free(a->session);
    free(a);
}

static void plan(lunacast *c)
{
    uint64_t now = uv_now(c->options.loop);
    if (c->freed || !c->asks)
        return;
    uint64_t left = c->asks->due > now ? c->asks->due - now : 0;
    uv_timer_start(&c->asking, ask_on_timer, left, 0);
}

static void take_out(lunacast *c, ask *before, ask *a)
{
    if (before)
        before->next = a->next;
    else
        c->asks = a->next;
    if (c->asks_last == a)
        c->asks_last = before;
    c->asked--;
}

static void finish(lunacast *c, ask *a, int code, slice text)
{
    if (!c->freed)
        a->answer(a->user, code, (lunacast_bytes){text.p, text.n});
    free_ask(a);
}

void ask_on_timer(uv_timer_t *timer)
{
    lunacast *c = timer->data;
    while (!c->freed && c->asks && c->asks->due <= uv_now(c->options.loop)) {
        ask *a = c->asks;
        take_out(c, NULL, a);
        finish(c, a, LUNACAST_TIMEOUT, (slice){0});
    }
    plan(c);
}

/* Those that a callback asks anew fail at once: there is no connection. */
void ask_fail_all(lunacast *c, int code)
{
    if (!c->freed)
        uv_timer_stop(&c->asking);
    while (!c->freed && c->asks) {
        ask *a = c->asks;
        take_out(c, NULL, a);
        finish(c, a, code, (slice){0});
    }
}

void ask_free_all(lunacast *c)
{
    while (c->asks) {
        ask *a = c->asks;
        take_out(c, NULL, a);
        free_ask(a);
    }
}

bool ask_settle(lunacast *c, const message *m)
{
    ask *before = NULL;
    for (ask *a = c->asks; a; before = a, a = a->next) {
        if (!message_string_is(m->type, a->type) || !message_string_is(m->topic, a->topic) ||
            (a->session && !message_string_is(m->session_id, a->session)))
            continue;
        take_out(c, before, a);
        finish(c, a, LUNACAST_OK, m->text);
        return true;
    }
    return false; /* the server tells by itself who is there, after a gap */
}

static int send_ask(lunacast *c, ask *a, const char *since, unsigned limit)
{
    buf out = {0};
    buf_format(&out, "%s-json:", a->type);
    message_put(&out, "topic", a->topic);
    message_put(&out, "session_id", a->session);
    message_put(&out, "since", since);
    if (limit > 0) {
        message_name(&out, "limit");
        buf_uint(&out, limit);
    }
    buf_byte(&out, '}');
    int code = queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
    return code;
}

static void append(lunacast *c, ask *a)
{
    if (c->asks_last)
        c->asks_last->next = a;
    else
        c->asks = a;
    c->asks_last = a;
    c->asked++;
    plan(c);
}

static int put_ask(lunacast *c, const ask *like, const char *since, unsigned limit)
{
    if (!client_text_valid(like->topic, 100, true) ||
        !client_text_valid(like->session, 80, false) || !client_text_valid(since, 64, false) ||
        !like->answer)
        return LUNACAST_BAD_ARGUMENT;
    if (c->state != LUNACAST_OPEN || !c->wire)
        return LUNACAST_CLOSED;
    if (c->asked >= ASKS_MAX)
        return LUNACAST_FULL;
    ask *a = mem_alloc(sizeof *a);
    *a = *like;
    a->topic = client_copy(like->topic);
    a->session = client_copy(like->session);
    a->due = uv_now(c->options.loop) + c->options.ask_ms;
    int code = send_ask(c, a, since, limit);
    if (code == LUNACAST_OK && (c->freed || !c->wire))
        code = LUNACAST_CLOSED; /* sending has shown that the connection is gone */
    if (code == LUNACAST_OK)
        append(c, a);
    else
        free_ask(a);
    return code;
}

int lunacast_presence(lunacast *c, const char *topic, const char *session, lunacast_answer answer,
                      void *user)
{
    ask like = {.type = "presence", .answer = answer, .user = user};
    like.topic = (char *)(uintptr_t)topic;
    like.session = (char *)(uintptr_t)session;
    return put_ask(c, &like, NULL, 0);
}

int lunacast_history(lunacast *c, const char *topic, const char *session, const char *since,
                     unsigned limit, lunacast_answer answer, void *user)
{
    ask like = {.type = "history", .answer = answer, .user = user};
    like.topic = (char *)(uintptr_t)topic;
    like.session = (char *)(uintptr_t)session;
    return put_ask(c, &like, since, limit);
}
