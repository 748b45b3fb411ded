/* The client's states, and what each end of a connection means. The same machine as clients/js.
 *
 *              lunacast_connect                 on_open                 on_end
 *   CLOSED ----------------------> CONNECTING ----------> OPEN -------------------.
 *      ^                            ^     | on_end                                |
 *      |                            |     v                                       |
 *      |                            '-- WAITING <---------------------------------'
 *      |                      delay (random, its bound doubles; on_wait)
 *      '--- lunacast_close; 4403, 4409; a token refused and nobody to ask (stopped)
 *
 * Owners: the client owns its wire until on_end, its subscriptions, its queue and its questions;
 * the loop owns the three timers until their close callbacks, the last of which frees the client.
 * What must never happen: a callback after lunacast_free; two wires at once; memory freed under a
 * callback that has not returned (subscriptions wait on the list `gone`); a queue without a bound.
 *
 * Rejected: a thread and a loop of the client's own, which every program would have to lock
 * against; and a tree of JSON values in the interface. */
#include "client.h"

#include "mem.h"
#include "utf8_stream.h"
#include "ws_frame.h"
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum { COMES_BACK, COMES_SLOWLY, RENEWS, ENDS } consequence;

/* What the server's close codes mean for the next attempt. */
static const struct {
    int code;
    const char *word;
    consequence then;
} CLOSES[] = {
    {4401, "expired", RENEWS},       {4403, "revoked", ENDS},
    {4409, "kicked", ENDS},          {1008, "policy", COMES_SLOWLY},
    {1009, "too_large", COMES_BACK}, {1013, "overloaded", COMES_SLOWLY},
};

const char *lunacast_text(int code)
{
    static const char *const words[] = {
        "all is well",
        "this is no URL of a WebSocket: wss://host/path is wanted",
        "an argument is missing, too long, or holds characters that it must not",
        "this is not one JSON value",
        "this message is larger than max_message",
        "too many wait already",
        "there is no connection",
        "there is a subscription to this topic in this session already",
        "there is no token, and nobody to ask for one",
        "the server has not answered in time",
        "the certificates of ca_file can't be used",
        "this is no key, or no set of keys",
        "this payload came in the clear",
        "this payload was not sealed with this key for this topic, or was changed",
        "this payload has come before",
    };
    size_t at = code <= 0 ? (size_t)-code : SIZE_MAX;
    return at < sizeof words / sizeof *words ? words[at] : "no such code";
}

char *client_copy(const char *text)
{
    return text ? mem_dup(text, strlen(text)) : NULL;
}

void client_copy_into(const char **text)
{
    *text = client_copy(*text);
}

void client_free_text(const char *text)
{
    free((void *)(uintptr_t)text);
}

/* UTF-8 without control characters, as the server wants names. */
bool client_text_valid(const char *text, size_t max, bool needed)
{
    if (!text)
        return !needed;
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == '|')
            return false;
    }
    return n > 0 && n <= max && utf8_valid((slice){text, n});
}

void client_error(lunacast *c, const char *code, const char *text)
{
    if (!c->freed && c->options.on_error)
        c->options.on_error(c->options.user, code, text);
}

void client_gap(lunacast *c, const char *topic, const char *session, int64_t lost)
{
    if (!c->freed && c->options.on_gap)
        c->options.on_gap(c->options.user, topic, session, lost);
}

static void become(lunacast *c, lunacast_state state)
{
    if (c->freed || c->state == state)
        return;
    c->state = state;
    if (c->options.on_state)
        c->options.on_state(c->options.user, state);
}

lunacast_state lunacast_get_state(const lunacast *c)
{
    return c->state;
}

/* The connection ---------------------------------------------------------------------------- */

static void on_wait(uv_timer_t *timer);

static void stop(lunacast *c)
{
    c->stopped = true;
    c->token_wanted = false;
    uv_timer_stop(&c->wait);
    token_stop(c);
    become(c, LUNACAST_IS_CLOSED);
}

/* Random from nothing to the bound: clients that were lost together don't come back together. */
static uint64_t random_delay(lunacast *c)
{
    uint32_t random;
    uint64_t bound = c->options.delay_ms, max = c->options.delay_max_ms;
    for (unsigned i = 0; i < c->attempts && bound < max; i++)
        bound *= 2;
    c->attempts++;
    RAND_bytes((unsigned char *)&random, sizeof random);
    return random % ((bound < max ? bound : max) + 1);
}

static void later(lunacast *c, uint64_t least)
{
    if (c->freed || c->stopped)
        return;
    uv_timer_start(&c->wait, on_wait, least + random_delay(c), 0);
    become(c, LUNACAST_WAITING);
}

void client_no_token(lunacast *c, bool for_good)
{
    c->token_wanted = false;
    if (for_good)
        stop(c);
    later(c, 0);
}

static void say(lunacast *c, const char *command, const char *text)
{
    buf out = {0};
    if (!text)
        return;
    buf_text(&out, command);
    buf_text(&out, text);
    queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
}

/* The connection is open, and sealed where it is to be. */
static void begin(lunacast *c)
{
    bool again = c->opened++ > 0;
    become(c, LUNACAST_OPEN);
    if (c->freed || c->state != LUNACAST_OPEN)
        return;
    c->calls++;
    c->beginning = true;
    say(c, "register-name:", c->options.name);
    say(c, "register-session:", c->options.session);
    say(c, "set-data:", c->data);
    say(c, "refresh-token:", c->token_newer ? c->token : NULL);
    c->token_newer = false;
    topics_begin(c);
    pictures_begin(c);
    c->beginning = false;
    queue_pump(c);
    token_plan(c);
    if (again && !topics_all_resume(c))
        client_gap(c, NULL, NULL, -1);
    c->calls--;
    topics_sweep(c);
    pictures_sweep(c);
}

static void on_open(void *owner)
{
    lunacast *c = owner;
    if (c->options.seal == LUNACAST_IN_THE_CLEAR)
        begin(c);
    else
        sealing_begin(c);
}

static void on_text(void *owner, slice text)
{
    lunacast *c = owner;
    if (c->options.seal == LUNACAST_IN_THE_CLEAR)
        inbox_take(c, text);
    else if (c->channel)
        sealing_open(c, text);
    else if (sealing_agree(c, text))
        begin(c);
}

static void on_drain(void *owner)
{
    queue_pump(owner);
}

/* The server has not let us in: its words, or our own. */
static void refused(lunacast *c, const wire_end *end)
{
    message m;
    char ours[64];
    bool read = message_read(&m, end->reason);
    char *code = read ? message_string(m.code) : NULL,
         *text = read ? message_string(m.error) : NULL;
    bool token = end->status == 401 || end->status == 403;
    if (token)
        token_expire(c);
    if (token && !token_has_source(c) && !c->token_newer)
        c->stopped = true;
    snprintf(ours, sizeof ours, "the server has answered %d to the opening", end->status);
    client_error(c, code ? code : "refused", text ? text : ours);
    free(code);
    free(text);
    if (c->stopped && !c->freed)
        stop(c);
    bool busy = end->status == 429 || end->status == 503;
    later(c, busy ? c->options.busy_ms : 0);
}

static void told(lunacast *c, const wire_end *end, const char *word)
{
    char *text = mem_dup(end->reason.p, end->reason.n);
    client_error(c, word, *text ? text : word);
    free(text);
}

static void closed(lunacast *c, const wire_end *end)
{
    for (size_t i = 0; i < sizeof CLOSES / sizeof *CLOSES; i++) {
        if (CLOSES[i].code != end->code)
            continue;
        if (CLOSES[i].then == RENEWS)
            token_expire(c);
        if (CLOSES[i].then == ENDS)
            c->stopped = true;
        if (end->code == 4403)
            lunacast_clear_token(c);
        if (CLOSES[i].then != RENEWS || !token_has_source(c))
            told(c, end, CLOSES[i].word);
        if (c->freed)
            return;
        if (CLOSES[i].then == ENDS)
            stop(c);
        later(c, CLOSES[i].then == COMES_SLOWLY ? c->options.busy_ms : 0);
        return;
    }
    if (!end->opened || strcmp(end->word, "protocol") == 0 || strcmp(end->word, "timeout") == 0)
        told(c, end, end->word);
    later(c, 0);
}

static void on_end(void *owner, const wire_end *end)
{
    lunacast *c = owner;
    c->wire = NULL;
    sealing_end(c);
    uv_timer_stop(&c->refresh);
    queue_drop_commands(c);
    ask_fail_all(c, LUNACAST_CLOSED);
    if (c->freed)
        return;
    if (c->stopped)
        become(c, LUNACAST_IS_CLOSED);
    else if (end->status != 0)
        refused(c, end);
    else
        closed(c, end);
}

void client_connect(lunacast *c)
{
    static const wire_events events = {on_open, on_text, on_drain, on_end};
    const lunacast_options *o = &c->options;
    wire_options options = {
        .url = c->url,
        .tls = c->tls,
        .token = c->token,
        .token_in_query = o->token_in_query,
        .max_message = sealing_size(c, o->max_message),
        .connect_ms = o->connect_ms,
        .ping_ms = o->ping_ms,
        .pong_ms = o->pong_ms,
    };
    c->token_wanted = c->token_newer = false;
    sealing_end(c);
    c->wire = wire_open(o->loop, &options, &events, c);
}

static void open_now(lunacast *c)
{
    become(c, LUNACAST_CONNECTING);
    if (c->freed || c->state != LUNACAST_CONNECTING || c->wire || !token_ready(c))
        return;
    if (!c->freed && !c->stopped && !c->wire)
        client_connect(c);
}

static void on_wait(uv_timer_t *timer)
{
    open_now(timer->data);
}

int lunacast_connect(lunacast *c)
{
    c->stopped = false; /* a good-bye under way is followed by a new connection */
    if (c->state != LUNACAST_IS_CLOSED || c->wire)
        return LUNACAST_OK;
    uv_timer_start(&c->wait, on_wait, 0, 0); /* events come from the loop, never from here */
    return LUNACAST_OK;
}

void lunacast_close(lunacast *c)
{
    bool open = c->state == LUNACAST_OPEN;
    c->stopped = true;
    uv_timer_stop(&c->wait);
    token_stop(c);
    if (c->wire && open) {
        queue_flush(c);
        if (c->wire) /* else sending showed that it is gone */
            wire_close(c->wire, WS_NORMAL);
        return;
    }
    if (c->wire)
        wire_abandon(c->wire);
    c->wire = NULL;
    queue_clear(c);
    stop(c);
}

/* Birth and death --------------------------------------------------------------------------- */

static bool set_url(lunacast *c, const char *text)
{
    const char *why;
    buf out = {0};
    if (strncmp(text, "ws:", 3) == 0 || strncmp(text, "wss:", 4) == 0) {
        buf_text(&out, "http");
        text += 2;
    }
    buf_text(&out, text);
    c->url_text = mem_dup(out.data, out.len);
    buf_free(&out);
    return url_parse(slice_of(c->url_text), &c->url, &why);
}

static void or_default(unsigned *value, unsigned otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void set_options(lunacast *c, const lunacast_options *options)
{
    lunacast_options *o = &c->options;
    *o = *options;
    client_copy_into(&o->name);
    client_copy_into(&o->session);
    o->url = o->ca_file = o->seal_keys = NULL;
    or_default(&o->connect_ms, 10000);
    or_default(&o->ping_ms, 25000);
    or_default(&o->pong_ms, 10000);
    or_default(&o->ask_ms, 10000);
    or_default(&o->delay_ms, 500);
    or_default(&o->delay_max_ms, 30000);
    or_default(&o->busy_ms, 5000);
    o->queue_messages = o->queue_messages ? o->queue_messages : 1000;
    o->queue_bytes = o->queue_bytes ? o->queue_bytes : 4U << 20;
    o->max_message = o->max_message ? o->max_message : 1U << 20;
}

static void free_memory(lunacast *c)
{
    client_free_text(c->options.name);
    client_free_text(c->options.session);
    topics_free(c);
    pictures_free(c);
    queue_clear(c);
    ask_free_all(c);
    if (c->tls)
        tls_context_drop(c->tls);
    free(c->url_text);
    free(c->data);
    token_free(c);
    sealing_free(c);
    free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    lunacast *c = handle->data;
    if (--c->handles == 0)
        free_memory(c);
}

static void start_timer(lunacast *c, uv_timer_t *timer)
{
    uv_timer_init(c->options.loop, timer);
    timer->data = c;
    c->handles++;
}

int lunacast_new(lunacast **out, const lunacast_options *options)
{
    char why[256];
    int code = LUNACAST_OK;
    *out = NULL;
    if (!options->loop || !options->url || !client_text_valid(options->name, 72, false) ||
        !client_text_valid(options->session, 80, false))
        return LUNACAST_BAD_ARGUMENT;
    lunacast *c = mem_alloc(sizeof *c);
    c->expires = c->renew = UINT64_MAX;
    set_options(c, options);
    if (!set_url(c, options->url))
        code = LUNACAST_BAD_URL;
    else if (c->url.tls && !(c->tls = tls_context_new_client(options->ca_file, !options->insecure,
                                                             why, sizeof why)))
        code = LUNACAST_BAD_TLS;
    else if (options->seal_keys && !sealing_trust(c, options->seal_keys))
        code = LUNACAST_BAD_KEY;
    if (code != LUNACAST_OK) {
        free_memory(c);
        return code;
    }
    start_timer(c, &c->wait);
    start_timer(c, &c->refresh);
    start_timer(c, &c->asking);
    *out = c;
    return LUNACAST_OK;
}

void lunacast_free(lunacast *c)
{
    if (!c || c->freed)
        return;
    c->freed = c->stopped = true;
    if (c->wire)
        wire_abandon(c->wire);
    c->wire = NULL;
    token_stop(c);
    uv_close((uv_handle_t *)&c->wait, on_handle_closed);
    uv_close((uv_handle_t *)&c->refresh, on_handle_closed);
    uv_close((uv_handle_t *)&c->asking, on_handle_closed);
}
