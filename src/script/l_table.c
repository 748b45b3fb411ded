/* Bounds for the table library, for os.date, utf8, string.format and string.pack. The stock
 * functions do the work; what is added are checks where their loop would not end with the table: a
 * length or range that a metamethod or the caller made up, a sort whose comparisons are long or
 * many. A stock function is called as a plain C function in the same frame, so that its errors name
 * it. concat alone is done here, since it may be long with any table: turning a number into text is
 * slow. */
#include "l_string.h"

#include <lualib.h>

enum {
    MOST_ITEMS = 1024 * 1024,
    MOST_COMPARISONS = 5000000, /* of a counted sort, which looks at the time, too */
    FREE_COMPARISONS = 1000000, /* estimated: below, the stock sort runs as it is */
    BYTES_PER_COMPARISON = 64,
    MOST_DATE_FORMAT = 4096,
    MOST_QUOTED = 1024 * 1024,      /* bytes of all texts together; 60 ns each */
    MOST_FORMATTED = 8192,          /* values; up to 5 us each */
    MOST_PACK_FORMAT = 1024 * 1024, /* 10 ns per byte */
    MOST_UTF8 = 16 * 1024 * 1024,   /* bytes; 4 ns each */
    MOST_CHARS = 256 * 1024,        /* of utf8.char; 200 ns each */
    LOOK_EVERY = 256,               /* items */
};

static int stock(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void check_count(lua_State *L, lua_Unsigned count)
{
    if (count > MOST_ITEMS)
        luaL_error(L, "too many items for one call: %I, the limit is %d", (lua_Integer)count,
                   (int)MOST_ITEMS);
}

/* Length and items of a table without a metatable are real and bounded by memory. */
static bool has_metatable(lua_State *L, int arg)
{
    if (!lua_getmetatable(L, arg))
        return false;
    lua_pop(L, 1);
    return true;
}

static void add_item(lua_State *L, luaL_Buffer *b, lua_Integer i)
{
    lua_geti(L, 1, i);
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1),
                   i);
    luaL_addvalue(b);
    if (i % LOOK_EVERY == 0)
        vm_check_time(L);
}

static int l_concat(lua_State *L)
{
    if (!lua_istable(L, 1))
        return stock(L);
    size_t n;
    const char *between = luaL_optlstring(L, 2, "", &n);
    lua_Integer i = luaL_optinteger(L, 3, 1);
    lua_Integer last = lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4);
    if (last >= i && has_metatable(L, 1))
        check_count(L, (lua_Unsigned)last - (lua_Unsigned)i);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (; i < last; i++) {
        add_item(L, &b, i);
        luaL_addlstring(&b, between, n);
    }
    if (i == last)
        add_item(L, &b, i);
    luaL_pushresult(&b);
    return 1;
}

/* insert and remove move what is behind the place. */
static int l_shift(lua_State *L)
{
    if (has_metatable(L, 1)) {
        lua_Integer n = luaL_len(L, 1);
        check_count(L, n > 0 ? (lua_Unsigned)n : 0);
    }
    return stock(L);
}

static int l_move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3);
    if (last >= first)
        check_count(L, (lua_Unsigned)last - (lua_Unsigned)first);
    return stock(L);
}

/* sort ----------------------------------------------------------------------------------------- */

typedef struct {
    lua_Integer left, items;
} sort_budget;

static lua_Unsigned text_length(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TSTRING ? lua_rawlen(L, index) : 0;
}

/* Upvalues: sort_budget, a comparator written in C or nil. */
static int counted_less(lua_State *L)
{
    sort_budget *budget = lua_touserdata(L, lua_upvalueindex(1));
    lua_Unsigned a = text_length(L, 1), b = text_length(L, 2);
    budget->left -= 1 + (lua_Integer)((a < b ? a : b) / BYTES_PER_COMPARISON);
    if (budget->left < 0)
        return luaL_error(L, "sort took too many steps on %I items", budget->items);
    vm_check_time(L);
    if (lua_isnil(L, lua_upvalueindex(2))) {
        lua_pushboolean(L, lua_compare(L, 1, 2, LUA_OPLT));
        return 1;
    }
    lua_settop(L, 2);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

/* n log2 n comparisons of the longest texts stay below the limit. */
static bool is_cheap(lua_State *L, lua_Integer n)
{
    lua_Unsigned longest = 0, comparisons = 1;
    if (n > FREE_COMPARISONS)
        return false;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, 1, i);
        lua_Unsigned length = text_length(L, -1);
        longest = length > longest ? length : longest;
        lua_pop(L, 1);
    }
    for (lua_Integer rest = n; rest > 0; rest /= 2)
        comparisons += (lua_Unsigned)n;
    return comparisons * (1 + longest / BYTES_PER_COMPARISON) <= FREE_COMPARISONS;
}

/* A comparator in Lua can be interrupted, the others are counted. */
static int l_sort(lua_State *L)
{
    bool own = lua_isnoneornil(L, 2);
    if (!lua_istable(L, 1) || (!own && !lua_iscfunction(L, 2)))
        return stock(L);
    lua_Integer n = luaL_len(L, 1);
    if (own && !has_metatable(L, 1) && is_cheap(L, n))
        return stock(L);
    lua_settop(L, 2);
    sort_budget *budget = lua_newuserdatauv(L, sizeof *budget, 0);
    *budget = (sort_budget){.left = MOST_COMPARISONS, .items = n};
    lua_insert(L, 2);
    lua_pushcclosure(L, counted_less, 2);
    return stock(L);
}

static int l_date(lua_State *L)
{
    if (lua_isstring(L, 1) && lua_rawlen(L, 1) > MOST_DATE_FORMAT)
        return luaL_argerror(L, 1, "format of more than 4096 bytes");
    return stock(L);
}

static void check_values(lua_State *L, int most)
{
    if (lua_gettop(L) > most)
        luaL_error(L, "more than %d values for one call: join parts by table.concat", most);
}

static int l_format(lua_State *L)
{
    size_t n;
    lua_Unsigned quoted = 0;
    const char *format = luaL_checklstring(L, 1, &n);
    check_values(L, MOST_FORMATTED);
    if (memchr(format, 'q', n) == NULL)
        return stock(L);
    for (int i = lua_gettop(L); i > 1; i--) {
        quoted += text_length(L, i);
        if (quoted > MOST_QUOTED)
            return luaL_argerror(L, i, "more than 1 MiB to be quoted");
    }
    return stock(L);
}

/* pack, packsize and unpack: a format can be longer than what it describes. */
static int l_pack(lua_State *L)
{
    if (text_length(L, 1) > MOST_PACK_FORMAT)
        return luaL_argerror(L, 1, "format of more than 1 MiB");
    return stock(L);
}

static int l_utf8_len(lua_State *L)
{
    if (text_length(L, 1) > MOST_UTF8)
        return luaL_argerror(L, 1, "more than 16 MiB");
    return stock(L);
}

static int l_utf8_char(lua_State *L)
{
    check_values(L, MOST_CHARS);
    return stock(L);
}

/* Installing ----------------------------------------------------------------------------------- */

void l_wrap(lua_State *L, const char *name, lua_CFunction function)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

static void wrap(lua_State *L, const char *library, const char *name, lua_CFunction function)
{
    lua_getglobal(L, library);
    l_wrap(L, name, function);
    lua_pop(L, 1);
}

void l_table_install(lua_State *L)
{
    wrap(L, LUA_TABLIBNAME, "concat", l_concat);
    wrap(L, LUA_TABLIBNAME, "insert", l_shift);
    wrap(L, LUA_TABLIBNAME, "remove", l_shift);
    wrap(L, LUA_TABLIBNAME, "move", l_move);
    wrap(L, LUA_TABLIBNAME, "sort", l_sort);
    wrap(L, LUA_OSLIBNAME, "date", l_date);
    wrap(L, LUA_STRLIBNAME, "format", l_format);
    wrap(L, LUA_UTF8LIBNAME, "len", l_utf8_len);
    wrap(L, LUA_UTF8LIBNAME, "char", l_utf8_char);
    wrap(L, LUA_STRLIBNAME, "pack", l_pack);
    wrap(L, LUA_STRLIBNAME, "packsize", l_pack);
    wrap(L, LUA_STRLIBNAME, "unpack", l_pack);
}
