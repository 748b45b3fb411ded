/* Password hashing for scripts: through the gate, onto the thread pool, back to the task.
 *
 *   call --gate_enter: room--> begin --> pool --> push
 *      \--line--> on_turn ------^    \
 *            \--task cancelled--> on_gone: freed
 *
 * Owner of an operation: itself, until its dispose. What must never happen: a password left in
 * freed memory; a place inside the gate kept by an operation that is gone. */
#include "crypto_password.h"

#include "config.h"
#include "gate.h"
#include "mem.h"
#include "offload.h"
#include "password.h"
#include <openssl/crypto.h>
#include <stdlib.h>

enum { LINE_DEFAULT = 64 };

typedef struct {
    offload offload;
    gate_pass pass;
    uv_loop_t *loop;
    bool cancelled;
    password_params params;
    char password[PASSWORD_MAX], hash[PASSWORD_HASH_MAX];
    size_t password_n, hash_n; /* hash_n 0: make one, else check against it */
    buf made;
    password_result result;
} operation;

static void dispose(void *data)
{
    operation *op = data;
    OPENSSL_cleanse(op->password, op->password_n);
    buf_free(&op->made);
    free(op);
}

static void run(offload *o)
{
    operation *op = (operation *)o;
    slice password = {op->password, op->password_n};
    if (op->hash_n > 0)
        op->result = password_verify(password, (slice){op->hash, op->hash_n});
    else if (password_hash(password, op->params, &op->made) != 0)
        op->result = PASSWORD_FAILED;
    gate_leave();
}

static void on_turn(gate_pass *p)
{
    operation *op = LIST_ENTRY(p, operation, pass);
    if (!op->cancelled) {
        offload_begin(op->loop, &op->offload);
        return;
    }
    gate_leave();
    dispose(op);
}

static void on_gone(gate_pass *p)
{
    dispose(LIST_ENTRY(p, operation, pass));
}

static void on_cancel(void *data)
{
    operation *op = data;
    op->cancelled = true;
    gate_abandon(&op->pass);
}

static int push(lua_State *L, void *data)
{
    const operation *op = data;
    if (op->result == PASSWORD_FAILED)
        return vm_fail(L, "memory", "there is no memory to hash a password now");
    if (op->result == PASSWORD_BAD_HASH)
        return vm_fail(L, "bad_hash",
                       "the stored password hash is not one of ours, or asks for "
                       "too much");
    if (op->hash_n > 0)
        lua_pushboolean(L, op->result == PASSWORD_MATCH);
    else
        lua_pushlstring(L, op->made.data, op->made.len);
    return 1;
}

static operation *new_operation(lua_State *L, slice password)
{
    task_token token = task_token_of(L);
    operation *op = mem_alloc(sizeof *op);
    op->offload = (offload){.token = token, .run = run, .push = push, .dispose = dispose};
    op->pass = (gate_pass){.on_turn = on_turn, .on_gone = on_gone};
    op->loop = vm_services(vm_of(L))->loop;
    memcpy(op->password, password.p, password.n);
    op->password_n = password.n;
    return op;
}

static int begin(lua_State *L, operation *op)
{
    const config *settings = vm_config(vm_of(L));
    size_t longest =
        settings != NULL ? (size_t)config_int(settings, "password.queue") : LINE_DEFAULT;
    switch (gate_enter(&op->pass, op->loop, longest)) {
    case GATE_FULL:
        dispose(op);
        return vm_fail(L, "busy", "%zu password hashes are waiting already", longest);
    case GATE_OPEN:
        offload_begin(op->loop, &op->offload);
        break;
    case GATE_WAIT:
        break;
    }
    return task_park(L, on_cancel, op);
}

/* The parameters at `arg`, or the settings'. */
static password_params check_params(lua_State *L, int arg)
{
    const config *settings = vm_config(vm_of(L));
    password_params p = password_default;
    if (settings != NULL)
        p = (password_params){(unsigned)config_int(settings, "password.ln"),
                              (unsigned)config_int(settings, "password.r"),
                              (unsigned)config_int(settings, "password.p")};
    if (!lua_isnoneornil(L, arg)) {
        luaL_checktype(L, arg, LUA_TTABLE);
        p.ln = (unsigned)vm_opt_integer(L, arg, "ln", p.ln);
        p.r = (unsigned)vm_opt_integer(L, arg, "r", p.r);
        p.p = (unsigned)vm_opt_integer(L, arg, "p", p.p);
    }
    if (!password_params_good(p))
        luaL_error(L,
                   "scrypt with ln=%d, r=%d, p=%d is out of bounds: ln 1 to 20, r 1 to 32, p 1 "
                   "to 16, at most 512 MiB and 8 times the work of ln=17, r=8, p=1",
                   (int)p.ln, (int)p.r, (int)p.p);
    return p;
}

int crypto_password_hash(lua_State *L)
{
    slice password = vm_check_slice(L, 1);
    password_params params = check_params(L, 2);
    if (!password_good(password))
        return vm_fail(L, "invalid", "a password has 1 to 1024 bytes and no NUL");
    operation *op = new_operation(L, password);
    op->params = params;
    return begin(L, op);
}

int crypto_password_verify(lua_State *L)
{
    slice password = vm_check_slice(L, 1), hash = vm_check_slice(L, 2);
    if (hash.n == 0 || hash.n > PASSWORD_HASH_MAX)
        return vm_fail(L, "bad_hash", "the stored password hash is not one of ours");
    if (!password_good(password)) {
        lua_pushboolean(L, false);
        return 1;
    }
    operation *op = new_operation(L, password);
    memcpy(op->hash, hash.p, hash.n);
    op->hash_n = hash.n;
    return begin(L, op);
}

int crypto_needs_rehash(lua_State *L)
{
    slice hash = vm_check_slice(L, 1);
    lua_pushboolean(L, password_needs_rehash(hash, check_params(L, 2)));
    return 1;
}
