/* Bounded versions of library functions that would otherwise hold a C loop longer than a script's
 * time budget allows, put over the stock ones in an open state. */
#pragma once
#include "vm.h"

void l_string_install(lua_State *L); /* find, match, gmatch, gsub, rep */
void l_table_install(lua_State *L);  /* concat, insert, remove, move, sort; os.date;
                                         string.format, pack, packsize, unpack; utf8.len, char */
void l_cjson_bound(lua_State *L);    /* all of the module at the top */

/* Puts `function` over the field of the table at the top, which becomes its upvalue. */
void l_wrap(lua_State *L, const char *name, lua_CFunction function);
