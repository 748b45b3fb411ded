-- host.event: tasks that wait for something; and host.task, where they come from.
local event = require "host.event"
local task = require "host.task"
local time = require "host.time"


describe("host.event", function()
  it("wakes all who wait, once", function()
    local e, woken = event.new(), {}
    for i = 1, 3 do
      task.spawn(function()
        local reached = e:wait()
        woken[#woken + 1] = { i, reached }
      end)
    end
    time.sleep(0.01)
    assert.same({}, woken)
    e:set()
    e:set()
    time.sleep(0.01)
    assert.same({ { 1, true }, { 2, true }, { 3, true } }, woken)
  end)

  it("stays set, so that nobody can come too late", function()
    local e = event.new()
    assert.is_false(e:is_set())
    e:set()
    assert.is_true(e:is_set())
    assert.is_true(e:wait())
    assert.is_true(e:wait(0))
  end)

  it("gives up after the time it was given, and goes on waiting for others", function()
    local e, late = event.new(), nil
    task.spawn(function() late = e:wait(10) end)
    assert.is_false(e:wait(0.02))
    e:set()
    time.sleep(0.01)
    assert.is_true(late)
  end)

  it("is set by the task that another one spawned while it waited", function()
    local e = event.new()
    task.spawn(function()
      time.sleep(0.01)
      e:set()
    end)
    collectgarbage()
    assert.is_true(e:wait(10))
  end)

  it("raises for what is no time and for what is no event", function()
    local e = event.new()
    assert.has_error(function() e:wait(-1) end)
    assert.has_error(function() e:wait(0 / 0) end)
    assert.has_error(function() e.wait({}) end)
  end)
end)


describe("host.task", function()
  it("forgets what was cancelled before it began", function()
    local kept = setmetatable({}, { __mode = "k" })
    for _ = 1, 100 do
      local argument = {}
      kept[argument] = true
      task.cancel(task.spawn(function() error "it was cancelled" end, argument))
    end
    time.sleep(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(kept))
  end)
end)
