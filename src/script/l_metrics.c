/* host.metrics: the process's counts, and a script's own. A counter, gauge or histogram is declared
 * once, at the top of a file, and recorded where things happen; recording does not wait. */
#include "metrics.h"
#include "vm.h"

#include <math.h>
#include <stdlib.h>

#define TYPE_NAME "host.metrics.series"
#define TEXT_NAME "host.metrics.text"

typedef struct {
    metrics_family *family; /* NULL: one of the host's counters */
    metric fixed;
    metrics_type type;
} series;

/* The labels as C sees them; the Lua strings stay in their table, which stays on the stack. */
typedef struct {
    metrics_label items[METRICS_LABELS_MAX];
    size_t count;
} labels;

static int by_name(const void *a, const void *b)
{
    slice x = ((const metrics_label *)a)->name, y = ((const metrics_label *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

static void read_labels(lua_State *L, int arg, labels *l)
{
    l->count = 0;
    if (lua_isnoneornil(L, arg))
        return;
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, arg) != 0) {
        luaL_argcheck(L, l->count < METRICS_LABELS_MAX, arg, "too many labels");
        luaL_argcheck(L, lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING, arg,
                      "labels are texts by name");
        metrics_label *item = &l->items[l->count++];
        *item = (metrics_label){vm_check_slice(L, -2), vm_check_slice(L, -1)};
        luaL_argcheck(L, metrics_valid_name(item->name), arg,
                      "a label's name is letters, digits and _");
        lua_pop(L, 1);
    }
    qsort(l->items, l->count, sizeof *l->items, by_name);
}

static series *check_series(lua_State *L, metrics_type type, const char *what)
{
    series *s = luaL_checkudata(L, 1, TYPE_NAME);
    luaL_argcheck(L, s->type == type, 1, what);
    return s;
}

static void record(lua_State *L, const series *s, int label_arg, lua_Number value)
{
    labels l;
    read_labels(L, label_arg, &l);
    if (s->family != NULL)
        metrics_record(s->family, l.items, l.count, value);
    else
        metrics_add(s->fixed, (int64_t)value);
}

/* counter:inc([n [, labels]]) */
static int l_inc(lua_State *L)
{
    const series *s = check_series(L, METRICS_COUNTER, "a counter");
    lua_Number by = luaL_optnumber(L, 2, 1);
    luaL_argcheck(L, by >= 0 && by < 1e15, 2, "a counter only grows");
    record(L, s, 3, by);
    return 0;
}

/* gauge:set(value [, labels]) */
static int l_set(lua_State *L)
{
    const series *s = check_series(L, METRICS_GAUGE, "a gauge");
    record(L, s, 3, luaL_checknumber(L, 2));
    return 0;
}

/* histogram:observe(seconds [, labels]) */
static int l_observe(lua_State *L)
{
    const series *s = check_series(L, METRICS_HISTOGRAM, "a histogram");
    lua_Number seconds = luaL_checknumber(L, 2);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 2, "seconds");
    record(L, s, 3, seconds);
    return 0;
}

static int declare(lua_State *L, metrics_type type)
{
    slice name = vm_check_slice(L, 1), help = {"", 0};
    const char *reason = NULL;
    if (!lua_isnoneornil(L, 2))
        help = vm_check_slice(L, 2);
    series *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (series){.type = type};
    luaL_setmetatable(L, TYPE_NAME);
    if (type == METRICS_COUNTER && metrics_find_counter(name, &s->fixed))
        return 1;
    s->family = metrics_declare(name, help, type, &reason);
    if (s->family == NULL)
        return luaL_error(L, "metric \"%s\": %s", name.p, reason);
    return 1;
}

static int l_counter(lua_State *L)
{
    return declare(L, METRICS_COUNTER);
}

static int l_gauge(lua_State *L)
{
    return declare(L, METRICS_GAUGE);
}

static int l_histogram(lua_State *L)
{
    return declare(L, METRICS_HISTOGRAM);
}

static int free_text(lua_State *L)
{
    buf_free(luaL_checkudata(L, 1, TEXT_NAME));
    return 0;
}

/* text(). The buffer lies in a userdata, since the push of a long string may raise. */
static int l_text(lua_State *L)
{
    buf *text = lua_newuserdatauv(L, sizeof *text, 0);
    *text = (buf){0};
    luaL_setmetatable(L, TEXT_NAME);
    metrics_text(text);
    lua_pushlstring(L, text->data, text->len);
    buf_free(text);
    return 1;
}

/* get(name) */
static int l_get(lua_State *L)
{
    double value;
    if (!metrics_get(vm_check_slice(L, 1), &value))
        return 0;
    if (value == floor(value) && fabs(value) < 1e15)
        lua_pushinteger(L, (lua_Integer)value);
    else
        lua_pushnumber(L, value);
    return 1;
}

int luaopen_host_metrics(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"inc", l_inc}, {"set", l_set}, {"observe", l_observe}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"text", l_text},           {"get", l_get},
                                         {"counter", l_counter},     {"gauge", l_gauge},
                                         {"histogram", l_histogram}, {NULL, NULL}};
    luaL_newmetatable(L, TEXT_NAME);
    lua_pushcfunction(L, free_text);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, TYPE_NAME);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
