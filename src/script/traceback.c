/* luaL_traceback for stacks of any depth. Lua finds level n by walking n calls, and luaL_traceback
 * looks for the last one and shows the eleven before it: after an endless recursion that takes
 * longer than the recursion, a second and more, while no time budget holds. Of a deep stack only
 * the newest calls are shown here. */
#include "traceback.h"

#include "script.h"
#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

enum { DEEP = 200, SHOWN = 20 };

static const char heading[] = "\nstack traceback:";

static void add_call(luaL_Buffer *b, const lua_Debug *ar)
{
    lua_State *L = b->L;
    if (ar->currentline > 0)
        lua_pushfstring(L, "\n\t%s:%d: in ", ar->short_src, ar->currentline);
    else
        lua_pushfstring(L, "\n\t%s: in ", ar->short_src);
    luaL_addvalue(b);
    if (ar->namewhat[0] != '\0')
        lua_pushfstring(L, "%s '%s'", ar->namewhat, ar->name);
    else
        lua_pushfstring(L, "function <%s:%d>", ar->short_src, ar->linedefined);
    luaL_addvalue(b);
}

void traceback_push(lua_State *L, lua_State *from, const char *message, int level)
{
    lua_Debug ar;
    if (!lua_getstack(from, level + DEEP, &ar)) {
        luaL_traceback(L, from, message, level);
        return;
    }
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, message);
    luaL_addstring(&b, heading);
    for (int i = level; i < level + SHOWN && lua_getstack(from, i, &ar); i++) {
        lua_getinfo(from, "Slnt", &ar);
        add_call(&b, &ar);
    }
    luaL_addstring(&b, "\n\t...\t(more than ");
    lua_pushinteger(L, DEEP);
    luaL_addvalue(&b);
    luaL_addstring(&b, " calls)");
    luaL_pushresult(&b);
}

/* "lua/web/router.lua:98: ...": files of the framework have no folder before lua/. */
static bool is_of_framework(const char *text)
{
    size_t n = strcspn(text, ":\n");
    return strncmp(text, "lua/", 4) == 0 && text[n] == ':' && isdigit((unsigned char)text[n + 1]);
}

static bool is_of_application(const char *call)
{
    return strncmp(call, "[C]", 3) != 0 && *call != '(' && !is_of_framework(call);
}

size_t script_error_useful(const char *text)
{
    const char *calls = strstr(text, heading);
    if (calls == NULL || is_of_framework(text))
        return strlen(text);
    for (const char *call = strstr(calls, "\n\t"); call != NULL; call = strstr(call + 2, "\n\t")) {
        if (is_of_application(call + 2))
            return strlen(text);
    }
    return (size_t)(calls - text);
}
