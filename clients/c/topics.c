/* Subscriptions: what asks for them, and which of them a message is for.
 *
 *   subscribed anew: --answer--> position or none --message--> position of that message
 *   reconnect: with a position `since` asks for the rest; recovered: it follows; else a gap is told
 *
 * A plain subscription gets messages as they were published, one with positions gets envelopes that
 * name the channel. Owner of a subscription: the client's list; inside callbacks an unsubscribed
 * one waits on the list `gone` (topics_sweep frees it). What must never happen: a message twice. */
#include "client.h"

#include "mem.h"
#include "utf8_stream.h"
#include <stdio.h>
#include <stdlib.h>

static bool is_pattern(const lunacast_subscription *s)
{
    return s->topic[strlen(s->topic) - 1] == '*';
}

static bool is_enveloped(const lunacast_subscription *s)
{
    const lunacast_interest *i = &s->interest;
    return is_pattern(s) || i->resume || i->since || i->history > 0 || i->presence;
}

static bool resumes(const lunacast_subscription *s)
{
    return is_enveloped(s) && s->position;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void set_text(char **at, char *owned)
{
    free(*at);
    *at = owned;
}

/* Commands ---------------------------------------------------------------------------------- */

static void put_plain(const lunacast_subscription *s, const char *verb, buf *out)
{
    buf_text(out, verb);
    buf_text(out, s->topic);
    if (s->session) {
        buf_byte(out, '|');
        buf_text(out, s->session);
    }
}

static void put_json(const lunacast_subscription *s, buf *out)
{
    buf_text(out, "subscribe-json:");
    message_put(out, "topic", s->topic);
    message_put(out, "session_id", s->session);
    message_put(out, "since", s->position);
    if (s->interest.history > 0 && !s->position && !is_pattern(s)) {
        message_name(out, "history");
        buf_uint(out, s->interest.history);
    }
    if (s->interest.presence) {
        message_name(out, "presence");
        buf_text(out, "true");
    }
    buf_byte(out, '}');
}

static int send_subscribe(lunacast_subscription *s)
{
    buf out = {0};
    if (is_enveloped(s))
        put_json(s, &out);
    else
        put_plain(s, "subscribe:", &out);
    int code = queue_send(s->client, (slice){out.data, out.len}, true);
    buf_free(&out);
    return code;
}

void topics_begin(lunacast *c)
{
    for (lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        set_text(&s->channel, NULL);
        send_subscribe(s);
    }
}

bool topics_all_resume(const lunacast *c)
{
    for (const lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        if (!resumes(s))
            return false;
    }
    return true;
}

/* Life -------------------------------------------------------------------------------------- */

static void free_subscription(lunacast_subscription *s)
{
    client_free_text(s->interest.since);
    free(s->topic);
    free(s->session);
    free(s->channel);
    free(s->position);
    free(s);
}

static void free_list(lunacast_subscription **list)
{
    while (*list) {
        lunacast_subscription *s = *list;
        *list = s->next;
        free_subscription(s);
    }
}

void topics_free(lunacast *c)
{
    free_list(&c->subscriptions);
    free_list(&c->gone);
}

void topics_sweep(lunacast *c)
{
    if (c->calls == 0)
        free_list(&c->gone);
}

static bool exists(const lunacast *c, const char *topic, const char *session)
{
    for (const lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        if (same_text(s->topic, topic) && same_text(s->session, session))
            return true;
    }
    return false;
}

static lunacast_subscription *make(lunacast *c, const char *topic,
                                   const lunacast_interest *interest)
{
    lunacast_subscription *s = mem_alloc(sizeof *s), **at = &c->subscriptions;
    s->client = c;
    s->interest = *interest;
    client_copy_into(&s->interest.since);
    s->topic = client_copy(topic);
    s->session = client_copy(interest->session);
    s->recovered = -1;
    if (!is_pattern(s))
        s->position = client_copy(interest->since);
    s->seen = s->position != NULL;
    while (*at)
        at = &(*at)->next;
    *at = s;
    c->subscribed++;
    return s;
}

static void take_out(lunacast_subscription *s)
{
    lunacast_subscription **at = &s->client->subscriptions;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    s->client->subscribed--;
    s->gone = true;
    s->next = s->client->gone;
    s->client->gone = s;
}

int lunacast_subscribe(lunacast *c, const char *topic, const lunacast_interest *interest,
                       lunacast_subscription **out)
{
    if (!interest->on_message || !client_text_valid(topic, 100, true) ||
        !client_text_valid(interest->session, 80, false) ||
        !client_text_valid(interest->since, 64, false))
        return LUNACAST_BAD_ARGUMENT;
    if (c->freed)
        return LUNACAST_CLOSED;
    if (exists(c, topic, interest->session))
        return LUNACAST_TWICE;
    if (c->subscribed >= SUBSCRIPTIONS_MAX)
        return LUNACAST_FULL;
    lunacast_subscription *s = make(c, topic, interest);
    int code = send_subscribe(s);
    if (code != LUNACAST_OK)
        take_out(s);
    else if (out)
        *out = s;
    topics_sweep(c);
    return code;
}

void lunacast_unsubscribe(lunacast_subscription *s)
{
    lunacast *c = s->client;
    buf out = {0};
    if (s->gone)
        return;
    take_out(s);
    put_plain(s, "unsubscribe:", &out);
    queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
    topics_sweep(c);
}

const char *lunacast_position(const lunacast_subscription *s)
{
    return s->position;
}

int lunacast_recovered(const lunacast_subscription *s)
{
    return s->recovered;
}

/* Which one --------------------------------------------------------------------------------- */

typedef struct {
    char *topic, *session;
} place;

/* "4:rest": takes the number. */
static bool take_number(slice *s, size_t *n)
{
    *n = 0;
    while (s->n > 0 && *s->p >= '0' && *s->p <= '9' && *n < 1000) {
        *n = *n * 10 + (size_t)(*s->p - '0');
        *s = (slice){s->p + 1, s->n - 1};
    }
    if (s->n == 0 || *s->p != ':')
        return false;
    *s = (slice){s->p + 1, s->n - 1};
    return true;
}

/* The topic and session in the server's word for them ("pubsub:2:4:" tenant session topic). */
static bool place_of(const char *channel, place *out)
{
    static const slice prefix = SLICE_INIT("pubsub:");
    slice rest = slice_of(channel);
    size_t tenant, session;
    if (rest.n < prefix.n || !slice_eq((slice){rest.p, prefix.n}, prefix))
        return false;
    rest = (slice){rest.p + prefix.n, rest.n - prefix.n};
    if (!take_number(&rest, &tenant) || !take_number(&rest, &session) || rest.n < tenant + session)
        return false;
    out->session = mem_dup(rest.p + tenant, session);
    out->topic = mem_dup(rest.p + tenant + session, rest.n - tenant - session);
    return true;
}

static bool covers(const lunacast_subscription *s, const place *p)
{
    if (s->session && !same_text(s->session, p->session))
        return false;
    return is_pattern(s) ? strncmp(p->topic, s->topic, strlen(s->topic) - 1) == 0
                         : same_text(s->topic, p->topic);
}

/* The most particular one: topic and session, then the topic, then a pattern. */
static lunacast_subscription *best(const lunacast *c, const place *p)
{
    lunacast_subscription *found = NULL;
    int rank = -1;
    for (lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        int its = is_pattern(s) ? 0 : s->session ? 2 : 1;
        if (is_enveloped(s) && its > rank && covers(s, p)) {
            found = s;
            rank = its;
        }
    }
    return found;
}

static lunacast_subscription *by_channel(const lunacast *c, slice raw, place *p)
{
    char *channel = message_string(raw);
    lunacast_subscription *s = NULL;
    if (!channel)
        return NULL;
    bool placed = place_of(channel, p);
    for (s = c->subscriptions; s && !same_text(s->channel, channel); s = s->next)
        ;
    if (!s && placed)
        s = best(c, p);
    free(channel);
    return s;
}

/* What the server says ---------------------------------------------------------------------- */

static void tell_presence(lunacast_subscription *s, slice event)
{
    if (s->interest.on_presence)
        s->interest.on_presence(s->interest.user, (lunacast_bytes){event.p, event.n});
}

/* The answer names the session that the server has chosen; the program may have named none. */
static lunacast_subscription *answered(const lunacast *c, const char *topic, const char *session)
{
    lunacast_subscription *found = NULL;
    for (lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        if (!same_text(s->topic, topic))
            continue;
        if (same_text(s->session, session))
            return s;
        if (!s->session)
            found = s;
    }
    return found;
}

static bool begun(lunacast_subscription *s, const message *m)
{
    bool resumed = resumes(s);
    s->recovered = m->recovered.n == 0 ? -1 : message_true(m->recovered);
    set_text(&s->channel, message_string(m->channel));
    if (!resumed || s->recovered != 1) {
        set_text(&s->position, message_string(m->position));
        s->seen = false;
    }
    return resumed && s->recovered != 1;
}

void topics_subscribed(lunacast *c, const message *m)
{
    char *topic = message_string(m->topic), *session = message_string(m->session_id);
    lunacast_subscription *s = answered(c, topic, session);
    if (s) {
        bool gap = begun(s, m);
        if (m->presence.n > 0)
            tell_presence(s, m->presence);
        if (gap)
            client_gap(c, topic, session, -1);
    }
    free(topic);
    free(session);
}

void topics_presence(lunacast *c, const message *m)
{
    place p = {0};
    lunacast_subscription *s = by_channel(c, m->channel, &p);
    if (s)
        tell_presence(s, m->text);
    free(p.topic);
    free(p.session);
}

/* A message that a resumed subscription has had already is not new. */
static bool is_new(const lunacast_subscription *s, const char *position)
{
    const char *colon = position ? strchr(position, ':') : NULL;
    if (!colon || !s->seen || !s->position)
        return true;
    size_t epoch = (size_t)(colon - position) + 1;
    if (strncmp(s->position, position, epoch) != 0)
        return true;
    return strtoull(colon + 1, NULL, 10) > strtoull(s->position + epoch, NULL, 10);
}

static void deliver(lunacast_subscription *s, const lunacast_message *out)
{
    lunacast_message own = *out;
    own.subscription = s;
    if (!s->gone && !s->client->freed)
        s->interest.on_message(s->interest.user, &own);
}

static lunacast_bytes bytes_of(slice s)
{
    return (lunacast_bytes){s.n > 0 ? s.p : NULL, s.n};
}

/* The published object, if it is one; its texts are to be freed by forget. */
static lunacast_message look(slice json, message *m)
{
    lunacast_message out = {.json = bytes_of(json)};
    if (!message_read(m, json))
        return out;
    out.topic = message_string(m->topic);
    out.session = message_string(m->session_id);
    out.publisher = message_string(m->publisher_name);
    out.payload = bytes_of(m->payload);
    return out;
}

static void forget(const lunacast_message *out)
{
    client_free_text(out->topic);
    client_free_text(out->session);
    client_free_text(out->publisher);
    client_free_text(out->position);
}

static void take_data(lunacast_subscription *s, const message *envelope, char *position,
                      const place *p)
{
    message m;
    slice json = envelope->base64.n > 0 ? envelope->base64 : envelope->data;
    lunacast_message out = look(json, &m);
    out.position = position;
    out.base64 = envelope->base64.n > 0;
    if (!out.topic)
        out.topic = client_copy(p->topic ? p->topic : s->topic);
    if (position && !is_pattern(s)) {
        set_text(&s->position, client_copy(position));
        s->seen = true;
    }
    deliver(s, &out);
    forget(&out);
}

void topics_envelope(lunacast *c, const message *m)
{
    place p = {0};
    lunacast_subscription *s = by_channel(c, m->channel, &p);
    char *position = message_string(m->position);
    if (s && message_true(m->gap))
        client_gap(c, s->topic, s->session, message_number(m->lost));
    else if (s && is_new(s, position))
        take_data(s, m, position, &p), position = NULL;
    free(position);
    free(p.topic);
    free(p.session);
}

/* The session of a client that has named itself: what it subscribes to without one. */
static bool is_own_session(const lunacast *c, const char *session)
{
    static const char named[] = "session-";
    const char *name = c->options.name;
    if (c->options.session)
        return same_text(session, c->options.session);
    if (!name)
        return strcmp(session, "default") == 0;
    return strncmp(session, named, sizeof named - 1) == 0 &&
           strcmp(session + sizeof named - 1, name) == 0;
}

static bool has_exact(const lunacast *c, const lunacast_message *out)
{
    for (const lunacast_subscription *s = c->subscriptions; s; s = s->next) {
        if (!is_enveloped(s) && same_text(s->topic, out->topic) && s->session &&
            same_text(s->session, out->session))
            return true;
    }
    return false;
}

/* A message may name its session. When it does not, it is for every subscription of its topic. */
static bool is_for(const lunacast_subscription *s, const lunacast_message *out, bool own)
{
    if (is_enveloped(s) || !same_text(s->topic, out->topic))
        return false;
    if (!out->session)
        return true;
    return s->session ? same_text(s->session, out->session) : own;
}

/* A callback of several subscriptions that a message may be for gets it once. */
static bool is_listed(lunacast_subscription *const *all, size_t n, const lunacast_subscription *s)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i]->interest.on_message == s->interest.on_message &&
            all[i]->interest.user == s->interest.user)
            return true;
    }
    return false;
}

void topics_published(lunacast *c, const message *whole)
{
    message m;
    lunacast_message out = look(whole->text, &m);
    lunacast_subscription *all[SUBSCRIPTIONS_MAX];
    size_t n = 0;
    bool own = out.session && (!has_exact(c, &out) || is_own_session(c, out.session));
    for (lunacast_subscription *s = c->subscriptions; s && out.topic; s = s->next) {
        if (is_for(s, &out, own) && !is_listed(all, n, s))
            all[n++] = s;
    }
    for (size_t i = 0; i < n && !c->freed; i++)
        deliver(all[i],
                &out); /* those that a callback ends are skipped, and live until the sweep */
    forget(&out);
}
