/* Puts clients/c on a line protocol, so that specs in Lua and JavaScript can drive it: commands
 * come by stdin, one per line, their parts parted by tabs ("-": absent), and what the client tells
 * goes to stdout the same way.
 *
 *   client_driver URL [name=N] [session=S] [tokens=1] [query=1] [ca=FILE] [queue=N] [drop=1]
 * [delay=MS] [busy=MS] [pong=MS] [seal=CURVE] [keys=JWKS] [opening=MS]
 *
 * Owner: main. It ends at `quit` or at the end of stdin, and then every handle must close. */
#include "lunacast.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 2 << 20, PARTS = 8, FOLLOWED_MAX = 64 };

typedef struct {
    lunacast_subscription *subscription;
    char key[256];
} followed;

static lunacast *client;
static lunacast_key *shared; /* NULL: messages are told as they come */
static lunacast_pair *pair;
static uv_pipe_t input;
static char line[LINE_MAX_BYTES];
static size_t length;
static followed all[FOLLOWED_MAX];

static const char *or_dash(const char *text)
{
    return text ? text : "-";
}

static void on_state(void *user, lunacast_state state)
{
    static const char *const names[] = {"closed", "connecting", "open", "waiting"};
    (void)user;
    printf("state\t%s\n", names[state]);
}

static void on_error(void *user, const char *code, const char *text)
{
    (void)user;
    printf("error\t%s\t%s\n", code, text);
}

static void on_gap(void *user, const char *topic, const char *session, int64_t lost)
{
    (void)user;
    printf("gap\t%s\t%s\t%lld\n", or_dash(topic), or_dash(session), (long long)lost);
}

static void on_token(void *user, lunacast *c)
{
    (void)user;
    (void)c;
    printf("wanted\n");
}

static void tell_opened(const lunacast_message *m)
{
    lunacast_bytes plain;
    int code = lunacast_key_open(shared, m, &plain);
    printf("opened\t%d\t%.*s\n", code, (int)plain.size, plain.data ? plain.data : "");
}

static void on_message(void *user, const lunacast_message *m)
{
    (void)user;
    printf("message\t%s\t%s\t%.*s\n", m->topic, or_dash(m->position), (int)m->json.size,
           m->json.data);
    if (shared)
        tell_opened(m);
}

static void on_presence(void *user, lunacast_bytes event)
{
    (void)user;
    printf("presence\t%.*s\n", (int)event.size, event.data);
}

static void on_answer(void *user, int code, lunacast_bytes answer)
{
    (void)user;
    printf("answer\t%d\t%.*s\n", code, (int)answer.size, answer.data ? answer.data : "");
}

static void on_picture(void *user, const char *path, lunacast_bytes svg, const char *code)
{
    (void)user;
    printf("picture\t%s\t%s\t%.*s\n", path, or_dash(code), (int)svg.size,
           svg.data ? svg.data : "-");
}

/* Commands ---------------------------------------------------------------------------------- */

static const char *part(char **parts, int i)
{
    return parts[i] && strcmp(parts[i], "-") != 0 ? parts[i] : NULL;
}

static followed *find(const char *topic, const char *session)
{
    char key[256];
    snprintf(key, sizeof key, "%s|%s", topic, or_dash(session));
    for (int i = 0; i < FOLLOWED_MAX; i++) {
        if (all[i].subscription && strcmp(all[i].key, key) == 0)
            return &all[i];
    }
    return NULL;
}

/* subscribe TOPIC SESSION SINCE HISTORY resume presence */
static int subscribe(char **p)
{
    const char *history = part(p, 4);
    lunacast_interest interest = {
        .session = part(p, 2),
        .since = part(p, 3),
        .history = history ? (unsigned)atoi(history) : 0,
        .resume = part(p, 5) != NULL,
        .presence = part(p, 6) != NULL,
        .on_message = on_message,
        .on_presence = on_presence,
    };
    followed *f = all;
    while (f->subscription)
        f++;
    snprintf(f->key, sizeof f->key, "%s|%s", p[1], or_dash(interest.session));
    return lunacast_subscribe(client, p[1], &interest, &f->subscription);
}

static int unsubscribe(char **p)
{
    followed *f = find(p[1], part(p, 2));
    if (f)
        lunacast_unsubscribe(f->subscription);
    if (f)
        f->subscription = NULL;
    return 0;
}

/* publish TOPIC SESSION JSON */
static int publish(char **p)
{
    return lunacast_publish(client, p[1], part(p, 2), p[3], strlen(p[3]));
}

static int history(char **p)
{
    const char *limit = part(p, 4);
    return lunacast_history(client, p[1], part(p, 2), part(p, 3), limit ? (unsigned)atoi(limit) : 0,
                            on_answer, NULL);
}

static int presence(char **p)
{
    return lunacast_presence(client, p[1], part(p, 2), on_answer, NULL);
}

static int token(char **p)
{
    const char *seconds = part(p, 2);
    return lunacast_set_token(client, p[1], seconds ? (unsigned)atoi(seconds) : 0);
}

/* login USER PASSWORD SESSION */
static int login(char **p)
{
    return lunacast_login(client, p[1], p[2], part(p, 3));
}

static int told_key(int code)
{
    if (code == LUNACAST_OK)
        printf("key\t%s\n", lunacast_key_text(shared));
    return code;
}

/* key TEXT: from now on payloads are opened by it; "-": a new one */
static int set_key(char **p)
{
    lunacast_key_free(shared);
    return told_key(lunacast_key_new(&shared, part(p, 1)));
}

/* pair CURVE */
static int make_pair(char **p)
{
    lunacast_pair_free(pair);
    pair =
        lunacast_pair_new(strcmp(p[1], "X25519") == 0 ? LUNACAST_SEAL_X25519 : LUNACAST_SEAL_P256);
    printf("pair\t%s\n", lunacast_pair_public(pair));
    return 0;
}

/* agree PUBLIC */
static int agree(char **p)
{
    lunacast_key_free(shared);
    return told_key(lunacast_pair_agree(pair, p[1], &shared));
}

/* seal TOPIC JSON */
static int seal(char **p)
{
    lunacast_bytes sealed;
    int code = lunacast_key_seal(shared, p[1], p[2], strlen(p[2]), &sealed);
    if (code == LUNACAST_OK)
        printf("sealed\t%.*s\n", (int)sealed.size, sealed.data);
    return code;
}

/* open TOPIC PAYLOAD SESSION */
static int open_payload(char **p)
{
    lunacast_message m = {.topic = p[1], .session = part(p, 3), .payload = {p[2], strlen(p[2])}};
    tell_opened(&m);
    return 0;
}

static int set_data(char **p)
{
    return lunacast_set_data(client, p[1], strlen(p[1]));
}

static int look(char **p)
{
    followed *f = p[1] ? find(p[1], part(p, 2)) : NULL;
    printf("looked\t%d\t%zu\t%llu\t%s\t%d\t%s\t%s\n", lunacast_is_authenticated(client),
           lunacast_waiting(client), (unsigned long long)lunacast_dropped(client),
           f ? or_dash(lunacast_position(f->subscription)) : "-",
           f ? lunacast_recovered(f->subscription) : -1, or_dash(lunacast_get_token(client)),
           or_dash(lunacast_sealed(client)));
    return 0;
}

static int watch(char **p)
{
    return lunacast_watch(client, p[1], on_picture, NULL);
}

static int unwatch(char **p)
{
    lunacast_unwatch(client, p[1]);
    return 0;
}

static int connect_now(char **p)
{
    (void)p;
    return lunacast_connect(client);
}

static int close_now(char **p)
{
    (void)p;
    lunacast_close(client);
    return 0;
}

static int clear(char **p)
{
    (void)p;
    lunacast_clear_token(client);
    return 0;
}

static int refresh(char **p)
{
    (void)p;
    return lunacast_refresh_token(client);
}

static int quit(char **p)
{
    (void)p;
    lunacast_free(client);
    lunacast_key_free(shared);
    lunacast_pair_free(pair);
    shared = NULL;
    uv_close((uv_handle_t *)&input, NULL);
    client = NULL;
    return 0;
}

static void obey(char *text)
{
    static const struct {
        const char *name;
        int (*run)(char **parts);
    } commands[] = {
        {"connect", connect_now}, {"subscribe", subscribe}, {"unsubscribe", unsubscribe},
        {"publish", publish},     {"history", history},     {"presence", presence},
        {"token", token},         {"data", set_data},       {"look", look},
        {"close", close_now},     {"clear", clear},         {"refresh", refresh},
        {"watch", watch},         {"unwatch", unwatch},     {"login", login},
        {"key", set_key},         {"pair", make_pair},      {"agree", agree},
        {"seal", seal},           {"open", open_payload},   {"quit", quit},
    };
    char *parts[PARTS] = {0};
    for (int i = 0; i < PARTS && text; i++)
        parts[i] = strsep(&text, "\t");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, parts[0]) != 0)
            continue;
        int code = commands[i].run(parts);
        if (code != LUNACAST_OK)
            printf("failed\t%d\t%s\n", code, lunacast_text(code));
        return;
    }
    printf("failed\t0\tno command %s\n", parts[0]);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)handle;
    (void)size;
    *out = uv_buf_init(line + length, (unsigned)(sizeof line - length));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    char *end;
    (void)stream;
    (void)bytes;
    if (n < 0 && client)
        quit(NULL);
    length += n > 0 ? (size_t)n : 0;
    while (client && (end = memchr(line, '\n', length)) != NULL) {
        size_t used = (size_t)(end - line) + 1;
        *end = '\0';
        obey(line);
        memmove(line, line + used, length - used);
        length -= used;
    }
}

static bool option(lunacast_options *o, const char *name, const char *value)
{
    if (strcmp(name, "name") == 0)
        o->name = value;
    else if (strcmp(name, "session") == 0)
        o->session = value;
    else if (strcmp(name, "tokens") == 0)
        o->on_token = on_token;
    else if (strcmp(name, "query") == 0)
        o->token_in_query = true;
    else if (strcmp(name, "ca") == 0)
        o->ca_file = value;
    else if (strcmp(name, "queue") == 0)
        o->queue_messages = (size_t)atoi(value);
    else if (strcmp(name, "drop") == 0)
        o->overflow = LUNACAST_DROP_OLDEST;
    else if (strcmp(name, "delay") == 0)
        o->delay_ms = o->delay_max_ms = (unsigned)atoi(value);
    else if (strcmp(name, "busy") == 0)
        o->busy_ms = (unsigned)atoi(value);
    else if (strcmp(name, "seal") == 0)
        o->seal = strcmp(value, "X25519") == 0 ? LUNACAST_SEAL_X25519 : LUNACAST_SEAL_P256;
    else if (strcmp(name, "keys") == 0)
        o->seal_keys = value;
    else if (strcmp(name, "opening") == 0)
        o->connect_ms = (unsigned)atoi(value);
    else if (strcmp(name, "pong") == 0)
        o->ping_ms = o->pong_ms = (unsigned)atoi(value);
    else
        return false;
    return true;
}

static int wrong(const char *what)
{
    fprintf(stderr, "client_driver: %s\n", what);
    return 2;
}

int main(int count, char **words)
{
    uv_loop_t *loop = uv_default_loop();
    lunacast_options options = {
        .loop = loop,
        .on_state = on_state,
        .on_error = on_error,
        .on_gap = on_gap,
    };
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 2)
        return wrong("a URL is needed");
    options.url = words[1];
    for (int i = 2; i < count; i++) {
        char *value = words[i], *name = strsep(&value, "=");
        if (!value || !option(&options, name, value))
            return wrong(words[i]);
    }
    int code = lunacast_new(&client, &options);
    if (code != LUNACAST_OK)
        return wrong(lunacast_text(code));
    uv_pipe_init(loop, &input, 0);
    uv_pipe_open(&input, 0);
    uv_read_start((uv_stream_t *)&input, on_alloc, on_input);
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : wrong("a handle is open");
}
