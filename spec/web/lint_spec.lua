-- Warnings about Lua files, as `lunacast check` prints them.
local lint = require "cli.lint"

local function warnings(source, globals)
  local lines = {}
  for i, warning in ipairs(lint(source, globals)) do
    lines[i] = warning.line .. " " .. warning.message
  end
  return lines
end


describe("the lint", function()
  it("finds globals that nobody knows", function()
    assert.same({ "2 no global is named prnt: a typo, or a missing `local`?" },
      warnings "local x = 1\nprnt(x)")
    assert.same({ "1 assignment to the global count: declare it with `local`" },
      warnings "count = 1")
    assert.same({ "1 assignment to the global helper: declare it with `local`" },
      warnings "function helper() end")
    assert.same({}, warnings("describe('x', print)", { "describe" }))
  end)

  it("finds locals that nobody reads", function()
    assert.same({ "1 hub is never used" }, warnings "local hub = require 'host.hub'\nreturn {}")
    assert.same({ "1 n is set, but never read" }, warnings "local n = 1\nn = 2")
    assert.same({ "1 f is never used" }, warnings "local function f() end")
    assert.same({}, warnings "local _unused, used = 1, 2 return used")
  end)

  it("does not take arguments, loop variables and things to close for mistakes", function()
    assert.same({}, warnings "return function(req, next) return 1 end")
    assert.same({}, warnings "for i = 1, 3 do print 'x' end for k, v in pairs {} do print(v) end")
    assert.same({}, warnings "local lock <close> = setmetatable({}, {})")
  end)

  it("knows scopes", function()
    assert.same({ "1 no global is named x: a typo, or a missing `local`?" },
      warnings "do local x = 1; print(x) end print(x)")
    assert.same({ "1 x is never used" }, warnings "local x = 1 do local x = 2 print(x) end")
    assert.same({}, warnings "repeat local done = true until done")
    assert.same({}, warnings "local function fact(n) return n * fact(n - 1) end return fact")
    assert.same({ "1 no global is named g: a typo, or a missing `local`?", "1 g is never used" },
      warnings "local g = function() return g() end")
  end)

  it("knows what is a name and what is a field, a key, a text or a comment", function()
    assert.same({}, warnings [==[
      local t = { key = 1, ["a" .. "b"] = 2, other = { deep = 3 } } -- nothing = 1
      --[[ nothing
      at all ]]
      local s = [[ nothing ]] .. "nothing \" nothing" .. 'x'
      t.field.more = s
      t:method "text"
      t[s] = 0xFFp2 + 1e-3 .. .5
      goto done
      ::done::
      return t, #s
    ]==])
  end)

  it("knows methods, and calls without parentheses", function()
    assert.same({}, warnings [[
      local M = {}
      function M:get(name) return self[name] end
      function M.new(...) return setmetatable({ ... }, { __index = M }) end
      local made = M.new { 1 }
      made:get "x"
      return M
    ]])
  end)

  it("says each once, in the order of lines", function()
    assert.same({
      "1 a is never used",
      "3 no global is named b: a typo, or a missing `local`?",
    }, warnings "local a\n\nreturn b")
  end)
end)
