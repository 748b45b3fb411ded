/* Tasks and VMs: what only C can show. Waits, cancels, late events, budgets, memory that runs out.
 */
#include "task.h"

#include "clock.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    task_token token;
    int cancels, disposals;
    lua_Integer value;
} wait;

static wait waits[8];
static int wait_count;

static int push_value(lua_State *L, void *data)
{
    lua_pushinteger(L, ((wait *)data)->value);
    return 1;
}

static void dispose(void *data)
{
    ((wait *)data)->disposals++;
}

static void cancel(void *data)
{
    ((wait *)data)->cancels++;
}

/* pause(): waits until the spec wakes it. */
static int l_pause(lua_State *L)
{
    task_token token = task_token_of(L);
    wait *w = &waits[wait_count++];
    w->token = token;
    return task_park(L, cancel, w);
}

/* slow_pause(): the same, but only after more CPU time than the budget allows. */
static int l_slow_pause(lua_State *L)
{
    for (uint64_t began = clock_us(); clock_us() - began < 200000;)
        ;
    return l_pause(L);
}

typedef struct {
    const char *code;
    task_outcome outcome;
    int ends, dones;
    char text[512];
} run;

static int fill(lua_State *L, void *data)
{
    run *r = data;
    lua_pushcfunction(L, l_pause);
    lua_setglobal(L, "pause");
    lua_pushcfunction(L, l_slow_pause);
    lua_setglobal(L, "slow_pause");
    if (luaL_loadstring(L, r->code) != LUA_OK)
        lua_error(L);
    return 0;
}

static int on_end(lua_State *L, task_outcome outcome, void *data)
{
    run *r = data;
    r->ends++;
    r->outcome = outcome;
    if (outcome != TASK_CANCELLED && lua_gettop(L) > 0)
        snprintf(r->text, sizeof r->text, "%s", luaL_tolstring(L, 1, NULL));
    return 0;
}

static void on_done(void *data)
{
    ((run *)data)->dones++;
}

static const task_ops ops = {fill, on_end, on_done};

static services none;

static vm *open_vm(size_t memory, uint64_t limit_us)
{
    vm_options options = {
        .memory_limit = memory, .warn_us = limit_us, .limit_us = limit_us, .folder = "."};
    memset(waits, 0, sizeof waits);
    wait_count = 0;
    vm *v = vm_new(&none, &options);
    assert_non_null(v);
    vm_booted(v);
    return v;
}

static void close_vm(vm *v)
{
    assert_int_equal(task_count(v), 0);
    vm_drop(v);
    assert_int_equal(vm_count(), 0);
    task_thread_exit();
}

/* For tasks that end before this returns, or whose end does not matter. */
static run start(vm *v, const char *code)
{
    static run r;
    r = (run){.code = code};
    task_start(v, &ops, &r);
    return r;
}

static void wake(int index, lua_Integer value)
{
    waits[index].value = value;
    task_wake(waits[index].token, push_value, dispose, &waits[index]);
}

static void a_task_without_a_wait_ends_before_start_returns(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = start(v, "return 'done'");
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.dones, 1);
    assert_int_equal(r.outcome, TASK_OK);
    assert_string_equal(r.text, "done");
    close_vm(v);
}

static void a_wait_goes_on_at_the_drain_with_the_value(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "return pause() + pause()"};
    task_start(v, &ops, &r);
    wake(0, 40);
    assert_int_equal(wait_count, 1);
    task_run_ready();
    assert_int_equal(wait_count, 2);
    assert_int_equal(waits[0].disposals, 1);
    wake(1, 2);
    task_run_ready();
    assert_string_equal(r.text, "42");
    close_vm(v);
}

static void waking_twice_or_late_only_disposes(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "return pause()"};
    task_start(v, &ops, &r);
    wake(0, 1);
    wake(0, 2);
    assert_int_equal(waits[0].disposals, 1);
    task_run_ready();
    assert_int_equal(waits[0].disposals, 2);
    wake(0, 3);
    assert_int_equal(waits[0].disposals, 3);
    assert_int_equal(r.ends, 1);
    close_vm(v);
}

static void a_token_does_not_find_the_next_task_in_its_place(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run a = {.code = "return pause()"}, b = {.code = "return pause()"};
    task_start(v, &ops, &a);
    wake(0, 1);
    task_run_ready();
    task_start(v, &ops, &b);
    wake(0, 2);
    task_run_ready();
    assert_int_equal(b.ends, 0);
    task_cancel(waits[0].token);
    assert_int_equal(b.ends, 0);
    wake(1, 7);
    task_run_ready();
    assert_string_equal(b.text, "7");
    close_vm(v);
}

static void cancelling_stops_the_operation_and_runs_close_variables(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "closed = 0\n"
                     "local x <close> = setmetatable({}, { __close = function() closed = 1 end })\n"
                     "pause()"};
    task_start(v, &ops, &r);
    task_cancel(waits[0].token);
    assert_int_equal(waits[0].cancels, 1);
    assert_int_equal(r.outcome, TASK_CANCELLED);
    assert_int_equal(r.dones, 1);
    assert_string_equal(start(v, "return closed").text, "1");
    assert_false(task_alive(waits[0].token));
    close_vm(v);
}

static void cancelling_a_woken_task_disposes_of_its_value(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "pause() reached = true"};
    task_start(v, &ops, &r);
    wake(0, 1);
    task_cancel(waits[0].token);
    assert_int_equal(waits[0].disposals, 1);
    assert_int_equal(waits[0].cancels, 0);
    task_run_ready();
    assert_string_equal(start(v, "return tostring(reached)").text, "nil");
    close_vm(v);
}

static void a_wait_inside_pcall_and_metamethods_works(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "local t = setmetatable({}, { __index = function() return pause() end })\n"
                     "local ok, n = pcall(function() return t.x end)\n"
                     "return tostring(ok) .. n"};
    task_start(v, &ops, &r);
    wake(0, 9);
    task_run_ready();
    assert_string_equal(r.text, "true9");
    close_vm(v);
}

static int push_failure(lua_State *L, void *data)
{
    (void)data;
    return luaL_error(L, "not enough memory");
}

static void a_wait_whose_result_could_not_be_pushed_does_not_spoil_the_next(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = {.code = "local ok, e = pcall(pause) return tostring(ok) .. pause()"};
    task_start(v, &ops, &r);
    task_wake(waits[0].token, push_failure, dispose, &waits[0]);
    task_run_ready();
    assert_int_equal(waits[0].disposals, 1);
    wake(1, 7);
    task_run_ready();
    assert_string_equal(r.text, "false7");
    assert_int_equal(waits[1].disposals, 1);
    close_vm(v);
}

static void a_wait_where_none_is_possible_says_so(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r =
        start(v, "return select(2, coroutine.resume(coroutine.create(function() pause() end)))");
    assert_non_null(strstr(r.text, "a coroutine of your own"));
    r = start(v, "return select(2, pcall(table.sort, {1, 2}, function() pause() end))");
    assert_non_null(strstr(r.text, "a C function"));
    r = start(v,
              "local x <close> = setmetatable({}, { __close = function() pause() end }) pause()");
    task_cancel(waits[0].token);
    assert_int_equal(wait_count, 1);
    close_vm(v);
}

static void an_error_comes_with_its_traceback(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = start(v, "local function inner() error('broken') end inner()");
    assert_int_equal(r.outcome, TASK_ERROR);
    assert_non_null(strstr(r.text, "broken"));
    r = start(v, "error(nil)");
    assert_int_equal(r.outcome, TASK_ERROR);
    r = start(v, "error(setmetatable({}, { __tostring = function() error('worse') end }))");
    assert_int_equal(r.outcome, TASK_ERROR);
    assert_int_equal(r.dones, 1);
    close_vm(v);
}

static void endless_loops_end(void **state)
{
    (void)state;
    static const char *const loops[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local function f() return f() end f()",
        "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) return t[1]",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "local x <close> = setmetatable({}, { __close = function() while true do end end })",
        "xpcall(function() while true do end end, function() while true do end end)",
        "return load(function() while true do end end)",
        "xpcall(error, function() while true do end end)",
        "local x <close> = setmetatable({}, { __close = function() while true do end end }) "
        "table.sort({3, 2, 1}, function() while true do end end)",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
    };
    vm *v = open_vm(64u << 20, 30000);
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        run r = start(v, loops[i]);
        assert_int_equal(r.ends, 1);
        assert_int_equal(r.dones, 1);
        r = start(v, "return 'alive'");
        assert_string_equal(r.text, "alive");
    }
    close_vm(v);
}

static void an_endless_close_of_a_cancelled_task_ends(void **state)
{
    (void)state;
    vm *v = open_vm(0, 30000);
    run r = {.code = "local x <close> = setmetatable({}, { __close = function() while true do end "
                     "end }) pause()"};
    task_start(v, &ops, &r);
    task_cancel(waits[0].token);
    assert_int_equal(r.outcome, TASK_CANCELLED);
    assert_int_equal(r.dones, 1);
    assert_string_equal(start(v, "return 'alive'").text, "alive");
    close_vm(v);
}

static void a_task_that_is_stopped_gives_back_what_it_holds(void **state)
{
    (void)state;
    vm *v = open_vm(0, 30000);
    run r = start(v, "held = 1\n"
                     "local x <close> = setmetatable({}, { __close = function() held = 0 end })\n"
                     "while true do end");
    assert_int_equal(r.outcome, TASK_ERROR);
    assert_string_equal(start(v, "return held").text, "0");
    close_vm(v);
}

static void a_wait_that_begins_over_the_budget_is_cancelled(void **state)
{
    (void)state;
    vm *v = open_vm(0, 30000);
    run r = start(v, "slow_pause()");
    assert_int_equal(r.outcome, TASK_ERROR);
    assert_int_equal(r.dones, 1);
    assert_int_equal(waits[0].cancels, 1);
    wake(0, 1); /* late: disposed of */
    assert_int_equal(waits[0].disposals, 1);
    close_vm(v);
}

static void a_memory_hog_ends_and_the_next_task_runs(void **state)
{
    (void)state;
    static const char *const hogs[] = {
        "return string.rep('x', 1 << 28)",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "local function f(...) return f(1, ...) end f()",
    };
    vm *v = open_vm(16u << 20, 5000000);
    for (size_t i = 0; i < sizeof hogs / sizeof *hogs; i++) {
        run r = start(v, hogs[i]);
        assert_int_equal(r.outcome, TASK_ERROR);
        assert_string_equal(start(v, "return 'alive'").text, "alive");
    }
    assert_true(vm_memory(v) <= 16u << 20);
    close_vm(v);
}

static void xpcall_calls_its_handler_and_passes_values(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run r = start(v, "local ok, a, b = xpcall(function(x, y) return y, x end, print, 1, 2)\n"
                     "return tostring(ok) .. a .. b");
    assert_string_equal(r.text, "true21");
    r = start(v, "local ok, e = xpcall(error, function(e) return 'handled ' .. e end, 'x')\n"
                 "return tostring(ok) .. e");
    assert_string_equal(r.text, "falsehandled x");
    r = start(v, "return select('#', xpcall(error, function() error('worse') end))");
    assert_string_equal(r.text, "2");
    run w = {.code = "return select(2, xpcall(function() return pause() end, print))"};
    task_start(v, &ops, &w);
    wake(0, 5);
    task_run_ready();
    assert_string_equal(w.text, "5");
    close_vm(v);
}

static void doors_are_closed(void **state)
{
    (void)state;
    static const char *const doors[] = {
        "return tostring(io) .. tostring(debug) .. tostring(package) .. tostring(dofile)",
        "return tostring(os.execute) .. tostring(os.exit) .. tostring(os.getenv)",
        "return tostring(string.dump) .. tostring(loadfile)",
        "return tostring(load('\\27Lua'))",
        "return tostring(getmetatable('')) == 'false' and 'nil' or 'open'",
        "return tostring(pcall(setmetatable, {}, { __gc = print })) == 'false' and 'nil' or 'open'",
        "return tostring(pcall(require, 'io')) == 'false' and 'nil' or 'open'",
        "return tostring(pcall(require, 'debug')) == 'false' and 'nil' or 'open'",
        "return tostring(pcall(require, 'package')) == 'false' and 'nil' or 'open'",
        "return tostring(pcall(require, 'web/../../etc')) == 'false' and 'nil' or 'open'",
    };
    vm *v = open_vm(0, 0);
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        run r = start(v, doors[i]);
        assert_int_equal(strncmp(r.text, "nil", 3), 0);
    }
    close_vm(v);
}

static void a_thread_that_a_script_holds_is_not_used_again(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    start(v, "held = coroutine.running()");
    run r = start(v, "return tostring(held == coroutine.running())");
    assert_string_equal(r.text, "false");
    close_vm(v);
}

static void a_script_can_neither_resume_nor_close_the_thread_of_another_task(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run w = {.code = "shared = coroutine.running() local n = pause() return n + 1"};
    task_start(v, &ops, &w);
    run r = start(v, "local ok, e = coroutine.resume(shared) return tostring(ok) .. e");
    assert_string_equal(r.text, "falsecannot resume a request's own coroutine");
    r = start(v, "return tostring(pcall(coroutine.close, shared))");
    assert_string_equal(r.text, "false");
    assert_int_equal(w.ends, 0);
    wake(0, 5);
    task_run_ready();
    assert_int_equal(w.ends, 1);
    assert_string_equal(w.text, "6");
    start(v, "shared = nil");
    close_vm(v);
}

static void many_tasks_leave_no_memory_behind(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    size_t before = 0;
    for (int i = 0; i < 20000; i++) {
        if (i == 10000)
            before = vm_memory(v);
        start(v, "local t = {} for i = 1, 10 do t[i] = i end return #t");
    }
    assert_true(vm_memory(v) < before * 2 + 65536);
    close_vm(v);
}

static void all_tasks_of_a_worker_can_be_cancelled(void **state)
{
    (void)state;
    vm *v = open_vm(0, 0);
    run a = {.code = "pause()"}, b = {.code = "pause()"};
    task_start(v, &ops, &a);
    task_start(v, &ops, &b);
    task_cancel_all();
    assert_int_equal(a.outcome, TASK_CANCELLED);
    assert_int_equal(b.dones, 1);
    close_vm(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_without_a_wait_ends_before_start_returns),
        cmocka_unit_test(a_wait_goes_on_at_the_drain_with_the_value),
        cmocka_unit_test(waking_twice_or_late_only_disposes),
        cmocka_unit_test(a_token_does_not_find_the_next_task_in_its_place),
        cmocka_unit_test(cancelling_stops_the_operation_and_runs_close_variables),
        cmocka_unit_test(cancelling_a_woken_task_disposes_of_its_value),
        cmocka_unit_test(a_wait_inside_pcall_and_metamethods_works),
        cmocka_unit_test(a_wait_whose_result_could_not_be_pushed_does_not_spoil_the_next),
        cmocka_unit_test(a_wait_where_none_is_possible_says_so),
        cmocka_unit_test(an_error_comes_with_its_traceback),
        cmocka_unit_test(endless_loops_end),
        cmocka_unit_test(an_endless_close_of_a_cancelled_task_ends),
        cmocka_unit_test(a_task_that_is_stopped_gives_back_what_it_holds),
        cmocka_unit_test(a_wait_that_begins_over_the_budget_is_cancelled),
        cmocka_unit_test(a_memory_hog_ends_and_the_next_task_runs),
        cmocka_unit_test(xpcall_calls_its_handler_and_passes_values),
        cmocka_unit_test(doors_are_closed),
        cmocka_unit_test(a_thread_that_a_script_holds_is_not_used_again),
        cmocka_unit_test(a_script_can_neither_resume_nor_close_the_thread_of_another_task),
        cmocka_unit_test(many_tasks_leave_no_memory_behind),
        cmocka_unit_test(all_tasks_of_a_worker_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
