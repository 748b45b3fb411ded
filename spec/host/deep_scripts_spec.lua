-- Endless recursion, by all the ways there are to it: it ends with an error, and what comes after it
-- (unwinding, closing, the trace, the collector) is no longer than the recursion was. Measured is
-- the server's CPU time, so that a busy machine fails nothing; the trace alone once took 1.5 s.
local nasty = require "spec.support.nasty"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local MOST_MS = 600 -- the budget is 80 ms; the rest is for the sanitizers and a cold cache

local CASES = {
  plain = "local function f() return 1 + f() end return f()",
  in_pcall = "local function f() return 1 + f() end while true do pcall(f) end",
  in_handler_of_xpcall = "local function f() return 1 + f() end xpcall(f, f) error 'x'",
  error_kept = "local function f() return 1 + f() end error(select(2, pcall(f)))",
  long_arguments = "local function f(...) return 1 + f(...) end return f(table.unpack({}, 1, 200))",
  many_locals = "local function f() local a, b, c, d, e, g, h, i, j, k, l, m, n, o, p = 1 return 1 + f() end return f()",
  in_coroutine = "local function f() return 1 + f() end return coroutine.wrap(f)()",
  in_many_coroutines = "local function f() return 1 + f() end while true do pcall(coroutine.wrap(f)) end",
  kept_coroutines = [[
    local t = {}
    local function f() return 1 + f() end
    for i = 1, 100 do t[i] = coroutine.create(f) coroutine.resume(t[i]) end
    error 'x']],
  suspended_coroutines = [[
    local t = {}
    local function f(n) if n == 0 then coroutine.yield() end return 1 + f(n - 1) end
    for i = 1, 100 do t[i] = coroutine.create(f) coroutine.resume(t[i], 1e5) end
    error 'x']],
  in_replacement = "local function f() return 1 + f() end return (('x'):gsub('x', f))",
  in_comparison = "local function f() return 1 + f() end table.sort({ 3, 2, 1 }, f)",
  in_metamethod = "local t = {} setmetatable(t, { __index = function(_, k) return t[k + 1] + 1 end }) return t[1]",
  each_closed = "local function f() local x <close> = setmetatable({}, { __close = function() end }) return 1 + f() end f()",
  each_fails_to_close = [[
    local function f() local x <close> = setmetatable({}, { __close = function() error 'again' end }) return 1 + f() end
    f()]],
  each_closed_in_replacement = [[
    local function f() local x <close> = setmetatable({}, { __close = function() end }) return 1 + f() end
    return (('x'):gsub('x', f))]],
  each_closes_deep = [[
    local function g() return 1 + g() end
    local function f() local x <close> = setmetatable({}, { __close = g }) return 1 + f() end
    f()]],
  concatenation = "local function f(x) return x .. f(x) end return f 'x'",
  thrown = "local function f(n) if n == 0 then error 'deep' end return 1 + f(n - 1) end return f(15e4)",
}


describe("of endless recursion", function()
  it("every kind is an error at a bounded cost", function()
    local app = server.start { workers = 1, set = { ["log.access"] = false },
      files = { ["lua/routes/deep.lua"] = nasty.routes("deep", CASES) } }
    wait.pause(1)
    assert.same({}, nasty.ask_all(app, "deep", CASES, MOST_MS))
    app:stop()
  end)

  it("the trace of a deep one shows the newest calls", function()
    local app = server.start { workers = 1, set = { ["log.access"] = false },
      files = { ["lua/routes/deep.lua"] = nasty.routes("deep", CASES) } }
    app:get "/deep/thrown"
    local trace = app:logged("a request failed").trace
    assert.matches("^[^\n]+/lua/routes/deep.lua:%d+: deep\nstack traceback:\n", trace)
    assert.matches("lua/routes/deep.lua:%d+: in upvalue 'f'\n.*%(more than 200 calls%)$", trace)
    app:stop()
  end)
end)
