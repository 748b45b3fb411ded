/* The table of C modules that scripts can require: one row per l_<name>.c. */
#include "vm.h"

const luaL_Reg vm_modules[] = {
    {NULL, NULL},
};
