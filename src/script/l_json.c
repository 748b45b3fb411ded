/* host.json: JSON for scripts, by lua-cjson's names. Own code and not lua-cjson, since JSON must
 * come back as it went: 1 and 1.0 differ, [] and {} differ, an integer keeps all its digits, text
 * that is not UTF-8 is refused, and an error says where.
 *
 * Decoding gathers the items of an array or object on the Lua stack, up to BATCH, and then makes
 * the table in its final size: growing a table item by item costs more than all the parsing.
 * Nothing here holds memory that a raised error could leak: long strings with escapes are built in
 * a userdata. */
#include "json.h"

#include "l_json.h"

enum {
    BATCH = 32,       /* items on the stack before their table is made */
    LOCAL_TEXT = 512, /* longer strings with escapes are built in a userdata */
    DEFAULT_DEPTH = 64,
    DEFAULT_SIZE = 8 * 1024 * 1024, /* about 50 ms of decoding */
};

static const char EMPTY_ARRAY = 0;

void *json_empty_array(void)
{
    return (void *)(uintptr_t)&EMPTY_ARRAY;
}

/* Decoding ------------------------------------------------------------------------------------ */

typedef struct {
    lua_State *L;
    json_reader reader;
    int array_mt; /* stack index */
    bool unique;  /* a key that comes twice is an error */
} decoder;

static void push_text(decoder *d)
{
    slice text = d->reader.text;
    if (!d->reader.escaped) {
        lua_pushlstring(d->L, text.p, text.n);
        return;
    }
    char local[LOCAL_TEXT];
    bool large = text.n > sizeof local;
    char *out = large ? lua_newuserdatauv(d->L, text.n, 0) : local;
    lua_pushlstring(d->L, out, json_unescape(text, out));
    if (large)
        lua_remove(d->L, -2);
}

static bool push_value(decoder *d, json_event event);

/* Makes the table at `slot` from the batch above it, or adds the batch to it. */
static void flush_items(lua_State *L, int slot, int batch, lua_Integer done)
{
    if (done == 0) {
        lua_createtable(L, batch, 0);
        lua_replace(L, slot);
    }
    for (int i = batch; i > 0; i--)
        lua_rawseti(L, slot, done + i);
}

static bool push_array(decoder *d)
{
    lua_State *L = d->L;
    lua_pushnil(L);
    int slot = lua_gettop(L), batch = 0;
    lua_Integer done = 0;
    for (;;) {
        json_event event = json_next(&d->reader);
        if (event == JSON_ARRAY_END)
            break;
        if (!push_value(d, event))
            return false;
        if (++batch == BATCH) {
            vm_check_time(L);
            flush_items(L, slot, batch, done);
            done += batch;
            batch = 0;
        }
    }
    if (batch > 0 || done == 0)
        flush_items(L, slot, batch, done);
    lua_pushvalue(L, d->array_mt);
    lua_setmetatable(L, slot);
    return true;
}

/* The pairs go in as they came, so that the last of equal keys wins. */
static void flush_pairs(lua_State *L, int slot, int batch, bool first)
{
    if (first) {
        lua_createtable(L, 0, batch);
        lua_replace(L, slot);
    }
    for (int i = 0; i < batch; i++) {
        lua_pushvalue(L, slot + 1 + 2 * i);
        lua_pushvalue(L, slot + 2 + 2 * i);
        lua_rawset(L, slot);
    }
    lua_settop(L, slot);
}

/* The key at the top must not be in the table at `slot` yet. */
static bool check_unique(decoder *d, int slot)
{
    lua_pushvalue(d->L, -1);
    bool fresh = lua_rawget(d->L, slot) == LUA_TNIL;
    lua_pop(d->L, 1);
    if (!fresh)
        json_refuse(&d->reader, "an object has this key twice");
    return fresh;
}

static bool push_object(decoder *d)
{
    lua_State *L = d->L;
    lua_pushnil(L);
    int slot = lua_gettop(L), batch = 0;
    const int most = d->unique ? 1 : BATCH;
    bool first = true;
    for (;;) {
        json_event event = json_next(&d->reader);
        if (event == JSON_ERROR)
            return false;
        if (event == JSON_OBJECT_END)
            break;
        push_text(d);
        if (d->unique && !first && !check_unique(d, slot))
            return false;
        if (!push_value(d, json_next(&d->reader)))
            return false;
        if (++batch == most) {
            vm_check_time(L);
            flush_pairs(L, slot, batch, first);
            first = false;
            batch = 0;
        }
    }
    if (batch > 0 || first)
        flush_pairs(L, slot, batch, first);
    return true;
}

static bool push_value(decoder *d, json_event event)
{
    switch (event) {
    case JSON_STRING:
        push_text(d);
        return true;
    case JSON_INTEGER:
        lua_pushinteger(d->L, d->reader.integer);
        return true;
    case JSON_FLOAT:
        lua_pushnumber(d->L, d->reader.number);
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(d->L, event == JSON_TRUE);
        return true;
    case JSON_NULL:
        lua_pushlightuserdata(d->L, NULL);
        return true;
    case JSON_ARRAY:
    case JSON_OBJECT:
        vm_check_time(d->L);
        luaL_checkstack(d->L, 2 * BATCH + 8, "JSON is nested too deeply");
        return event == JSON_ARRAY ? push_array(d) : push_object(d);
    default:
        return false;
    }
}

static json_settings *settings_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static lua_Integer check_depth(lua_State *L, int arg, lua_Integer depth)
{
    luaL_argcheck(L, depth >= 1 && depth <= JSON_MAX_DEPTH, arg, "depth must be 1 to 1024");
    return depth;
}

/* The settings of the first instance, which scripts share: a key of the registry. */
static const char shared_settings;

static bool decode(decoder *d, slice text, lua_Integer depth)
{
    luaL_getmetatable(d->L, JSON_ARRAY_TYPE);
    d->array_mt = lua_gettop(d->L);
    json_open(&d->reader, text, (unsigned)depth);
    return push_value(d, json_next(&d->reader)) && json_next(&d->reader) == JSON_END;
}

bool json_decode(lua_State *L, slice text)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &shared_settings);
    const json_settings *settings = lua_touserdata(L, -1);
    decoder d = {.L = L};
    if (decode(&d, text, settings != NULL ? settings->decode_depth : DEFAULT_DEPTH))
        return true;
    char message[256];
    json_describe(&d.reader, message, sizeof message);
    lua_pushstring(L, message);
    return false;
}

static int decode_failed(lua_State *L, const decoder *d)
{
    char message[256];
    size_t offset = json_describe(&d->reader, message, sizeof message);
    int results = vm_fail(L, "json", "%s", message);
    lua_pushinteger(L, (lua_Integer)offset + 1);
    return results + 1;
}

static int l_decode(lua_State *L)
{
    slice text = vm_check_slice(L, 1);
    lua_Integer depth = vm_opt_integer(L, 2, "max_depth", settings_of(L)->decode_depth);
    lua_Integer size = vm_opt_integer(L, 2, "max_size", DEFAULT_SIZE);
    decoder d = {.L = L, .unique = !vm_opt_boolean(L, 2, "duplicates", true)};
    check_depth(L, 2, depth);
    lua_settop(L, 1);
    if (size < 0 || text.n > (size_t)size)
        return vm_fail(L, "json", "the text has %zu bytes, the limit is %lld (option max_size)",
                       text.n, (long long)size);
    return decode(&d, text, depth) ? 1 : decode_failed(L, &d);
}

/* Encoding, and the module -------------------------------------------------------------------- */

static int l_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    json_encode_options options = {
        .max_depth = vm_opt_integer(L, 2, "max_depth", settings_of(L)->encode_depth),
        .max_size = vm_opt_integer(L, 2, "max_size", DEFAULT_SIZE),
        .sort = vm_opt_boolean(L, 2, "sort", false),
        .pretty = vm_opt_boolean(L, 2, "pretty", false),
    };
    check_depth(L, 2, options.max_depth);
    json_encode(L, 1, lua_upvalueindex(2), &options);
    return 1;
}

static int depth_setting(lua_State *L, lua_Integer *depth)
{
    if (!lua_isnoneornil(L, 1))
        *depth = check_depth(L, 1, luaL_checkinteger(L, 1));
    lua_pushinteger(L, *depth);
    return 1;
}

static int l_decode_max_depth(lua_State *L)
{
    return depth_setting(L, &settings_of(L)->decode_depth);
}

static int l_encode_max_depth(lua_State *L)
{
    return depth_setting(L, &settings_of(L)->encode_depth);
}

static int l_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_settop(L, 0);
        lua_newtable(L);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_setmetatable(L, JSON_ARRAY_TYPE);
    return 1;
}

static int marker_tostring(lua_State *L)
{
    const void *p = lua_touserdata(L, 1);
    if (p == NULL)
        lua_pushliteral(L, "null");
    else if (p == json_empty_array())
        lua_pushliteral(L, "[]");
    else
        lua_pushfstring(L, "userdata: %p", p);
    return 1;
}

/* All light userdata of a VM share one metatable: null prints as "null". */
static void name_markers(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
    if (!lua_getmetatable(L, -1)) {
        lua_createtable(L, 0, 2);
        lua_pushcfunction(L, marker_tostring);
        lua_setfield(L, -2, "__tostring");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_setmetatable(L, -2);
        lua_pop(L, 1);
    } else {
        lua_pop(L, 2);
    }
}

static int l_new(lua_State *L)
{
    static const luaL_Reg functions[] = {{"decode", l_decode},
                                         {"encode", l_encode},
                                         {"decode_max_depth", l_decode_max_depth},
                                         {"encode_max_depth", l_encode_max_depth},
                                         {"array", l_array},
                                         {"new", l_new},
                                         {NULL, NULL}};
    lua_createtable(L, 0, 12);
    json_settings *settings = lua_newuserdatauv(L, sizeof *settings, 0);
    *settings = (json_settings){.decode_depth = DEFAULT_DEPTH, .encode_depth = DEFAULT_DEPTH};
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &shared_settings) == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &shared_settings);
    }
    lua_pop(L, 1);
    json_push_scratch(L);
    luaL_setfuncs(L, functions, 2);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushlightuserdata(L, json_empty_array());
    lua_setfield(L, -2, "empty_array");
    luaL_newmetatable(L, JSON_ARRAY_TYPE);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "empty_array_mt");
    lua_setfield(L, -2, "array_mt");
    return 1;
}

int luaopen_host_json(lua_State *L);
int luaopen_host_json(lua_State *L)
{
    name_markers(L);
    return l_new(L);
}
