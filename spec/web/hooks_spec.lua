local fakes = require "spec.support.fakes"

describe("hooks", function()
  local world, hooks, errors

  -- Hooks whose files are given as tables: { ["hooks.x"] = { connect = ... } }.
  local function load_with(files)
    local names = {}
    for name in pairs(files) do names[#names + 1] = name:match "%.(.+)$" .. ".lua" end
    world = fakes.install { files = { ["lua/hooks"] = names }, modules = files }
    hooks, errors = require "web.hooks", require "web.errors"
    hooks.load()
  end

  before_each(function() load_with {} end)

  it("are silent when nobody listens", function()
    assert.is_false(hooks.any "connect")
    assert.is_nil(hooks.run("connect", {}))
  end)

  it("come from the files of lua/hooks", function()
    load_with { ["hooks.a"] = { connect = function(context) context.seen = true end } }
    local context = {}
    assert.is_true(hooks.any "connect")
    assert.is_nil(hooks.run("connect", context))
    assert.is_true(context.seen)
  end)

  it("run in the order of their files, and stop at the first refusal", function()
    local order = {}
    local function mark(name, ...)
      local said = table.pack(...)
      return { publish = function()
        order[#order + 1] = name
        return table.unpack(said, 1, said.n)
      end }
    end
    load_with {
      ["hooks.c"] = mark "c",
      ["hooks.a"] = mark("a", true),
      ["hooks.b"] = mark("b", false, "not on Sundays", "closed"),
    }
    assert.same({ false, "not on Sundays", "closed" }, { hooks.run("publish", {}) })
    assert.same({ "a", "b" }, order)
  end)

  it("take nil with a message for a refusal, as of a failed look-up", function()
    hooks.add("publish", function() return nil, "Redis is away", "unavailable" end)
    assert.same({ false, "Redis is away", "unavailable" }, { hooks.run("publish", {}) })
  end)

  it("refuse with a message and a code of their own when the function names none", function()
    hooks.add("subscribe", function() return false end)
    assert.same({ false, "this is not allowed", "refused" }, { hooks.run("subscribe", {}) })
  end)

  it("refuse when a function fails that may refuse, and the log says why", function()
    hooks.add("connect", function() error "boom" end, "plugin x")
    local refused, _, code = hooks.run("connect", {})
    assert.is_false(refused)
    assert.equal("hook_failed", code)
    assert.equal("a hook failed", world.logged[1].message)
    assert.equal("plugin x", world.logged[1].fields.origin)
    assert.truthy(world.logged[1].fields.error:find "boom")
  end)

  it("go on when a function fails that is only told", function()
    local told = false
    hooks.add("close", function() error "boom" end)
    hooks.add("close", function() told = true end)
    assert.is_nil(hooks.run("close", {}))
    assert.is_true(told)
    assert.equal(1, #world.logged)
  end)

  it("take a thrown answer for the refusal, with its status", function()
    hooks.add("request", function() errors.throw(402, "no_credit", "pay first") end)
    assert.same({ false, "pay first", "no_credit", 402 }, { hooks.run("request", {}) })
    assert.same({}, world.logged)
  end)

  it("can be taken away, also while they run", function()
    local runs, undo = 0, nil
    undo = hooks.add("close", function()
      runs = runs + 1
      undo()
    end)
    hooks.add("close", function() runs = runs + 10 end)
    hooks.run("close", {})
    hooks.run("close", {})
    undo()
    assert.equal(21, runs)
    assert.is_true(hooks.any "close")
  end)

  it("around requests are put there once, while the scripts are loaded", function()
    local function handler(req) return req .. "!" end
    assert.equal(handler, hooks.around(handler))
    assert.has_error(function() hooks.add("request", print) end,
      "the hook request is added while scripts are loaded, not later")
    load_with { ["hooks.a"] = { response = function(c) c.response = c.response .. "?" end } }
    assert.equal("hi!?", hooks.around(handler)("hi"))
    hooks.add("close", print)
  end)

  it("fail the load when a file names no hook, or is no table", function()
    assert.has_error(function() load_with { ["hooks.a"] = { conect = print } } end,
      "lua/hooks/a.lua: no hook is named conect; there are close, connect, gone, message, "
        .. "publish, render, request, response, slow, subscribe")
    assert.has_error(function() load_with { ["hooks.a"] = { close = 1 } } end,
      "lua/hooks/a.lua: the hook close is a number, not a function")
    assert.has_error(function() load_with { ["hooks.a"] = true } end,
      "lua/hooks/a.lua: a hooks file returns a table, it returned a boolean")
  end)

  it("raise at the caller of add who names none", function()
    assert.has_error(function() hooks.add("conect", print) end)
  end)
end)
