/* Bounds for lua-cjson. It works in C without a look at the time, nests as deep as it is told to,
 * on C's stack, and writes a null for each hole of an array, into memory of its own whose end is
 * the end of the process. So what it is given is measured first, and the settings that would take
 * its own bounds away are not there. Rejected: host.json below its names, since those who ask for
 * lua-cjson want its numbers and its errors. */
#include "l_string.h"

enum {
    MOST_TEXT = 1024 * 1024, /* bytes, of decode and of all strings of encode; 60 ns each */
    MOST_VALUES = 100000,    /* of encode; 500 ns each */
    MOST_DEPTH = 1000        /* lua-cjson's own */
};

typedef struct {
    size_t values, bytes; /* that are left */
} room;

static void take_text(lua_State *L, room *r, int index)
{
    size_t n = lua_type(L, index) == LUA_TSTRING ? (size_t)lua_rawlen(L, index) : 0;
    if (n > r->bytes)
        luaL_error(L, "cjson.encode takes 1 MiB of text at most (host.json.encode takes more)");
    r->bytes -= n;
}

/* The value at the top. What is nested too deeply is refused by lua-cjson. */
static void take_value(lua_State *L, room *r, int depth)
{
    take_text(L, r, -1);
    if (r->values-- == 0)
        luaL_error(L, "cjson.encode takes %d values at most (host.json.encode takes more)",
                   (int)MOST_VALUES);
    if (!lua_istable(L, -1) || depth > MOST_DEPTH)
        return;
    vm_check_time(L);
    luaL_checkstack(L, 4, "too many levels");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        take_text(L, r, -2);
        take_value(L, r, depth + 1);
        lua_pop(L, 1);
    }
}

/* lua-cjson's functions have upvalues of their own, so they are called; where they raise they don't
 * know who called us. */
static int call_stock(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) == LUA_OK)
        return lua_gettop(L);
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

static int l_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    take_value(L, &(room){MOST_VALUES, MOST_TEXT}, 1);
    return call_stock(L);
}

static int l_decode(lua_State *L)
{
    if (lua_isstring(L, 1) && lua_rawlen(L, 1) > MOST_TEXT)
        return luaL_argerror(L, 1, "more than 1 MiB of text (host.json.decode takes more)");
    return call_stock(L);
}

static int l_new(lua_State *L)
{
    int results = call_stock(L);
    l_cjson_bound(L);
    return results;
}

void l_cjson_bound(lua_State *L)
{
    static const char *const unbounded[] = {"encode_sparse_array", "encode_max_depth",
                                            "decode_max_depth"};
    l_wrap(L, "encode", l_encode);
    l_wrap(L, "decode", l_decode);
    l_wrap(L, "new", l_new);
    for (size_t i = 0; i < sizeof unbounded / sizeof *unbounded; i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, unbounded[i]);
    }
}
