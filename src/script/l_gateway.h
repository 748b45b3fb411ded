/* Plans of proxies, as response tables carry them. */
#pragma once
#include "proxy.h"
#include "vm.h"

/* NULL: the value is no plan. */
proxy_plan *gateway_plan_test(lua_State *L, int arg);
/* The table of request headers at `index` (nil: none), in the form of proxy_plan.set. Raises. */
void gateway_read_headers(lua_State *L, int index, buf *own);
