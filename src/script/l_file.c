/* host.file: the application's files, read-only. They lie in the application's folder and, below
 * them, in the framework that travels in the binary; a file in the folder hides one of the same
 * name in the binary. `read` and `stat` wait, since a disk may be slow; `list` and `source` do not:
 * they are for the load, before anything is served, and for the error page of a developer.
 *
 * A wait is a job on libuv's thread pool. The job owns its memory, also when its task has gone; it
 * knows the task by its token only. What must never happen: a path that leaves the folder
 * (app_file.c). */
#include "app_file.h"
#include "buf.h"
#include "embedded.h"
#include "file_set.h"
#include "mem.h"
#include "task.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_MAX_BYTES = 1024, READ_MAX = 16 << 20, SOURCE_MAX = 1 << 20, NAMES_MAX = 10000 };

/* Reading ----------------------------------------------------------------------------------- */

typedef struct {
    char path[PATH_MAX_BYTES];
    const char *folder;
    size_t limit;
    bool contents; /* read; else only size and time */
    bool embedded; /* in the binary */
    char *data;    /* malloc'd */
    uint64_t size;
    double mtime;
    const char *code; /* NULL: it went well */
    char error[PATH_MAX_BYTES + 128];
} lookup;

static void fail(lookup *l, const char *code, const char *what)
{
    l->code = code;
    snprintf(l->error, sizeof l->error, "%s: %s", l->path, what);
}

static void read_all(lookup *l, int fd)
{
    size_t got = 0;
    l->data = malloc(l->size > 0 ? (size_t)l->size : 1);
    if (l->data == NULL) {
        fail(l, "too_large", "not enough memory");
        return;
    }
    while (got < l->size) {
        ssize_t n = read(fd, l->data + got, (size_t)l->size - got);
        if (n < 0) {
            fail(l, "unreadable", "cannot be read");
            return;
        }
        if (n == 0)
            break;
        got += (size_t)n;
    }
    l->size = got;
}

static void look_in_binary(lookup *l)
{
    const struct embedded_file *file = embedded_find(l->path);
    if (file == NULL) {
        l->code = "absent";
        return;
    }
    l->size = file->len;
    l->embedded = true;
    if (file->len > l->limit)
        fail(l, "too_large", "larger than the limit");
    else if (l->contents)
        l->data = mem_dup(file->data, file->len);
}

/* Blocks. */
static void look(lookup *l)
{
    struct stat info;
    int fd = app_file_open(l->folder, slice_of(l->path), &l->size, l->error, sizeof l->error);
    if (fd < 0) {
        look_in_binary(l);
        return;
    }
    if (fstat(fd, &info) == 0)
        l->mtime = (double)info.st_mtim.tv_sec + (double)info.st_mtim.tv_nsec / 1e9;
    if (l->size > l->limit)
        fail(l, "too_large", "larger than the limit");
    else if (l->contents)
        read_all(l, fd);
    close(fd);
}

static void set_path(lua_State *L, int arg, lookup *l)
{
    slice path = vm_check_slice(L, arg);
    luaL_argcheck(L, path.n > 0 && path.n < sizeof l->path && memchr(path.p, '\0', path.n) == NULL,
                  arg, "a path must be 1 to 1,023 bytes without NUL");
    memcpy(l->path, path.p, path.n);
    l->path[path.n] = '\0';
    l->folder = vm_settings(vm_of(L))->folder;
}

/* Waiting ----------------------------------------------------------------------------------- */

typedef struct {
    uv_work_t work;
    task_token token;
    vm *vm; /* held: the folder's name is its */
    lookup lookup;
} job;

static void free_job(void *data)
{
    job *j = data;
    free(j->lookup.data);
    vm_drop(j->vm);
    free(j);
}

static int push_job(lua_State *L, void *data)
{
    const lookup *l = &((job *)data)->lookup;
    if (l->code != NULL)
        return vm_fail(L, l->code, "%s", l->error);
    if (l->contents) {
        lua_pushlstring(L, l->data, (size_t)l->size);
        return 1;
    }
    lua_createtable(L, 0, 4);
    lua_pushboolean(L, l->embedded);
    lua_setfield(L, -2, "embedded");
    lua_pushinteger(L, (lua_Integer)l->size);
    lua_setfield(L, -2, "size");
    lua_pushnumber(L, l->mtime);
    lua_setfield(L, -2, "mtime");
    lua_pushliteral(L, "file");
    lua_setfield(L, -2, "type");
    return 1;
}

static void on_work(uv_work_t *work)
{
    look(&((job *)work->data)->lookup);
}

static void on_worked(uv_work_t *work, int status)
{
    job *j = work->data;
    (void)status;
    task_wake(j->token, push_job, free_job, j);
}

static int start_job(lua_State *L, bool contents, size_t limit)
{
    lookup l = {.contents = contents, .limit = limit};
    set_path(L, 1, &l);
    task_token token = task_token_of(L);
    job *j = mem_alloc(sizeof *j);
    j->lookup = l;
    j->token = token;
    j->vm = vm_hold(vm_of(L));
    j->work.data = j;
    uv_queue_work(vm_services(j->vm)->loop, &j->work, on_work, on_worked);
    return task_park(L, NULL, NULL);
}

/* read(path, { limit }) -> contents | nil, message, code */
static int file_read(lua_State *L)
{
    lua_Integer limit = vm_opt_integer(L, 2, "limit", READ_MAX);
    luaL_argcheck(L, limit >= 0 && limit <= READ_MAX, 2, "option 'limit' must be 0 to 16 MiB");
    return start_job(L, true, (size_t)limit);
}

/* stat(path) -> { size, mtime, type, embedded } | nil, message, code */
static int file_stat(lua_State *L)
{
    return start_job(L, false, SIZE_MAX);
}

/* At load ----------------------------------------------------------------------------------- */

/* source(path) -> text | nil */
static int file_source(lua_State *L)
{
    lookup l = {.contents = true, .limit = SOURCE_MAX};
    set_path(L, 1, &l);
    file_set *set = vm_opt_boolean(L, 2, "now", false) ? NULL : vm_settings(vm_of(L))->files;
    slice known;
    if (file_set_find(set, FILE_CONTENTS, slice_of(l.path), &known) && known.p != NULL &&
        known.n <= SOURCE_MAX) {
        vm_push_slice(L, known);
        return 1;
    }
    luaL_Buffer b;
    char *room = luaL_buffinitsize(L, &b, SOURCE_MAX);
    look(&l);
    if (l.code == NULL && !l.embedded)
        file_set_add(set, FILE_CONTENTS, slice_of(l.path), (slice){l.data, (size_t)l.size});
    if (l.code == NULL) {
        memcpy(room, l.data, (size_t)l.size);
        luaL_addsize(&b, (size_t)l.size);
    }
    free(l.data);
    if (l.code != NULL) {
        lua_pushnil(L);
        return 1;
    }
    luaL_pushresult(&b);
    return 1;
}

/* names[name] = true for each; names is on top. */
static void add_name(lua_State *L, const char *name, size_t n)
{
    lua_pushlstring(L, name, n);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
}

static void add_embedded(lua_State *L, slice folder)
{
    for (size_t i = 0; i < embedded_count; i++) {
        const char *name = embedded_files[i].name;
        if (strncmp(name, folder.p, folder.n) != 0 || name[folder.n] != '/')
            continue;
        name += folder.n + 1;
        add_name(L, name, strcspn(name, "/")); /* a file, or the folder that it lies in */
    }
}

/* The folder's names as one text, each with its NUL: Lua may raise, and then no DIR is open. False
 * with a message: it is there and can't be read. */
static bool read_names(const char *folder, slice path, buf *names, char *error, size_t error_size)
{
    int fd = app_folder_open(folder, path, error, error_size);
    if (fd < 0)
        return errno == ENOENT;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        snprintf(error, error_size, "%.*s: %s", (int)path.n, path.p, strerror(errno));
        close(fd);
        return false;
    }
    struct dirent *entry;
    for (int count = 0; count < NAMES_MAX && (entry = readdir(dir)) != NULL; count++) {
        if (entry->d_name[0] != '.')
            buf_append(names, entry->d_name, strlen(entry->d_name) + 1);
    }
    closedir(dir);
    return true;
}

static int push_names(lua_State *L)
{
    const buf *names = lua_touserdata(L, 1);
    slice folder = vm_check_slice(L, 2);
    bool own = lua_toboolean(L, 3);
    lua_newtable(L);
    if (!own)
        add_embedded(L, folder);
    for (size_t at = 0; at < names->len; at += strlen(names->data + at) + 1)
        add_name(L, names->data + at, strlen(names->data + at));
    return 1;
}

/* What was saved since this VM was built is of the next one: see file_set.h.
 * list(folder [, { own = true }]) -> the names in it, sorted, folders among them; empty where there
 * is none, raises where it can't be read: an application must not start without its routes */
static int file_list(lua_State *L)
{
    lookup l = {0};
    set_path(L, 1, &l);
    bool own = vm_opt_boolean(L, 2, "own", false);
    lua_settop(L, 1);
    lua_pushcfunction(L, push_names);
    buf names = {0};
    slice known;
    file_set *set = vm_settings(vm_of(L))->files;
    if (file_set_find(set, FILE_NAMES, slice_of(l.path), &known)) {
        buf_append_slice(&names, known);
    } else {
        if (!read_names(l.folder, slice_of(l.path), &names, l.error, sizeof l.error))
            return luaL_error(L, "%s", l.error);
        file_set_add(set, FILE_NAMES, slice_of(l.path), (slice){buf_cstr(&names), names.len});
    }
    lua_pushlightuserdata(L, &names);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, own);
    int status = lua_pcall(L, 3, 1, 0);
    buf_free(&names);
    if (status != LUA_OK)
        return lua_error(L);
    lua_newtable(L);
    lua_Integer count = 0;
    lua_pushnil(L);
    while (lua_next(L, 2) != 0) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, 3, ++count);
    }
    lua_getglobal(L, "table");
    lua_getfield(L, -1, "sort");
    lua_pushvalue(L, 3);
    lua_call(L, 1, 0);
    lua_settop(L, 3);
    return 1;
}

int luaopen_host_file(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", file_read},
                                         {"stat", file_stat},
                                         {"source", file_source},
                                         {"list", file_list},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
