/* string.find, match, gmatch, gsub and rep, as the manual describes them, on a matcher that counts
 * its steps and looks at the time. A time budget can end a script between two instructions of Lua,
 * not inside C; so a pattern ends itself. Each call has a budget of its own; gmatch has one for
 * each match.
 *
 * A plain search is memmem, which is linear; the stock one is quadratic. rep doubles what it has.
 */
#include "l_string.h"

#include "guard.h"
#include "pattern.h"
#include <lualib.h>

enum {
    REP_MOST = 128 * 1024 * 1024,  /* filled in about 50 ms */
    SEARCH_BYTES = 4 * 1024 * 1024 /* of a plain search between looks at the time */
};

static int fail(lua_State *L, const pattern_state *m)
{
    if (m->error == PATTERN_TOO_MANY_STEPS)
        return luaL_error(L, "pattern took too many steps on a subject of %I bytes",
                          (lua_Integer)m->subject.n);
    if (m->error == PATTERN_OUT_OF_TIME)
        return luaL_error(L, GUARD_MESSAGE);
    return luaL_error(L, m->error, m->error_index);
}

/* Captures ------------------------------------------------------------------------------------- */

static void push_capture(lua_State *L, const pattern_state *m, int i, const char *s,
                         const char *end)
{
    if (i >= m->level) {
        if (i != 0)
            luaL_error(L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(L, s, (size_t)(end - s));
        return;
    }
    const pattern_capture *c = &m->captures[i];
    if (c->length == PATTERN_POSITION)
        lua_pushinteger(L, c->start - m->subject.p + 1);
    else if (c->length < 0)
        luaL_error(L, "unfinished capture");
    else
        lua_pushlstring(L, c->start, (size_t)c->length);
}

/* All captures, or the whole match when there are none and s is given. */
static int push_captures(lua_State *L, const pattern_state *m, const char *s, const char *end)
{
    int n = m->level == 0 && s != NULL ? 1 : m->level;
    luaL_checkstack(L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(L, m, i, s, end);
    return n;
}

/* find and match ------------------------------------------------------------------------------- */

/* The offset for a position that may count from the end; may lie beyond the end. */
static size_t offset_of(lua_Integer position, size_t n)
{
    if (position > 0)
        return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)n)
        return 0;
    return n - (size_t)-position;
}

/* In pieces, which overlap by what a match may need of the next one. */
static const char *find_plain(lua_State *L, slice s, slice pattern)
{
    size_t step = pattern.n > SEARCH_BYTES ? pattern.n : SEARCH_BYTES;
    for (; s.n >= pattern.n; s = (slice){s.p + step, s.n - step}) {
        size_t n = s.n < step + pattern.n ? s.n : step + pattern.n - 1;
        const char *found = memmem(s.p, n, pattern.p, pattern.n);
        if (found != NULL || s.n <= step)
            return found;
        vm_check_time(L);
    }
    return NULL;
}

static int push_plain(lua_State *L, slice subject, size_t init, slice pattern)
{
    slice rest = {subject.p + init, subject.n - init};
    const char *found = pattern.n == 0 ? rest.p : find_plain(L, rest, pattern);
    if (found == NULL) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, found - subject.p + 1);
    lua_pushinteger(L, found - subject.p + (ptrdiff_t)pattern.n);
    return 2;
}

static int search(lua_State *L, bool find)
{
    slice subject = vm_check_slice(L, 1), pattern = vm_check_slice(L, 2);
    size_t init = offset_of(luaL_optinteger(L, 3, 1), subject.n);
    if (init > subject.n) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || pattern_is_plain(pattern)))
        return push_plain(L, subject, init, pattern);
    pattern_state m;
    pattern_open(&m, subject, pattern, true, guard_over);
    const char *s = subject.p + init, *end = pattern_search(&m, &s);
    if (m.error != NULL)
        return fail(L, &m);
    if (end == NULL) {
        luaL_pushfail(L);
        return 1;
    }
    if (!find)
        return push_captures(L, &m, s, end);
    lua_pushinteger(L, s - subject.p + 1);
    lua_pushinteger(L, end - subject.p);
    return 2 + push_captures(L, &m, NULL, NULL);
}

static int l_find(lua_State *L)
{
    return search(L, true);
}

static int l_match(lua_State *L)
{
    return search(L, false);
}

/* gmatch --------------------------------------------------------------------------------------- */

typedef struct {
    size_t at;
    const char *last; /* end of the last match: an empty one there does not count again */
} gmatch_state;

/* Upvalues: subject, pattern, gmatch_state. */
static int step_gmatch(lua_State *L)
{
    slice subject, pattern;
    subject.p = lua_tolstring(L, lua_upvalueindex(1), &subject.n);
    pattern.p = lua_tolstring(L, lua_upvalueindex(2), &pattern.n);
    gmatch_state *g = lua_touserdata(L, lua_upvalueindex(3));
    pattern_state m;
    pattern_open(&m, subject, pattern, false, guard_over);
    for (; g->at <= subject.n; g->at++) {
        const char *s = subject.p + g->at, *end = pattern_match_at(&m, s);
        if (m.error != NULL)
            return fail(L, &m);
        if (end != NULL && end != g->last) {
            g->last = end;
            g->at = (size_t)(end - subject.p);
            return push_captures(L, &m, s, end);
        }
    }
    return 0;
}

static int l_gmatch(lua_State *L)
{
    slice subject = vm_check_slice(L, 1);
    luaL_checkstring(L, 2);
    size_t init = offset_of(luaL_optinteger(L, 3, 1), subject.n);
    lua_settop(L, 2);
    gmatch_state *g = lua_newuserdatauv(L, sizeof *g, 0);
    g->at = init <= subject.n ? init : subject.n + 1;
    g->last = NULL;
    lua_pushcclosure(L, step_gmatch, 3);
    return 1;
}

/* gsub ----------------------------------------------------------------------------------------- */

typedef struct {
    luaL_Buffer b;
    pattern_state m;
    slice text; /* of a string replacement */
    int type;
} gsub_state;

static void add_escape(lua_State *L, gsub_state *g, char c, const char *s, const char *end)
{
    if (c == '%') {
        luaL_addchar(&g->b, c);
    } else if (c == '0') {
        luaL_addlstring(&g->b, s, (size_t)(end - s));
    } else if (c >= '1' && c <= '9') {
        push_capture(L, &g->m, c - '1', s, end);
        luaL_addvalue(&g->b);
    } else {
        luaL_error(L, "invalid use of '%%' in replacement string");
    }
}

static void add_text(lua_State *L, gsub_state *g, const char *s, const char *end)
{
    const char *p = g->text.p, *last = p + g->text.n, *escape;
    while ((escape = memchr(p, '%', (size_t)(last - p))) != NULL) {
        luaL_addlstring(&g->b, p, (size_t)(escape - p));
        if (!pattern_charge(&g->m, 4))
            fail(L, &g->m);
        add_escape(L, g, escape + 1 < last ? escape[1] : '\0', s, end);
        p = escape + 2;
    }
    luaL_addlstring(&g->b, p, (size_t)(last - p));
}

/* What a function or table gives for the match; false: the match stays. */
static bool add_value(lua_State *L, gsub_state *g, const char *s, const char *end)
{
    if (g->type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, &g->m, s, end), 1);
    } else if (g->type == LUA_TTABLE) {
        push_capture(L, &g->m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_text(L, g, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(&g->b, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(&g->b);
    return true;
}

/* The number of replacements; *changed: the result differs. What is left begins at *rest. */
static lua_Integer substitute(lua_State *L, gsub_state *g, lua_Integer most, bool *changed,
                              const char **rest)
{
    const char *s = g->m.subject.p, *last = NULL, *subject_end = s + g->m.subject.n;
    lua_Integer n = 0;
    while (n < most) {
        vm_check_time(L); /* what is added takes longer than the match */
        const char *end = pattern_match_at(&g->m, s);
        if (g->m.error != NULL)
            fail(L, &g->m);
        if (end != NULL && end != last) {
            n++;
            if (add_value(L, g, s, end))
                *changed = true;
            s = last = end;
        } else if (s < subject_end) {
            luaL_addchar(&g->b, *s++);
        } else {
            break;
        }
        if (g->m.anchored)
            break;
    }
    *rest = s;
    return n;
}

static int l_gsub(lua_State *L)
{
    gsub_state g;
    slice subject = vm_check_slice(L, 1), pattern = vm_check_slice(L, 2);
    g.type = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)subject.n + 1);
    luaL_argexpected(L,
                     g.type == LUA_TNUMBER || g.type == LUA_TSTRING || g.type == LUA_TFUNCTION ||
                         g.type == LUA_TTABLE,
                     3, "string/function/table");
    if (g.type == LUA_TNUMBER || g.type == LUA_TSTRING)
        g.text = vm_check_slice(L, 3);
    pattern_open(&g.m, subject, pattern, true, guard_over);
    luaL_buffinit(L, &g.b);
    bool changed = false;
    const char *rest;
    lua_Integer n = substitute(L, &g, most, &changed, &rest);
    if (changed) {
        luaL_addlstring(&g.b, rest, (size_t)(subject.p + subject.n - rest));
        luaL_pushresult(&g.b);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

/* rep ------------------------------------------------------------------------------------------ */

static int l_rep(lua_State *L)
{
    slice text = vm_check_slice(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    slice between = {"", 0};
    if (!lua_isnoneornil(L, 3))
        between = vm_check_slice(L, 3);
    size_t unit = text.n + between.n;
    if (n <= 0 || unit == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (unit > REP_MOST || (lua_Unsigned)n > REP_MOST / unit)
        return luaL_error(L, "resulting string too large");
    size_t total = unit * (size_t)n - between.n;
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total + between.n);
    memcpy(out, text.p, text.n);
    memcpy(out + text.n, between.p, between.n);
    for (size_t done = unit; done < total;) {
        size_t more = done < total - done ? done : total - done;
        memcpy(out + done, out, more);
        done += more;
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

void l_string_install(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", l_find}, {"match", l_match}, {"gmatch", l_gmatch},
                                         {"gsub", l_gsub}, {"rep", l_rep},     {NULL, NULL}};
    lua_getglobal(L, LUA_STRLIBNAME);
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
}
