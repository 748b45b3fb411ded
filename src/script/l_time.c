/* host.time: what time it is, and waiting for a later one. A sleeping task is a libuv timer; ending
 * the task closes the timer. */
#include "clock.h"
#include "waiter.h"

#include <math.h>
#include <time.h>

static int push_nothing(lua_State *L, void *data)
{
    (void)L;
    (void)data;
    return 0;
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
    luaL_checknumber(L, 1);
    list nobody; /* but its time wakes it */
    list_init(&nobody);
    waiter *w = waiter_start(L, &nobody, waiter_check_seconds(L, 1), push_nothing);
    list_remove(&w->link);
    return task_park(L, waiter_cancel, w);
}

static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_wall_ms() / 1000);
    return 1;
}

static int l_monotonic(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)clock_us() / 1e6);
    return 1;
}

/* iso8601([unix seconds]): RFC 3339 in UTC, milliseconds where there are any. */
static int l_iso8601(lua_State *L)
{
    lua_Number when = luaL_optnumber(L, 1, (lua_Number)clock_wall_ms() / 1000);
    luaL_argcheck(L, when >= -62135596800.0 && when < 253402300800.0, 1,
                  "Unix seconds of the years 1 to 9999");
    int64_t ms = (int64_t)floor(when * 1000 + 0.5);
    int64_t fraction = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - fraction) / 1000);
    struct tm utc;
    char text[40];
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    if (fraction != 0)
        lua_pushfstring(L, "%s.%d%d%dZ", text, (int)(fraction / 100), (int)(fraction / 10 % 10),
                        (int)(fraction % 10));
    else
        lua_pushfstring(L, "%sZ", text);
    return 1;
}

int luaopen_host_time(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"now", l_now}, {"monotonic", l_monotonic}, {"sleep", l_sleep}, {"iso8601", l_iso8601},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
    return 1;
}
