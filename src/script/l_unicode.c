/* host.unicode. Outputs are written into a userdata or a luaL_Buffer, so that a raised error leaks
 * nothing and the VM's cap counts them. The size limit keeps each call under some 50 ms, since no
 * time budget can stop C; the slowest look at the time. */
#include "unicode.h"

#include "utf8.h"
#include "vm.h"

enum { MAX_BYTES = 1024 * 1024 };

static slice check_size(lua_State *L, int arg)
{
    slice s = vm_check_slice(L, arg);
    if (s.n > MAX_BYTES)
        luaL_argerror(L, arg,
                      lua_pushfstring(L, "%I bytes are too many, the limit is %d", (lua_Integer)s.n,
                                      (int)MAX_BYTES));
    return s;
}

static slice check_text(lua_State *L, int arg)
{
    slice s = check_size(L, arg);
    size_t bad = unicode_invalid(s);
    if (bad < s.n)
        luaL_argerror(L, arg,
                      lua_pushfstring(L, "not UTF-8 at byte %I (unicode.repair replaces it)",
                                      (lua_Integer)bad + 1));
    return s;
}

static int l_valid(lua_State *L)
{
    slice s = check_size(L, 1);
    size_t bad = unicode_invalid(s);
    lua_pushboolean(L, bad == s.n);
    if (bad == s.n)
        return 1;
    lua_pushinteger(L, (lua_Integer)bad + 1);
    return 2;
}

static int l_repair(lua_State *L)
{
    slice s = check_size(L, 1);
    lua_settop(L, 1);
    if (unicode_invalid(s) == s.n)
        return 1;
    char *out = lua_newuserdatauv(L, 3 * s.n, 0);
    lua_pushlstring(L, out, unicode_repair(s, out));
    return 1;
}

/* Whole-text mappings -------------------------------------------------------------------------- */

static int push_mapped(lua_State *L, size_t map(slice s, char *out))
{
    slice s = check_text(L, 1);
    char *out = lua_newuserdatauv(L, UNICODE_CASE_GROWTH * s.n + 1, 0);
    size_t n = map(s, out);
    if (n == UNICODE_NO_MEMORY)
        return luaL_error(L, "not enough memory");
    lua_pushlstring(L, out, n);
    return 1;
}

static int l_upper(lua_State *L)
{
    return push_mapped(L, unicode_upper);
}

static int l_lower(lua_State *L)
{
    return push_mapped(L, unicode_lower);
}

static int l_capitalize(lua_State *L)
{
    return push_mapped(L, unicode_capitalize);
}

static int l_title(lua_State *L)
{
    return push_mapped(L, unicode_title);
}

static int l_nfc(lua_State *L)
{
    return push_mapped(L, unicode_nfc);
}

static size_t reverse(slice s, char *out)
{
    unicode_reverse(s, out);
    return s.n;
}

static int l_reverse(lua_State *L)
{
    return push_mapped(L, reverse);
}

static int l_length(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)unicode_length(check_text(L, 1)));
    return 1;
}

/* Space ---------------------------------------------------------------------------------------- */

static int push_trimmed(lua_State *L, bool start, bool end)
{
    slice whole = check_text(L, 1), s = whole;
    if (start)
        s = unicode_trim_start(s);
    if (end)
        s = unicode_trim_end(s);
    if (s.n == whole.n)
        lua_settop(L, 1);
    else
        vm_push_slice(L, s);
    return 1;
}

static int l_trim(lua_State *L)
{
    return push_trimmed(L, true, true);
}

static int l_trim_start(lua_State *L)
{
    return push_trimmed(L, true, false);
}

static int l_trim_end(lua_State *L)
{
    return push_trimmed(L, false, true);
}

static int l_is_space(lua_State *L)
{
    slice s = check_text(L, 1);
    lua_pushboolean(L, s.n > 0 && unicode_trim_start(s).n == 0);
    return 1;
}

/* Pieces --------------------------------------------------------------------------------------- */

static slice next_char(slice *rest)
{
    slice c = {rest->p, rest->n > 0 ? utf8_length(rest->p, rest->p + rest->n) : 0};
    rest->p += c.n;
    rest->n -= c.n;
    return c;
}

static int push_list(lua_State *L, slice next(slice *rest))
{
    slice rest = check_text(L, 1);
    lua_newtable(L);
    lua_Integer n = 0;
    for (slice piece; (piece = next(&rest)).n > 0;) {
        vm_check_time(L);
        vm_push_slice(L, piece);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int push_count(lua_State *L, slice next(slice *rest))
{
    slice rest = check_text(L, 1);
    lua_Integer n = 0;
    while (next(&rest).n > 0)
        n++;
    lua_pushinteger(L, n);
    return 1;
}

static int l_chars(lua_State *L)
{
    return push_list(L, next_char);
}

static int l_words(lua_State *L)
{
    return push_list(L, unicode_next_word);
}

static int l_word_count(lua_State *L)
{
    return push_count(L, unicode_next_word);
}

static int l_graphemes(lua_State *L)
{
    return push_list(L, unicode_next_grapheme);
}

static int l_grapheme_count(lua_State *L)
{
    return push_count(L, unicode_next_grapheme);
}

/* Upvalues: the text (checked) and the offset. */
static int step_grapheme(lua_State *L)
{
    slice text;
    text.p = lua_tolstring(L, lua_upvalueindex(1), &text.n);
    size_t offset = (size_t)lua_tointeger(L, lua_upvalueindex(2));
    slice rest = {text.p + offset, text.n - offset};
    slice cluster = unicode_next_grapheme(&rest);
    if (cluster.n == 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)(offset + cluster.n));
    lua_replace(L, lua_upvalueindex(2));
    vm_push_slice(L, cluster);
    return 1;
}

static int l_each_grapheme(lua_State *L)
{
    check_text(L, 1);
    lua_settop(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, step_grapheme, 2);
    return 1;
}

static int l_truncate(lua_State *L)
{
    slice s = check_text(L, 1), rest = s;
    lua_Integer count = luaL_checkinteger(L, 2);
    luaL_argcheck(L, count >= 0, 2, "must not be negative");
    while (count > 0 && unicode_next_grapheme(&rest).n > 0)
        count--;
    vm_push_slice(L, (slice){s.p, s.n - rest.n});
    lua_pushboolean(L, rest.n > 0);
    return 2;
}

/* ASCII ---------------------------------------------------------------------------------------- */

static int l_ascii(lua_State *L)
{
    slice rest = check_text(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (slice c; (c = next_char(&rest)).n > 0;) {
        vm_check_time(L);
        char *out = luaL_prepbuffsize(&b, UNICODE_ASCII_ROOM);
        luaL_addsize(&b, unicode_ascii(utf8_decode(c.p, c.n), out));
    }
    luaL_pushresult(&b);
    return 1;
}

/* Appends letters and digits; anything else becomes one '-' between them. */
static void add_slug(luaL_Buffer *b, const char *ascii, size_t n, bool *gap)
{
    for (size_t i = 0; i < n; i++) {
        char c = ascii[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            if (*gap && luaL_bufflen(b) > 0)
                luaL_addchar(b, '-');
            luaL_addchar(b, c);
            *gap = false;
        } else {
            *gap = true;
        }
    }
}

static int l_slug(lua_State *L)
{
    slice rest = check_text(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    bool gap = false;
    for (slice c; (c = next_char(&rest)).n > 0;) {
        char ascii[UNICODE_ASCII_ROOM];
        vm_check_time(L);
        size_t n = unicode_ascii(utf8_decode(c.p, c.n), ascii);
        add_slug(&b, ascii, n, &gap);
    }
    luaL_pushresult(&b);
    return 1;
}

int luaopen_host_unicode(lua_State *L);
int luaopen_host_unicode(lua_State *L)
{
    static const luaL_Reg functions[] = {{"valid", l_valid},
                                         {"repair", l_repair},
                                         {"upper", l_upper},
                                         {"lower", l_lower},
                                         {"capitalize", l_capitalize},
                                         {"title", l_title},
                                         {"nfc", l_nfc},
                                         {"length", l_length},
                                         {"reverse", l_reverse},
                                         {"chars", l_chars},
                                         {"trim", l_trim},
                                         {"trim_start", l_trim_start},
                                         {"trim_end", l_trim_end},
                                         {"is_space", l_is_space},
                                         {"words", l_words},
                                         {"word_count", l_word_count},
                                         {"graphemes", l_graphemes},
                                         {"grapheme_count", l_grapheme_count},
                                         {"each_grapheme", l_each_grapheme},
                                         {"truncate", l_truncate},
                                         {"ascii", l_ascii},
                                         {"slug", l_slug},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
