/* What the server says, and which part of the client it is for. Subscriptions and pictures that go
 * while their callback runs are freed when the message is done with. */
#include "client.h"

#include <stdlib.h>

static void on_answer(lunacast *c, const message *m)
{
    if (message_string_is(m->type, "subscribed"))
        topics_subscribed(c, m);
    else if (message_string_is(m->type, "watching"))
        pictures_watching(c, m);
    else if (message_string_is(m->type, "history"))
        ask_settle(c, m);
    else if (!message_string_is(m->type, "presence") || !ask_settle(c, m))
        topics_presence(c, m);
}

static void on_refusal(lunacast *c, const message *m)
{
    char *code = message_string(m->code), *text = message_string(m->error);
    char *topic = message_string(m->topic), *session = message_string(m->session_id);
    if (code && strcmp(code, "gap") == 0)
        client_gap(c, topic, session, message_number(m->lost));
    else if (m->path.n > 0)
        pictures_refused(c, m, code);
    else if (text)
        client_error(c, code ? code : "error", text);
    free(code);
    free(text);
    free(topic);
    free(session);
}

static void on_envelope(lunacast *c, const message *m)
{
    if (!pictures_envelope(c, m))
        topics_envelope(c, m);
}

void inbox_take(lunacast *c, slice text)
{
    message m;
    if (!message_read(&m, text)) {
        client_error(c, "bad_json", "the server has sent what is not a JSON object");
        return;
    }
    c->attempts = 0;
    c->calls++;
    if (m.channel.n > 0 && m.type.n == 0)
        on_envelope(c, &m);
    else if (m.payload.n > 0 && m.channel.n == 0)
        topics_published(c, &m);
    else if (m.type.n > 0)
        on_answer(c, &m);
    else
        on_refusal(c, &m);
    c->calls--;
    topics_sweep(c);
    pictures_sweep(c);
}
