-- host.hub.subscribe: a task that receives what is published.
local event = require "host.event"
local hub = require "host.hub"
local task = require "host.task"
local time = require "host.time"


local function publish(topic, ...)
  for _, data in ipairs { ... } do hub.publish(topic, data, { mode = "log" }) end
end


describe("host.hub.subscribe", function()
  setup(function()
    hub.rules { { pattern = "s:kept*", mode = "log", history = { messages = 5000 } } }
  end)
  teardown(function() hub.rules {} end)

  it("gives each message to each subscription, in order", function()
    local a <close> = hub.subscribe("s:order", { mode = "log" })
    local b <close> = hub.subscribe("s:order", { mode = "log" })
    publish("s:order", "1", "2", "3")
    for _, sub in ipairs { a, b } do
      for i = 1, 3 do
        local data, lost = sub:next(5)
        assert.equal(tostring(i), data)
        assert.equal(0, lost)
      end
    end
    local data, message, code = a:next(0.01)
    assert.is_nil(data)
    assert.equal("nothing came in that time", message)
    assert.equal("timeout", code)
  end)

  it("wakes the task that waits", function()
    local sub <close> = hub.subscribe("s:wake", { mode = "log" })
    task.spawn(function()
      time.sleep(0.02)
      publish("s:wake", "now")
    end)
    assert.equal("now", (sub:next()))
  end)

  it("gives the newest of values only, also the one that was there before", function()
    local first <close> = hub.subscribe "s:value"
    hub.publish("s:value", "a")
    hub.publish("s:value", "b")
    assert.equal("b", (first:next(5)))
    local second <close> = hub.subscribe "s:value"
    assert.equal("b", (second:next(5)))
    assert.is_nil((first:next(0)))
  end)

  it("keeps at most 1,000 messages, and says how many were lost", function()
    local sub <close> = hub.subscribe("s:flood", { mode = "log" })
    for round = 1, 3 do
      for i = 1, 500 do publish("s:flood", ("%d"):format((round - 1) * 500 + i)) end
      time.sleep(0.01)
    end
    local data, lost = sub:next(5)
    assert.equal("501", data)
    assert.equal(500, lost)
    for i = 502, 1500 do
      data, lost = sub:next(0)
      assert.equal(tostring(i), data)
      assert.equal(0, lost)
    end
    assert.is_nil((sub:next(0)))
  end)

  it("tells when the topic ends, after what came before", function()
    local sub <close> = hub.subscribe("s:end", { mode = "log" })
    publish("s:end", "last")
    hub.close "s:end"
    time.sleep(0.02)
    assert.equal("last", (sub:next(5)))
    assert.equal("ended", select(3, sub:next(5)))
    assert.equal("ended", select(3, sub:next()))
  end)

  it("tells the waiting task when another one closes it", function()
    local sub = hub.subscribe("s:close", { mode = "log" })
    local over, code = event.new(), nil
    task.spawn(function()
      code = select(3, sub:next())
      over:set()
    end)
    time.sleep(0.01)
    assert.has_error(function() sub:next(1) end)
    sub:close()
    sub:close()
    assert.is_true(over:wait(5))
    assert.equal("closed", code)
    assert.equal("closed", select(3, sub:next()))
    assert.equal(0, hub.count "s:close")
  end)

  it("that is forgotten costs nothing once another one is made", function()
    for _ = 1, 50 do hub.subscribe("s:forgotten", { mode = "log" }) end
    assert.equal(50, hub.count "s:forgotten")
    collectgarbage()
    collectgarbage()
    local sub <close> = hub.subscribe("s:other", { mode = "log" })
    assert.is_true(hub.count "s:forgotten" <= 1)
    publish("s:other", "x")
    assert.equal("x", (sub:next(5)))
  end)

  it("that is forgotten ends with the next message, or with its topic", function()
    do hub.subscribe("s:gone", { mode = "log" }) end
    do hub.subscribe "s:gone" end
    collectgarbage()
    collectgarbage()
    publish("s:gone", "x")
    hub.publish("s:gone", "y")
    time.sleep(0.02)
    assert.equal(0, hub.count "s:gone")
  end)

  it("with a position gives what follows on it, and tells positions", function()
    local sub <close> = hub.subscribe("s:kept", { mode = "log" })
    publish("s:kept", "1", "2", "3")
    local positions = {}
    for i = 1, 3 do
      local data, lost, position = sub:next(5)
      assert.same({ tostring(i), 0 }, { data, lost })
      positions[i] = position
    end
    assert.matches("^%x+:1$", positions[1])
    local later <close> = hub.subscribe("s:kept", { mode = "log", since = positions[1] })
    publish("s:kept", "4")
    for i = 2, 4 do
      local data, lost, position = later:next(5)
      assert.same({ tostring(i), 0 }, { data, lost })
      if i < 4 then assert.equal(positions[i], position) end
    end
    assert.is_nil((later:next(0)))
  end)

  it("with a position takes a long history at its own pace, and loses nothing of it", function()
    publish("s:kept:long", "0")
    local sub <close> = hub.subscribe("s:kept:long", { mode = "log" })
    publish("s:kept:long", "first")
    local from = select(3, sub:next(5))
    for i = 1, 2500 do publish("s:kept:long", tostring(i)) end
    local later <close> = hub.subscribe("s:kept:long", { mode = "log", since = from })
    time.sleep(0.2)
    for i = 1, 2500 do
      local data, lost = later:next(5)
      assert.same({ tostring(i), 0 }, { data, lost })
    end
    publish("s:kept:long", "now")
    assert.equal("now", (later:next(5)))
  end)

  it("with a position that nobody knows says that something is missing", function()
    publish("s:kept", "5")
    local sub <close> = hub.subscribe("s:kept", { mode = "log", since = "abc:7" })
    local data, lost = sub:next(5)
    assert.equal("5", data)
    assert.is_true(lost > 0)
  end)

  it("raises for what is no topic, no mode and no time", function()
    assert.has_error(function() hub.subscribe "" end)
    assert.has_error(function() hub.subscribe("a", { mode = "often" }) end)
    local sub <close> = hub.subscribe "s:bad"
    assert.has_error(function() sub:next(-1) end)
    assert.has_error(function() sub:next(0 / 0) end)
  end)
end)
