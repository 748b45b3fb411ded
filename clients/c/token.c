/* The token: how long it is good, when the next one is due, and where it comes from: fetched with
 * the words of lunacast_login, else asked for by on_token; either way lunacast_set_token takes it.
 *
 * One fetch at a time: whoever wants a token meanwhile waits for that one. Owner of the fetch: the
 * client, until it is answered (on_fetched) or given up (token_stop). What must never happen: the
 * password sent to another server than the connection's. */
#include "client.h"

#include "mem.h"
#include "utf8_stream.h"
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOGIN_TEXT_MAX = 1024, REFRESH_MIN_MS = 500 /* whatever a token's life is */ };

static uint64_t now(const lunacast *c)
{
    return uv_now(c->options.loop);
}

bool token_has_source(const lunacast *c)
{
    return c->login || c->options.on_token;
}

/* Fetching ---------------------------------------------------------------------------------- */

/* Trying again would say the same. */
static bool is_final(const char *code)
{
    return strcmp(code, "wrong_password") == 0 || strcmp(code, "invalid") == 0;
}

/* Unless on_error has seen to it, the connection that waits for the token can't be opened now. */
static void tell_failure(lunacast *c, const char *code, const char *text)
{
    client_error(c, code, text);
    if (!c->freed && c->token_wanted && !c->fetch)
        client_no_token(c, is_final(code));
}

static void refused(lunacast *c, const fetch_answer *answer)
{
    message m;
    char ours[64];
    bool read = message_read(&m, answer->body);
    char *code = read ? message_string(m.code) : NULL,
         *text = read ? message_string(m.error) : NULL;
    snprintf(ours, sizeof ours, "the server has answered %d, and no token", answer->status);
    tell_failure(c, code ? code : "bad_answer", text ? text : ours);
    free(code);
    free(text);
}

static bool took_token(lunacast *c, slice body)
{
    message m;
    char *token = message_read(&m, body) ? message_string(m.token) : NULL;
    int64_t seconds = token ? message_number(m.expires_in) : -1;
    bool fits = seconds > 0 && seconds <= UINT32_MAX;
    bool taken = token && lunacast_set_token(c, token, fits ? (unsigned)seconds : 0) !=
                              LUNACAST_BAD_ARGUMENT;
    free(token);
    return taken;
}

static void on_fetched(void *owner, const fetch_answer *answer)
{
    lunacast *c = owner;
    c->fetch = NULL;
    if (answer->status == 0) {
        char *text = mem_dup(answer->body.p, answer->body.n);
        tell_failure(c, answer->word, text);
        free(text);
    } else if (answer->status != 200 || !took_token(c, answer->body)) {
        refused(c, answer);
    }
}

static void obtain(lunacast *c)
{
    const lunacast_options *o = &c->options;
    if (!c->login)
        o->on_token(o->user, c);
    else if (!c->fetch)
        c->fetch = fetch_post(o->loop, &c->url, c->tls, "/auth/token", slice_of(c->login),
                              o->connect_ms, on_fetched, c);
}

static void drop_fetch(lunacast *c)
{
    if (c->fetch)
        fetch_abandon(c->fetch);
    c->fetch = NULL;
}

static void drop_login(lunacast *c)
{
    drop_fetch(c);
    if (c->login)
        OPENSSL_cleanse(c->login, strlen(c->login));
    free(c->login);
    c->login = NULL;
}

static bool is_text(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n > 0 && n <= LOGIN_TEXT_MAX && utf8_valid((slice){text, n});
}

int lunacast_login(lunacast *c, const char *user, const char *password, const char *session)
{
    buf out = {0};
    if (!is_text(user) || !is_text(password) || !client_text_valid(session, 80, false))
        return LUNACAST_BAD_ARGUMENT;
    lunacast_clear_token(c);
    buf_reserve(&out, 16 * LOGIN_TEXT_MAX); /* escaped, and no copy is left behind */
    message_put(&out, "username", user);
    message_put(&out, "password", password);
    message_put(&out, "session_id", session);
    buf_byte(&out, '}');
    buf_cstr(&out);
    c->login = out.data;
    if (c->token_wanted || (c->wire && !c->stopped))
        obtain(c);
    return LUNACAST_OK;
}

/* Time -------------------------------------------------------------------------------------- */

static void on_refresh(uv_timer_t *timer)
{
    lunacast *c = timer->data;
    if (token_has_source(c))
        obtain(c);
}

void token_plan(lunacast *c)
{
    if (c->freed || c->renew == UINT64_MAX || !c->token)
        return;
    uint64_t left = c->renew > now(c) ? c->renew - now(c) : 0;
    uv_timer_start(&c->refresh, on_refresh, left > REFRESH_MIN_MS ? left : REFRESH_MIN_MS, 0);
}

/* Nobody to ask: the server decides about the token at hand. */
bool token_ready(lunacast *c)
{
    if (!token_has_source(c) || (c->token && now(c) < c->renew))
        return true;
    c->token_wanted = true;
    obtain(c);
    return false; /* lunacast_set_token has gone on by itself, or will */
}

void token_expire(lunacast *c)
{
    if (c->token && !c->token_newer)
        c->expires = c->renew = 0;
}

void token_stop(lunacast *c)
{
    uv_timer_stop(&c->refresh);
    drop_fetch(c);
}

void token_free(lunacast *c)
{
    drop_login(c);
    free(c->token);
}

/* The program's side ------------------------------------------------------------------------ */

static bool is_valid(const char *token)
{
    size_t n = 0;
    for (; token && token[n] != '\0'; n++) {
        if (token[n] <= ' ' || token[n] > '~')
            return false;
    }
    return n > 0;
}

static int send_token(lunacast *c)
{
    buf out = {0};
    buf_text(&out, "refresh-token:");
    buf_text(&out, c->token);
    int code = queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
    token_plan(c);
    return code;
}

int lunacast_set_token(lunacast *c, const char *token, unsigned expires_in)
{
    if (!is_valid(token))
        return LUNACAST_BAD_ARGUMENT;
    char *copy = client_copy(token);
    drop_fetch(c);
    free(c->token);
    c->token = copy;
    c->expires = c->renew = UINT64_MAX;
    if (expires_in > 0) {
        /* Tokens count whole seconds: what is left may be up to a second less than was said. */
        uint64_t life = (uint64_t)(expires_in - 1) * 1000;
        c->expires = now(c) + life;
        c->renew = now(c) + life / 5 * 4;
    }
    if (c->wire && c->state == LUNACAST_OPEN)
        return send_token(c);
    c->token_newer = c->wire != NULL;
    if (c->token_wanted && !c->wire)
        client_connect(c);
    return LUNACAST_OK;
}

int lunacast_refresh_token(lunacast *c)
{
    if (!token_has_source(c))
        return LUNACAST_NO_TOKEN;
    obtain(c);
    return LUNACAST_OK;
}

void lunacast_clear_token(lunacast *c)
{
    token_stop(c);
    drop_login(c);
    free(c->token);
    c->token = NULL;
    c->expires = c->renew = UINT64_MAX;
}

const char *lunacast_get_token(const lunacast *c)
{
    return c->token;
}

bool lunacast_is_authenticated(const lunacast *c)
{
    return c->token && now(c) < c->expires;
}
