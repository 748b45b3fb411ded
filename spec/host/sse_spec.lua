-- Server-sent events end to end, byte for byte: topics, several of them, handlers, those that
-- outlive their client, and what goes wrong on the way.
local http = require "spec.support.http"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local ROUTES = [[
local hub = require "host.hub"
local log = require "host.log"
local time = require "host.time"
local web = require "web"

return {
  { path = "/values", GET = function() return web.sse("values") end,
    POST = function(req) hub.publish("values", req.body, { version = tonumber(req.query.version) })
      return web.empty() end },
  { path = "/log", GET = function() return web.sse("log", { mode = "log" }) end },
  { path = "/pattern", GET = function() return web.sse("ke*", { mode = "log" }) end },
  { path = "/kept", GET = function(req)
      return web.sse("kept", { history = tonumber(req.query.history) })
    end },
  { path = "/several", GET = function()
      return web.sse({ "kept", "values", "log" }, { retry = 5 })
    end },
  { path = "/publish/{topic}", POST = function(req)
      return web.text(tostring(select(2, assert(hub.publish(req.params.topic, req.body, { mode = "log" })))))
    end },
  { path = "/close/{topic}", POST = function(req) hub.close(req.params.topic) return web.empty() end },
  { path = "/large", POST = function(req)
      for i = 1, tonumber(req.query.n) do hub.publish(req.query.topic, ("x"):rep(60000), { mode = "log" }) end
      return web.empty()
    end },
  { path = "/counted", GET = function()
      return web.sse(function(send)
        for i = 1, 3 do assert(send { id = tostring(i), event = "n", data = "line " .. i .. "\nmore" }) end
        send "plain"
        send { retry = 700 }
      end)
    end },
  { path = "/asked", POST = function()
      return web.sse(function(send, req) send(req.method .. " " .. req.body) end)
    end },
  { path = "/endless", GET = function(req)
      return web.sse(function(send)
        local gone <close> = setmetatable({}, { __close = function() log.info("handler closed") end })
        while true do
          local ok, _, code = send(("x"):rep(20000))
          if not ok then return log.info("told", { code = code }) end
        end
      end, { keep = req.query.keep == "1" })
    end },
  { path = "/silent", GET = function()
      return web.sse(function(send)
        local gone <close> = setmetatable({}, { __close = function() log.info("silent closed") end })
        send "first"
        time.sleep(100)
      end)
    end },
  { path = "/fails", GET = function() return web.sse(function(send) send "one" error "on purpose" end) end },
  { path = "/bad/{what}", GET = function(req)
      return web.sse(function(send)
        local bad = { id = { id = "a\nb", data = "x" }, event = { event = "a\rb" }, nul = { id = "a\0" },
          data = { data = {} }, kind = true }
        local ok, err = pcall(send, bad[req.params.what])
        send(tostring(ok) .. " " .. tostring(err))
      end)
    end },
  { path = "/answer", POST = function(req)
      return web.sse(function(send)
        for i = 1, 5 do send { event = "token", data = "t" .. i } time.sleep(0.15) end
      end, { resume = true })
    end, GET = function() return web.sse(function() error "in the middle" end, { resume = true }) end },
  { path = "/patient", POST = function()
      return web.sse(function(send)
        local n = 0
        while true do
          local ok, _, code = send("n" .. n)
          if not ok then return log.info("nobody", { code = code }) end
          n = n + 1
          time.sleep(0.1)
        end
      end, { resume = true, grace = 1 })
    end },
}
]]

local TOPICS = [[
return { rules = { kept = { mode = "log", history = { messages = 5, bytes = 100000, age = 300 } },
  log = { mode = "log" } } }
]]

local function start(set, workers)
  return server.start {
    files = { ["lua/routes/sse.lua"] = ROUTES, ["lua/topics/kept.lua"] = TOPICS },
    set = set, workers = workers or 1,
  }
end


-- The bytes after the head, up to a text.
local function open(app, path, headers, method, body)
  local c = http.connect(app)
  c:send(http.format(method or "GET", path, { headers = headers, body = body }))
  local res = assert(http.read_head(c))
  return c, res
end


-- The same, past the line that says when to come back.
local function follow(app, path, headers, method, body)
  local c, res = open(app, path, headers, method, body)
  assert(c:read_until("\n"):match "^retry: %d+\n$")
  return c, res
end


local function bytes_till(c, stop)
  return assert(c:read_until(stop))
end


describe("an event stream", function()
  local app
  setup(function() app = start() end)
  teardown(function() app:stop() end)

  it("has the headers that keep proxies and caches away, and tells when to come back", function()
    local c, res = open(app, "/log")
    assert.equal(200, res.status)
    assert.equal("text/event-stream", res.headers["content-type"])
    assert.matches("no%-cache", res.headers["cache-control"])
    assert.matches("no%-store", res.headers["cache-control"])
    assert.equal("no", res.headers["x-accel-buffering"])
    assert.is_nil(res.headers["content-length"])
    assert.is_nil(res.headers["content-encoding"])
    assert.is_string(res.headers["stream-id"])
    local retry = tonumber(bytes_till(c, "\n"):match "^retry: (%d+)\n$")
    assert.is_true(retry >= 1000 and retry <= 2000)
    c:close()
  end)

  it("spreads those who come back over a second", function()
    local seen, n = {}, 0
    for _ = 1, 20 do
      local c = open(app, "/log")
      local retry = bytes_till(c, "\n")
      if not seen[retry] then n = n + 1 end
      seen[retry] = true
      c:close()
    end
    assert.is_true(n > 5)
  end)

  it("gives the newest value at once, and whenever it changes, with its version", function()
    app:post("/values?version=7", { body = "seven" })
    local keep = follow(app, "/values")
    app:post("/values?version=8", { body = "a\nb\r\nc\rd" })
    assert.equal("id: 8\ndata: a\ndata: b\ndata: c\ndata: d\n\n", bytes_till(keep, "\n\n"))
    local late = follow(app, "/values")
    assert.equal("id: 8\ndata: a\ndata: b\ndata: c\ndata: d\n\n", bytes_till(late, "\n\n"))
    keep:close()
    late:close()
  end)

  it("gives each message of a log, without an id where nothing is kept", function()
    local c = follow(app, "/log")
    for i = 1, 20 do app:post("/publish/log", { body = "m" .. i .. "\nid: 9" }) end
    for i = 1, 20 do assert.equal(("data: m%d\ndata: id: 9\n\n"):format(i), bytes_till(c, "\n\n")) end
    c:close()
  end)

  it("replaces bytes that are no text", function()
    local c = follow(app, "/log")
    app:post("/publish/log", { body = "\xef\xbb\xbfa\xffz\0" })
    assert.equal("data: \xef\xbb\xbfa\xef\xbf\xbdz\0\n\n", bytes_till(c, "\n\n"))
    c:close()
  end)

  it("tells of all topics that begin alike in envelopes, without ids", function()
    local c = open(app, "/pattern", { ["Last-Event-ID"] = "1:1" })
    bytes_till(c, "\n")
    app:post("/publish/log", { body = "[1]" })
    local position = app:post("/publish/kept", { body = "no json" }).body
    assert.equal(('data: {"channel":"kept","position":"%s","data":"no json"}\n\n'):format(position),
      bytes_till(c, "\n\n"))
    c:close()
  end)

  it("tells of several topics in envelopes, without ids", function()
    local c = open(app, "/several")
    assert.matches("^retry: 5%d%d%d\n$", bytes_till(c, "\n"))
    app:post("/values?version=20", { body = '{"v":1}' })
    assert.equal('data: {"channel":"values","version":20,"data":{"v":1}}\n\n', bytes_till(c, "\n\n"))
    local position = app:post("/publish/kept", { body = "no json" }).body
    assert.equal(('data: {"channel":"kept","position":"%s","data":"no json"}\n\n'):format(position),
      bytes_till(c, "\n\n"))
    app:post("/publish/log", { body = "[1]" })
    assert.equal('data: {"channel":"log","data":[1]}\n\n', bytes_till(c, "\n\n"))
    app:post("/close/values")
    app:post("/publish/log", { body = "2" })
    assert.equal('data: {"channel":"log","data":2}\n\n', bytes_till(c, "\n\n"))
    c:close()
  end)

  it("ends with its topic", function()
    app:post("/values?version=30", { body = "x" })
    local c = follow(app, "/values")
    app:post("/close/values")
    assert.matches('event: end\ndata: {"code":"ended"}\n\n$', c:read_all())
    c:close()
  end)

  it("says something after 15 s of silence, and again, and not before", function()
    local own = start { ["test.clock"] = true }
    local c = follow(own, "/log")
    own.clock:advance(10)
    own:post("/publish/log", { body = "m" }) -- no silence
    assert.equal("data: m\n\n", bytes_till(c, "\n\n"))
    own.clock:advance(10)
    wait.pause(0.6) -- deadlines are looked at four times a second
    assert.equal("", c:peek())
    for _ = 1, 2 do
      own.clock:advance(16)
      assert.equal(":\n\n", bytes_till(c, "\n\n"))
    end
    c:close()
    own:stop()
  end)

  it("answers HEAD with the head only", function()
    for _, path in ipairs { "/log", "/endless" } do
      local res = http.request(app, "HEAD", path)
      assert.same({ 200, "text/event-stream", "" },
        { res.status, res.headers["content-type"], res.body })
    end
  end)
end)


for _, kind in ipairs { "embedded", "redis" } do
  describe("resuming on " .. kind .. " #workers", function()
    local app, other, store
    setup(function()
      local set
      if kind == "redis" then
        store = redis.start()
        set = { ["redis.url"] = store.url }
        other = start(set, 2)
      end
      app = start(set, 2)
      other = other or app
    end)
    teardown(function()
      if other ~= app then other:stop() end
      app:stop()
      if store then store:down() end
    end)

    local function publish(text)
      return app:post("/publish/kept", { body = text }).body
    end

    it("begins with the place, and goes on from it on any node", function()
      local before = publish "before"
      local c = follow(app, "/kept")
      assert.equal(("id: %s\n\n"):format(before), bytes_till(c, "\n\n"))
      local first = publish "first"
      assert.equal(("id: %s\ndata: first\n\n"):format(first), bytes_till(c, "\n\n"))
      c:close()
      local second, third = publish "second", publish "third"
      for _, request in ipairs {
        { "/kept", { ["Last-Event-ID"] = first } }, { "/kept?lastEventId=" .. first:gsub(":", "%%3A") },
      } do
        c = follow(other, request[1], request[2])
        assert.equal(("id: %s\n\n"):format(first), bytes_till(c, "\n\n"))
        assert.equal(("id: %s\ndata: second\n\n"):format(second), bytes_till(c, "\n\n"))
        assert.equal(("id: %s\ndata: third\n\n"):format(third), bytes_till(c, "\n\n"))
        c:close()
      end
    end)

    it("gives so many of the newest messages first", function()
      publish "one"
      local two, three = publish "two", publish "three"
      local c = follow(other, "/kept?history=2")
      bytes_till(c, "\n\n")
      assert.equal(("id: %s\ndata: two\n\n"):format(two), bytes_till(c, "\n\n"))
      assert.equal(("id: %s\ndata: three\n\n"):format(three), bytes_till(c, "\n\n"))
      c:close()
    end)

    it("marks a gap for a place that is unknown, from the future or gone", function()
      local old = publish "old"
      for i = 1, 6 do publish("new " .. i) end
      local newest = publish "newest"
      local epoch, offset = newest:match "^(%x+):(%d+)$"
      for _, last in ipairs { old, "0:0", "beef:1", epoch .. ":" .. offset + 100, "rubbish", "7",
        ("9"):rep(10000) } do
        local c = follow(other, "/kept", { ["Last-Event-ID"] = last })
        local gap = bytes_till(c, "\n\n")
        assert.equal(("id: %s:%d\nevent: gap\ndata: {\"channel\":\"kept\",\"gap\":true}\n\n")
          :format(epoch, offset - 1), gap)
        assert.equal(("id: %s\ndata: newest\n\n"):format(newest), bytes_till(c, "\n\n"))
        c:close()
      end
    end)

    it("answers a handler's stream on any node, from any of its events, to its end", function()
      local c, res = follow(app, "/answer", nil, "POST", "question")
      assert.equal(200, res.status)
      local url = res.headers["content-location"]
      assert.matches("^/sse/[%w_-]+$", url)
      bytes_till(c, "\n\n")
      local first = bytes_till(c, "\n\n")
      assert.matches('event: stream\ndata: {"id":"' .. url:sub(6):gsub("%-", "%%-") .. '","url":"', first)
      local token = bytes_till(c, "\n\n")
      local id = token:match "^id: (%S+)\nevent: token\ndata: t1\n\n$"
      assert.is_string(id)
      c:close() -- the line breaks; the handler goes on
      c = follow(other, url, { ["Last-Event-ID"] = id })
      bytes_till(c, "\n\n")
      for i = 2, 5 do assert.matches("event: token\ndata: t" .. i .. "\n\n$", bytes_till(c, "\n\n")) end
      local last = c:read_all()
      local last_id = last:match '^id: (%S+)\nevent: end\ndata: {"code":"ended"}\n:last\n\n$'
      assert.is_string(last_id)
      c:close()
      -- who has seen the end is told to stay away; who has not, gets it
      assert.equal(204, other:get(url, { headers = { ["Last-Event-ID"] = last_id } }).status)
      c = open(other, url .. "?lastEventId=" .. id)
      assert.matches("data: t2\n\n.*data: t5\n\n.*event: end\n", c:read_all())
      c:close()
      c = open(other, url)
      assert.matches("event: stream\n.*data: t1\n\n.*data: t5\n\n.*event: end\n", c:read_all())
      c:close()
      assert.equal(404, other:get("/sse/unknown").status)
    end)
  end)
end


describe("a handler's events", function()
  local app
  setup(function() app = start({ ["limits.ws_queue"] = "256K" }) end)
  teardown(function() app:stop() end)

  it("come as it sends them, and then the end", function()
    local c = open(app, "/counted")
    assert.equal("id: 1\nevent: n\ndata: line 1\ndata: more\n\nid: 2\nevent: n\ndata: line 2\n"
      .. "data: more\n\nid: 3\nevent: n\ndata: line 3\ndata: more\n\ndata: plain\n\nretry: 700\n\n"
      .. 'id: end-of-stream\nevent: end\ndata: {"code":"ended"}\n\n',
      (c:read_all():gsub("^retry: %d+\n", "")))
    c:close()
  end)

  it("are answered 204 to who has seen the end", function()
    assert.equal(204, app:get("/counted", { headers = { ["Last-Event-ID"] = "end-of-stream" } }).status)
    assert.equal(204, app:get("/counted?lastEventId=end-of-stream").status)
    local c, res = open(app, "/counted", { ["Last-Event-ID"] = "2" })
    assert.equal(200, res.status)
    c:close()
  end)

  it("answer a POST, whose body the handler reads", function()
    local c = open(app, "/asked", nil, "POST", "what?")
    assert.matches("data: POST what%?\n\n", c:read_all())
    c:close()
    assert.equal(413, app:post("/asked", { body = ("x"):rep(2 << 20) }).status)
  end)

  it("wait for a slow client, and its leaving cancels the handler", function()
    local c = open(app, "/endless")
    bytes_till(c, "xxxx")
    c:pause()
    local before
    wait.till(function() -- it waits, instead of filling the queue till it is dropped
      local sent = app:metric "lunacast_events_sent_total"
      local same = sent == before
      before = sent
      return same
    end, "the handler to wait")
    assert.equal(0, app:metric "lunacast_event_streams_slow_total")
    c:reset()
    app:logged "handler closed"
  end)

  it("go nowhere when the client has gone, for a handler that stays", function()
    local c = open(app, "/endless?keep=1")
    bytes_till(c, "xxxx")
    c:reset()
    assert.equal("gone", app:logged('"told"').code)
  end)

  it("end with the handler that waits for something else", function()
    local c = open(app, "/silent")
    bytes_till(c, "data: first\n\n")
    c:reset()
    app:logged "silent closed"
  end)

  it("end with an error, without the id of an end, when the handler fails", function()
    local c = open(app, "/fails")
    assert.matches('data: one\n\nevent: end\ndata: {"code":"error"}\n\n$', c:read_all())
    app:logged "on purpose"
    c:close()
    assert.equal(404, app:get("/sse/nothing").status)
    c = open(app, "/answer")
    assert.matches('event: end\ndata: {"code":"error"}\n:last\n\n$', c:read_all())
    app:logged "in the middle"
    c:close()
  end)

  it("are refused when a field could begin another", function()
    for _, what in ipairs { "id", "event", "nul", "data", "kind" } do
      local c = open(app, "/bad/" .. what)
      assert.matches("data: false ", c:read_all())
      c:close()
    end
  end)

  it("stop when nobody has come back for the grace time", function()
    local c = open(app, "/patient", nil, "POST", "")
    bytes_till(c, "data: n1\n\n")
    c:close()
    assert.equal("gone", app:logged('"nobody"').code)
  end)
end)


describe("a client of events that reads too slowly", function()
  local app
  setup(function() app = start({ ["limits.ws_queue"] = "256K" }) end)
  teardown(function() app:stop() end)

  it("is dropped, and nobody else notices", function()
    local slow, quick = open(app, "/log"), follow(app, "/log")
    slow:pause()
    local before = app:metric "lunacast_event_streams_slow_total"
    local sent = 0
    wait.till(function()
      app:post "/large?n=1&topic=log"
      assert.equal(60008, #bytes_till(quick, "\n\n"))
      sent = sent + 1
      return sent % 20 == 0 and app:metric "lunacast_event_streams_slow_total" > before
    end, "the slow client to be dropped", 60)
    app:logged "too slowly"
    slow:close()
    quick:close()
  end)
end)
