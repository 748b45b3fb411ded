-- WebSockets end to end: raw frames against the real server, and what a route's script sees.
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local ECHO = [[
local hub = require "host.hub"
local log = require "host.log"
local time = require "host.time"
local web = require "web"
local room = {}

local commands = {
  close = function(ws) ws:close(4001, "as you wish") end,
  fail = function() error "on purpose" end,
  wait = function(ws, text) time.sleep(tonumber(text)) ws:send("waited " .. text) end,
  count = function(ws) ws.data.n = (ws.data.n or 0) + 1; ws:send("n=" .. ws.data.n) end,
  follow = function(ws, topic) assert(ws:subscribe(topic)); ws:send("following") end,
  log = function(ws, topic) assert(ws:subscribe(topic, { mode = "log" })); ws:send("following") end,
  leave = function(ws, topic) ws:send(tostring(ws:unsubscribe(topic))) end,
  publish = function(_, text) hub.publish("log", text, { mode = "log" }) end,
  value = function(_, text) hub.publish("value", text) end,
  many = function(ws)
    local n = 0
    while ws:subscribe("many" .. n, { mode = "log" }) do n = n + 1 end
    ws:send(n .. " " .. select(3, ws:subscribe "one more"))
  end,
  expire = function(ws, seconds) ws:expire(tonumber(seconds), 4401, "expired") end,
  large = function(_, n) hub.publish("log", ("x"):rep(tonumber(n)), { mode = "log" }) end,
  flood = function(ws, n) for i = 1, tonumber(n) do ws:send(("%d"):format(i) .. ("x"):rep(60000)) end end,
  bad = function(ws) ws:send(select(3, ws:send "\xff")) end,
  enter = function(ws) room[#room + 1] = ws end,
  empty = function(ws) for _, other in ipairs(room) do other:close(4002, "out") end ws:send "done" end,
}

return {
  path = "/echo",
  GET = function() return web.text "not a socket" end,
  WS = {
    protocols = { "chat", "json" },
    open = function(ws, req)
      if req.query.refuse then return web.error(403, "no", "not today") end
      if req.query.slow then time.sleep(0.3) end
      if req.query.broken then error "broken at the door" end
      if req.query.greet then
        ws:send "hello"
        ws:subscribe("log", { mode = "log" })
        ws:close(4000, "and goodbye")
      end
      ws.user = req.query.user
    end,
    message = function(ws, data, binary)
      if binary then return ws:send(data, true) end
      local name, rest = data:match "^!(%w+) ?(.*)$"
      if name then return commands[name](ws, rest) end
      ws:send(data)
    end,
    close = function(ws, code, reason)
      log.info("socket closed", { code = code, reason = reason, user = ws.user })
    end,
  },
}
]]

local ONLY = [[
return { { path = "/only", WS = {} }, { path = "/in/{room}", middleware = { "door" }, WS = {
  message = function(ws, data) ws:send(ws.params.room .. " " .. data) end,
} } }
]]

local DOOR = [[
local web = require "web"
return function(req, next)
  if req.query.key ~= "right" then web.throw(401, "no_key", "the key is missing") end
  return web.with(next(req), { ["X-Door"] = "open" })
end
]]

local function start(set, workers, more)
  local files = { ["lua/routes/echo.lua"] = ECHO, ["lua/routes/only.lua"] = ONLY,
    ["lua/middleware/door.lua"] = DOOR }
  for name, text in pairs(more or {}) do files[name] = text end
  return server.start { files = files, set = set, workers = workers or 1 }
end


describe("the opening of a WebSocket", function()
  local app
  setup(function() app = start { ["ws.origins"] = "https://friend.example" } end)
  teardown(function() app:stop() end)

  local function refused(status, code, headers, path)
    local c = ws.open(app, path or "/only", headers)
    assert.equal(status, c.status)
    assert.matches('"code":"' .. code .. '"', c.wire:read(tonumber(c.headers["content-length"])))
    c:close()
    return c.headers
  end

  it("is answered with the key's proof and nothing else", function()
    local c = ws.connect(app, "/only")
    assert.equal("websocket", c.headers.upgrade)
    assert.equal("Upgrade", c.headers.connection)
    assert.is_nil(c.headers["content-length"])
    assert.is_nil(c.headers["sec-websocket-protocol"])
    assert.is_nil(c.headers["sec-websocket-extensions"])
    c:close()
  end)

  it("names the version that is spoken here", function()
    for _, version in ipairs { "12", "8", "13.0", "", false } do
      local headers = refused(426, "bad_version", { ["Sec-WebSocket-Version"] = version })
      assert.equal("13", headers["sec-websocket-version"])
      assert.equal("websocket", headers.upgrade)
    end
    refused(426, "upgrade_required", { Upgrade = false })
    refused(426, "upgrade_required", { Connection = "keep-alive" })
  end)

  it("needs a key, HTTP/1.1 and no body", function()
    for _, key in ipairs { "", "short", "dGhlIHNhbXBsZSBub25j", false } do
      refused(400, "bad_key", { ["Sec-WebSocket-Key"] = key })
    end
    refused(400, "bad_upgrade", { ["Content-Length"] = "5" })
    local old = ws.open(app, nil, nil, "GET /only HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\n"
      .. "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert.equal(400, old.status)
    old:close()
    assert.equal(405, app:post("/only", { headers = { Upgrade = "websocket" } }).status)
  end)

  it("takes header words in any case and list", function()
    ws.connect(app, "/only", { Connection = "keep-alive, upgrade", Upgrade = "WebSocket" }):close()
  end)

  it("is for pages of the same host, and of those that are listed", function()
    for _, origin in ipairs { "http://evil.example", "null", "http://localhost.evil.example",
      "http://evil.example/localhost", "https://friend.example.evil", "ftp://localhost", "localhost" } do
      refused(403, "origin", { Origin = origin })
    end
    for _, origin in ipairs { "http://localhost", "https://LOCALHOST", "https://friend.example" } do
      ws.connect(app, "/only", { Origin = origin }):close()
    end
  end)

  it("is refused by an answer of `open`, or of middleware", function()
    refused(403, "no", nil, "/echo?refuse=1")
    refused(401, "no_key", nil, "/in/hall")
    local c = ws.connect(app, "/in/hall?key=right")
    assert.equal("open", c.headers["x-door"])
    c:text "hi"
    assert.equal("hall hi", c:read_text())
    c:close()
  end)

  it("answers 500 when `open` raises", function()
    local c = ws.open(app, "/echo?broken=1")
    assert.equal(500, c.status)
    c:close()
  end)

  it("leaves a GET without Upgrade to GET, or says what is needed", function()
    assert.equal("not a socket", app:get("/echo").body)
    assert.equal(426, app:get("/only").status)
  end)

  it("agrees on the client's first subprotocol that the route speaks", function()
    local c = ws.connect(app, "/echo", { ["Sec-WebSocket-Protocol"] = "xml, json, chat" })
    assert.equal("json", c.headers["sec-websocket-protocol"])
    c:close()
    c = ws.connect(app, "/echo", { ["Sec-WebSocket-Protocol"] = "xml" })
    assert.is_nil(c.headers["sec-websocket-protocol"])
    c:close()
  end)

  it("keeps what an impatient client sends along with it", function()
    for _, path in ipairs { "/echo", "/echo?slow=1" } do
      local text = ("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"):format(path)
        .. "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
      local c = ws.open(app, nil, nil, text .. ws.frame(0x81, "one") .. ws.frame(0x81, "two"))
      assert.equal("one", c:read_text())
      c:text "three"
      assert.equal("two", c:read_text())
      assert.equal("three", c:read_text())
      c:close()
    end
  end)

  it("does what `open` did to the connection, in order, after the 101", function()
    local c = ws.connect(app, "/echo?greet=1&user=ann")
    assert.equal("hello", c:read_text())
    assert.equal(4000, (c:read_close()))
    c:send_close(4000)
    assert.is_true(c:ends_within())
    assert.equal(4000, app:logged('"user":"ann"').code)
  end)
end)


describe("a WebSocket", function()
  local app, count = nil, 0
  setup(function() app = start { ["limits.ws_rate"] = 0 } end)
  teardown(function() app:stop() end)

  local function connect()
    count = count + 1
    local c = ws.connect(app, "/echo?user=u" .. count)
    c.user = "u" .. count
    return c
  end

  -- What the handler `close` was told.
  local function told(c, code)
    local line = app:logged(('"user":"%s"'):format(c.user))
    assert.equal(code, line.code)
    return line
  end

  local function ends(c, code)
    assert.equal(code, (c:read_close()))
    assert.is_true(c:ends_within())
    told(c, code)
    c:close()
  end

  it("carries text and binary of every length form", function()
    local c = connect()
    for _, n in ipairs { 0, 1, 125, 126, 127, 65535, 65536 } do
      local text = ("é"):rep(n // 2) .. ("x"):rep(n % 2)
      c:text(text)
      assert.equal(text, c:read_text())
      c:binary(("\xff"):rep(n))
      local frame = c:read()
      assert.equal("binary", frame.kind)
      assert.equal(("\xff"):rep(n), frame.data)
    end
    c:send_close(1000)
    ends(c, 1000)
  end)

  it("reads a message in any fragments, with a ping between", function()
    local c = connect()
    c:raw(ws.frame(0x01, "Hel") .. ws.frame(0x89, "p") .. ws.frame(0x00, "") .. ws.frame(0x80, "lo"))
    local pong = c:read()
    assert.same({ "pong", "p" }, { pong.kind, pong.data })
    assert.equal("Hello", c:read_text())
    for byte in (ws.frame(0x81, "byte by byte")):gmatch "." do c:raw(byte) end
    assert.equal("byte by byte", c:read_text())
    c:close()
    told(c, 1006)
  end)

  it("answers a close with its code, or none, and ends TCP", function()
    local c = connect()
    c:send_close(3999, "done")
    local frame = c:read()
    assert.same({ "close", 3999, "" }, { frame.kind, frame.code, frame.reason })
    assert.is_true(c:ends_within())
    assert.equal("done", told(c, 3999).reason)
    c = connect()
    c:send_close()
    frame = c:read()
    assert.same({ "close", "" }, { frame.kind, frame.data })
    assert.is_true(c:ends_within())
    told(c, 1005)
  end)

  local LIMIT = 65536
  local BROKEN = {
    { "an unmasked frame", "\x81\x05Hello", 1002 },
    { "a reserved bit", "\xc1\x80", 1002 },
    { "a reserved opcode", "\x83\x80", 1002 },
    { "a fragmented ping", "\x09\x80", 1002 },
    { "a ping of 126 bytes", ws.frame(0x89, ("x"):rep(126)), 1002 },
    { "a continuation of nothing", ws.frame(0x80, "x"), 1002 },
    { "a message inside another", ws.frame(0x01, "x") .. ws.frame(0x81, "y"), 1002 },
    { "a length in a longer form", "\x82\xfe\x00\x05", 1002 },
    { "a length with its top bit set", "\x82\xff\x80" .. ("\0"):rep(7), 1002 },
    { "a length of 2^62", "\x82\xff\x40" .. ("\0"):rep(7), 1009 },
    { "a frame over the limit, before its first byte", "\x82\xff" .. string.pack(">I8", LIMIT + 1), 1009 },
    { "fragments over the limit together", ws.frame(0x02, ("x"):rep(LIMIT)) .. "\x80\x81", 1009 },
    { "more than 1024 fragments", ws.frame(1, "") .. ws.frame(0, ""):rep(1024), 1008 },
    { "a bad byte of text, before the message's end", "\x81\xfd" .. "\0\0\0\0" .. "ab\xff", 1007 },
    { "text that ends inside a character", ws.frame(0x81, "\xe2\x82"), 1007 },
    { "a close of one byte", ws.frame(0x88, "x"), 1002 },
    { "a close with 1005", ws.frame(0x88, "\x03\xed"), 1002 },
    { "a close with 2999", ws.frame(0x88, "\x0b\xb7"), 1002 },
    { "a close whose reason is no text", ws.frame(0x88, "\x03\xe8\xff"), 1007 },
  }
  for _, case in ipairs(BROKEN) do
    it(("ends with %d after %s"):format(case[3], case[1]), function()
      local c = connect()
      c:text "first"
      assert.equal("first", c:read_text())
      c:raw(case[2])
      ends(c, case[3])
    end)
  end

  it("handles five hundred messages of one packet in order", function()
    local c, all = connect(), {}
    for i = 1, 500 do all[i] = ws.frame(0x81, "m" .. i) end
    c:raw(table.concat(all))
    for i = 1, 500 do assert.equal("m" .. i, c:read_text()) end
    c:close()
  end)

  it("handles one message at a time, in order, and holds the client back meanwhile", function()
    local c = connect()
    c:text "!wait 0.3"
    local bytes = ws.frame(0x82, ("x"):rep(60000))
    for _ = 1, 14 do c.wire:post(bytes) end -- more than an inbox holds, less than a queue
    c.wire:post(ws.frame(0x81, "last"))
    assert.equal("waited 0.3", c:read_text())
    for _ = 1, 14 do assert.equal(60000, #c:read().data) end
    assert.equal("last", c:read_text())
    c:close()
  end)

  it("is closed by its script, whose handler `close` is called once", function()
    local c = connect()
    c:raw(ws.frame(0x81, "!close") .. ws.frame(0x81, "after"))
    local frame = c:read()
    assert.same({ 4001, "as you wish" }, { frame.code, frame.reason })
    c:send_close(4001)
    assert.is_true(c:ends_within())
    told(c, 4001)
    c = connect()
    c:text "!close"
    assert.equal(4001, (c:read_close()))
    assert.is_true(c:ends_within()) -- we never answer the close
    local _, n = app.process.err:gsub(('"user":"%s"'):format(c.user), "")
    told(c, 4001)
    assert.is_true(n <= 1)
  end)

  it("is closed with 1011 when its handler fails, and others are not", function()
    local c, other = connect(), connect()
    c:text "!fail"
    ends(c, 1011)
    app:logged "on purpose"
    other:text "alive"
    assert.equal("alive", other:read_text())
    other:close()
  end)

  it("can be closed by the script of another", function()
    local c, other = connect(), connect()
    c:text "!enter"
    c:text "in"
    assert.equal("in", c:read_text())
    other:text "!empty"
    assert.equal("done", other:read_text())
    assert.equal(4002, (c:read_close()))
    told(c, 4002)
    c:close()
    other:close()
  end)

  it("refuses to send text that is not UTF-8", function()
    local c = connect()
    c:text "!bad"
    assert.equal("utf8", c:read_text())
    c:close()
  end)

  it("keeps data between messages", function()
    local c = connect()
    for i = 1, 3 do
      c:text "!count"
      assert.equal("n=" .. i, c:read_text())
    end
    c:close()
  end)

  it("closes by itself at its expiry", function()
    local c = connect()
    c:text "!expire 0.2"
    ends(c, 4401)
  end)

  it("has at most 128 subscriptions", function()
    local c = connect()
    c:text "!many"
    assert.equal("128 too_many", c:read_text())
    c:close()
  end)

  it("tells `close` 1006 when the connection is lost", function()
    local c = connect()
    c:text "x"
    c:read_text()
    c.wire:reset()
    told(c, 1006)
  end)
end)


describe("topics over WebSockets #workers", function()
  local app
  setup(function() app = start({ ["limits.ws_queue"] = "256K", max_fps = 0 }, 2) end)
  teardown(function() app:stop() end)

  local function follow(command)
    local c = ws.connect(app, "/echo")
    c:text(command)
    assert.equal("following", c:read_text())
    return c
  end

  it("bring each message to each subscriber, in one order, on all workers", function()
    local readers, writers = {}, {}
    for i = 1, 6 do readers[i] = follow "!log log" end
    for i = 1, 2 do writers[i] = ws.connect(app, "/echo") end
    for i = 1, 200 do writers[i % 2 + 1]:text("!publish " .. i) end
    local first = {}
    for i = 1, 200 do first[i] = readers[1]:read_text() end
    for i = 2, 6 do
      for k = 1, 200 do assert.equal(first[k], readers[i]:read_text()) end
    end
    table.sort(first, function(a, b) return tonumber(a) < tonumber(b) end)
    for i = 1, 200 do assert.equal(tostring(i), first[i]) end
    readers[1]:text "!leave log"
    assert.equal("true", readers[1]:read_text())
    readers[1]:text "!leave log"
    assert.equal("false", readers[1]:read_text())
    writers[1]:text "!publish more"
    assert.equal("more", readers[2]:read_text())
    assert.is_true((readers[1]:is_quiet()))
    for _, c in ipairs(readers) do c:close() end
    for _, c in ipairs(writers) do c:close() end
  end)

  it("bring the newest value, also to who comes later", function()
    local early, writer = follow "!follow value", ws.connect(app, "/echo")
    for i = 1, 50 do writer:text("!value " .. i) end
    local last
    wait.till(function()
      last = early:read_text()
      return last == "50"
    end)
    local late = ws.connect(app, "/echo")
    late:text "!follow value"
    local got = { [late:read_text()] = true, [late:read_text()] = true }
    assert.same({ ["50"] = true, following = true }, got)
    for _, c in ipairs { early, writer, late } do c:close() end
  end)

  it("close a client that does not read with 1013, and nobody else", function()
    local slow, quick, writer = follow "!log log", follow "!log log", ws.connect(app, "/echo")
    slow.wire:pause()
    local before = app:metric "lunacast_websockets_slow_total"
    local sent = 0
    wait.till(function()
      writer:text "!large 60000"
      sent = sent + 1
      assert.equal(60000, #quick:read_text())
      return sent % 20 == 0 and app:metric "lunacast_websockets_slow_total" > before
    end, "the slow client to be given up", 60)
    app:logged "takes too slowly"
    writer:text "!publish on"
    assert.equal("on", quick:read_text())
    for _, c in ipairs { slow, quick, writer } do c:close() end
  end)
end)


describe("a WebSocket whose peer is silent", function()
  local app
  setup(function() app = start { ["ws.ping"] = "300ms", ["ws.pong"] = "3s" } end)
  teardown(function() app:stop() end)

  it("is pinged, and given up without an answer", function()
    local c = ws.connect(app, "/echo?user=silent")
    assert.equal("ping", c:read().kind)
    assert.is_true(c:ends_within())
    assert.equal(1006, app:logged('"user":"silent"').code)
  end)

  it("lives on with pongs", function()
    local c = ws.connect(app, "/echo")
    for _ = 1, 4 do
      local ping = c:read()
      assert.equal("ping", ping.kind)
      c:raw(ws.frame(0x8a, ping.data))
    end
    c:text "alive"
    local frame
    wait.till(function()
      frame = c:read()
      return frame.kind ~= "ping"
    end)
    assert.equal("alive", frame.data)
    c:close()
  end)
end)


describe("a WebSocket that sends too much", function()
  it("is closed with 1008 by its rate", function()
    local app = start { ["limits.ws_rate"] = 20 }
    local c = ws.connect(app, "/echo")
    c:raw((ws.frame(0x81, "x")):rep(100))
    for _ = 1, 20 do assert.equal("x", c:read_text()) end
    assert.equal(1008, (c:read_close()))
    c:close()
    app:stop()
  end)
end)


describe("a reload under WebSockets", function()
  it("closes none: the next message goes to the new code, and data moves along", function()
    local app = start({ watch = false }, 2)
    local busy, idle, gone = ws.connect(app, "/echo?user=b"), ws.connect(app, "/echo?user=i"),
      ws.connect(app, "/in/x?key=right")
    for _, c in ipairs { busy, idle } do
      c:text "!count"
      assert.equal("n=1", c:read_text())
      c:text "!log log"
      assert.equal("following", c:read_text())
    end
    busy:text "!wait 5"
    busy:text "!count"
    server.write(app.folder, { ["lua/routes/echo.lua"] = (ECHO:gsub('"n="', '"new n="')),
      ["lua/routes/only.lua"] = "return { path = '/only', WS = {} }" })
    app.process:kill "sighup"
    assert.equal("waited 5", busy:read_text())
    assert.equal(1012, (gone:read_close()))
    assert.equal("new n=2", busy:read_text())
    idle:text "!count"
    assert.equal("new n=2", idle:read_text())
    idle:text "!publish still here"
    assert.equal("still here", busy:read_text())
    assert.equal("still here", idle:read_text())
    idle:send_close(1000)
    assert.equal(1000, (idle:read_close()))
    assert.equal(1000, app:logged('"user":"i"').code)
    for _, c in ipairs { busy, idle, gone } do c:close() end
    app:stop()
  end)
end)


describe("the end of the server", function()
  it("closes every WebSocket with 1001 and calls `close`", function()
    local app = start(nil, 2)
    local all = {}
    for i = 1, 10 do all[i] = ws.connect(app, "/echo?user=end" .. i) end
    app.process:kill "sigterm"
    for _, c in ipairs(all) do
      assert.equal(1001, (c:read_close()))
      c:send_close(1001)
    end
    assert.equal(0, (app.process:wait(40)))
    for i = 1, 10 do assert.equal(1001, app:logged(('"user":"end%d"'):format(i)).code) end
  end)

  it("waits no longer than the drain for a handler that waits", function()
    local app = start({ drain = "300ms" })
    local c = ws.connect(app, "/echo")
    c:text "!wait 100"
    c:ping ""
    c:read()
    app:stop()
    c:close()
  end)
end)
