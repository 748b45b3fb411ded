-- The arithmetic of the sliding window, with a clock and a store of the spec's own.
local fakes = require "spec.support.fakes"

local function counters(world)
  world.counted = {}
  return { counter = function(name)
    return { inc = function(_, by) world.counted[name] = (world.counted[name] or 0) + by end }
  end }
end


describe("a limiter", function()
  local world, limiter

  -- Begins at the edge of a window.
  before_each(function()
    world = {}
    local modules = { ["host.metrics"] = counters(world), ["host.crypto"] = {
      sha256 = function(text) return tostring(#text) end,
      base64_encode = function(text) return text end,
    } }
    local counted = world.counted
    world = fakes.install { modules = modules }
    world.counted = counted
    world.now = 1700000040 -- a multiple of 60
    limiter = require "web.limiter"
  end)

  local function new(limit, window)
    return limiter.new { name = "spec", limit = limit or 10, window = window or 60 }
  end

  local function taken(l, key, tries)
    local passed = 0
    for _ = 1, tries do
      if l:take(key) then passed = passed + 1 end
    end
    return passed
  end

  it("lets the limit pass, and no more", function()
    local l = new()
    assert.equal(10, taken(l, "ada", 50))
    assert.equal(10, taken(l, "bob", 50))
    assert.equal("10", world.store.get "limiter:spec:ada:28333334")
    assert.equal(80, world.counted.limiter_refused_total)
  end)

  it("says what remains, and how long until the window ends", function()
    local l = new(3)
    world.now = world.now + 20
    local ok, state = l:take "ada"
    assert.is_true(ok)
    assert.equal(3, state.limit)
    assert.equal(2, state.remaining)
    assert.is_true(math.abs(state.reset - 40) < 1e-4)
  end)

  it("counts the window before by the share that is still within reach", function()
    local l = new()
    assert.equal(10, taken(l, "ada", 10))
    world.now = world.now + 60
    assert.equal(0, taken(l, "ada", 5))
    world.now = world.now + 30
    assert.equal(5, taken(l, "ada", 20))
    world.now = world.now + 90
    assert.equal(10, taken(l, "ada", 20))
  end)

  it("says when one more can pass, and then it can", function()
    local l = new()
    taken(l, "ada", 10)
    local ok, state = l:take "ada"
    assert.is_false(ok)
    assert.equal(0, state.remaining)
    for _ = 1, 30 do
      world.now = world.now + state.reset - 0.01
      assert.is_false((l:take "ada"))
      world.now = world.now + 0.02
      assert.is_true((l:take "ada"))
      ok, state = l:take "ada"
      assert.is_false(ok)
      assert.is_true(state.reset > 0 and state.reset <= 120)
    end
  end)

  it("asks the store no more while a key is over its limit", function()
    local l = new(1)
    taken(l, "ada", 2)
    local asked = 0
    world.store.before = function() asked = asked + 1 end
    assert.equal(0, taken(l, "ada", 100))
    assert.equal(0, asked)
  end)

  it("blocks nobody for longer than two windows when the clock steps", function()
    local offset, time = 0, require "host.time"
    function time.now() return world.now + offset end
    for _, step in ipairs { -3600, 3600, -1e9, -1, 59 } do
      local l, key, waited = new(2), "key" .. step, 0
      taken(l, key, 5)
      offset = offset + step
      while not l:take(key) do
        world.now, waited = world.now + 1, waited + 1
        assert.is_true(waited <= 121)
      end
    end
  end)

  it("lets each worker count for itself while the store is away, and says so once", function()
    local l = new(5)
    taken(l, "ada", 3)
    world.store.before = function() return "gone", "unavailable" end
    assert.equal(5, taken(l, "ada", 20))
    assert.equal(20, world.counted.limiter_local_total)
    assert.equal(1, #world.logged)
    world.now = world.now + 2
    assert.equal(0, taken(l, "ada", 20))
    assert.equal(1, #world.logged)
    world.store.before = nil
    world.now = world.now + 2
    assert.equal(2, taken(l, "ada", 20))
    assert.equal(2, #world.logged)
  end)

  it("does not ask a store that is away more than once a second", function()
    local l = new(5)
    local asked = 0
    world.store.before = function() asked = asked + 1 return "gone", "unavailable" end
    taken(l, "ada", 20)
    assert.equal(1, asked)
  end)

  it("remembers no more keys than it may", function()
    local l = limiter.new { name = "spec", limit = 1, window = 60, keys = 100 }
    for i = 1, 10000 do l:take("key" .. i) end
    assert.is_true(l.seen:size() <= 100)
    world.store.before = function() return "gone", "unavailable" end
    for i = 1, 10000 do l:take("key" .. i) end
    assert.is_true(l.own:size() <= 100)
  end)

  it("puts no more new keys of a window into the store than it may, and limits the others alone", function()
    local l = limiter.new { name = "spec", limit = 3, window = 60, keys = 1000 }
    local function rows()
      local n = 0
      for _ in pairs(world.store.rows) do n = n + 1 end
      return n
    end
    assert.is_true((l:take "ada"))
    for i = 1, 200000 do l:take("key" .. i) end
    collectgarbage()
    local before = collectgarbage "count"
    for i = 200001, 400000 do l:take("key" .. i) end
    collectgarbage()
    assert.is_true(collectgarbage "count" < before * 1.2)
    assert.equal(1000, rows())
    assert.equal(0, #world.logged)
    assert.is_true((l:peek "late"))
    assert.equal(3, taken(l, "late", 3))
    assert.is_false((l:peek "late"))
    assert.equal(0, taken(l, "late", 10))
    world.now = world.now + 60
    assert.equal(3, taken(l, "bob", 10))
    assert.equal("3", world.store.get(("limiter:spec:bob:%d"):format(world.now // 60)))
  end)

  it("counts a long key by its hash", function()
    local l = new(1)
    assert.is_true((l:take(("x"):rep(2000))))
    assert.is_false((l:take(("x"):rep(2000))))
    assert.equal("1", world.store.get "limiter:spec:#2000:28333334")
  end)

  it("refuses options that make no sense", function()
    for _, options in ipairs {
      { name = "a b", limit = 1, window = 1 }, { name = "a", limit = 0, window = 1 },
      { name = "a", limit = 1, window = 0 }, { name = "a", limit = 0 / 0, window = 1 },
      { name = "a", limit = 1 }, { limit = 1, window = 1 },
    } do
      assert.has_error(function() limiter.new(options) end)
    end
  end)
end)
