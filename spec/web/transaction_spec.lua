-- What the end of a transaction means, and when its function runs again; over a handle that only notes.
local transaction = require "web.transaction"

describe("sql.transaction", function()
  local notes, plan, begun

  -- plan[i]: what the i-th attempt meets: { failure = code of a statement, commit = code }
  local function begin()
    begun = begun + 1
    local met = plan[begun] or {}
    if met.begin then return nil, "no connection", met.begin end
    local handle = {}
    function handle.query()
      if met.failure then return nil, "it failed", met.failure end
      return {}
    end
    function handle.failure() return met.failure end
    function handle.commit()
      notes[#notes + 1] = "commit"
      local code = met.failure or met.commit
      if code then return nil, "no commit", code, { unsure = code == "unavailable" } end
      return true
    end
    function handle.rollback() notes[#notes + 1] = "rollback" end
    return setmetatable(handle, { __close = function() notes[#notes + 1] = "close" end })
  end

  local run = transaction(begin)

  before_each(function() notes, plan, begun = {}, {}, 0 end)

  local function noted() return table.concat(notes, " ") end

  it("commits and passes on all that the function returned", function()
    assert.same({ 1, nil, 3, n = 3 }, table.pack(run(function() return 1, nil, 3 end)))
    assert.is_true(run(function() end))
    assert.is_false(run(function() return false end))
    assert.equal("commit close commit close commit close", noted())
  end)

  it("passes nil and a message on after the rollback", function()
    assert.same({ nil, "no", "code", 4, n = 4 }, table.pack(run(function() return nil, "no", "code", 4 end)))
    assert.equal("rollback close", noted())
  end)

  it("raises what the function raised after the rollback", function()
    local what = {}
    local ok, err = pcall(run, function() error(what) end)
    assert.is_false(ok)
    assert.equal(what, err)
    assert.equal("rollback close", noted())
  end)

  it("runs again after a conflict, wherever it came up", function()
    plan = { { failure = "conflict" }, { commit = "conflict" }, { failure = "conflict" } }
    local rounds = 0
    assert.equal("done", run(function(tx)
      rounds = rounds + 1
      if rounds == 3 then assert(tx.query "x") end
      return "done"
    end))
    assert.equal(4, begun)
  end)

  it("gives up after five conflicts", function()
    plan = { { commit = "conflict" }, { commit = "conflict" }, { commit = "conflict" }, { commit = "conflict" },
      { commit = "conflict" }, {} }
    local _, message, code = run(function() end)
    assert.equal("conflict", code)
    assert.is_truthy(message:find("5 times", 1, true))
    assert.equal(5, begun)
  end)

  it("never runs again after a lost connection", function()
    for _, met in ipairs { { begin = "unavailable" }, { failure = "unavailable" }, { commit = "unavailable" } } do
      plan, begun = { met }, 0
      local _, _, code = run(function(tx) return tx.query "x" end)
      assert.equal("unavailable", code)
      assert.equal(1, begun)
    end
  end)
end)
