-- Peers that mean harm, against the whole binary: each request is sent whole, byte by byte and in
-- random splits, with a second request behind it that must never be answered.
local at_rest = require "spec.support.at_rest"
local http = require "spec.support.http"
local refused = require "spec.support.refused"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local wire = require "spec.support.wire"

local chunked, get, post = refused.chunked, refused.get, refused.post
local MARKER, REFUSED = refused.MARKER, refused.cases

local ECHO = [[
  local web = require "web"
  return {
    { path = "/echo", POST = function(req) return web.text(req.body) end },
    { path = "/smuggled", GET = function()
        require("host.metrics").counter("smuggled_total", "Requests that got through."):inc()
        return web.text "smuggled"
      end },
  }]]


describe("a hostile request", function()
  local app

  setup(function()
    math.randomseed(4711)
    app = server.start { workers = 1, files = { ["lua/routes/echo.lua"] = ECHO },
      set = { ["log.level"] = "error" } }
  end)
  teardown(function() app:stop() end)

  -- One answer, or none, and then the end.
  local function check(case, next_size)
    local c = app:connect()
    refused.send(c, case[2] .. MARKER, next_size)
    assert.is_true(c:ends_within(), case[1] .. ": the connection stays open")
    local said = c:read_all()
    c:close()
    local _, answers = said:gsub("HTTP/1%.1 %d%d%d ", "")
    local status = tonumber(said:match "^HTTP/1%.1 (%d%d%d) ") or 0
    local fits = false
    for i = 3, #case do fits = fits or case[i] == status end
    assert.is_true(fits, ("%s: answered %d"):format(case[1], status))
    assert.is_true(answers <= 1, case[1] .. ": answered twice: " .. said)
    assert.is_nil(said:find("smuggled", 1, true), case[1])
    if status >= 400 then
      local body = said:match "\r\n\r\n(.*)$"
      local value = require("host.json").decode(body)
      assert.is_truthy(value and value.error and value.code, case[1] .. ": " .. body)
    end
  end

  it("is refused when it comes whole", function()
    for _, case in ipairs(REFUSED) do check(case, function() return 1 << 20 end) end
  end)

  it("is refused when it comes byte by byte", function()
    for _, case in ipairs(REFUSED) do
      if #case[2] < 1000 then check(case, function() return 1 end) end
    end
  end)

  it("is refused in any splits", function()
    for _ = 1, 3 do
      for _, case in ipairs(REFUSED) do
        local most = #case[2] < 1000 and 30 or 3000
        check(case, function() return math.random(most) end)
      end
    end
  end)

  it("never reached a handler", function()
    assert.is_nil(app:metric "smuggled_total")
    assert.equal(200, app:get("/smuggled").status)
    assert.equal(1, app:metric "smuggled_total")
  end)
end)


describe("a good request", function()
  local app

  setup(function()
    app = server.start { workers = 1, files = { ["lua/routes/echo.lua"] = ECHO } }
  end)
  teardown(function() app:stop() end)

  it("gets its answer when a bad one follows it", function()
    local c = app:connect()
    c:send(get "" .. get "A : b\r\n" .. MARKER)
    assert.equal(200, http.read_response(c).status)
    assert.equal(400, http.read_response(c).status)
    assert.equal("", c:read_all())
    c:close()
  end)

  it("is answered in order, 500 in one packet", function()
    local c, requests = app:connect(), {}
    for i = 1, 500 do
      requests[i] = post(("Content-Length: %d\r\n"):format(#tostring(i)), tostring(i))
    end
    c:post(table.concat(requests))
    for i = 1, 500 do assert.equal(tostring(i), http.read_response(c).body) end
    c:close()
  end)

  it("may have a body that nobody reads, and the next one is still understood", function()
    local c = app:connect()
    c:send("GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: " .. #MARKER .. "\r\n\r\n" .. MARKER
      .. get "")
    assert.equal("ok", http.read_response(c):json().status)
    local second = http.read_response(c)
    assert.is_true(second == nil or second:json().status == "ok")
    assert.equal(0, app:metric "smuggled_total" or 0)
    c:close()
  end)

  it("may be 20,000 chunks of a byte, within two seconds", function()
    local c, began = app:connect(), wait.now()
    c:post(chunked(("1\r\nx\r\n"):rep(20000) .. "0\r\n\r\n"))
    assert.equal(20000, #http.read_response(c).body)
    assert.is_true(wait.now() - began < 20) -- 2 s without sanitizers and neighbours
    c:close()
  end)

  it("keeps its headers when trailers name others", function()
    local c = app:connect()
    c:send(chunked "1\r\nx\r\n0\r\nContent-Length: 9\r\nHost: evil\r\nAuthorization: Bearer x\r\n\r\n"
      .. get "")
    assert.equal("x", http.read_response(c).body)
    assert.equal(200, http.read_response(c).status)
    c:close()
  end)

  it("with more chunked body than fits is refused at once", function()
    local c = app:connect()
    c:post(chunked("10000\r\n" .. ("x"):rep(65536) .. "\r\n"):rep(1)
      .. ("10000\r\n" .. ("x"):rep(65536) .. "\r\n"):rep(40))
    assert.equal(413, http.read_response(c).status)
    c:close()
  end)

  it("whose peer ends in the middle of the body is not a whole one", function()
    local c = app:connect()
    c:send(post("Content-Length: 10\r\n", "hello"))
    c:shutdown()
    local said = c:read_all()
    assert.is_nil(said:find("HTTP/1.1 2", 1, true))
    c:close()
  end)
end)


describe("a slow peer", function()
  local app

  setup(function()
    app = server.start { workers = 1, files = { ["lua/routes/echo.lua"] = ECHO }, set = {
      ["limits.header_time"] = "600ms", ["limits.body_rate"] = 100, ["limits.body_grace"] = "500ms",
      ["limits.idle"] = "600ms",
    } }
  end)
  teardown(function() app:stop() end)

  -- Sends a byte every 50 ms until the peer ends; returns what it said and after how long.
  local function drip(c, data)
    local began, at = wait.now(), 0
    wait.till(function()
      if c.ended then return true end
      local due = math.min(#data, (wait.now() - began) // 0.05)
      while at < due do
        at = at + 1
        c:post(data:sub(at, at))
      end
    end, "the server to end")
    return c:read_all(), wait.now() - began
  end

  it("that drips its headers is cut by the time for the whole head", function()
    local c = app:connect()
    local said, seconds = drip(c, get(("A: bcdefgh\r\n"):rep(80)))
    assert.matches("^HTTP/1.1 408 ", said)
    assert.is_true(seconds < 20, tostring(seconds)) -- it would take 40 s and more
    c:close()
  end)

  it("that drips its body is cut by the rate", function()
    local c = app:connect()
    c:send(post("Content-Length: 5000\r\n", ""))
    local said, seconds = drip(c, ("x"):rep(5000))
    assert.matches("^HTTP/1.1 408 ", said)
    assert.is_true(seconds < 20, tostring(seconds)) -- it would take 40 s and more
    c:close()
  end)

  it("that says nothing, and one that says nothing more, are closed", function()
    local silent, idle = app:connect(), app:connect()
    assert.equal(200, http.ask(idle, "GET", "/health").status)
    assert.is_true(silent:ends_within() and idle:ends_within())
    assert.equal("", idle:read_all())
    silent:close()
    idle:close()
  end)
end)


describe("a flood of connections", function()
  it("over the limit gets 503 while streams live on", function()
    local app = server.start { workers = 1, set = { ["limits.connections"] = 30 } }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ v }}</svg>", args = { v = 1 } } })
    local views, flood = {}, {}
    for i = 1, 5 do
      views[i] = http.pictures(app, "/stream/a")
      assert.equal("<svg>1</svg>", views[i]:next())
    end
    local writer = app:connect()
    assert.equal(200, http.ask(writer, "GET", "/health").status)
    local turned_away = 0
    for i = 1, 60 do
      flood[i] = app:connect()
      flood[i]:post(http.format("GET", "/health"))
    end
    for i = 1, 60 do
      local ok, res = pcall(http.read_response, flood[i], "GET", 5)
      if ok and res and res.status == 503 then
        turned_away = turned_away + 1
        assert.is_truthy(res.headers["retry-after"])
        assert.is_truthy(res:json().code)
      end
    end
    assert.is_true(turned_away > 0)
    assert.equal(200, http.ask(writer, "PUT", "/api/session/a", { json = { args = { v = 2 } } }).status)
    for i = 1, 5 do
      assert.equal("<svg>2</svg>", views[i]:next())
      views[i]:close()
    end
    for _, c in ipairs(flood) do c:close() end
    writer:close()
    wait.till(function()
      local ok, n = pcall(app.metric, app, "lunacast_connections")
      return ok and n and n <= 1
    end, "the connections to go")
    app:stop()
  end)
end)


describe("one client's flood of connections", function()
  local app

  setup(function()
    app = server.start { workers = 1, set = { ["limits.per_address"] = 3, ["proxy.trusted"] = "127.0.0.1" } }
  end)
  teardown(function() app:stop() end)

  local function ask(client, path)
    local headers = { ["X-Forwarded-For"] = client }
    local c = app:connect()
    if path == "/ws" then
      headers.Upgrade, headers.Connection = "websocket", "Upgrade"
      headers["Sec-WebSocket-Version"], headers["Sec-WebSocket-Key"] = "13", "dGhlIHNhbXBsZSBub25jZQ=="
    end
    c:send(http.format("GET", path, { headers = headers }))
    local head = c:read_until "\r\n\r\n"
    return tonumber(head:match "^HTTP/1.1 (%d+) "), c, head
  end

  for what, network in pairs { ["its address"] = { "9.1.1.1", "9.1.1.1" },
    ["its /64 of IPv6"] = { "2001:db8:1:2::%x", "2001:db8:1:3::1" } } do
    it("of streams through a trusted proxy is counted by " .. what, function()
      local open, before = {}, app:metric "lunacast_connections_excess_total"
      for i, path in ipairs { "/sse?topic=a", "/ws", "/sse?topic=b" } do
        local status, c = ask(network[1]:format(i), path)
        assert.equal(path == "/ws" and 101 or 200, status)
        open[i] = c
      end
      for i, path in ipairs { "/sse?topic=a", "/ws" } do
        local status, c, head = ask(network[1]:format(i + 7), path)
        assert.equal(503, status)
        assert.is_truthy(head:find("\r\nRetry-After: 1\r\n", 1, true), head)
        assert.is_nil(head:find("Upgrade", 1, true))
        assert.equal('{"error":"there are too many connections of your address; close some, or try again later",'
          .. '"code":"full"}', c:read_all())
        c:close()
      end
      assert.equal(before + 2, app:metric "lunacast_connections_excess_total")
      app:logged "one client has too many connections"
      local other_status, other = ask(what == "its address" and "9.1.1.2" or network[2], "/ws")
      assert.equal(101, other_status)
      other:close()
      open[1]:close()
      wait.till(function()
        local status, c = ask(network[1]:format(9), "/ws")
        c:close()
        return status == 101
      end, "room for one more")
      open[2]:close()
      open[3]:close()
    end)
  end

  it("is not that of its proxy, whose own connections are not counted", function()
    local held = {}
    for i = 1, 10 do held[i] = app:connect() end
    for i = 1, 10 do
      assert.equal(200, http.ask(held[i], "GET", "/health").status)
      held[i]:close()
    end
  end)

  it("gets 503 for those over its share, and others are served", function()
    local own = assert(io.popen "hostname -I 2>/dev/null"):read("a"):match "%d+%.%d+%.%d+%.%d+"
    if not own then pending "this machine has no address but loopback's" return end
    local both = server.start { workers = 1, listen = { "127.0.0.1:0", own .. ":0" },
      set = { ["limits.per_address"] = 5 } }
    local port, direct = tonumber(both.urls[2]:match ":(%d+)$"), {}
    for i = 1, 8 do
      direct[i] = wire.connect { host = own, port = port }
      direct[i]:post(http.format("GET", "/health"))
    end
    for i = 1, 8 do
      assert.equal(i <= 5 and 200 or 503, http.read_response(direct[i]).status)
    end
    assert.equal(3, both:metric "lunacast_connections_excess_total")
    for _, c in ipairs(direct) do c:close() end
    both:stop()
  end)
end)


describe("a peer that vanishes", function()
  local app, resident

  setup(function()
    app = server.start { workers = 1, set = { ["password.ln"] = 14 }, files = {
      ["lua/routes/waits.lua"] = [[
        local store = require "host.store"
        local time = require "host.time"
        local web = require "web"
        return {
          { path = "/store", GET = function()
              for i = 1, 500 do store.set("k" .. i, "v") end
              return web.text "done"
            end },
          { path = "/sleep", GET = function() time.sleep(60) return web.text "late" end },
          { path = "/closes", GET = function()
              local guard <close> = setmetatable({}, { __close = function() error "in close" end })
              time.sleep(60)
            end },
          { path = "/body", POST = function(req) return web.text(req.body) end },
          { path = "/pieces", POST = function(req)
              local n = 0
              for piece in function() return req:read() end do n = n + #piece end
              return web.text(tostring(n))
            end },
          { path = "/chunks", GET = function()
              return web.chunks("text/plain", function(write)
                for _ = 1, 100000 do write(("x"):rep(10000)) end
              end)
            end },
          { path = "/key", GET = function()
              require("host.jwk").generate()
              return web.text "made"
            end },
        }]],
      ["public/big.bin"] = ("x"):rep(8 << 20),
    } }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ v }}</svg>", args = { v = 1 } } })
    resident = at_rest(function() return app:metric 'lunacast_tasks{worker="0"}' end)
  end)
  teardown(function() app:stop() end) -- the audit: nothing may be left

  local function base()
    wait.till(function()
      return app:metric "lunacast_connections" == 1 and app:metric "lunacast_viewers" == 0
        and app:metric 'lunacast_tasks{worker="0"}' <= resident
    end, "connections, viewers and tasks to be as before", 30)
  end

  local login = http.format("POST", "/api/auth/token", { json = { user_id = "v", password = "w" } })
  local cases = {
    { "in the head", "GET /health HTTP/1.1\r\nHo" },
    { "in the body", "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc" },
    { "in a body that is read by pieces", "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc" },
    { "during waits of the store", http.format("GET", "/store") },
    { "during a sleep", http.format("GET", "/sleep") },
    { "during a sleep whose <close> raises", http.format("GET", "/closes") },
    { "while its password is hashed", login },
    { "while a key is made", http.format("GET", "/key") },
    { "in a chunked answer", http.format("GET", "/chunks") },
    { "in a file", http.format("GET", "/public/big.bin") },
    { "in a stream", http.format("GET", "/stream/a") },
    { "in a stream of events", http.format("GET", "/stream/a", { headers = { Accept = "text/event-stream" } }) },
    { "behind 50 requests", http.format("GET", "/health"):rep(49) .. http.format("GET", "/sleep") },
  }

  for _, how in ipairs { "reset", "close" } do
    for _, case in ipairs(cases) do
      it(("%s leaves nothing (%s)"):format(case[1], how), function()
        for pause = 0, 2 do
          local held = {}
          for i = 1, 4 do
            held[i] = app:connect()
            held[i]:post(case[2])
          end
          wait.pause(pause * 0.03)
          for _, c in ipairs(held) do c[how](c) end
        end
        base()
        assert.equal(200, app:get("/health").status)
      end)
    end
  end
end)
