/* json.encode: one pass over each table with lua_next. A table whose keys come as 1, 2, 3 ... is an
 * array and is written as it is walked; only when the order breaks are the rest of its keys looked
 * at. So nothing is walked twice, whatever its shape (a second pass at each of 64 levels would be
 * 2^64 passes).
 *
 * The walk raises nothing and creates no Lua object, so no collector step and no finalizer runs
 * inside it: errors travel up as `false`, each level putting its key before the path, and are
 * raised at the top. The output grows by the VM's own allocator, so that the VM's cap counts it,
 * and stays in a userdata between calls; after a large value it is given back.
 *
 * Sorted objects: each member is written as it comes and its place noted; at the object's end the
 * members are put in order by copying bytes, without looking up anything again. One file of over
 * 500 lines, since the walk is one recursion over all kinds of values. */
#include "guard.h"
#include "json.h"
#include "l_json.h"
#include "number.h"
#include "read_only.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_TYPE "host.json.scratch"

enum {
    KEEP_BYTES = 64 * 1024, /* of the output between calls */
    SHORT_STRING = 256,     /* written without measuring first */
    PATH_BYTES = 200,
};

typedef struct {
    const char *key;
    size_t key_size, start, size;
} member;

typedef struct {
    char *data;
    size_t len, cap;
} block;

typedef struct {
    block out, members;
} scratch;

typedef struct {
    lua_State *L;
    scratch *s;
    lua_Alloc allocate;
    void *allocate_ud;
    const void *array_mt; /* compared, never followed */
    json_encode_options options;
    lua_Integer depth;
    const char *problem;   /* a format with one %s for the path, or NULL: no memory */
    char path[PATH_BYTES]; /* filled from its end */
    size_t path_at;
    bool path_cut;
} encoder;

static bool write_value(encoder *e, int index);

/* Output -------------------------------------------------------------------------------------- */

static bool grow(encoder *e, block *b, size_t more)
{
    size_t cap = b->cap > 0 ? b->cap : 1024;
    while (cap - b->len < more)
        cap *= 2;
    char *data = e->allocate(e->allocate_ud, b->data, b->cap, cap);
    if (data == NULL)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

static bool fail(encoder *e, const char *problem)
{
    e->problem = problem;
    return false;
}

/* Room for n more bytes of output: checked against the limit, the memory cap and overflow. */
static inline bool reserve(encoder *e, size_t n)
{
    block *b = &e->s->out;
    if (b->cap - b->len >= n)
        return true;
    if (b->len + n > (size_t)e->options.max_size + 6 * SHORT_STRING)
        return fail(e, "too large");
    return grow(e, b, n);
}

static inline bool put(encoder *e, const char *data, size_t n)
{
    if (!reserve(e, n))
        return false;
    memcpy(e->s->out.data + e->s->out.len, data, n);
    e->s->out.len += n;
    return true;
}

static inline bool put_byte(encoder *e, char c)
{
    return put(e, &c, 1);
}

/* The line break and indent before an item or a closing bracket. */
static bool put_line(encoder *e, lua_Integer depth)
{
    if (!e->options.pretty)
        return true;
    if (!put_byte(e, '\n'))
        return false;
    for (lua_Integer i = 0; i < depth; i++)
        if (!put(e, "  ", 2))
            return false;
    return true;
}

static bool put_string(encoder *e, const char *p, size_t n)
{
    slice text = {p, n};
    size_t size = n <= SHORT_STRING ? 6 * n + 2 : json_string_size(text);
    if (size == 0)
        return fail(e, "cannot encode a string that is not UTF-8 at %s");
    if (!reserve(e, size))
        return false;
    char *start = e->s->out.data + e->s->out.len;
    char *end = json_put_string(start, text);
    if (end == NULL)
        return fail(e, "cannot encode a string that is not UTF-8 at %s");
    e->s->out.len += (size_t)(end - start);
    return true;
}

/* The path of an error, from the inside out ---------------------------------------------------- */

static void prepend(encoder *e, const char *text, size_t n)
{
    if (e->path_cut || n + 3 > e->path_at) {
        if (!e->path_cut && e->path_at >= 3) {
            e->path_at -= 3;
            memcpy(e->path + e->path_at, "...", 3);
        }
        e->path_cut = true;
        return;
    }
    e->path_at -= n;
    memcpy(e->path + e->path_at, text, n);
}

static bool is_name(slice key)
{
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return key.n > 0;
}

static bool at_index(encoder *e, lua_Integer index)
{
    char text[32];
    int n = snprintf(text, sizeof text, "[%lld]", (long long)index);
    prepend(e, text, (size_t)n);
    return false;
}

static bool at_key(encoder *e, slice key)
{
    bool name = is_name(key);
    if (!name)
        prepend(e, "\"]", 2);
    prepend(e, key.p, key.n);
    prepend(e, name ? "." : "[\"", name ? 1 : 2);
    return false;
}

/* Arrays -------------------------------------------------------------------------------------- */

static bool write_item(encoder *e, lua_Integer index)
{
    if (index > 1 && !put_byte(e, ','))
        return false;
    if (!put_line(e, e->depth))
        return false;
    return write_value(e, lua_gettop(e->L)) || at_index(e, index);
}

/* The keys from the one at the top on: how many, and the largest; false: one is no index. */
static bool survey(encoder *e, int table, lua_Integer *count, lua_Integer *largest)
{
    lua_State *L = e->L;
    bool fine = true;
    while (fine) {
        fine = lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1;
        if (fine) {
            lua_Integer key = lua_tointeger(L, -1);
            *largest = key > *largest ? key : *largest;
            ++*count;
        } else {
            fail(e, lua_type(L, -1) == LUA_TNUMBER && lua_isinteger(L, -1)
                        ? "cannot encode a table with an index below 1 at %s"
                        : "cannot encode a table with both indexes and names as keys at %s");
        }
        if (!lua_next(L, table))
            return fine;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return false;
}

/* Items 1 to done are written and the key at the top is not done + 1: it has holes, or its items
 * lie in another order. Holes are null, as long as they are not most of it. */
static bool write_sparse(encoder *e, int table, lua_Integer done)
{
    lua_Integer count = done, largest = done;
    if (!survey(e, table, &count, &largest))
        return false;
    if (largest > 16 && largest / 2 > count)
        return fail(e, "cannot encode an array with so many holes at %s: use names as keys");
    for (lua_Integer i = done + 1; i <= largest; i++) {
        lua_rawgeti(e->L, table, i);
        if (!write_item(e, i))
            return false;
        lua_pop(e->L, 1);
    }
    return true;
}

/* The first key is at the top, its value above it. */
static bool write_items(encoder *e, int table)
{
    lua_State *L = e->L;
    lua_Integer done = 0;
    do {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != done + 1) {
            lua_pop(L, 1);
            return write_sparse(e, table, done);
        }
        if (!write_item(e, ++done))
            return false;
        lua_pop(L, 1);
    } while (lua_next(L, table));
    return true;
}

/* Objects ------------------------------------------------------------------------------------- */

static bool write_member(encoder *e)
{
    lua_State *L = e->L;
    if (lua_type(L, -2) != LUA_TSTRING)
        return fail(e, lua_type(L, -2) == LUA_TNUMBER
                           ? "cannot encode a table with both indexes and names as keys at %s"
                           : "cannot encode a key that is neither a string nor an index at %s");
    slice key;
    key.p = lua_tolstring(L, -2, &key.n);
    if (!put_line(e, e->depth) || !put_string(e, key.p, key.n) || !put_byte(e, ':') ||
        (e->options.pretty && !put_byte(e, ' ')))
        return false;
    return write_value(e, lua_gettop(L)) || at_key(e, key);
}

static bool write_members(encoder *e, int table)
{
    bool first = true;
    do {
        if ((!first && !put_byte(e, ',')) || !write_member(e))
            return false;
        first = false;
        lua_pop(e->L, 1);
    } while (lua_next(e->L, table));
    return true;
}

/* When the time is used up the order is no matter any more. */
static int compare_members(const void *a, const void *b)
{
    if (guard_over())
        return 0;
    const member *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->key_size < y->key_size ? x->key_size : y->key_size);
    return order != 0 ? order : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static bool note_member(encoder *e, size_t start)
{
    block *b = &e->s->members;
    if (b->cap - b->len < sizeof(member) && !grow(e, b, sizeof(member)))
        return false;
    member m = {.start = start, .size = e->s->out.len - start};
    m.key = lua_tolstring(e->L, -2, &m.key_size);
    memcpy(b->data + b->len, &m, sizeof m);
    b->len += sizeof m;
    return true;
}

/* Copies the members from `first` on behind the output in order, then back over their old place. */
static bool order_members(encoder *e, size_t first, size_t start)
{
    block *out = &e->s->out, *noted = &e->s->members;
    size_t n = (noted->len - first) / sizeof(member);
    member *m = (member *)(void *)(noted->data + first);
    qsort(m, n, sizeof *m, compare_members);
    size_t total = out->len - start + n - 1;
    if (out->cap - out->len < total && !grow(e, out, total))
        return false;
    char *to = out->data + out->len;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            *to++ = ',';
        memcpy(to, out->data + m[i].start, m[i].size);
        to += m[i].size;
    }
    memmove(out->data + start, out->data + out->len, total);
    out->len = start + total;
    noted->len = first;
    return true;
}

static bool write_sorted(encoder *e, int table)
{
    size_t first = e->s->members.len, start = e->s->out.len;
    do {
        size_t at = e->s->out.len;
        if (!write_member(e) || !note_member(e, at))
            return false;
        lua_pop(e->L, 1);
    } while (lua_next(e->L, table));
    return order_members(e, first, start);
}

/* Values -------------------------------------------------------------------------------------- */

static bool is_array(const encoder *e, int index)
{
    if (!lua_getmetatable(e->L, index))
        return false;
    bool same = lua_topointer(e->L, -1) == e->array_mt;
    if (!same) {
        lua_pushliteral(e->L, JSON_ARRAY_MARK);
        same = lua_rawget(e->L, -2) != LUA_TNIL;
        lua_pop(e->L, 1);
    }
    lua_pop(e->L, 1);
    return same;
}

/* The first pair is on the stack. */
static bool write_pairs(encoder *e, int table, bool object)
{
    if (++e->depth > e->options.max_depth)
        return fail(e, "cannot encode this many levels (a cycle?) at %s");
    if (!put_byte(e, object ? '{' : '['))
        return false;
    bool done = !object           ? write_items(e, table)
                : e->options.sort ? write_sorted(e, table)
                                  : write_members(e, table);
    e->depth--;
    return done && put_line(e, e->depth) && put_byte(e, object ? '}' : ']');
}

static bool write_table(encoder *e, int table)
{
    lua_State *L = e->L;
    if (!lua_checkstack(L, 12))
        return fail(e, NULL);
    if (read_only_behind(L, table))
        lua_replace(L, table);
    bool array = is_array(e, table);
    lua_pushnil(L);
    if (!lua_next(L, table))
        return put(e, array ? "[]" : "{}", 2);
    return write_pairs(e, table, !array && !lua_isinteger(L, -2));
}

static bool write_number(encoder *e, int index)
{
    if (!reserve(e, NUMBER_ROOM))
        return false;
    block *out = &e->s->out;
    char *start = out->data + out->len, *end;
    if (lua_isinteger(e->L, index)) {
        end = number_put_integer(start, lua_tointeger(e->L, index));
    } else {
        double value = lua_tonumber(e->L, index);
        if (!isfinite(value))
            return fail(e, isnan(value) ? "cannot encode NaN at %s"
                                        : "cannot encode an infinite number at %s");
        end = number_put_float(start, value);
    }
    out->len += (size_t)(end - start);
    return true;
}

static bool write_marker(encoder *e, int index)
{
    const void *p = lua_touserdata(e->L, index);
    if (p == NULL)
        return put(e, "null", 4);
    if (p == json_empty_array())
        return put(e, "[]", 2);
    return fail(e, "cannot encode a userdata at %s");
}

static bool write_value(encoder *e, int index)
{
    size_t n;
    const char *text;
    if (guard_over())
        return fail(e, GUARD_MESSAGE);
    switch (lua_type(e->L, index)) {
    case LUA_TNIL:
        return put(e, "null", 4);
    case LUA_TBOOLEAN:
        return lua_toboolean(e->L, index) ? put(e, "true", 4) : put(e, "false", 5);
    case LUA_TNUMBER:
        return write_number(e, index);
    case LUA_TSTRING:
        text = lua_tolstring(e->L, index, &n);
        return put_string(e, text, n);
    case LUA_TTABLE:
        return write_table(e, index);
    case LUA_TLIGHTUSERDATA:
        return write_marker(e, index);
    case LUA_TFUNCTION:
        return fail(e, "cannot encode a function at %s");
    case LUA_TTHREAD:
        return fail(e, "cannot encode a coroutine at %s");
    default:
        return fail(e, "cannot encode a userdata at %s");
    }
}

/* The scratch userdata and the top level ------------------------------------------------------- */

static void release(lua_State *L, block *b, size_t keep)
{
    b->len = 0;
    if (b->cap <= keep)
        return;
    void *ud;
    lua_Alloc allocate = lua_getallocf(L, &ud);
    allocate(ud, b->data, b->cap, 0);
    *b = (block){0};
}

static int free_scratch(lua_State *L)
{
    scratch *s = lua_touserdata(L, 1);
    release(L, &s->out, 0);
    release(L, &s->members, 0);
    return 0;
}

void json_push_scratch(lua_State *L)
{
    scratch *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (scratch){0};
    if (luaL_newmetatable(L, SCRATCH_TYPE)) {
        lua_pushcfunction(L, free_scratch);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
}

static int raise_problem(lua_State *L, encoder *e)
{
    if (e->problem == NULL)
        return luaL_error(L, "not enough memory");
    if (strcmp(e->problem, "too large") == 0)
        return luaL_error(L, "cannot encode more than %I bytes (option max_size)",
                          e->options.max_size);
    const char *path = e->path_at == PATH_BYTES - 1 ? "the top" : e->path + e->path_at;
    return luaL_error(L, e->problem, path);
}

static bool run(encoder *e, lua_State *L, int arg, scratch *s, const json_encode_options *options)
{
    *e = (encoder){.L = L, .s = s, .options = *options, .path_at = PATH_BYTES - 1};
    e->allocate = lua_getallocf(L, &e->allocate_ud);
    s->out.len = s->members.len = 0;
    luaL_getmetatable(L, JSON_ARRAY_TYPE);
    e->array_mt = lua_topointer(L, -1);
    int top = lua_gettop(L);
    bool done = write_value(e, arg);
    lua_settop(L, top - 1);
    if (done && s->out.len > (size_t)options->max_size)
        done = fail(e, "too large");
    return done;
}

void json_encode(lua_State *L, int arg, int scratch_index, const json_encode_options *options)
{
    scratch *s = lua_touserdata(L, scratch_index);
    encoder e;
    luaL_argcheck(L, options->max_size >= 0, 2, "option 'max_size' must not be negative");
    bool done = run(&e, L, arg, s, options);
    if (!done && e.problem == NULL) { /* at the cap: the collector may make room, as Lua does it */
        lua_gc(L, LUA_GCCOLLECT, 0);
        done = run(&e, L, arg, s, options);
    }
    if (done)
        lua_pushlstring(L, s->out.data, s->out.len);
    release(L, &s->out, KEEP_BYTES);
    release(L, &s->members, KEEP_BYTES);
    if (!done)
        raise_problem(L, &e);
}
