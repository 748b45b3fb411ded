/* The token: how long it is good, and when the next one is due. Where tokens come from is the
 * program's business: this library asks by on_token and takes what lunacast_set_token brings. */
#include "client.h"

#include "mem.h"
#include <stdlib.h>

static uint64_t now(const lunacast *c)
{
    return uv_now(c->options.loop);
}

static void on_refresh(uv_timer_t *timer)
{
    lunacast *c = timer->data;
    if (c->options.on_token)
        c->options.on_token(c->options.user, c);
}

void token_plan(lunacast *c)
{
    if (c->freed || c->renew == UINT64_MAX || !c->token)
        return;
    uint64_t left = c->renew > now(c) ? c->renew - now(c) : 0;
    uv_timer_start(&c->refresh, on_refresh, left, 0);
}

/* Nobody to ask: the server decides about the token at hand. */
bool token_ready(lunacast *c)
{
    if (!c->options.on_token || (c->token && now(c) < c->renew))
        return true;
    c->token_wanted = true;
    c->options.on_token(c->options.user, c);
    return false; /* lunacast_set_token has gone on by itself, or will */
}

void token_expire(lunacast *c)
{
    if (c->token && !c->token_newer)
        c->expires = c->renew = 0;
}

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
    if (!c->options.on_token)
        return LUNACAST_NO_TOKEN;
    c->options.on_token(c->options.user, c);
    return LUNACAST_OK;
}

void lunacast_clear_token(lunacast *c)
{
    uv_timer_stop(&c->refresh);
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
