/* config.lua is Lua, so that a setting may be computed (`workers = tonumber(env "CPUS")`), but it
 * is not a script of the application: it runs at the start and at each reload, before any VM, in a
 * state of its own that knows only tables, strings, numbers and `env`. Nested tables and dotted
 * names mean the same key: `store = { max_bytes = "1G" }` is `["store.max_bytes"] = "1G"`.
 *
 * Lua keeps no line numbers of table fields, so the line of a wrong setting is found again in the
 * text by its name. Rejected: a configuration language of our own, and `key = value` globals, which
 * can't tell a misspelled key from a local helper.
 *
 * Sections (`app`, `plugins` ...) travel as Lua expressions, since each VM has its own copy. */
#include "config_file.h"

#include "config.h"
#include "vm.h"
#include <ctype.h>
#include <errno.h>
#include <lualib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FILE_MAX_BYTES = 1 << 20, DEPTH_MAX = 32, INSTRUCTIONS_MAX = 50000000 };

typedef struct {
    config *config;
    buf text; /* the file */
    buf work; /* an expression or a list being built */
    char message[1024];
} loading;

/* The line of a name ------------------------------------------------------------------------ */

static const char *skip_quoted(const char *p)
{
    char quote = *p++;
    while (*p != '\0' && *p != quote && *p != '\n')
        p += *p == '\\' && p[1] != '\0' ? 2 : 1;
    return *p == quote ? p + 1 : p;
}

static bool word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Is p..p+n a field's name: `max_fps =` or `["max_fps"] =`? */
static bool assigned(const char *end)
{
    end += *end == '"' || *end == '\'';
    end += *end == ']';
    end += strspn(end, " \t");
    return *end == '=' && end[1] != '=';
}

/* The next place after p where `name` is assigned; NULL: none. Comments and other texts are not
 * looked into. */
static const char *find_field(const char *p, const char *name, size_t n)
{
    while (*p != '\0') {
        bool quoted = *p == '"' || *p == '\'';
        const char *word = p + quoted;
        if (p[0] == '-' && p[1] == '-')
            p += strcspn(p, "\n");
        else if ((quoted || word_char(*p)) && strncmp(word, name, n) == 0 && !word_char(word[n]) &&
                 word[n] != '.' && assigned(word + n))
            return word;
        else if (quoted)
            p = skip_quoted(p);
        else if (word_char(*p))
            while (word_char(*p))
                p++;
        else
            p++;
    }
    return NULL;
}

static int line_of(const char *text, const char *name)
{
    const char *at = find_field(text, name, strlen(name));
    if (at == NULL) {
        at = text;
        for (const char *part = name; at != NULL && *part != '\0';) {
            size_t n = strcspn(part, ".");
            at = find_field(at, part, n);
            part += n + (part[n] == '.');
        }
    }
    int line = 1;
    for (const char *p = text; at != NULL && p < at; p++)
        line += *p == '\n';
    return at != NULL ? line : 0;
}

static void describe_place(loading *l, const char *name, char *place, size_t size)
{
    int line = line_of(l->text.data, name);
    if (line > 0)
        snprintf(place, size, "config.lua:%d", line);
    else
        snprintf(place, size, "config.lua");
}

static int wrong(lua_State *L, loading *l, const char *name, const char *why)
{
    char place[64];
    describe_place(l, name, place, sizeof place);
    snprintf(l->message, sizeof l->message, "%s: %s %s", place, name, why);
    return luaL_error(L, "%s", l->message);
}

/* Sections ------------------------------------------------------------------------------------ */

static void put_string(buf *out, slice s)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            buf_format(out, "\\%03u", c);
        else
            buf_byte(out, (char)c);
    }
    buf_byte(out, '"');
}

static void put_number(lua_State *L, buf *out)
{
    if (lua_isinteger(L, -1)) {
        buf_format(out, "0x%llx", (unsigned long long)lua_tointeger(L, -1));
        return;
    }
    double x = lua_tonumber(L, -1);
    if (isfinite(x))
        buf_format(out, "%a", x);
    else
        buf_text(out, isnan(x) ? "(0/0)" : x > 0 ? "1e999" : "-1e999");
}

static void put_value(lua_State *L, loading *l, const char *section, int depth);

static void put_table(lua_State *L, loading *l, const char *section, int depth)
{
    luaL_checkstack(L, 8, "config.lua");
    buf_byte(&l->work, '{');
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        buf_byte(&l->work, '[');
        lua_pushvalue(L, -2);
        put_value(L, l, section, depth + 1);
        lua_pop(L, 1);
        buf_text(&l->work, "]=");
        put_value(L, l, section, depth + 1);
        lua_pop(L, 1);
        buf_byte(&l->work, ',');
    }
    buf_byte(&l->work, '}');
}

/* The value on top, as a Lua expression. */
static void put_value(lua_State *L, loading *l, const char *section, int depth)
{
    int type = lua_type(L, -1);
    if (depth > DEPTH_MAX)
        wrong(L, l, section, "is nested too deep, or contains itself");
    if (type == LUA_TSTRING)
        put_string(&l->work, vm_check_slice(L, -1));
    else if (type == LUA_TNUMBER)
        put_number(L, &l->work);
    else if (type == LUA_TBOOLEAN)
        buf_text(&l->work, lua_toboolean(L, -1) ? "true" : "false");
    else if (type == LUA_TTABLE)
        put_table(L, l, section, depth);
    else
        wrong(L, l, section, "holds plain data only: texts, numbers, booleans and tables of them");
}

static void set_section(lua_State *L, loading *l, const char *name)
{
    if (!lua_istable(L, -1))
        wrong(L, l, name, lua_pushfstring(L, "must be a table, got a %s", luaL_typename(L, -1)));
    put_value(L, l, name, 0);
    config_set_section(l->config, name, buf_cstr(&l->work));
}

/* Settings ---------------------------------------------------------------------------------- */

static void put_scalar(lua_State *L, loading *l, const char *name)
{
    int type = lua_type(L, -1);
    if (type == LUA_TBOOLEAN)
        buf_text(&l->work, lua_toboolean(L, -1) ? "true" : "false");
    else if (type == LUA_TSTRING && strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1))
        wrong(L, l, name, "has a NUL byte in its text");
    else if (type == LUA_TSTRING || type == LUA_TNUMBER)
        buf_append_slice(&l->work, vm_check_slice(L, -1));
    else
        wrong(L, l, name, "is neither text, number nor boolean");
}

static void put_list(lua_State *L, loading *l, const char *name)
{
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, -1, i);
        put_scalar(L, l, name);
        buf_byte(&l->work, ',');
        lua_pop(L, 1);
    }
}

static void walk(lua_State *L, loading *l, const char *prefix);

static void set(lua_State *L, loading *l, const char *name)
{
    const config_key *key = config_find(name);
    char place[64];
    l->work.len = 0;
    if (lua_type(L, -1) == LUA_TNUMBER && lua_tointegerx(L, -1, NULL) == lua_tonumber(L, -1)) {
        lua_pushinteger(L, lua_tointeger(L, -1));
        lua_replace(L, -2);
    }
    if (config_is_section(name)) {
        set_section(L, l, name);
        return;
    }
    if (lua_istable(L, -1) && config_is_group(name)) {
        walk(L, l, name);
        return;
    }
    if (lua_istable(L, -1) && key != NULL && key->type == CONFIG_LIST)
        put_list(L, l, name);
    else if (key != NULL)
        put_scalar(L, l, name);
    describe_place(l, name, place, sizeof place);
    if (config_set(l->config, name, buf_cstr(&l->work), place, l->message, sizeof l->message) != 0)
        luaL_error(L, "%s", l->message);
}

/* The fields of the table on top. */
static void walk(lua_State *L, loading *l, const char *prefix)
{
    luaL_checkstack(L, 8, "config.lua");
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        if (lua_type(L, -2) != LUA_TSTRING)
            wrong(L, l, *prefix ? prefix : "the table", "has a key that is not a name");
        const char *name =
            lua_pushfstring(L, "%s%s%s", prefix, *prefix ? "." : "", lua_tostring(L, -2));
        lua_insert(L, -2);
        set(L, l, name);
        lua_pop(L, 2);
    }
}

/* The throwaway state ----------------------------------------------------------------------- */

static int l_env(lua_State *L)
{
    const char *value = getenv(luaL_checkstring(L, 1));
    if (value != NULL)
        lua_pushstring(L, value);
    else
        lua_settop(L, 2);
    return 1;
}

static void on_too_long(lua_State *L, lua_Debug *info)
{
    (void)info;
    luaL_error(L, "this file does not come to an end");
}

static void open_libraries(lua_State *L)
{
    static const char *const closed[] = {"dofile",  "loadfile",       "load",
                                         "require", "collectgarbage", NULL};
    static const luaL_Reg open[] = {{"_G", luaopen_base},
                                    {"string", luaopen_string},
                                    {"table", luaopen_table},
                                    {"math", luaopen_math},
                                    {NULL, NULL}};
    for (const luaL_Reg *lib = open; lib->name != NULL; lib++) {
        luaL_requiref(L, lib->name, lib->func, 1);
        lua_pop(L, 1);
    }
    for (const char *const *name = closed; *name != NULL; name++) {
        lua_pushnil(L);
        lua_setglobal(L, *name);
    }
    lua_register(L, "env", l_env);
}

static int evaluate(lua_State *L)
{
    loading *l = lua_touserdata(L, 1);
    open_libraries(L);
    lua_sethook(L, on_too_long, LUA_MASKCOUNT, INSTRUCTIONS_MAX);
    if (luaL_loadbufferx(L, l->text.data, l->text.len, "@config.lua", "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        return luaL_error(L, "config.lua: must return a table of settings, it returned %s",
                          luaL_typename(L, -1));
    walk(L, l, "");
    return 0;
}

static int run(loading *l, char *error, size_t error_size)
{
    lua_State *L = luaL_newstate();
    if (L == NULL) {
        snprintf(error, error_size, "config.lua: out of memory");
        return -1;
    }
    lua_pushcfunction(L, evaluate);
    lua_pushlightuserdata(L, l);
    int result = lua_pcall(L, 1, 0, 0) == LUA_OK ? 0 : -1;
    if (result != 0) {
        const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        bool placed = message != NULL && strncmp(message, "config.lua:", 11) == 0;
        snprintf(error, error_size, "%s%s",
                 placed ? "" : "config.lua: ", message ? message : "raised no message");
    }
    lua_close(L);
    return result;
}

/* 1: read; 0: absent; -1: message in error. */
static int read_file(const char *path, buf *text, char *error, size_t error_size)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        snprintf(error, error_size, "%s: not a regular file", path);
        return -1;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT)
        return 0;
    size_t n = 0;
    if (file != NULL) {
        n = fread(buf_reserve(text, FILE_MAX_BYTES + 1), 1, FILE_MAX_BYTES, file);
        text->len = n;
    }
    bool failed = file == NULL || ferror(file) || n == FILE_MAX_BYTES;
    if (failed)
        snprintf(error, error_size, "%s: %s", path,
                 file != NULL && !ferror(file) ? "larger than 1 MiB" : strerror(errno));
    if (file != NULL)
        fclose(file);
    return failed ? -1 : 1;
}

int config_file_load(config *c, const char *folder, char *error, size_t error_size)
{
    char path[4096];
    loading l = {.config = c};
    snprintf(path, sizeof path, "%s/config.lua", folder);
    int result = read_file(path, &l.text, error, error_size);
    if (result == 1) {
        buf_cstr(&l.text);
        result = run(&l, error, error_size);
    }
    buf_free(&l.text);
    buf_free(&l.work);
    return result;
}
