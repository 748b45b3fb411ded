/* A stranger's template, rendered by the engine in an application's VM. Whatever it is, it gives
 * text within the limit or an error that names a place in it; nothing is raised, and nothing of the
 * program is reached. */
#include "script.h"
#include "vm.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 16384 };

static const char judge[] =
    "local template = require 'web.template'\n"
    "local env = template.environment { strict = true, autoescape = true,\n"
    "  limits = { steps = 20000, bytes = 65536, ms = 1000 } }\n"
    "local context = { x = 1, y = 2.5, s = 'a<b', a = { 3, 1, 2 }, o = { k = 'v', n = { 1 } },\n"
    "  ps = { { n = 'b', v = 2 }, { n = 'a', v = 1 } } }\n"
    "return function(text)\n"
    "  local output\n"
    "  local compiled, err = env:compile(text)\n"
    "  if compiled then output, err = compiled(context) end\n"
    "  if output then\n"
    "    assert(#output <= 65536, 'more than the limit')\n"
    "    assert(not output:find '0x%x%x%x%x%x%x' or text:find '0x', 'an address')\n"
    "  else\n"
    "    assert(type(err) == 'table' and #err.message > 0, 'no error')\n"
    "    assert(not err.message:find 'web/template', err.message)\n"
    "    assert(not err.line or err.line >= 1 and err.column >= 1, 'no place')\n"
    "    assert(#tostring(err) < 4096, 'a long error')\n"
    "  end\n"
    "end\n";

static vm *machine;
static int judge_ref;

static int load_judge(lua_State *L)
{
    if (luaL_loadbufferx(L, judge, sizeof judge - 1, "=judge", "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 1);
    judge_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int run_judge(lua_State *L)
{
    const slice *text = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, judge_ref);
    lua_pushlstring(L, text->p, text->n);
    lua_call(L, 1, 0);
    return 0;
}

static void protect(lua_CFunction f, void *data)
{
    char error[2048];
    if (vm_protect(machine, f, data, error, sizeof error) == 0)
        return;
    fprintf(stderr, "%s\n", error);
    abort();
}

static void close_machine(void)
{
    vm_drop(machine);
    task_thread_exit();
}

static void open_machine(void)
{
    static services none;
    vm_options options = {.folder = "."};
    machine = vm_new(&none, &options);
    if (machine == NULL)
        abort();
    protect(load_judge, NULL);
    vm_booted(machine);
    atexit(close_machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > LONGEST)
        return 0;
    if (machine == NULL)
        open_machine();
    slice text = {(const char *)data, size};
    protect(run_judge, &text);
    return 0;
}
