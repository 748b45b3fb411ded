/* host.json when memory runs out at any allocation: an error, no leak, and it works afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include <cmocka.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

int luaopen_host_json(lua_State *L);

typedef struct {
    size_t used;
    long left; /* allocations until failure; negative: never */
} heap;

static void *allocate(void *ud, void *old, size_t old_size, size_t size)
{
    heap *h = ud;
    if (old == NULL)
        old_size = 0;
    if (size == 0) {
        h->used -= old_size;
        free(old);
        return NULL;
    }
    if (size > old_size && h->left == 0)
        return NULL;
    if (size > old_size && h->left > 0)
        h->left--;
    void *p = realloc(old, size);
    if (p != NULL)
        h->used = h->used - old_size + size;
    return p;
}

static lua_State *open_json(heap *h)
{
    lua_State *L = lua_newstate(allocate, h);
    assert_non_null(L);
    luaL_requiref(L, "json", luaopen_host_json, 0);
    lua_setglobal(L, "json");
    return L;
}

static const char DOCUMENT[] =
    "{\"list\":[1,2.5,\"three\",null,true,[],{}],\"long\":\"\\n%s\",\"deep\":[[[[{\"a\":[1]}]]]],"
    "\"z\":1,\"y\":2,\"x\":{\"m\":1,\"l\":2}}";

/* Leaves the error, or nothing, on the stack. */
static int round_trip(lua_State *L)
{
    lua_getglobal(L, "json");
    lua_getfield(L, -1, "decode");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    int value = lua_gettop(L);
    lua_getfield(L, 2, "encode");
    lua_pushvalue(L, value);
    lua_newtable(L);
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "sort");
    lua_call(L, 2, 1);
    return 1;
}

static int attempt(lua_State *L)
{
    char *text = malloc(16384);
    char *filler = malloc(8001);
    memset(filler, 'x', 8000);
    filler[8000] = '\0';
    snprintf(text, 16384, DOCUMENT, filler);
    lua_pushcfunction(L, round_trip);
    lua_pushstring(L, text);
    free(text);
    free(filler);
    return lua_pcall(L, 1, 1, 0);
}

static void survives_the_failure_of_each_allocation(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        heap h = {.left = -1};
        lua_State *L = open_json(&h);
        lua_gc(L, LUA_GCSTOP);
        lua_settop(L, 0);
        lua_pushcfunction(L, round_trip); /* the argument is made outside of the failure */
        lua_pop(L, 1);
        assert_int_equal(attempt(L), LUA_OK);
        lua_settop(L, 0);

        char small[] = "{\"a\":[1,2,{\"b\":\"\\t\"}],\"c\":null}";
        lua_pushcfunction(L, round_trip);
        lua_pushstring(L, small);
        h.left = n;
        int status = lua_pcall(L, 1, 1, 0);
        h.left = -1;
        if (status == LUA_OK) {
            assert_string_equal(lua_tostring(L, -1), "{\"a\":[1,2,{\"b\":\"\\t\"}],\"c\":null}");
        } else {
            assert_non_null(strstr(lua_tostring(L, -1), "not enough memory"));
            lua_settop(L, 0);
            assert_int_equal(attempt(L), LUA_OK);
        }
        lua_close(L);
        assert_int_equal(h.used, 0);
        if (status == LUA_OK && n > 0)
            return;
    }
}

/* The first encode of a large value grows its buffer in steps; each may fail. */
static void gives_back_its_buffer_when_growing_it_fails(void **state)
{
    (void)state;
    long failures = 0;
    for (long n = 0; n < 400; n++) {
        heap h = {.left = -1};
        lua_State *L = open_json(&h);
        h.left = n;
        int status =
            luaL_dostring(L, "local t = {} for i = 1, 300 do t['k' .. i] = ('x'):rep(300) end "
                             "return #json.encode(t, {sort = true})");
        h.left = -1;
        failures += status != LUA_OK;
        lua_close(L);
        assert_int_equal(h.used, 0);
    }
    assert_true(failures > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_the_failure_of_each_allocation),
        cmocka_unit_test(gives_back_its_buffer_when_growing_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
