/* A file as a task: `lunacast lua`, or the command line's own module for all other commands. It
 * gets the modules, timers and waits of the server. */
#include "task.h"

#include "mem.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    const char *file;
    int argc;
    char **argv;
    void (*on_end)(void *arg, int code);
    void *arg;
    int code;
} script;

static int load(lua_State *L, const char *file)
{
    static const char command_line[] = "return require('cli').main(...)";
    if (file != NULL)
        return luaL_loadfilex(L, file, "t");
    return luaL_loadbufferx(L, command_line, sizeof command_line - 1, "=lunacast", "t");
}

static int fill(lua_State *L, void *data)
{
    script *s = data;
    lua_createtable(L, s->argc, 1);
    lua_pushstring(L, s->file != NULL ? s->file : "lunacast");
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < s->argc; i++) {
        lua_pushstring(L, s->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
    if (load(L, s->file) != LUA_OK)
        lua_error(L);
    luaL_checkstack(L, s->argc, "too many arguments");
    for (int i = 0; i < s->argc; i++)
        lua_pushstring(L, s->argv[i]);
    return s->argc;
}

static int on_end(lua_State *L, task_outcome outcome, void *data)
{
    script *s = data;
    int code = outcome == TASK_OK ? 0 : 1;
    if (outcome == TASK_OK && lua_isinteger(L, 1))
        code = (int)lua_tointeger(L, 1);
    const char *problem = outcome == TASK_ERROR ? lua_tostring(L, 2) : NULL;
    if (problem != NULL)
        fprintf(stderr, "lunacast: %.*s\n", (int)script_error_useful(problem), problem);
    s->code = code;
    return 0;
}

static void on_done(void *data)
{
    script *s = data;
    s->on_end(s->arg, s->code);
    free(s);
}

void script_start(vm *v, const char *file, int argc, char **argv,
                  void (*ended)(void *arg, int code), void *arg)
{
    script *s = mem_alloc(sizeof *s);
    static const task_ops ops = {fill, on_end, on_done};
    *s = (script){file, argc, argv, ended, arg, 1};
    vm_booted(v);
    task_start(v, &ops, s);
}
