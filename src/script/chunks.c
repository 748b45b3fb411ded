/* Parsing the framework is most of what a VM costs, and a reload makes one for every worker; so the
 * first VM that loads a file leaves its bytecode here (with all names and lines), and those after
 * it read that, seven times faster. It is our own bytecode, made by this very Lua from bytes in the
 * binary; scripts have no way to load any (sandbox.c).
 *
 * Owner: the process, for its whole life; entries are never changed or taken away. Two threads that
 * compile the same file at once: the first one's stays. What must never happen: bytecode of
 * anything else than an embedded file. */
#include "chunks.h"

#include "buf.h"
#include "mem.h"
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct {
    size_t n;
    char bytes[];
} compiled;

static _Atomic(compiled *) *entries; /* by the file's place among the embedded ones */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_entries(void)
{
    entries = mem_alloc((embedded_count + 1) * sizeof *entries);
}

static int collect(lua_State *L, const void *bytes, size_t n, void *data)
{
    (void)L;
    buf_append(data, bytes, n);
    return 0;
}

/* The function on top, as bytecode. */
static void keep(lua_State *L, _Atomic(compiled *) *entry)
{
    buf code = {0};
    lua_dump(L, collect, &code, 0);
    compiled *c = mem_alloc(sizeof *c + code.len);
    c->n = code.len;
    memcpy(c->bytes, code.data, code.len);
    buf_free(&code);
    compiled *none = NULL;
    if (!atomic_compare_exchange_strong(entry, &none, c))
        free(c);
}

void chunks_load(lua_State *L, const struct embedded_file *file)
{
    pthread_once(&once, make_entries);
    _Atomic(compiled *) *entry = &entries[file - embedded_files];
    const compiled *c = atomic_load(entry);
    const char *name = lua_pushfstring(L, "@%s", file->name);
    int status = c != NULL ? luaL_loadbufferx(L, c->bytes, c->n, name, "b")
                           : luaL_loadbufferx(L, file->data, file->len, name, "t");
    if (status != LUA_OK)
        lua_error(L);
    if (c == NULL)
        keep(L, entry);
    lua_remove(L, -2);
}
