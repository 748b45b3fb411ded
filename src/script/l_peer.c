/* host.peer: bare sockets for tests, which read and write what they like, as slowly as they like.
 * An application has web.* and host.http instead.
 *
 *   connect -> CONNECTING -> OPEN --the other side ends, fails--> ENDED --close--> gone
 *   listen -> LISTENING --accept--> OPEN
 *
 * What comes is kept until it is taken; reading pauses by itself when RECEIVED_MAX lie here. */
#include "activity.h"
#include "buf.h"
#include "mem.h"
#include "task.h"

#include <stdlib.h>

static const char kind[] = "host.peer";

enum { RECEIVED_MAX = 256 << 20, READ_BYTES = 64 << 10, PAUSED_BYTES = 64 << 10, BACKLOG = 128 };

typedef struct peer {
    activity_object object;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    uv_connect_t connecting;
    uv_shutdown_t shutting;
    buf received;
    char ended[64]; /* empty: not yet */
    size_t writing; /* writes under way */
    bool is_pipe, connected;
} peer;

typedef struct {
    uv_write_t request;
    char data[];
} sending;

/* From the loop ----------------------------------------------------------------------------- */

static void note_end(peer *p, int status)
{
    if (p->ended[0] == '\0')
        snprintf(p->ended, sizeof p->ended, "%s", status == UV_EOF ? "end" : uv_err_name(status));
    activity_happened();
}

static void on_alloc(uv_handle_t *handle, size_t wish, uv_buf_t *b)
{
    peer *p = handle->data;
    (void)wish;
    buf_reserve(&p->received, READ_BYTES);
    *b = uv_buf_init(p->received.data + p->received.len, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    peer *p = stream->data;
    (void)b;
    if (n < 0) {
        note_end(p, (int)n);
        return;
    }
    p->received.len += (size_t)n;
    if (p->received.len > RECEIVED_MAX)
        uv_read_stop(stream);
    activity_happened();
}

static void on_connected(uv_connect_t *request, int status)
{
    peer *p = request->data;
    if (status == UV_ECANCELED)
        return;
    p->connected = status == 0;
    if (status == 0)
        uv_read_start(&p->h.stream, on_alloc, on_read);
    else
        note_end(p, status);
    activity_happened();
}

static void on_written(uv_write_t *request, int status)
{
    peer *p = request->data;
    sending *s = LIST_ENTRY(request, sending, request);
    free(s);
    p->writing--;
    if (status < 0 && status != UV_ECANCELED)
        note_end(p, status);
    activity_happened();
}

static void on_incoming(uv_stream_t *stream, int status)
{
    (void)stream;
    (void)status;
    activity_happened();
}

static void on_closed(uv_handle_t *handle)
{
    peer *p = handle->data;
    buf_free(&p->received);
    free(p);
}

static void close_peer(activity_object *o)
{
    peer *p = LIST_ENTRY(o, peer, object);
    uv_close(&p->h.handle, on_closed);
}

/* Opening ----------------------------------------------------------------------------------- */

static peer *check_peer(lua_State *L)
{
    return LIST_ENTRY(activity_check(L, kind, "socket"), peer, object);
}

static peer *new_peer(lua_State *L, bool is_pipe)
{
    activity_object **box = activity_new_box(L, kind);
    peer *p = mem_alloc(sizeof *p);
    p->is_pipe = is_pipe;
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    if (is_pipe)
        uv_pipe_init(loop, &p->h.pipe, 0);
    else
        uv_tcp_init(loop, &p->h.tcp);
    p->h.handle.data = p->connecting.data = p->shutting.data = p;
    activity_add(box, &p->object, close_peer);
    return p;
}

static int fail_with(lua_State *L, int status)
{
    return vm_fail(L, "socket", "%s: %s", uv_err_name(status), uv_strerror(status));
}

static struct sockaddr_storage check_address(lua_State *L)
{
    struct sockaddr_storage address = {0};
    const char *host = luaL_checkstring(L, 1);
    lua_Integer port = luaL_checkinteger(L, 2);
    luaL_argcheck(L, port >= 0 && port < 65536, 2, "a port is 0 to 65535");
    if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)(void *)&address) != 0 &&
        uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)(void *)&address) != 0)
        luaL_argerror(L, 1, "an IP address");
    return address;
}

/* connect(host, port) | connect(path) -> socket, on its way */
static int peer_connect(lua_State *L)
{
    activity_sweep();
    if (lua_isnoneornil(L, 2)) {
        const char *path = luaL_checkstring(L, 1);
        peer *p = new_peer(L, true);
        uv_pipe_connect(&p->connecting, &p->h.pipe, path, on_connected);
        return 1;
    }
    struct sockaddr_storage address = check_address(L);
    peer *p = new_peer(L, false);
    int status =
        uv_tcp_connect(&p->connecting, &p->h.tcp, (struct sockaddr *)&address, on_connected);
    if (status != 0)
        return fail_with(L, status);
    uv_tcp_nodelay(&p->h.tcp, 1);
    return 1;
}

/* listen(host, port) | listen(path) -> socket */
static int peer_listen(lua_State *L)
{
    activity_sweep();
    int status;
    peer *p;
    if (lua_isnoneornil(L, 2)) {
        const char *path = luaL_checkstring(L, 1);
        p = new_peer(L, true);
        status = uv_pipe_bind(&p->h.pipe, path);
    } else {
        struct sockaddr_storage address = check_address(L);
        p = new_peer(L, false);
        status = uv_tcp_bind(&p->h.tcp, (struct sockaddr *)&address, 0);
    }
    if (status == 0)
        status = uv_listen(&p->h.stream, BACKLOG, on_incoming);
    return status == 0 ? 1 : fail_with(L, status);
}

/* accept() -> socket, or nil while nobody has come */
static int peer_accept(lua_State *L)
{
    peer *p = check_peer(L);
    peer *c = new_peer(L, p->is_pipe);
    if (uv_accept(&p->h.stream, &c->h.stream) != 0) {
        lua_replace(L, 1);
        activity_close(activity_take(L, kind));
        return 0;
    }
    c->connected = true;
    if (!c->is_pipe)
        uv_tcp_nodelay(&c->h.tcp, 1);
    uv_read_start(&c->h.stream, on_alloc, on_read);
    return 1;
}

static int peer_port(lua_State *L)
{
    const peer *p = check_peer(L);
    struct sockaddr_storage address;
    int n = sizeof address;
    if (p->is_pipe || uv_tcp_getsockname(&p->h.tcp, (struct sockaddr *)&address, &n) != 0)
        return 0;
    lua_pushinteger(L, ntohs(((struct sockaddr_in *)(void *)&address)->sin_port));
    return 1;
}

/* status() -> connected, ended (nil while it is open), writes under way */
static int peer_status(lua_State *L)
{
    const peer *p = check_peer(L);
    lua_pushboolean(L, p->connected);
    lua_pushstring(L, p->ended[0] != '\0' ? p->ended : NULL);
    lua_pushinteger(L, (lua_Integer)p->writing);
    return 3;
}

/* take() -> the bytes that have come since the last time */
static int peer_take(lua_State *L)
{
    peer *p = check_peer(L);
    lua_pushlstring(L, p->received.len > 0 ? p->received.data : "", p->received.len);
    p->received.len = 0;
    return 1;
}

/* write(data) -> false: it is not connected any more */
static int peer_write(lua_State *L)
{
    peer *p = check_peer(L);
    slice data = vm_check_slice(L, 2);
    sending *s = mem_alloc(sizeof *s + data.n);
    s->request.data = p;
    if (data.n > 0)
        memcpy(s->data, data.p, data.n);
    uv_buf_t b = uv_buf_init(s->data, (unsigned)data.n);
    int status = uv_write(&s->request, &p->h.stream, &b, 1, on_written);
    if (status == 0)
        p->writing++;
    else
        free(s);
    lua_pushboolean(L, status == 0);
    return 1;
}

/* Who does not read shall be a burden to the peer soon, and not after the megabytes that the kernel
 * would take for it. */
static int peer_pause(lua_State *L)
{
    peer *p = check_peer(L);
    int small = PAUSED_BYTES;
    uv_read_stop(&p->h.stream);
    uv_recv_buffer_size(&p->h.handle, &small);
    return 0;
}

static int peer_resume(lua_State *L)
{
    peer *p = check_peer(L);
    if (p->connected && p->ended[0] == '\0')
        uv_read_start(&p->h.stream, on_alloc, on_read);
    return 0;
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
    activity_happened();
}

static int peer_shutdown(lua_State *L)
{
    peer *p = check_peer(L);
    uv_shutdown(&p->shutting, &p->h.stream, on_shut);
    return 0;
}

/* reset(): closes with RST where there is TCP below. */
static int peer_reset(lua_State *L)
{
    activity_object *o = activity_take(L, kind);
    peer *p = o != NULL ? LIST_ENTRY(o, peer, object) : NULL;
    if (p == NULL)
        return 0;
    if (p->is_pipe) {
        activity_close(o);
        return 0;
    }
    list_remove(&o->link);
    if (uv_tcp_close_reset(&p->h.tcp, on_closed) != 0)
        uv_close(&p->h.handle, on_closed);
    return 0;
}

int luaopen_host_peer(lua_State *L)
{
    static const luaL_Reg methods[] = {{"status", peer_status}, {"take", peer_take},
                                       {"write", peer_write},   {"pause", peer_pause},
                                       {"resume", peer_resume}, {"shutdown", peer_shutdown},
                                       {"reset", peer_reset},   {"accept", peer_accept},
                                       {"port", peer_port},     {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"connect", peer_connect}, {"listen", peer_listen}, {"wait", activity_wait}, {NULL, NULL}};
    activity_check_trusted(L, "host.peer");
    activity_new_kind(L, kind, methods);
    luaL_newlib(L, functions);
    return 1;
}
