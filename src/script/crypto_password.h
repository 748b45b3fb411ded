/* The functions of host.crypto that hash passwords. */
#pragma once
#include <lua.h>

int crypto_password_hash(lua_State *L);
int crypto_password_verify(lua_State *L);
int crypto_needs_rehash(lua_State *L);
