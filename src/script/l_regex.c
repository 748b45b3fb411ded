/* host.regex. Each VM has its own cache of compiled patterns, in a userdata that is an upvalue of
 * all functions. A replacement function is called when the matching is over: it may use regex
 * itself, which may drop the pattern, and it may raise. */
#include "guard.h"
#include "regex.h"

#include "utf8.h"
#include "vm.h"
#include <stdio.h>

#define CACHE_TYPE "host.regex.cache"

enum { CACHE_ENTRIES = 256, MANY = 10000 };

typedef struct {
    regex_walk walk;
    const char *message, *code; /* why it could not begin */
    char text[256];
} search;

static regex_cache *cache_of(lua_State *L)
{
    return *(regex_cache **)lua_touserdata(L, lua_upvalueindex(1));
}

static unsigned check_flags(lua_State *L, int arg)
{
    static const struct {
        const char *name;
        unsigned flag;
    } names[] = {{"ignore_case", REGEX_IGNORE_CASE},
                 {"multiline", REGEX_MULTILINE},
                 {"dotall", REGEX_DOTALL},
                 {"extended", REGEX_EXTENDED}};
    unsigned flags = 0;
    if (lua_isnoneornil(L, arg))
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (vm_opt_boolean(L, arg, names[i].name, false))
            flags |= names[i].flag;
    slice dialect = vm_opt_slice(L, arg, "dialect", SLICE(""));
    bool linear = slice_eq(dialect, SLICE("linear"));
    if (!linear && dialect.n > 0)
        luaL_argerror(L, arg, "option 'dialect' can only be \"linear\"");
    lua_pop(L, 1);
    return linear ? flags | REGEX_LINEAR : flags;
}

static bool refuse(search *s, const char *code)
{
    s->message = s->text;
    s->code = code;
    return false;
}

static size_t first_invalid(slice s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        size_t n = utf8_length(p, end);
        if (n == 0)
            break;
        p += n;
    }
    return (size_t)(p - s.p);
}

/* Arguments: pattern 1, subject 2, byte to start at, options at `options`. */
static bool begin(lua_State *L, search *s, size_t at, int options)
{
    slice pattern = vm_check_slice(L, 1), subject = vm_check_slice(L, 2);
    unsigned flags = check_flags(L, options);
    if (subject.n > REGEX_MAX_SUBJECT) {
        snprintf(s->text, sizeof s->text, "a subject of %zu bytes, the limit is %d", subject.n,
                 REGEX_MAX_SUBJECT);
        return refuse(s, "limit");
    }
    size_t bad = first_invalid(subject);
    if (bad < subject.n) {
        snprintf(s->text, sizeof s->text, "the subject is not UTF-8 at byte %zu", bad + 1);
        return refuse(s, "utf8");
    }
    luaL_argcheck(L, at == subject.n || ((unsigned char)subject.p[at] & 0xC0) != 0x80, 3,
                  "inside of a character");
    const regex *r = regex_get(cache_of(L), pattern, flags, s->text, sizeof s->text);
    if (r == NULL)
        return refuse(s, "pattern");
    regex_start(&s->walk, cache_of(L), r, subject, at, guard_over);
    return true;
}

static size_t check_init(lua_State *L, int arg)
{
    lua_Integer init = luaL_optinteger(L, arg, 1);
    size_t n;
    luaL_checklstring(L, 2, &n);
    luaL_argcheck(L, init >= 1 && (lua_Unsigned)init <= n + 1, arg, "outside of the subject");
    return (size_t)init - 1;
}

static int not_begun(lua_State *L, const search *s)
{
    return vm_fail(L, s->code, "%s", s->message);
}

static int not_matched(lua_State *L, const search *s, int result)
{
    if (result == REGEX_LIMIT)
        return vm_fail(L, "limit", "the pattern took too many steps on a subject of %zu bytes",
                       s->walk.subject.n);
    return vm_fail(L, "pattern", "the pattern gave a match that ends before it begins (\\K)");
}

static void push_group(lua_State *L, const regex_walk *w, size_t group)
{
    size_t start = w->groups[2 * group], end = w->groups[2 * group + 1];
    if (start == SIZE_MAX || start > end)
        lua_pushboolean(L, 0);
    else
        lua_pushlstring(L, w->subject.p + start, end - start);
}

static void push_names(lua_State *L, const regex_walk *w, int match)
{
    size_t n = regex_name_count(w->pattern);
    if (n == 0)
        return;
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        size_t group;
        vm_push_slice(L, regex_name(w->pattern, i, &group));
        lua_rawgeti(L, match, (lua_Integer)group);
        lua_rawset(L, -3);
    }
    lua_setfield(L, match, "names");
}

static void push_match(lua_State *L, const regex_walk *w)
{
    lua_createtable(L, (int)w->count - 1, 4);
    int match = lua_gettop(L);
    for (size_t i = 0; i < w->count; i++) {
        push_group(L, w, i);
        lua_rawseti(L, match, (lua_Integer)i);
    }
    lua_pushinteger(L, (lua_Integer)w->groups[0] + 1);
    lua_setfield(L, match, "first");
    lua_pushinteger(L, (lua_Integer)w->groups[1]);
    lua_setfield(L, match, "last");
    push_names(L, w, match);
}

static int l_test(lua_State *L)
{
    search s;
    if (!begin(L, &s, 0, 3))
        return not_begun(L, &s);
    int result = regex_next(&s.walk);
    if (result < 0)
        return not_matched(L, &s, result);
    lua_pushboolean(L, result > 0);
    return 1;
}

static int l_find(lua_State *L)
{
    search s;
    if (!begin(L, &s, check_init(L, 3), 4))
        return not_begun(L, &s);
    int result = regex_next(&s.walk);
    if (result < 0)
        return not_matched(L, &s, result);
    if (result == REGEX_NONE) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_pushinteger(L, (lua_Integer)s.walk.groups[0] + 1);
    lua_pushinteger(L, (lua_Integer)s.walk.groups[1]);
    return 2;
}

static int l_match(lua_State *L)
{
    search s;
    if (!begin(L, &s, check_init(L, 3), 4))
        return not_begun(L, &s);
    int result = regex_next(&s.walk);
    if (result < 0)
        return not_matched(L, &s, result);
    if (result == REGEX_NONE)
        lua_pushboolean(L, 0);
    else
        push_match(L, &s.walk);
    return 1;
}

static lua_Integer check_limit(lua_State *L, int arg)
{
    lua_Integer limit = vm_opt_integer(L, arg, "limit", MANY);
    luaL_argcheck(L, limit >= 0 && limit <= MANY, arg, "option 'limit' must be 0 to 10000");
    return limit;
}

/* Pushes the list of matches and returns 0, or pushes a failure and returns its number of values.
 */
static int push_all(lua_State *L, int options)
{
    search s;
    lua_Integer limit = check_limit(L, options), n = 0;
    if (!begin(L, &s, 0, options))
        return not_begun(L, &s);
    lua_newtable(L);
    int list = lua_gettop(L), result = 1;
    while (n < limit && (result = regex_next(&s.walk)) > 0) {
        vm_check_time(L);
        push_match(L, &s.walk);
        lua_rawseti(L, list, ++n);
    }
    return result < 0 ? not_matched(L, &s, result) : 0;
}

static int l_all(lua_State *L)
{
    int failed = push_all(L, 3);
    return failed > 0 ? failed : 1;
}

/* Replacing ------------------------------------------------------------------------------------ */

/* Leaves the named or numbered group's text, or "" for one that took no part. */
static void push_reference(lua_State *L, int match, slice name)
{
    bool number = name.n > 0 && name.n < 6;
    lua_Integer index = 0;
    for (size_t i = 0; number && i < name.n; i++) {
        number = name.p[i] >= '0' && name.p[i] <= '9';
        index = index * 10 + (name.p[i] - '0');
    }
    if (number) {
        lua_rawgeti(L, match, index);
    } else if (lua_getfield(L, match, "names") == LUA_TTABLE) {
        vm_push_slice(L, name);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    if (lua_isnil(L, -1))
        luaL_error(L, "the replacement names group '%s', which the pattern does not have",
                   lua_pushlstring(L, name.p, name.n));
    if (!lua_isstring(L, -1)) {
        lua_pop(L, 1);
        lua_pushliteral(L, "");
    }
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The reference that begins behind a dollar; n = 0: none. Moves *p behind it. */
static slice take_reference(const char **p, const char *end)
{
    const char *q = *p;
    bool braces = q < end && *q == '{';
    q += braces;
    slice name = {q, 0};
    while (q < end && is_word(*q))
        q++;
    name.n = (size_t)(q - name.p);
    if (braces && (q == end || *q != '}'))
        return (slice){q, 0};
    if (name.n > 0)
        *p = q + braces;
    return name;
}

static void add_expanded(lua_State *L, luaL_Buffer *b, slice text, int match)
{
    const char *p = text.p, *end = text.p + text.n;
    while (p < end) {
        const char *dollar = memchr(p, '$', (size_t)(end - p));
        luaL_addlstring(b, p, (size_t)((dollar != NULL ? dollar : end) - p));
        if (dollar == NULL)
            return;
        p = dollar + 1;
        if (p < end && *p == '$') {
            p++;
            luaL_addchar(b, '$');
            continue;
        }
        slice name = take_reference(&p, end);
        if (name.n == 0) {
            luaL_addchar(b, '$');
            continue;
        }
        push_reference(L, match, name);
        luaL_addvalue(b);
    }
}

/* Calls the function with the match; false: the match stays. Else its text is at the top. */
static bool call_replacement(lua_State *L, int match)
{
    lua_pushvalue(L, 3);
    lua_pushvalue(L, match);
    lua_call(L, 1, 1);
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "the replacement function must return a string, got %s",
                   luaL_typename(L, -1));
    return true;
}

static size_t match_field(lua_State *L, int match, const char *name)
{
    lua_getfield(L, match, name);
    size_t value = (size_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The matches are in the list at index 5; a buffer keeps the top of the stack, so each match is put
 * at index 6 first. */
static void build(lua_State *L, slice subject, lua_Integer count)
{
    bool function = lua_isfunction(L, 3);
    slice text = {0};
    if (!function)
        text = vm_check_slice(L, 3);
    size_t done = 0;
    lua_pushnil(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 1; i <= count; i++) {
        vm_check_time(L);
        lua_rawgeti(L, 5, i);
        lua_replace(L, 6);
        size_t first = match_field(L, 6, "first") - 1, last = match_field(L, 6, "last");
        luaL_addlstring(&b, subject.p + done, first - done);
        if (!function)
            add_expanded(L, &b, text, 6);
        else if (call_replacement(L, 6))
            luaL_addvalue(&b);
        else
            luaL_addlstring(&b, subject.p + first, last - first);
        done = last;
    }
    luaL_addlstring(&b, subject.p + done, subject.n - done);
    luaL_pushresult(&b);
}

static int l_replace(lua_State *L)
{
    slice subject = vm_check_slice(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TSTRING || type == LUA_TFUNCTION, 3, "string or function");
    lua_settop(L, 4);
    int failed = push_all(L, 4);
    if (failed > 0)
        return failed;
    lua_Integer count = (lua_Integer)lua_rawlen(L, 5);
    build(L, subject, count);
    lua_pushinteger(L, count);
    return 2;
}

static int l_escape(lua_State *L)
{
    slice s = vm_check_slice(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\0' && strchr("\\^$.[]|()?*+{}#-&~ \t\n\r\v\f", s.p[i]) != NULL)
            luaL_addchar(&b, '\\');
        luaL_addchar(&b, s.p[i]);
    }
    luaL_pushresult(&b);
    return 1;
}

static int l_stats(lua_State *L)
{
    regex_stats stats = regex_cache_stats(cache_of(L));
    const struct {
        const char *name;
        size_t value;
    } rows[] = {{"entries", stats.entries},
                {"hits", stats.hits},
                {"misses", stats.misses},
                {"evicted", stats.evicted}};
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < 4; i++) {
        lua_pushinteger(L, (lua_Integer)rows[i].value);
        lua_setfield(L, -2, rows[i].name);
    }
    return 1;
}

static int free_cache(lua_State *L)
{
    regex_cache **cache = luaL_checkudata(L, 1, CACHE_TYPE);
    if (*cache != NULL)
        regex_cache_free(*cache);
    *cache = NULL;
    return 0;
}

int luaopen_host_regex(lua_State *L);
int luaopen_host_regex(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"test", l_test},       {"find", l_find},     {"match", l_match}, {"all", l_all},
        {"replace", l_replace}, {"escape", l_escape}, {"stats", l_stats}, {NULL, NULL}};
    luaL_newlibtable(L, functions);
    regex_cache **cache = lua_newuserdatauv(L, sizeof *cache, 0);
    *cache = NULL;
    if (luaL_newmetatable(L, CACHE_TYPE)) {
        lua_pushcfunction(L, free_cache);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    *cache = regex_cache_new(CACHE_ENTRIES);
    if (*cache == NULL)
        return luaL_error(L, "not enough memory");
    luaL_setfuncs(L, functions, 1);
    return 1;
}
