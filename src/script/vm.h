/* A Lua VM of one worker: its memory cap, its budget for time, its tasks, its modules. Design rule:
 * a function whose first parameter is `lua_State *L` may raise (longjmp) and lives only in this
 * folder; all others never raise. */
#pragma once
#include "script.h"
#include "slice.h"
#include <lauxlib.h>
#include <lua.h>

vm *vm_of(lua_State *L);
const services *vm_services(vm *v);
/* This worker's end of the store, for a script that asks for it; NULL: there is none. */
struct store_port *vm_store(vm *v);
const vm_options *vm_settings(vm *v);
lua_State *vm_main(vm *v);

/* The one gateway from C into Lua outside of tasks: runs fn(L) protected, with `data` as light
 * userdata argument 1. 0, or -1 with message and traceback in error (cut to its size). */
int vm_protect(vm *v, lua_CFunction fn, void *data, char *error, size_t error_size);

/* For bindings ------------------------------------------------------------------------------- */

/* The world's failure: pushes nil, message, code and returns 3. */
int vm_fail(lua_State *L, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Raises when the script's time is used up: for loops in C that a script can make long. */
void vm_check_time(lua_State *L);
/* The bytes of the string argument; they live as long as the argument stays on the stack. */
slice vm_check_slice(lua_State *L, int arg);
void vm_push_slice(lua_State *L, slice s);
/* Pushes the registry's table of weak keys below `key`, made at its first use. */
void vm_push_weak(lua_State *L, const void *key);
/* A field of the options table at `arg` (nil or absent table: the default); a wrong type raises,
 * naming the option. */
lua_Integer vm_opt_integer(lua_State *L, int arg, const char *name, lua_Integer missing);
lua_Number vm_opt_number(lua_State *L, int arg, const char *name, lua_Number missing);
bool vm_opt_boolean(lua_State *L, int arg, const char *name, bool missing);
/* Leaves the string on the stack (so that it lives); a nil is pushed when it is missing. */
slice vm_opt_slice(lua_State *L, int arg, const char *name, slice missing);

/* Every luaopen_host_<name> in this folder, ended by a NULL name (preload.c). */
extern const luaL_Reg vm_modules[];
