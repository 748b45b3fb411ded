/* Who is present where, as this worker knows it: a room per topic, a place in it per connection,
 * and a room per user with all the user's connections, so that "somebody has come" and "the last
 * one has gone" are seen here and not counted by scripts.
 *
 *   nobody --audience_enter--> room --audience_exit, audience_leave--> empty --told--> freed
 *
 * What the workers and nodes know together is made of these by scripts (lua/web/presence.lua): a
 * room that has changed is in a list until somebody asks for it, however often it changes, so that
 * a storm of joins costs one look at the room. What must never happen: a place that outlives its
 * member. */
#include "audience_private.h"

#include "jose_json.h"
#include "mem.h"
#include <stdlib.h>

static audience_room *find_room(const audience *a, slice name)
{
    map_node *node = map_find(&a->rooms, name);
    return node != NULL ? MAP_ENTRY(node, audience_room, node) : NULL;
}

static audience_room *get_room(audience *a, slice name, bool of_user)
{
    audience_room *r = find_room(a, name);
    if (r != NULL)
        return r;
    r = mem_alloc(sizeof *r + name.n);
    memcpy(r->name, name.p, name.n);
    r->node.key = (slice){r->name, name.n};
    r->of_user = of_user;
    list_init(&r->places);
    list_init(&r->changed_link);
    map_insert(&a->rooms, &r->node);
    return r;
}

void audience_release_room(audience *a, audience_room *r)
{
    if (r->count > 0 || !list_empty(&r->changed_link))
        return;
    map_remove(&a->rooms, &r->node);
    free(r);
}

static audience_place *take_place(audience_member *m, audience_room *r)
{
    audience_place *p = mem_alloc(sizeof *p);
    p->member = m;
    p->room = r;
    list_init(&p->member_link);
    list_append(&r->places, &p->room_link);
    r->count++;
    return p;
}

static void give_up_place(audience *a, audience_place *p)
{
    audience_room *r = p->room;
    list_remove(&p->room_link);
    list_remove(&p->member_link);
    r->count--;
    free(p);
    audience_room_changed(a, r);
}

/* Topics ------------------------------------------------------------------------------------ */

static audience_place *place_in(const audience_member *m, slice topic)
{
    LIST_FOR_EACH (it, &m->places) {
        audience_place *p = LIST_ENTRY(it, audience_place, member_link);
        if (slice_eq(p->room->node.key, topic))
            return p;
    }
    return NULL;
}

void audience_enter(audience_member *m, slice topic)
{
    if (m->home == NULL || place_in(m, topic) != NULL)
        return;
    audience_room *r = get_room(m->home, topic, false);
    list_append(&m->places, &take_place(m, r)->member_link);
    audience_room_changed(m->home, r);
    audience_add_news(m, AUDIENCE_ENTERED, topic, NULL);
}

static void exit_place(audience_member *m, audience_place *p)
{
    audience_add_news(m, AUDIENCE_EXITED, p->room->node.key, NULL);
    give_up_place(m->home, p);
}

void audience_exit(audience_member *m, slice topic)
{
    audience_place *p = place_in(m, topic);
    if (p != NULL)
        exit_place(m, p);
}

void audience_exit_all(audience_member *m)
{
    while (!list_empty(&m->places))
        exit_place(m, LIST_ENTRY(m->places.next, audience_place, member_link));
}

void audience_set_data(audience_member *m, slice json)
{
    if (m->home == NULL || json.n > AUDIENCE_DATA_MAX)
        return;
    free(m->data);
    m->data = json.n > 0 ? mem_dup(json.p, json.n) : NULL;
    LIST_FOR_EACH (it, &m->places) {
        audience_room *r = LIST_ENTRY(it, audience_place, member_link)->room;
        audience_room_changed(m->home, r);
        audience_add_news(m, AUDIENCE_ENTERED, r->node.key, NULL);
    }
}

/* Users ------------------------------------------------------------------------------------- */

slice audience_user_room(slice user, slice tenant, buf *out)
{
    buf_format(out, "$user:%zu:", tenant.n);
    buf_append_slice(out, tenant);
    buf_append_slice(out, user);
    return (slice){out->data, out->len};
}

/* Only the first and the last connection change anything for the others. */
void audience_enter_user(audience_member *m)
{
    audience_identity who = audience_identity_of(m);
    buf name = {0};
    if (m->home == NULL || who.user.n == 0)
        return;
    audience_room *r = get_room(m->home, audience_user_room(who.user, who.tenant, &name), true);
    buf_free(&name);
    m->user = take_place(m, r);
    if (r->count == 1)
        audience_room_changed(m->home, r);
}

void audience_exit_user(audience_member *m)
{
    audience_place *p = m->user;
    m->user = NULL;
    if (p == NULL)
        return;
    audience_room *r = p->room;
    list_remove(&p->room_link);
    free(p);
    if (--r->count == 0)
        audience_room_changed(m->home, r);
}

/* Reading ----------------------------------------------------------------------------------- */

size_t audience_room_count(const audience *a, slice name)
{
    const audience_room *r = find_room(a, name);
    return r != NULL ? r->count : 0;
}

static void put_member(buf *out, const audience_member *m)
{
    slice user = audience_identity_of(m).user;
    buf_format(out, "{\"connection\":\"%s\"", m->id);
    if (user.n > 0 && jose_is_utf8(user)) {
        buf_text(out, ",\"user\":");
        jose_put_string(out, user);
    }
    if (m->data != NULL) {
        buf_text(out, ",\"data\":");
        buf_text(out, m->data);
    }
    buf_byte(out, '}');
}

void audience_room_json(const audience *a, slice name, size_t limit, buf *out)
{
    const audience_room *r = find_room(a, name);
    size_t n = 0;
    buf_format(out, "{\"count\":%zu,\"members\":[", r != NULL ? r->count : 0);
    if (r != NULL && !r->of_user) {
        LIST_FOR_EACH (it, &r->places) {
            if (n == limit)
                break;
            buf_text(out, n++ > 0 ? "," : "");
            put_member(out, LIST_ENTRY(it, audience_place, room_link)->member);
        }
    }
    buf_text(out, "]}");
}

void audience_announce(audience *a, bool news)
{
    size_t slot = 0;
    for (map_node *n = map_next(&a->rooms, &slot, NULL); n != NULL;
         n = map_next(&a->rooms, &slot, n)) {
        audience_room *r = MAP_ENTRY(n, audience_room, node);
        audience_room_changed(a, r);
        if (!news || r->of_user)
            continue;
        LIST_FOR_EACH (it, &r->places)
            audience_add_news(LIST_ENTRY(it, audience_place, room_link)->member, AUDIENCE_ENTERED,
                              r->node.key, NULL);
    }
}

/* At the end of the worker, when every member has left. */
void audience_free_rooms(audience *a)
{
    size_t slot = 0;
    for (map_node *n = map_next(&a->rooms, &slot, NULL), *next; n != NULL; n = next) {
        next = map_next(&a->rooms, &slot, n);
        free(MAP_ENTRY(n, audience_room, node));
    }
    map_free(&a->rooms);
}
