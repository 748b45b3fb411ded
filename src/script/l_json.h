/* The two halves of host.json. */
#pragma once
#include "vm.h"

/* luaL_setmetatable(L, JSON_ARRAY_TYPE): a table that is encoded as an array even when empty. */
#define JSON_ARRAY_TYPE "host.json.array"
/* A field of another metatable that makes its tables arrays, too. */
#define JSON_ARRAY_MARK "__array"

/* Settings of one module instance; an upvalue of its functions. */
typedef struct {
    lua_Integer decode_depth, encode_depth;
} json_settings;

typedef struct {
    lua_Integer max_depth, max_size;
    bool sort, pretty;
} json_encode_options;

/* The value that stands for an empty array without being a table. */
void *json_empty_array(void);
/* Pushes the value of a text, by the settings of `require "host.json"`; false: pushes what is wrong
 * with it. The text lies outside of Lua and must stay. */
bool json_decode(lua_State *L, slice text);
/* Pushes the buffer that encode writes into; it is kept between calls. */
void json_push_scratch(lua_State *L);
/* Pushes the value at `arg` as JSON, using the scratch userdata at `scratch`; raises. */
void json_encode(lua_State *L, int arg, int scratch, const json_encode_options *options);
