/* host.time: what time it is, and waiting for a later one. A sleeping task is a libuv timer; ending
 * the task closes the timer. */
#include "clock.h"
#include "mem.h"
#include "task.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { SLEEP_MAX_S = 365 * 86400 };

typedef struct {
    uv_timer_t timer;
    task_token token;
} sleeper;

static void on_closed(uv_handle_t *timer)
{
    free(timer->data);
}

static void end_sleeper(void *data)
{
    sleeper *s = data;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

static int push_nothing(lua_State *L, void *data)
{
    (void)L;
    (void)data;
    return 0;
}

static void on_time(uv_timer_t *timer)
{
    sleeper *s = timer->data;
    task_wake(s->token, push_nothing, NULL, NULL);
    end_sleeper(s);
}

/* sleep(seconds) */
static int l_sleep(lua_State *L)
{
    lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds <= SLEEP_MAX_S, 1, "seconds, from 0 to a year");
    task_token token = task_token_of(L);
    sleeper *s = mem_alloc(sizeof *s);
    s->token = token;
    s->timer.data = s;
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    uv_timer_init(loop, &s->timer);
    uv_update_time(loop);
    /* The loop's clock is cut to milliseconds: one more, so that nobody wakes early. */
    uint64_t ms = seconds > 0 ? (uint64_t)ceil(seconds * 1000) + 1 : 0;
    uv_timer_start(&s->timer, on_time, ms, 0);
    return task_park(L, end_sleeper, s);
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
