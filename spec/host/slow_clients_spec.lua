-- A client that does not read: what becomes of its subscription by the policy of the topic's rule.
local http = require "spec.support.http"
local json = require "host.json"
local time = require "host.time"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local COUNT, SIZE = 200, 60000 -- more than the kernel holds

local FILES = {
  ["config.lua"] = [[return { topics = {
    ["pause.*"] = { history = { messages = 1000, bytes = 40000000 }, slow = "pause" },
    ["short.*"] = { history = { messages = 10 }, slow = { ws = "pause" } },
    ["drop.*"] = { slow = "drop_oldest" },
    ["late.*"] = { slow = "drop_oldest", max_wait = 0.2 },
    ["rate.*"] = { slow = "drop_oldest", rate = 20 },
    ["latest.*"] = { slow = "latest" },
    ["cut.*"] = { slow = "disconnect" } } }]],
  ["lua/routes/spec.lua"] = [[
    local hub = require "host.hub"
    local web = require "web"
    return { path = "/flood/{topic}", POST = function(req)
      local key = hub.key("", "s", req.params.topic)
      for i = 1, tonumber(req.query.count) do
        hub.publish(key, ('{"n":%d,"x":"%s"}'):format(i, ("x"):rep(tonumber(req.query.size))),
          { mode = "log" })
        if i % 10 == 0 then require("host.time").sleep(0.001) end
      end
      return web.empty()
    end }]],
  ["lua/routes/values.lua"] = [[
    local hub = require "host.hub"
    local web = require "web"
    local identity = { user = "ann" }
    return {
      { path = "/values/mixed", GET = function() return web.mixed("value.mixed", { identity = identity }) end },
      { path = "/values/sse", GET = function() return web.sse("value.sse", { identity = identity }) end },
      { path = "/values/ws", WS = { open = function(ws)
        ws:identify(identity)
        ws:subscribe "value.ws"
      end } },
      { path = "/value/{topic}/{n}", POST = function(req)
        hub.publish(req.params.topic, ("<svg>%s %s</svg>"):format(req.params.n, ("x"):rep(100000)))
        return web.empty()
      end },
    }]],
}


describe("a client that does not read #workers", function()
  local app

  setup(function()
    app = server.start { workers = 1, files = FILES,
      set = { ["limits.ws_queue"] = "128K", ["history.max_bytes"] = "100M" } }
  end)

  teardown(function() app:stop() end)

  local function subscribe(topic)
    local c = ws.connect(app, "/ws")
    c:text("subscribe-json:" .. json.encode { topic = topic, session_id = "s" })
    c:read_text()
    c.wire:pause()
    return c
  end

  local function flood(topic)
    local path = ("/flood/%s?count=%d&size=%d"):format(topic, COUNT, SIZE)
    assert.equal(204, app:post(path, { body = "" }).status)
  end

  -- What comes: numbers, and gaps as { lost }, until the last number.
  local function read_all(c)
    local numbers, gaps, lost = {}, 0, 0
    c.wire:resume()
    repeat
      local message = json.decode(c:read_text())
      if message.gap then
        gaps, lost = gaps + 1, lost + message.lost
        numbers[#numbers + 1] = "gap"
      else
        numbers[#numbers + 1] = message.data.n
      end
    until message.data and message.data.n == COUNT
    return numbers, gaps, lost
  end

  local function logged(topic, done)
    wait.till(function()
      for _, line in ipairs(app:log()) do
        if line.msg == "a client takes too slowly what is sent to it" and line.done == done
          and line.topic == "pubsub:0:1:s" .. topic then
          assert.is_truthy(line.connection)
          assert.is_true(line.queued > 0)
          return true
        end
      end
    end, "a line about " .. topic)
  end

  it("is paused, and gets everything from the history when it reads", function()
    local c = subscribe "pause.a"
    flood "pause.a"
    logged("pause.a", "paused")
    local numbers, gaps = read_all(c)
    assert.equal(COUNT, #numbers)
    assert.equal(0, gaps)
    for i = 1, COUNT do assert.equal(i, numbers[i]) end
    assert.is_true(app:metric "lunacast_subscriber_pauses_total" >= 1)
    c:close()
  end)

  it("hears how many it lost when the history was too short", function()
    local c = subscribe "short.a"
    flood "short.a"
    local numbers, gaps, lost = read_all(c)
    assert.equal(COUNT, #numbers - gaps + lost)
    assert.is_true(gaps >= 1)
    assert.equal("gap", numbers[#numbers - 10])
    c:close()
  end)

  it("loses the oldest that wait, and hears how many", function()
    local c = subscribe "drop.a"
    flood "drop.a"
    logged("drop.a", "dropped")
    local numbers, gaps, lost = read_all(c)
    assert.equal(1, gaps)
    assert.equal(COUNT, #numbers - 1 + lost)
    assert.equal(COUNT - 1, numbers[#numbers - 1])
    assert.is_true(app:metric "lunacast_messages_dropped_total" >= lost)
    c:close()
  end)

  it("loses what has waited for too long, and hears how many", function()
    local c = subscribe "late.a"
    flood "late.a"
    time.sleep(0.5)
    local numbers, gaps, lost = read_all(c)
    assert.is_true(gaps >= 1)
    assert.equal(COUNT, #numbers - gaps + lost)
    assert.equal("gap", numbers[#numbers - 1]) -- without the bound it would be the one before
    c:close()
  end)

  it("gets only the newest that waits", function()
    local c = subscribe "latest.a"
    flood "latest.a"
    local numbers, gaps, lost = read_all(c)
    assert.equal(1, gaps)
    assert.equal("gap", numbers[#numbers - 1])
    assert.equal(COUNT, #numbers - 1 + lost)
    c:close()
  end)

  it("hears of a gap where it is, after what waits since before it", function()
    local c = subscribe "rate.a"
    flood "rate.a"
    time.sleep(1.5) -- there may be another one then
    app:post("/flood/rate.a?count=1&size=1", { body = "" })
    c.wire:resume()
    local last, gap, done = 0, false, false
    repeat
      local message = json.decode(c:read_text())
      if message.gap then
        gap = true
      else
        local n = message.data.n
        done = n == 1 and last > 0
        assert.is_true(n == last + 1 or gap, ("%d after %d"):format(n, last))
        last, gap = n, false
      end
    until done
    c:close()
  end)

  it("is closed where the rule says so, and others are not", function()
    local c, other = subscribe "cut.a", subscribe "pause.b"
    flood "cut.a"
    c.wire:resume()
    assert.equal(1013, (c:read_close()))
    other.wire:resume()
    assert.is_true(other:is_quiet())
    c:close()
    other:close()
  end)
end)


describe("a client that is slow is told to the log and the hook with all that is known", function()
  local app, token

  setup(function()
    local files = { ["lua/hooks/slow.lua"] = [[
      return { slow = function(context)
        require("host.log").warn("the hook slow", { topic = context.topic, done = context.reason,
          user = context.user, connection = context.connection, queued = context.queued })
      end }]] }
    for name, text in pairs(FILES) do files[name] = text end
    app = server.start { workers = 1, files = files, set = {
      ["limits.ws_queue"] = "128K", ["history.max_bytes"] = "100M", ["password.ln"] = 10, max_fps = 0 } }
    token = app:post("/auth/token", { json = { username = "ann", password = "pw", session_id = "s" } }):json().token
  end)

  teardown(function() app:stop() end)

  local function lines_about(topic, done, fn)
    local found
    wait.till(function()
      found = {}
      for _, line in ipairs(app:log()) do
        if (line.msg == "a client takes too slowly what is sent to it" or line.msg == "the hook slow")
          and line.topic == topic then
          found[#found + 1] = line
        end
      end
      if #found < 2 and fn then fn() end
      return #found >= 2
    end, "lines about " .. topic, 30)
    for i, line in ipairs { found[1], found[2] } do
      assert.equal(done, line.done)
      assert.equal("ann", line.user)
      assert.is_true(#line.connection > 0 and line.queued > 0, topic .. i)
    end
    return found
  end

  local open = {
    ws = function(topic)
      local c = ws.connect(app, "/ws?token=" .. token)
      c:text("subscribe-json:" .. json.encode { topic = topic })
      c:read_text()
      return c
    end,
    sse = function(topic) return http.events(app, "/sse?topic=" .. topic .. "&token=" .. token) end,
  }

  local DONE = { pause = "paused", drop = "dropped", latest = "dropped", cut = "closed" }

  for _, transport in ipairs { "ws", "sse" } do
    for _, policy in ipairs { "pause", "drop", "latest", "cut" } do
      local done = DONE[policy]
      it(("by %s, %s"):format(transport, policy), function()
        local topic = ("%s.%s"):format(policy, transport)
        local before = app:metric "lunacast_slow_clients_total"
        local c = open[transport](topic)
        c.wire:pause()
        app:post(("/flood/%s?count=%d&size=%d"):format(topic, COUNT, SIZE), { body = "" })
        local lines = lines_about("pubsub:0:1:s" .. topic, done)
        assert.equal(transport, lines[1].transport)
        assert.is_true(app:metric "lunacast_slow_clients_total" > before)
        c:close()
      end)
    end
  end

  -- Who is shown the newest only: once for each client, however many it skips.
  for _, transport in ipairs { "mixed", "sse", "ws" } do
    it(("by %s, newest values"):format(transport), function()
      local topic, path = "value." .. transport, "/values/" .. transport
      local c = transport == "mixed" and http.pictures(app, path) or transport == "ws" and ws.connect(app, path)
        or http.events(app, path)
      c.wire:pause()
      local n = 0
      local function say()
        for _ = 1, 10 do
          n = n + 1
          app:post(("/value/%s/%d"):format(topic, n), { body = "" })
        end
      end
      local lines = lines_about(topic, "skipped", say)
      say()
      assert.equal(transport, lines[1].transport)
      assert.equal(2, #lines_about(topic, "skipped"))
      c:close()
    end)
  end
end)
