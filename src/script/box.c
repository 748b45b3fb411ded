/* A buffer in a userdata: the collector frees what a longjmp left behind. What must never happen: a
 * box made after the bytes that it is to guard. */
#include "box.h"

#include <lauxlib.h>
#include <openssl/crypto.h>

#define BUF_TYPE "host.buf"

static int free_buf(lua_State *L)
{
    buf_free(luaL_checkudata(L, 1, BUF_TYPE));
    return 0;
}

buf *box_push_buf(lua_State *L)
{
    buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (buf){0};
    if (luaL_newmetatable(L, BUF_TYPE)) {
        lua_pushcfunction(L, free_buf);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return b;
}

void box_push_text(lua_State *L, buf *b)
{
    lua_pushlstring(L, b->len > 0 ? b->data : "", b->len);
    if (b->len > 0)
        OPENSSL_cleanse(b->data, b->len);
    buf_free(b);
}

void *box_test(lua_State *L, int arg, const char *type)
{
    void *box = lua_touserdata(L, arg);
    if (box == NULL || !lua_getmetatable(L, arg))
        return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, type);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? box : NULL;
}

void box_push_json(lua_State *L, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "host.json");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}
