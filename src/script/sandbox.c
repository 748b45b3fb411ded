/* The libraries of a VM. An application's scripts get Lua without the ways out of it: no io, no
 * debug, no os.execute and os.exit, no bytecode, no finalizers (a `__gc` runs where no time budget
 * can reach it). `require` finds, in this order: host.* (C), the application's own lua/ folder, the
 * framework embedded in the binary, and lua-cjson; `plugins.<name>` is the folder plugins/<name>,
 * whose C modules are found in that folder and nowhere else. A command line script (`lunacast lua`)
 * is its user's own program and gets all of Lua.
 *
 * What must never happen: a library function here that loads bytecode or a shared object that the
 * user did not name in the trusted way. */
#include "sandbox.h"

#include "app_env.h"
#include "buf.h"
#include "chunks.h"
#include "co.h"
#include "embedded.h"
#include "file_set.h"
#include "l_string.h"
#include "log.h"
#include "mem.h"
#include <errno.h>
#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* require ----------------------------------------------------------------------------------- */

/* "web.router" -> "web/router"; false: a name that could leave the folder. */
static bool module_path(const char *name, char *path, size_t size)
{
    size_t n = strlen(name);
    if (n == 0 || n >= size || strstr(name, "..") != NULL || name[0] == '.' ||
        strchr(name, '/') != NULL)
        return false;
    for (size_t i = 0; i <= n; i++)
        path[i] = name[i] == '.' ? '/' : name[i];
    return true;
}

static bool of_plugin(const char *path)
{
    return strncmp(path, "plugins/", 8) == 0;
}

static const char *root_of(const char *path)
{
    return of_plugin(path) ? "" : "lua/";
}

/* The whole file; NULL: it went well, ABSENT, or what is wrong with it. */
static const char absent[] = "absent";

static const char *read_file(const char *file, buf *text)
{
    struct stat info;
    if (stat(file, &info) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return lstat(file, &info) == 0 ? "a link to nothing" : absent;
    if (stat(file, &info) != 0)
        return strerror(errno);
    if (!S_ISREG(info.st_mode))
        return "not a regular file"; /* opening it might wait */
    FILE *f = fopen(file, "rbe");
    if (f == NULL)
        return strerror(errno);
    char piece[8192];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_append(text, piece, n);
    bool good = ferror(f) == 0;
    fclose(f);
    return good ? NULL : "can't be read";
}

/* As luaL_loadfilex does: a byte order mark and a first line for the shell are no Lua. */
static slice without_head(slice s)
{
    if (s.n >= 3 && memcmp(s.p, "\xEF\xBB\xBF", 3) == 0)
        s = (slice){s.p + 3, s.n - 3};
    while (s.n > 0 && s.p[0] == '#') {
        const char *end = memchr(s.p, '\n', s.n);
        size_t n = end != NULL ? (size_t)(end - s.p) : s.n;
        s = (slice){s.p + n, s.n - n};
    }
    return s;
}

/* Pushes the text of a file as this reload sees it, as a function; false: there is no such file. */
static bool load_text(lua_State *L, const char *file, slice key)
{
    const char *name = lua_pushfstring(L, "@%s", file), *wrong = NULL;
    file_set *set = vm_settings(vm_of(L))->files;
    buf read = {0};
    slice text;
    if (!file_set_find(set, FILE_CONTENTS, key, &text)) {
        wrong = read_file(file, &read);
        text = (slice){wrong == NULL ? (read.len > 0 ? read.data : "") : NULL, read.len};
        if (wrong == NULL || wrong == absent)
            text = file_set_add(set, FILE_CONTENTS, key, text);
    }
    int status = LUA_OK;
    if (text.p != NULL) {
        slice lua = without_head(text);
        if (lua.n > 0 && lua.p[0] == LUA_SIGNATURE[0])
            wrong = "bytecode is not loaded, only Lua's source";
        status = luaL_loadbufferx(L, lua.p, lua.n, name, "t");
    }
    buf_free(&read);
    if (wrong != NULL && wrong != absent)
        luaL_error(L, "%s: %s", file, wrong);
    if (status != LUA_OK)
        lua_error(L);
    if (text.p != NULL)
        app_env_give(L);
    return text.p != NULL;
}

static bool load_from_folder(lua_State *L, const char *folder, const char *path, const char *tail)
{
    char file[PATH_BYTES];
    int n = snprintf(file, sizeof file, "%s/%s%s%s", folder, root_of(path), path, tail);
    if (n < 0 || (size_t)n >= sizeof file ||
        !load_text(L, file, slice_of(file + strlen(folder) + 1)))
        return false;
    lua_pushstring(L, file);
    return true;
}

static bool load_from_binary(lua_State *L, const char *module, const char *path, const char *tail)
{
    char name[PATH_BYTES];
    snprintf(name, sizeof name, "%s%s%s", root_of(path), path, tail);
    const struct embedded_file *file = embedded_find(name);
    if (file == NULL)
        return false;
    app_env_own(L, module);
    chunks_load(L, file);
    lua_pushstring(L, name);
    return true;
}

/* Is the file, links followed, below the folder? */
static bool lies_below(const char *file, const char *folder)
{
    char real_file[PATH_MAX], real_folder[PATH_MAX];
    if (realpath(file, real_file) == NULL || realpath(folder, real_folder) == NULL)
        return false;
    size_t n = strlen(real_folder);
    return strncmp(real_file, real_folder, n) == 0 && real_file[n] == '/';
}

/* Pushes luaopen_plugins_geo_fast of plugins/geo/fast.so or plugins/geo/build/fast.so, where
 * "plugins.geo.fast" is asked for, and the file. The linker keeps a library that is in use: a
 * rebuilt one is loaded by the next process. */
static bool load_c_module(lua_State *L, const char *folder, const char *name, const char *path)
{
    static const char *const places[] = {"", "build/"};
    const char *rest = strchr(path + sizeof "plugins/" - 1, '/');
    for (size_t i = 0; rest != NULL && i < sizeof places / sizeof *places; i++) {
        char own[PATH_BYTES], file[PATH_BYTES];
        snprintf(own, sizeof own, "%s/%.*s", folder, (int)(rest - path), path);
        int n = snprintf(file, sizeof file, "%s/%s%s.so", own, places[i], rest + 1);
        if (n < 0 || (size_t)n >= sizeof file || access(file, F_OK) != 0)
            continue;
        if (!lies_below(file, own))
            luaL_error(L, "%s: outside of its plugin's folder", file);
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_pushstring(L, file);
        lua_pushfstring(L, "luaopen_%s", luaL_gsub(L, name, ".", "_"));
        lua_remove(L, -2);
        lua_call(L, 2, 2);
        if (lua_isnil(L, -2))
            lua_error(L);
        lua_pop(L, 1);
        lua_pushstring(L, file);
        return true;
    }
    return false;
}

static int search_scripts(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *folder = lua_tostring(L, lua_upvalueindex(1));
    char path[256];
    if (!module_path(name, path, sizeof path)) {
        lua_pushfstring(L, "module names are words joined by dots, got '%s'", name);
        return 1;
    }
    static const char *const tails[] = {".lua", "/init.lua"};
    for (int i = 0; i < 2; i++) {
        if (load_from_folder(L, folder, path, tails[i]) ||
            load_from_binary(L, name, path, tails[i]))
            return 2;
    }
    if (of_plugin(path) && load_c_module(L, folder, name, path))
        return 2;
    lua_pushfstring(L, "no file '%s/%s%s.lua' and no framework file '%s%s.lua'", folder,
                    root_of(path), path, root_of(path), path);
    return 1;
}

/* lua-cjson is a shared object of Debian's; scripts may ask for it by name. */
static int open_cjson(lua_State *L)
{
    lua_getfield(L, lua_upvalueindex(1), "searchpath");
    lua_pushliteral(L, "cjson");
    lua_getfield(L, lua_upvalueindex(1), "cpath");
    lua_call(L, 2, 1);
    if (lua_isnil(L, -1))
        return luaL_error(L, "lua-cjson is not installed (Debian: apt-get install lua-cjson)");
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, -2);
    lua_pushliteral(L, "luaopen_cjson");
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2))
        return lua_error(L);
    lua_pop(L, 1);
    lua_pushliteral(L, "cjson");
    lua_call(L, 1, 1);
    l_cjson_bound(L);
    return 1;
}

static void preload(lua_State *L, int package)
{
    lua_getfield(L, package, "preload");
    for (const luaL_Reg *m = vm_modules; m->name != NULL; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    lua_pushvalue(L, package);
    lua_getfield(L, package, "loadlib");
    lua_pushcclosure(L, open_cjson, 2);
    lua_setfield(L, -2, "cjson");
    lua_pop(L, 1);
}

/* Places our searcher second, after preload; an untrusted VM keeps only these two. */
static void open_package(lua_State *L, const vm_options *options)
{
    luaL_requiref(L, "package", luaopen_package, 1);
    int package = lua_gettop(L);
    preload(L, package);
    lua_getfield(L, package, "searchers");
    int searchers = lua_gettop(L);
    lua_pushstring(L, options->folder);
    lua_getfield(L, package, "loadlib");
    lua_pushcclosure(L, search_scripts, 2);
    if (options->trusted) {
        for (lua_Integer i = luaL_len(L, searchers); i >= 2; i--) {
            lua_rawgeti(L, searchers, i);
            lua_rawseti(L, searchers, i + 1);
        }
        lua_rawseti(L, searchers, 2);
    } else {
        lua_rawseti(L, searchers, 2);
        for (lua_Integer i = luaL_len(L, searchers); i >= 3; i--) {
            lua_pushnil(L);
            lua_rawseti(L, searchers, i);
        }
        lua_pushnil(L);
        lua_setglobal(L, "package");
        lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
        lua_pushnil(L);
        lua_setfield(L, -2, "package");
    }
    lua_settop(L, package - 1);
}

/* Base functions with a door closed --------------------------------------------------------- */

/* The parser's own values are on top of the stack: they stay. The piece lives in slot 5. */
static const char *read_pieces(lua_State *L, void *ud, size_t *size)
{
    (void)ud;
    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        *size = 0;
        return NULL;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "reader function must return a string");
    lua_replace(L, 5);
    return lua_tolstring(L, 5, size);
}

/* load(chunk, name, mode, env), text only: bytecode can break the interpreter. */
static int text_load(lua_State *L)
{
    bool has_env = !lua_isnone(L, 4);
    int status;
    if (lua_isstring(L, 1)) {
        slice text = vm_check_slice(L, 1);
        const char *name = luaL_optstring(L, 2, text.p);
        status = luaL_loadbufferx(L, text.p, text.n, name, "t");
    } else {
        luaL_checktype(L, 1, LUA_TFUNCTION);
        const char *name = luaL_optstring(L, 2, "=(load)");
        lua_settop(L, 5);
        status = lua_load(L, read_pieces, NULL, name, "t");
    }
    if (status != LUA_OK) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (has_env) {
        lua_pushvalue(L, 4);
        if (lua_setupvalue(L, -2, 1) == NULL)
            lua_pop(L, 1);
    }
    return 1;
}

static int guarded_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (type == LUA_TTABLE) {
        lua_pushvalue(L, lua_upvalueindex(1));
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "__gc is not available to scripts; use a <close> variable");
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int after_xpcall(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    if (status == LUA_OK || status == LUA_YIELD) {
        lua_pushboolean(L, 1);
        lua_replace(L, 2);
        return lua_gettop(L) - 1;
    }
    /* Handler and error value: the handler runs as a plain call, below the time budget. */
    lua_pushvalue(L, 1);
    lua_insert(L, -2);
    int status_of_handler = lua_pcall(L, 1, 1, 0);
    (void)status_of_handler;
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* xpcall(f, handler, ...) whose handler runs after the error has unwound. Lua's own runs it with
 * hooks off when the error came from one, where nothing could end it. */
static int late_xpcall(lua_State *L)
{
    luaL_checkany(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_replace(L, 1); /* 1: handler */
    lua_replace(L, 2); /* 2: function, kept for the frame */
    lua_pushvalue(L, 2);
    lua_insert(L, 3);
    int status = lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 0, 0, after_xpcall);
    return after_xpcall(L, status, 0);
}

static int count_garbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");
    if (strcmp(what, "count") != 0)
        return luaL_error(L, "collectgarbage(\"count\") is the only form available to scripts");
    lua_pushnumber(L, (lua_Number)vm_memory(vm_of(L)) / 1024.0);
    return 1;
}

static int print_to_log(lua_State *L)
{
    luaL_Buffer b;
    int n = lua_gettop(L);
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    log_info(lua_tostring(L, -1), LOG_TEXT("from", "print"));
    return 0;
}

static void remove_fields(lua_State *L, const char *library, const char *const *names)
{
    lua_getglobal(L, library);
    for (; *names != NULL; names++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *names);
    }
    lua_pop(L, 1);
}

static void close_doors(lua_State *L)
{
    static const char *const base[] = {"dofile", "loadfile", NULL};
    static const char *const os[] = {"execute", "exit",      "remove", "rename",
                                     "tmpname", "setlocale", "getenv", NULL};
    static const char *const string[] = {"dump", NULL};
    remove_fields(L, "_G", base);
    remove_fields(L, "os", os);
    remove_fields(L, "string", string);
    lua_pushcfunction(L, text_load);
    lua_setglobal(L, "load");
    lua_pushliteral(L, "__gc");
    lua_pushcclosure(L, guarded_setmetatable, 1);
    lua_setglobal(L, "setmetatable");
    lua_pushcfunction(L, late_xpcall);
    lua_setglobal(L, "xpcall");
    lua_pushcfunction(L, count_garbage);
    lua_setglobal(L, "collectgarbage");
    lua_pushcfunction(L, print_to_log);
    lua_setglobal(L, "print");
    /* A string's methods are reachable from any environment; its metatable is not. */
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void sandbox_open(lua_State *L, const vm_options *options)
{
    static const luaL_Reg safe[] = {{"_G", luaopen_base},       {"table", luaopen_table},
                                    {"string", luaopen_string}, {"math", luaopen_math},
                                    {"utf8", luaopen_utf8},     {"os", luaopen_os},
                                    {"coroutine", luaopen_co},  {NULL, NULL}};
    static const luaL_Reg rest[] = {{"io", luaopen_io}, {"debug", luaopen_debug}, {NULL, NULL}};
    for (const luaL_Reg *lib = safe; lib->name != NULL; lib++) {
        luaL_requiref(L, lib->name, lib->func, 1);
        lua_pop(L, 1);
    }
    l_string_install(L);
    l_table_install(L);
    for (const luaL_Reg *lib = rest; options->trusted && lib->name != NULL; lib++) {
        luaL_requiref(L, lib->name, lib->func, 1);
        lua_pop(L, 1);
    }
    open_package(L, options);
    if (!options->trusted) {
        close_doors(L);
        app_env_open(L);
        for (const luaL_Reg *m = vm_modules; m->name != NULL; m++)
            app_env_own(L, m->name);
        app_env_own(L, "cjson");
    }
}
