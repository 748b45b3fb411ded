-- A WebSocket's handler hears of messages that its client was too slow for, one call at a time.
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local COUNT, SIZE, ROUNDS = 200, 60000, 3 -- more than the kernel holds

local FILES = {
  ["config.lua"] = [[return { topics = { ["drop.*"] = { slow = "drop_oldest" } } }]],
  ["lua/routes/gaps.lua"] = [[
    local hub = require "host.hub"
    local time = require "host.time"
    local web = require "web"

    local function flood(req)
      local round = tonumber(req.params.round)
      for i = 1, tonumber(req.query.count) do
        local text = ('{"round":%d,"n":%d,"x":"%s"}'):format(round, i, ("x"):rep(tonumber(req.query.size)))
        hub.publish("drop.a", text, { mode = "log" })
        if i % 10 == 0 then time.sleep(0.001) end
      end
      return web.empty()
    end

    return {
      { path = "/flood/{round}", POST = flood },
      { path = "/go", POST = function() hub.publish("go", "go", { mode = "log" }) return web.empty() end },
      { path = "/gaps", WS = {
        open = function(ws) ws:subscribe("drop.a", { mode = "log" }) end,
        message = function(ws, text)
          if text == "wait" then
            local go <close> = hub.subscribe("go", { mode = "log" })
            ws:send '{"waits":true}'
            go:next(60)
          else
            ws:send '{"over":true}'
          end
        end,
        gap = function(ws, topic, lost)
          ws:send(('{"topic":"%s","lost":%d}'):format(topic, lost))
        end,
      } },
    }]],
}


describe("a handler that is busy while its client loses messages", function()
  it("hears of a topic's gaps once, with all that was lost", function()
    local app = server.start { workers = 1, files = FILES, set = { ["limits.ws_queue"] = "128K" } }
    local c = ws.connect(app, "/gaps")
    local received, gaps = 0, {}

    local function read()
      local message = json.decode(c:read_text())
      if message.n then received = received + 1 end
      if message.lost then gaps[#gaps + 1] = message end
      return message
    end

    c:text "wait"
    assert.is_true(read().waits)
    for round = 1, ROUNDS do
      local before = app:metric "lunacast_messages_dropped_total"
      c.wire:pause()
      local path = ("/flood/%d?count=%d&size=%d"):format(round, COUNT, SIZE)
      assert.equal(204, app:post(path, { body = "" }).status)
      wait.till(function() return app:metric "lunacast_messages_dropped_total" > before end, "messages to be dropped")
      c.wire:resume()
      wait.till(function()
        local message = read()
        return message.round == round and message.n == COUNT
      end, "the last of a round")
    end
    assert.equal(204, app:post("/go", { body = "" }).status)
    c:text "end"
    wait.till(function() return read().over end, "the answer")
    assert.same({ { topic = "drop.a", lost = ROUNDS * COUNT - received } }, gaps)
    c:close()
    app:stop()
  end)
end)
