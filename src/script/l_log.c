/* host.log: a line of the log from a script, with its own fields. A field that is named like a
 * secret is masked, whatever it holds; the host's own field names stay the host's. */
#include "log.h"
#include "vm.h"

#include <ctype.h>

enum { FIELDS_MAX = 16, KEY_MAX = 40, TEXTS_MAX = 4096 };

typedef struct {
    log_field fields[FIELDS_MAX];
    char keys[FIELDS_MAX][KEY_MAX];
    char texts[TEXTS_MAX]; /* of all fields; the log's line is not longer anyway */
    size_t count, used;
} fields;

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasecmp(word, *words) == 0)
            return true;
    }
    return false;
}

/* Keys are written as they are: letters, digits, '_', '.' and '-'. */
static void copy_key(char *out, slice key)
{
    static const char *const own[] = {"time", "level", "worker", "msg", "cut", NULL};
    size_t n = key.n < KEY_MAX - 2 ? key.n : KEY_MAX - 2;
    for (size_t i = 0; i < n; i++) {
        char c = key.p[i];
        out[i] = isalnum((unsigned char)c) || c == '.' || c == '-' ? c : '_';
    }
    out[n] = '\0';
    if (is_one_of(out, own)) {
        out[n] = '_';
        out[n + 1] = '\0';
    }
}

static bool is_secret(const char *key)
{
    static const char *const names[] = {"token",         "password",      "secret",
                                        "cookie",        "authorization", "access_token",
                                        "refresh_token", "private_pem",   NULL};
    return is_one_of(key, names);
}

/* A copy, so that the Lua string may go. */
static slice keep(fields *f, slice text)
{
    size_t room = TEXTS_MAX - f->used;
    slice copy = {f->texts + f->used, text.n < room ? text.n : room};
    memcpy(f->texts + f->used, text.p, copy.n);
    f->used += copy.n;
    return copy;
}

/* The value on top of the stack. */
static log_field field_of(lua_State *L, fields *f, const char *key)
{
    if (is_secret(key))
        return LOG_TEXT(key, "***");
    if (lua_isinteger(L, -1))
        return LOG_NUM(key, lua_tointeger(L, -1));
    if (lua_isboolean(L, -1))
        return LOG_FLAG(key, lua_toboolean(L, -1));
    luaL_tolstring(L, -1, NULL);
    slice text = keep(f, vm_check_slice(L, -1));
    lua_pop(L, 1);
    return LOG_SLICE(key, text);
}

/* The table at index 2. */
static void read_fields(lua_State *L, fields *f)
{
    lua_pushnil(L);
    while (f->count < FIELDS_MAX && lua_next(L, 2) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_argerror(L, 2, "the names of fields are texts");
        char *key = f->keys[f->count];
        copy_key(key, vm_check_slice(L, -2));
        f->fields[f->count++] = field_of(L, f, key);
        lua_pop(L, 1);
    }
}

static int write_line(lua_State *L, log_level level)
{
    fields f;
    f.count = f.used = 0;
    const char *message = luaL_checkstring(L, 1);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    if (!log_enabled(level))
        return 0;
    if (lua_istable(L, 2))
        read_fields(L, &f);
    log_write(level, message, f.fields, f.count);
    return 0;
}

static int l_debug(lua_State *L)
{
    return write_line(L, LOG_DEBUG);
}

static int l_info(lua_State *L)
{
    return write_line(L, LOG_INFO);
}

static int l_warn(lua_State *L)
{
    return write_line(L, LOG_WARN);
}

static int l_error(lua_State *L)
{
    return write_line(L, LOG_ERROR);
}

int luaopen_host_log(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"debug", l_debug}, {"info", l_info}, {"warn", l_warn}, {"error", l_error}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
