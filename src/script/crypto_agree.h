/* The functions of host.crypto that agree on keys and seal messages. */
#pragma once
#include "seal.h"
#include <lua.h>

int crypto_key_pair(lua_State *L);
int crypto_secret(lua_State *L);
int crypto_hkdf(lua_State *L);
/* Makes the types of the boxes, once per VM. */
void crypto_agree_types(lua_State *L);

/* The keys of the channel at `arg`; raises when it has none (any more). */
seal_channel *crypto_check_channel(lua_State *L, int arg);
/* The same, and they are the caller's from now on. */
seal_channel *crypto_take_channel(lua_State *L, int arg);
