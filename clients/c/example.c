/* Three clients: ann and bob in the session "room", eve in the session "hall". Ann publishes to the
 * room, eve to the hall: each hears what was said in the own session, and nothing of the other.
 *
 *     client_example ws://localhost:8080/ws [TOKEN]
 *
 * Ends with 0 when all that was to arrive has, and nothing else. */
#include "lunacast.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 3, PATIENCE_MS = 10000, SETTLE_MS = 300 };

typedef struct {
    const char *name, *session, *wanted; /* the payload that it must hear */
    lunacast *client;
    bool subscribed;
    int right, wrong;
} person;

static person people[CLIENTS] = {
    {.name = "ann", .session = "room", .wanted = "\"for the room\""},
    {.name = "bob", .session = "room", .wanted = "\"for the room\""},
    {.name = "eve", .session = "hall", .wanted = "\"for the hall\""},
};
static uv_timer_t timer;
static int ended;

static void stop(void)
{
    if (ended++)
        return;
    for (int i = 0; i < CLIENTS; i++)
        lunacast_free(people[i].client);
    uv_close((uv_handle_t *)&timer, NULL);
}

static void on_time(uv_timer_t *handle)
{
    (void)handle;
    stop();
}

static void on_error(void *user, const char *code, const char *text)
{
    const person *who = user;
    fprintf(stderr, "%s: %s (%s)\n", who->name, text, code);
}

static bool all_have_heard(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (people[i].right == 0)
            return false;
    }
    return true;
}

static void on_message(void *user, const lunacast_message *message)
{
    person *who = user;
    lunacast_bytes payload = message->payload;
    printf("%s in the %s heard %.*s\n", who->name, who->session, (int)payload.size, payload.data);
    if (payload.size == strlen(who->wanted) && memcmp(payload.data, who->wanted, payload.size) == 0)
        who->right++;
    else
        who->wrong++;
    if (all_have_heard())
        uv_timer_start(&timer, on_time, SETTLE_MS, 0); /* what must not come would come now */
}

static void say(person *who)
{
    lunacast_publish(who->client, "news", NULL, who->wanted, strlen(who->wanted));
}

/* When all three are subscribed, nothing can be missed. */
static void begin(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (!people[i].subscribed)
            return;
    }
    say(&people[0]);
    say(&people[2]);
}

/* Who is there comes first with the answer to the subscription. */
static void on_presence(void *user, lunacast_bytes event)
{
    person *who = user;
    (void)event;
    if (who->subscribed)
        return;
    who->subscribed = true;
    begin();
}

static void start(person *who, const char *url, const char *token)
{
    lunacast_options options = {
        .loop = uv_default_loop(),
        .url = url,
        .name = who->name,
        .session = who->session,
        .user = who,
        .on_error = on_error,
    };
    lunacast_interest interest = {
        .user = who,
        .presence = true,
        .on_message = on_message,
        .on_presence = on_presence,
    };
    int code = lunacast_new(&who->client, &options);
    if (code != LUNACAST_OK) {
        fprintf(stderr, "%s: %s\n", url, lunacast_text(code));
        exit(2);
    }
    if (token)
        lunacast_set_token(who->client, token, 0);
    lunacast_subscribe(who->client, "news", &interest, NULL);
    lunacast_connect(who->client);
}

int main(int count, char **words)
{
    if (count < 2) {
        fprintf(stderr, "usage: client_example ws://HOST:PORT/ws [TOKEN]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    uv_timer_init(uv_default_loop(), &timer);
    uv_timer_start(&timer, on_time, PATIENCE_MS, 0);
    for (int i = 0; i < CLIENTS; i++)
        start(&people[i], words[1], count > 2 ? words[2] : NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_loop_close(uv_default_loop());
    int failed = 0;
    for (int i = 0; i < CLIENTS; i++)
        failed += people[i].right != 1 || people[i].wrong != 0;
    puts(failed ? "that was not right" : "each heard the own session, and nothing else");
    return failed ? 1 : 0;
}
