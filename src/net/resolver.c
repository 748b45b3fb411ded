/* A small cache in front of getaddrinfo. Callers that ask for a name which is being looked up wait
 * together; at most RESOLVER_AT_ONCE look-ups run, further names wait their turn. What was found is
 * kept for 30 s (the name server's own time to live is not known through getaddrinfo), a failure
 * for a second, so that a wrong name does not cost a thread per request.
 *
 *   NEW --start--> RUNNING --on_resolved--> KNOWN --older than KEEP--> RUNNING ...
 *     \--no slot: QUEUED--/
 *
 * Owner of an entry: the table. What must never happen: an entry freed with a look-up running or a
 * caller waiting; more than RESOLVER_ENTRIES of them. */
#include "resolver.h"

#include "clock.h"
#include "list.h"
#include "map.h"
#include "mem.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

typedef enum { QUEUED, RUNNING, KNOWN } entry_state;

typedef struct entry {
    map_node node;
    list link; /* in resolver.age, the oldest first */
    list queue;
    resolver *owner;
    entry_state state;
    uint64_t until;
    resolver_wait *waits;
    resolver_addresses found;
    uv_getaddrinfo_t request;
    char name[];
} entry;

struct resolver {
    uv_loop_t *loop;
    map names;
    list age, queue;
    size_t running;
    bool closed;
    resolver_addresses literal;
};

static void start_next(resolver *r);

resolver *resolver_new(uv_loop_t *loop)
{
    resolver *r = mem_alloc(sizeof *r);
    r->loop = loop;
    list_init(&r->age);
    list_init(&r->queue);
    return r;
}

static void free_entry(entry *e)
{
    map_remove(&e->owner->names, &e->node);
    list_remove(&e->link);
    list_remove(&e->queue);
    free(e);
}

static void free_if_done(resolver *r)
{
    if (!r->closed || r->running > 0)
        return;
    while (!list_empty(&r->age))
        free_entry(LIST_ENTRY(r->age.next, entry, link));
    map_free(&r->names);
    free(r);
}

void resolver_close(resolver *r)
{
    r->closed = true;
    LIST_FOR_EACH (it, &r->age) {
        entry *e = LIST_ENTRY(it, entry, link);
        if (e->state == RUNNING)
            uv_cancel((uv_req_t *)&e->request);
    }
    free_if_done(r);
}

bool resolver_valid_host(slice host)
{
    if (host.n == 0 || host.n > RESOLVER_HOST_MAX)
        return false;
    bool colon = memchr(host.p, ':', host.n) != NULL; /* an IPv6 address */
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && (colon ? c != ':' : c != '-' && c != '_'))
            return false;
    }
    return true;
}

/* Looking up ---------------------------------------------------------------------------------- */

static void take_addresses(entry *e, int status, const struct addrinfo *from)
{
    resolver_addresses *found = &e->found;
    *found = (resolver_addresses){0};
    for (; from != NULL && found->count < RESOLVER_ADDRESSES; from = from->ai_next)
        if (from->ai_addrlen <= sizeof found->list[0])
            memcpy(&found->list[found->count++], from->ai_addr, from->ai_addrlen);
    if (status == UV_EAI_NONAME)
        found->problem = "the host name is not known";
    else if (status != 0)
        found->problem = uv_strerror(status);
    else if (found->count == 0)
        found->problem = "the host name has no address";
}

static void tell_waiting(entry *e)
{
    resolver_addresses found = e->found; /* a callback may make the table drop this entry */
    resolver_wait *waits = e->waits;
    e->waits = NULL;
    if (waits != NULL)
        waits->at = &waits;
    while (waits != NULL) {
        resolver_wait *w = waits;
        resolver_cancel(w);
        w->on_found(w, &found);
    }
}

static void settle(entry *e, int status, const struct addrinfo *addresses)
{
    take_addresses(e, status, addresses);
    e->state = KNOWN;
    e->until = clock_ms() + (e->found.problem == NULL ? RESOLVER_KEEP_MS : RESOLVER_KEEP_FAILED_MS);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    entry *e = request->data;
    resolver *r = e->owner;
    r->running--;
    settle(e, status, addresses);
    uv_freeaddrinfo(addresses);
    if (r->closed) {
        free_if_done(r);
        return;
    }
    start_next(r);
    tell_waiting(e);
}

static void start_next(resolver *r)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    while (r->running < RESOLVER_AT_ONCE && !list_empty(&r->queue)) {
        entry *e = LIST_ENTRY(r->queue.next, entry, queue);
        list_remove(&e->queue);
        e->request.data = e;
        e->state = RUNNING;
        int rc = uv_getaddrinfo(r->loop, &e->request, on_resolved, e->name, NULL, &hints);
        if (rc == 0) {
            r->running++;
        } else {
            settle(e, rc, NULL);
            tell_waiting(e);
        }
    }
}

/* The table ----------------------------------------------------------------------------------- */

static void make_room(resolver *r)
{
    LIST_FOR_EACH_SAFE (it, &r->age) {
        entry *e = LIST_ENTRY(it, entry, link);
        if (r->names.count < RESOLVER_ENTRIES)
            return;
        if (e->state == KNOWN && e->waits == NULL)
            free_entry(e);
    }
}

static entry *new_entry(resolver *r, slice host)
{
    make_room(r);
    if (r->names.count >= RESOLVER_ENTRIES)
        return NULL;
    entry *e = mem_alloc(sizeof *e + host.n + 1);
    memcpy(e->name, host.p, host.n);
    e->node.key = (slice){e->name, host.n};
    e->owner = r;
    e->state = KNOWN;
    list_init(&e->queue);
    list_append(&r->age, &e->link);
    map_insert(&r->names, &e->node);
    return e;
}

static bool read_literal(resolver *r, slice host)
{
    char text[INET6_ADDRSTRLEN];
    if (host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    r->literal = (resolver_addresses){.count = 1};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&r->literal.list[0];
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&r->literal.list[0];
    v4->sin_family = AF_INET;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        return true;
    v6->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

static const resolver_addresses *refuse(resolver *r, const char *why)
{
    r->literal = (resolver_addresses){.problem = why};
    return &r->literal;
}

static void wait_for(entry *e, resolver_wait *w)
{
    w->next = e->waits;
    w->at = &e->waits;
    if (w->next != NULL)
        w->next->at = &w->next;
    e->waits = w;
}

const resolver_addresses *resolver_find(resolver *r, slice host, resolver_wait *w)
{
    w->at = NULL;
    if (!resolver_valid_host(host))
        return refuse(r, "this is no host name");
    if (read_literal(r, host))
        return &r->literal;
    map_node *node = map_find(&r->names, host);
    entry *e = node != NULL ? MAP_ENTRY(node, entry, node) : new_entry(r, host);
    if (e == NULL)
        return refuse(r, "too many names are being looked up");
    if (e->state == KNOWN && clock_ms() < e->until)
        return &e->found;
    wait_for(e, w);
    if (e->state != KNOWN)
        return NULL;
    e->state = QUEUED;
    list_append(&r->queue, &e->queue);
    list_remove(&e->link);
    list_append(&r->age, &e->link);
    start_next(r);
    return NULL;
}

void resolver_cancel(resolver_wait *w)
{
    if (w->at == NULL)
        return;
    *w->at = w->next;
    if (w->next != NULL)
        w->next->at = w->at;
    w->at = NULL;
}
