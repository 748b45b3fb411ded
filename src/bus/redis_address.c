/* Names are looked up on the thread pool, anew for each attempt, since a failover may move the
 * name. A look-up that can't be cancelled any more outlives its link: it belongs to itself and
 * carries a pointer that is nulled. What must never happen: two look-ups of one link at a time (a
 * dead name server would fill the pool). */
#include "redis_address.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

struct redis_look_up {
    uv_getaddrinfo_t request;
    redis_address *owner; /* NULL: not wanted any more */
    void (*on_found)(void *arg, const char *problem);
    void *arg;
};

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct redis_look_up up = *(struct redis_look_up *)request->data;
    free(request->data);
    if (up.owner == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    up.owner->look_up = NULL;
    up.owner->found = up.owner->next = addresses;
    if (status == UV_EAI_NONAME)
        up.on_found(up.arg, "the host name is not known");
    else
        up.on_found(up.arg, status != 0 ? uv_strerror(status) : NULL);
}

static void look_up(redis_address *a, const redis_options *o, uv_loop_t *loop,
                    void (*on_found)(void *arg, const char *problem), void *arg)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char port[12];
    snprintf(port, sizeof port, "%d", o->port);
    struct redis_look_up *up = mem_alloc(sizeof *up);
    up->owner = a;
    up->on_found = on_found;
    up->arg = arg;
    up->request.data = up;
    a->look_up = up;
    int rc = uv_getaddrinfo(loop, &up->request, on_resolved, o->host, port, &hints);
    if (rc == 0)
        return;
    a->look_up = NULL;
    free(up);
    on_found(arg, uv_strerror(rc));
}

void redis_address_find(redis_address *a, const redis_options *o, uv_loop_t *loop,
                        void (*on_found)(void *arg, const char *problem), void *arg)
{
    if (uv_ip4_addr(o->host, o->port, (struct sockaddr_in *)&a->literal) == 0 ||
        uv_ip6_addr(o->host, o->port, (struct sockaddr_in6 *)&a->literal) == 0) {
        a->use_literal = true;
        on_found(arg, NULL);
    } else {
        look_up(a, o, loop, on_found, arg);
    }
}

const struct sockaddr *redis_address_next(redis_address *a)
{
    if (a->use_literal) {
        a->use_literal = false;
        return (const struct sockaddr *)&a->literal;
    }
    if (a->next == NULL)
        return NULL;
    const struct sockaddr *address = a->next->ai_addr;
    a->next = a->next->ai_next;
    return address;
}

void redis_address_clear(redis_address *a)
{
    if (a->found != NULL)
        uv_freeaddrinfo(a->found);
    if (a->look_up != NULL) {
        a->look_up->owner = NULL;
        uv_cancel((uv_req_t *)&a->look_up->request);
    }
    a->found = a->next = NULL;
    a->look_up = NULL;
    a->use_literal = false;
}
