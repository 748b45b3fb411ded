/* host.process: programs that tests and commands start. Their output is kept until it is taken; one
 * that is still alive at the end of the thread is killed.
 *
 *   start -> RUNNING --exit--> EXITED (output may still come) --> close
 *
 * What must never happen: a process that outlives the script that started it. */
#include "activity.h"
#include "buf.h"
#include "mem.h"
#include "task.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const char kind[] = "host.process";

enum { OUTPUT_MAX = 64 << 20, READ_BYTES = 64 << 10, WORDS_MAX = 1000 };

typedef struct {
    uv_pipe_t pipe;
    buf text;
    bool open;
} output;

typedef struct program {
    activity_object object;
    uv_process_t process;
    output out[2]; /* stdout, stderr */
    int open_handles;
    int64_t code;
    int signal;
    bool started, exited;
} program;

/* From the loop ----------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    program *p = handle->data;
    if (--p->open_handles > 0)
        return;
    buf_free(&p->out[0].text);
    buf_free(&p->out[1].text);
    free(p);
}

static void close_program(activity_object *o)
{
    program *p = LIST_ENTRY(o, program, object);
    if (p->started && !p->exited) {
        uv_process_kill(&p->process, SIGCONT);
        uv_process_kill(&p->process, SIGKILL);
    }
    uv_close((uv_handle_t *)&p->process, on_closed);
    uv_close((uv_handle_t *)&p->out[0].pipe, on_closed);
    uv_close((uv_handle_t *)&p->out[1].pipe, on_closed);
}

static void on_exit_of(uv_process_t *process, int64_t code, int signal)
{
    program *p = process->data;
    p->exited = true;
    p->code = code;
    p->signal = signal;
    activity_happened();
}

static output *output_of(uv_handle_t *handle)
{
    program *p = handle->data;
    return handle == (uv_handle_t *)&p->out[0].pipe ? &p->out[0] : &p->out[1];
}

static void on_alloc(uv_handle_t *handle, size_t wish, uv_buf_t *b)
{
    output *o = output_of(handle);
    (void)wish;
    if (o->text.len > OUTPUT_MAX)
        o->text.len = 0;
    buf_reserve(&o->text, READ_BYTES);
    *b = uv_buf_init(o->text.data + o->text.len, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    output *o = output_of((uv_handle_t *)stream);
    (void)b;
    if (n < 0) {
        o->open = false;
        uv_read_stop(stream);
    } else {
        o->text.len += (size_t)n;
    }
    activity_happened();
}

/* Starting ---------------------------------------------------------------------------------- */

/* The list at `arg` as a NULL-terminated array that a box on the stack keeps. */
static char **words_of(lua_State *L, int arg, const char *first)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_Integer n = luaL_len(L, arg);
    luaL_argcheck(L, n < WORDS_MAX, arg, "too many words");
    size_t at = 0;
    char **words = lua_newuserdatauv(L, ((size_t)n + 2) * sizeof *words, 0);
    if (first != NULL)
        words[at++] = (char *)first;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, arg, i); /* the table holds it */
        words[at++] = (char *)luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    words[at] = NULL;
    return words;
}

static program *new_program(lua_State *L)
{
    activity_object **box = activity_new_box(L, kind);
    program *p = mem_alloc(sizeof *p);
    uv_loop_t *loop = vm_services(vm_of(L))->loop;
    for (int i = 0; i < 2; i++) {
        uv_pipe_init(loop, &p->out[i].pipe, 0);
        p->out[i].pipe.data = p;
    }
    p->process.data = p;
    p->open_handles = 3;
    activity_add(box, &p->object, close_program);
    return p;
}

/* start(file, args, environment, folder?) -> process; environment: the list of NAME=value */
static int process_start(lua_State *L)
{
    const char *file = luaL_checkstring(L, 1);
    const char *folder = luaL_optstring(L, 4, NULL);
    lua_settop(L, 4);
    char **args = words_of(L, 2, file);
    char **environment = words_of(L, 3, NULL);
    activity_sweep();
    program *p = new_program(L);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out[0].pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out[1].pipe},
    };
    uv_process_options_t options = {.exit_cb = on_exit_of,
                                    .file = file,
                                    .args = args,
                                    .env = environment,
                                    .cwd = folder,
                                    .stdio = stdio,
                                    .stdio_count = 3};
    int status = uv_spawn(vm_services(vm_of(L))->loop, &p->process, &options);
    if (status != 0)
        return vm_fail(L, "spawn", "cannot start %s: %s", file, uv_strerror(status));
    p->started = true;
    for (int i = 0; i < 2; i++) {
        p->out[i].open = true;
        uv_read_start((uv_stream_t *)&p->out[i].pipe, on_alloc, on_read);
    }
    return 1;
}

/* Methods ----------------------------------------------------------------------------------- */

static program *check_program(lua_State *L)
{
    return LIST_ENTRY(activity_check(L, kind, "process"), program, object);
}

static int process_pid(lua_State *L)
{
    lua_pushinteger(L, check_program(L)->process.pid);
    return 1;
}

/* status() -> code, signal (nil while it runs), whether output may still come */
static int process_status(lua_State *L)
{
    const program *p = check_program(L);
    bool open = p->out[0].open || p->out[1].open;
    if (!p->exited) {
        lua_pushnil(L);
        lua_pushnil(L);
    } else {
        lua_pushinteger(L, (lua_Integer)p->code);
        lua_pushinteger(L, p->signal);
    }
    lua_pushboolean(L, open);
    return 3;
}

/* take() -> what was written since the last time to stdout, and to stderr */
static int process_take(lua_State *L)
{
    program *p = check_program(L);
    for (int i = 0; i < 2; i++) {
        buf *text = &p->out[i].text;
        lua_pushlstring(L, text->len > 0 ? text->data : "", text->len);
        text->len = 0;
    }
    return 2;
}

static int process_kill(lua_State *L)
{
    program *p = check_program(L);
    lua_Integer number = luaL_checkinteger(L, 2);
    lua_pushboolean(L, !p->exited && uv_process_kill(&p->process, (int)number) == 0);
    return 1;
}

/* environment() -> { NAME = value } of this process */
static int process_environment(lua_State *L)
{
    lua_newtable(L);
    for (char **at = environ; *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL)
            continue;
        lua_pushlstring(L, *at, (size_t)(equals - *at));
        lua_pushstring(L, equals + 1);
        lua_rawset(L, -3);
    }
    return 1;
}

static int push_path(lua_State *L, int (*read)(char *path, size_t *n), const char *what)
{
    char path[PATH_MAX];
    size_t n = sizeof path;
    if (read(path, &n) != 0)
        return vm_fail(L, "spawn", "%s is unknown", what);
    lua_pushlstring(L, path, n);
    return 1;
}

/* executable() -> the path of this program */
static int process_executable(lua_State *L)
{
    return push_path(L, uv_exepath, "the path of this program");
}

/* folder() -> the current one */
static int process_folder(lua_State *L)
{
    return push_path(L, uv_cwd, "the current folder");
}

int luaopen_host_process(lua_State *L)
{
    static const luaL_Reg methods[] = {{"pid", process_pid},
                                       {"status", process_status},
                                       {"take", process_take},
                                       {"kill", process_kill},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"start", process_start},
                                         {"environment", process_environment},
                                         {"executable", process_executable},
                                         {"folder", process_folder},
                                         {NULL, NULL}};
    activity_check_trusted(L, "host.process");
    activity_new_kind(L, kind, methods);
    luaL_newlib(L, functions);
    return 1;
}
