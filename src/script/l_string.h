/* Bounded versions of library functions that would otherwise hold a C loop longer than a script's
 * time budget allows, put over the stock ones in an open state. */
#pragma once
#include "vm.h"

void l_string_install(lua_State *L); /* find, match, gmatch, gsub, rep */
void l_table_install(lua_State *L);  /* concat, insert, remove, move, sort; os.date */
