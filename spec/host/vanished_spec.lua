-- Viewers that are gone without a FIN or a reset, as when a cable is cut: what is written to them
-- finds out, and nobody waits for them. An event stream says something after 15 s of silence, a
-- picture is repeated after `keepalive`; who has acknowledged nothing for limits.write_stall after
-- that is cut: within 45 s by the defaults.
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"


describe("a viewer that is gone without a word", function()
  local app

  setup(function()
    app = server.start { workers = 1, set = { ["limits.write_stall"] = "1500ms", ["test.clock"] = true } }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ v }}</svg>", args = { v = 0 } } })
  end)
  teardown(function() app:stop() end)

  local function vanish(path, ...)
    local client = process.spawn("/usr/bin/python3", { "spec/support/gone.py", tostring(app.port), path, ... })
    wait.till(function() return client.out:find "gone" or not client:running() end, "the client to be gone")
    assert.is_truthy(client.out:find "gone", client.err)
    return client
  end

  local function viewers() return app:metric "lunacast_viewers" end

  for _, case in ipairs {
    { "an event stream", 16, "/sse?topic=news" },
    { "a picture", 31, "/stream/a" },
    { "a picture as events", 16, "/stream/a", "Accept: text/event-stream" },
  } do
    it("is found by what is said to a silent stream: " .. case[1], function()
      local client = vanish(table.unpack(case, 3))
      assert.equal(1, viewers())
      app.clock:advance(case[2])
      wait.till(function() return viewers() == 0 end, "the viewer to be forgotten", 30)
      client:kill "sigkill"
    end)
  end

  it("keeps no publisher and no other viewer waiting", function()
    local clients, other = {}, app:sse "/sse?topic=news"
    for i = 1, 3 do clients[i] = vanish "/sse?topic=news" end
    local text = ("x"):rep(20000)
    for i = 1, 100 do -- 2 MB: more than any of their queues takes
      assert.equal(200, app:post("/publish", { json = { topic = "news", payload = i .. text } }).status)
      assert.equal('"' .. i .. text .. '"', other:next().data:match '"payload":(".-")')
    end
    other:close()
    wait.till(function() return viewers() == 0 end, "the viewers to be forgotten", 30)
    for _, client in ipairs(clients) do client:kill "sigkill" end
  end)
end)
