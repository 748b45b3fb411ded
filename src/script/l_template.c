/* host.template: what compiled templates (lua/web/template) do most: put text and values into the
 * output, and count. In C because a value then goes from the Lua stack into the output without a
 * string of its own, and an operand's type costs no call. Everything rare is Lua's: the handlers
 * that `connect` was given raise the errors and print what is no string or number.
 *
 * An output is one run of bytes. Sections and macros write into the same run: they remember where
 * they began, and `take` cuts what came since off as a string. It may not grow beyond its limit,
 * which is below the memory that buf aborts without.
 * What must never happen: a raise between a change of the run and its length. */
#include "buf.h"
#include "mem.h"
#include "number.h"
#include "vm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_TYPE "host.template.output"

enum { KEEP_BYTES = 256 << 10, DECIMAL_ROOM = 400 };

static const char MAGIC[] = "template output";

typedef struct {
    const char *magic; /* MAGIC: told apart from other userdata faster than by a metatable's name */
    buf bytes;
    size_t limit;
    bool escape;
} output;

/* Upvalue 1 of all functions: the handlers. */
enum { HANDLERS = 1 };

/* Calls handlers[name](...) with the `n` values on top; leaves one result. */
static void call_handler(lua_State *L, const char *name, int n)
{
    lua_getfield(L, lua_upvalueindex(HANDLERS), name);
    lua_insert(L, -n - 1);
    lua_call(L, n, 1);
}

/* The output at 1. */
static output *check_output(lua_State *L)
{
    output *o = lua_touserdata(L, 1);
    if (o == NULL || lua_rawlen(L, 1) != sizeof(output) || o->magic != MAGIC)
        luaL_typeerror(L, 1, "an output of a template");
    return o;
}

/* Output ------------------------------------------------------------------------------------ */

static const slice entities[256] = {
    ['&'] = {"&amp;", 5},  ['<'] = {"&lt;", 4},    ['>'] = {"&gt;", 4},
    ['"'] = {"&quot;", 6}, ['\''] = {"&#x27;", 6}, ['/'] = {"&#x2F;", 6},
};

static void put_escaped(buf *out, const char *p, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        slice entity = entities[(unsigned char)p[i]];
        if (entity.n == 0)
            continue;
        buf_append(out, p + from, i - from);
        buf_append_slice(out, entity);
        from = i + 1;
    }
    buf_append(out, p + from, n - from);
}

/* digits * 10^exponent, with as many zeros as it takes. */
static char *put_positional(char *out, const char *digits, int n, int exponent)
{
    if (exponent <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (; exponent < 0; exponent++)
            *out++ = '0';
        memcpy(out, digits, (size_t)n);
        return out + n;
    }
    for (int i = 0; i < n || i < exponent; i++) {
        if (i == exponent)
            *out++ = '.';
        *out++ = i < n ? digits[i] : '0';
    }
    return out;
}

/* "1.5e-7" as "0.00000015". */
static char *put_without_exponent(char *out, const char *text, const char *e)
{
    char digits[NUMBER_ROOM];
    int n = 0;
    if (*text == '-')
        *out++ = *text++;
    for (; text < e; text++) {
        if (*text != '.')
            digits[n++] = *text;
    }
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return put_positional(out, digits, n, (int)strtol(e + 1, NULL, 10) + 1);
}

/* At most three digits after the point, as most numbers of pictures have: exact, because two
 * decimals of up to 15 digits are never the same double. NULL: not such a number. */
static char *put_thousandths(char *out, double x)
{
    if (!(fabs(x) < 1e11) || x == 0)
        return NULL;
    int64_t n = llrint(x * 1000);
    if ((double)n / 1000 != x)
        return NULL;
    if (n < 0) {
        *out++ = '-';
        n = -n;
    }
    out = number_put_integer(out, n / 1000);
    int64_t rest = n % 1000;
    if (rest == 0)
        return out;
    *out++ = '.';
    for (int64_t unit = 100; rest > 0; unit /= 10) {
        *out++ = (char)('0' + rest / unit);
        rest %= unit;
    }
    return out;
}

/* A float as templates print it: the fewest digits, no exponent, no ".0". */
static size_t float_text(char *out, double x)
{
    if (isnan(x))
        return (size_t)(stpcpy(out, "NaN") - out);
    if (isinf(x))
        return (size_t)(stpcpy(out, x < 0 ? "-inf" : "inf") - out);
    char *end = put_thousandths(out, x);
    if (end != NULL)
        return (size_t)(end - out);
    char text[NUMBER_ROOM + 1];
    end = number_put_float(text, x);
    *end = '\0';
    const char *e = strchr(text, 'e');
    if (e != NULL)
        return (size_t)(put_without_exponent(out, text, e) - out);
    if (end[-1] == '0' && end[-2] == '.')
        end -= 2;
    memcpy(out, text, (size_t)(end - text));
    return (size_t)(end - text);
}

static void put_number(lua_State *L, int arg, buf *out)
{
    char *to = buf_reserve(out, DECIMAL_ROOM);
    if (lua_isinteger(L, arg))
        out->len += (size_t)(number_put_integer(to, lua_tointeger(L, arg)) - to);
    else
        out->len += float_text(to, lua_tonumber(L, arg));
}

/* Raises. */
static void refuse_over(lua_State *L, const output *o)
{
    lua_pushinteger(L, (lua_Integer)o->limit);
    call_handler(L, "over", 1);
}

static void put_string(lua_State *L, int arg, output *o, bool escape)
{
    size_t n;
    const char *p = lua_tolstring(L, arg, &n);
    if (n > o->limit)
        refuse_over(L, o);
    if (escape)
        put_escaped(&o->bytes, p, n);
    else
        buf_append(&o->bytes, p, n);
}

static void put_value(lua_State *L, int arg, output *o, bool escape)
{
    switch (lua_type(L, arg)) {
    case LUA_TSTRING:
        put_string(L, arg, o, escape);
        break;
    case LUA_TNUMBER:
        put_number(L, arg, &o->bytes);
        break;
    case LUA_TBOOLEAN:
        buf_text(&o->bytes, lua_toboolean(L, arg) ? "true" : "false");
        break;
    default:
        lua_pushvalue(L, arg);
        call_handler(L, "print", 1);
        luaL_checkstring(L, -1);
        put_string(L, -1, o, escape);
        lua_pop(L, 1);
    }
}

/* put(output, mask, ...): each value as text; those whose bit in the mask is set are escaped when
 * the output escapes. */
static int l_put(lua_State *L)
{
    output *o = check_output(L);
    lua_Unsigned mask = (lua_Unsigned)luaL_checkinteger(L, 2);
    int top = lua_gettop(L);
    if (!o->escape)
        mask = 0;
    for (int i = 3; i <= top; i++, mask >>= 1) {
        put_value(L, i, o, (mask & 1) != 0);
        if (o->bytes.len > o->limit)
            refuse_over(L, o);
    }
    return 0;
}

/* mark(output): where the output ends now. */
static int l_mark(lua_State *L)
{
    output *o = check_output(L);
    lua_pushinteger(L, (lua_Integer)o->bytes.len);
    return 1;
}

/* take(output, mark): what came since, which is no longer part of the output. */
static int l_take(lua_State *L)
{
    output *o = check_output(L);
    lua_Integer mark = luaL_checkinteger(L, 2);
    luaL_argcheck(L, mark >= 0 && (size_t)mark <= o->bytes.len, 2, "a mark of this output");
    lua_pushlstring(L, o->bytes.len == 0 ? "" : o->bytes.data + mark, o->bytes.len - (size_t)mark);
    o->bytes.len = (size_t)mark;
    return 1;
}

static int l_free(lua_State *L)
{
    output *o = check_output(L);
    buf_free(&o->bytes);
    return 0;
}

/* open(output or nil, limit, escape): an empty output. */
static int l_open(lua_State *L)
{
    lua_Integer limit = luaL_checkinteger(L, 2);
    luaL_argcheck(L, limit > 0, 2, "bytes");
    if (lua_isnoneornil(L, 1)) {
        output *made = lua_newuserdatauv(L, sizeof *made, 0);
        *made = (output){.magic = MAGIC};
        luaL_setmetatable(L, OUTPUT_TYPE);
        lua_replace(L, 1);
    }
    output *o = check_output(L);
    if (o->bytes.cap > KEEP_BYTES)
        buf_free(&o->bytes);
    o->bytes.len = 0;
    o->limit = (size_t)limit;
    o->escape = lua_toboolean(L, 3);
    lua_settop(L, 1);
    return 1;
}

/* text(number): as templates print it. */
static int l_text(lua_State *L)
{
    char text[DECIMAL_ROOM];
    if (lua_isinteger(L, 1))
        lua_pushlstring(L, text, (size_t)(number_put_integer(text, lua_tointeger(L, 1)) - text));
    else
        lua_pushlstring(L, text, float_text(text, luaL_checknumber(L, 1)));
    return 1;
}

/* Arithmetic: (a, b, position) --------------------------------------------------------------- */

/* Raises for the operands at 1 and 2. */
static int refuse(lua_State *L, const char *handler, const char *operator)
{
    lua_settop(L, 3);
    lua_pushstring(L, operator);
    lua_insert(L, 1);
    call_handler(L, handler, 4);
    return 1;
}

static bool are_integers(lua_State *L)
{
    return lua_isinteger(L, 1) && lua_isinteger(L, 2);
}

/* Strings that look like numbers are none. */
static bool are_numbers(lua_State *L)
{
    return lua_type(L, 1) == LUA_TNUMBER && lua_type(L, 2) == LUA_TNUMBER;
}

static int push_finite(lua_State *L, double x)
{
    lua_pushnumber(L, isinf(x) ? NAN : x);
    return 1;
}

static int push_exact(lua_State *L, bool overflows, int64_t result, const char *operator)
{
    if (overflows)
        return refuse(L, "overflow", operator);
    lua_pushinteger(L, result);
    return 1;
}

static int l_add(lua_State *L)
{
    int64_t r = 0;
    if (are_integers(L)) {
        bool over = __builtin_add_overflow(lua_tointeger(L, 1), lua_tointeger(L, 2), &r);
        return push_exact(L, over, r, "+");
    }
    if (!are_numbers(L))
        return refuse(L, "numbers", "+");
    return push_finite(L, lua_tonumber(L, 1) + lua_tonumber(L, 2));
}

static int l_sub(lua_State *L)
{
    int64_t r = 0;
    if (are_integers(L)) {
        bool over = __builtin_sub_overflow(lua_tointeger(L, 1), lua_tointeger(L, 2), &r);
        return push_exact(L, over, r, "-");
    }
    if (!are_numbers(L))
        return refuse(L, "numbers", "-");
    return push_finite(L, lua_tonumber(L, 1) - lua_tonumber(L, 2));
}

static int l_mul(lua_State *L)
{
    int64_t r = 0;
    if (are_integers(L)) {
        bool over = __builtin_mul_overflow(lua_tointeger(L, 1), lua_tointeger(L, 2), &r);
        return push_exact(L, over, r, "*");
    }
    if (!are_numbers(L))
        return refuse(L, "numbers", "*");
    return push_finite(L, lua_tonumber(L, 1) * lua_tonumber(L, 2));
}

/* Always of floats; a whole result is an integer, within 64 bits. */
static int l_div(lua_State *L)
{
    if (!are_numbers(L))
        return refuse(L, "numbers", "/");
    double r = lua_tonumber(L, 1) / lua_tonumber(L, 2);
    if (isnan(r) || isinf(r) || floor(r) != r)
        return push_finite(L, r);
    if (r >= 0x1p63)
        lua_pushinteger(L, INT64_MAX);
    else
        lua_pushinteger(L, r < -0x1p63 ? INT64_MIN : (lua_Integer)r);
    return 1;
}

/* The sign of the dividend, as in C. */
static int l_mod(lua_State *L)
{
    if (!are_numbers(L))
        return refuse(L, "numbers", "%");
    if (!are_integers(L)) {
        lua_pushnumber(L, fmod(lua_tonumber(L, 1), lua_tonumber(L, 2)));
        return 1;
    }
    lua_Integer a = lua_tointeger(L, 1), b = lua_tointeger(L, 2);
    if (b == 0)
        return refuse(L, "modulo", "%");
    lua_pushinteger(L, b == -1 ? 0 : a % b);
    return 1;
}

/* less(a, b, position, operator), less_equal(...): numbers that are not NaN. */
static int compare(lua_State *L, bool or_equal)
{
    if (!are_numbers(L) || isnan(lua_tonumber(L, 1)) || isnan(lua_tonumber(L, 2))) {
        lua_settop(L, 4);
        call_handler(L, "unordered", 4);
        return 1;
    }
    lua_pushboolean(L, lua_compare(L, 1, 2, or_equal ? LUA_OPLE : LUA_OPLT));
    return 1;
}

static int l_less(lua_State *L)
{
    return compare(L, false);
}

static int l_less_equal(lua_State *L)
{
    return compare(L, true);
}

/* connect(handlers): the functions, with these handlers. */
static int l_connect(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"open", l_open}, {"put", l_put}, {"mark", l_mark}, {"take", l_take},
        {"text", l_text}, {"add", l_add}, {"sub", l_sub},   {"mul", l_mul},
        {"div", l_div},   {"mod", l_mod}, {"less", l_less}, {"less_equal", l_less_equal},
        {NULL, NULL},
    };
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_newlibtable(L, functions);
    lua_pushvalue(L, 1);
    luaL_setfuncs(L, functions, 1);
    return 1;
}

int luaopen_host_template(lua_State *L)
{
    static const luaL_Reg functions[] = {{"connect", l_connect}, {NULL, NULL}};
    luaL_newmetatable(L, OUTPUT_TYPE);
    lua_pushcfunction(L, l_free);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
