/* Live pictures on the client's connection, each named by the path of its stream.
 *
 *   lunacast_watch --watching (its channel)--> known --value--> picture, again and again
 *        |                                       \--ended--> told; watched anew after a reconnect
 *        '--refused--> told
 *
 * Owner: the client's list; inside callbacks an unwatched one waits on the list `unwatched`
 * (pictures_sweep frees it). What must never happen: a picture of a channel that another path has
 * had on the connection before (channels are forgotten when one begins). */
#include "client.h"

#include "mem.h"
#include <stdlib.h>

struct picture {
    picture *next;
    char *path;
    char *channel; /* the server's word for it; NULL: not known yet */
    lunacast_picture show;
    void *user;
    bool gone; /* unwatched inside a callback */
};

static void free_list(picture **list)
{
    while (*list) {
        picture *p = *list;
        *list = p->next;
        free(p->path);
        free(p->channel);
        free(p);
    }
}

void pictures_free(lunacast *c)
{
    free_list(&c->pictures);
    free_list(&c->unwatched);
}

void pictures_sweep(lunacast *c)
{
    if (c->calls == 0)
        free_list(&c->unwatched);
}

/* Where the one with that path is linked; NULL there: there is none. */
static picture **by_path(lunacast *c, const char *path)
{
    picture **at = &c->pictures;
    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    return at;
}

static picture *by_raw_path(lunacast *c, slice raw)
{
    char *path = message_string(raw);
    picture *p = path ? *by_path(c, path) : NULL;
    free(path);
    return p;
}

static int say(lunacast *c, const char *verb, const char *path)
{
    buf out = {0};
    buf_text(&out, verb);
    buf_text(&out, path);
    int code = queue_send(c, (slice){out.data, out.len}, true);
    buf_free(&out);
    return code;
}

void pictures_begin(lunacast *c)
{
    for (picture *p = c->pictures; p; p = p->next) {
        free(p->channel);
        p->channel = NULL;
        say(c, "watch:", p->path);
    }
}

int lunacast_watch(lunacast *c, const char *path, lunacast_picture show, void *user)
{
    if (!show || !client_text_valid(path, PATH_MAX_BYTES, true))
        return LUNACAST_BAD_ARGUMENT;
    picture **at = by_path(c, path);
    if (*at)
        return LUNACAST_TWICE;
    if (c->watched >= SUBSCRIPTIONS_MAX)
        return LUNACAST_FULL;
    int code = say(c, "watch:", path);
    if (code != LUNACAST_OK)
        return code;
    picture *p = mem_alloc(sizeof *p);
    *p = (picture){.path = client_copy(path), .show = show, .user = user};
    *at = p;
    c->watched++;
    return LUNACAST_OK;
}

void lunacast_unwatch(lunacast *c, const char *path)
{
    picture **at = by_path(c, path), *p = *at;
    if (!p)
        return;
    *at = p->next;
    c->watched--;
    p->gone = true;
    p->next = c->unwatched;
    c->unwatched = p;
    say(c, "unwatch:", path);
    pictures_sweep(c);
}

/* What the server says ---------------------------------------------------------------------- */

static void tell(picture *p, lunacast *c, const char *svg, const char *code)
{
    lunacast_bytes bytes = {svg, svg ? strlen(svg) : 0};
    if (!p->gone && !c->freed)
        p->show(p->user, p->path, bytes, code);
}

void pictures_watching(lunacast *c, const message *m)
{
    picture *p = by_raw_path(c, m->path);
    if (!p)
        return;
    free(p->channel);
    p->channel = message_string(m->channel);
}

bool pictures_envelope(lunacast *c, const message *m)
{
    for (picture *p = c->pictures; p; p = p->next) {
        if (!p->channel || !message_string_is(m->channel, p->channel))
            continue;
        char *svg = message_true(m->ended) ? NULL : message_string(m->data);
        tell(p, c, svg, svg ? NULL : "not_found");
        free(svg);
        return true;
    }
    return false;
}

void pictures_refused(lunacast *c, const message *m, const char *code)
{
    picture *p = by_raw_path(c, m->path);
    if (p)
        tell(p, c, NULL, code ? code : "error");
}
