-- web.proxy between raw clients and an upstream that does as it is told.
local http = require "spec.support.http"
local server = require "spec.support.server"
local upstream = require "spec.support.upstream"
local wait = require "spec.support.wait"
local wire = require "spec.support.wire"
local ws = require "spec.support.ws"

local ROUTES = [[
local proxy = require "web.proxy"
local web = require "web"

local UP = "%s"
local ALL = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" }

local function route(path, upstream, options)
  local r = { path = path .. "/**" }
  for _, method in ipairs(ALL) do
    r[method] = function() return web.proxy(upstream, options) end
  end
  return r
end

local function feed(req)
  return web.proxy("http://127.0.0.1:" .. req.params.port)
end

return {
  route("/up", UP, { strip = 1 }),
  route("/hasty", UP, { strip = 1, timeout = 1, idle_timeout = 1.5 }),
  route("/deep", UP .. "/base/", { strip = 2 }),
  route("/whole", UP),
  route("/host", UP, { keep_host = true }),
  route("/own", UP, { headers = { ["X-User-ID"] = "joe", Cookie = false } }),
  route("/trust", UP, { trust = { "x-user-id" } }),
  route("/refuse", UP, { untrusted = "refuse" }),
  route("/small", UP, { body_limit = 1000 }),
  route("/nobody", "http://127.0.0.1:1"),
  route("/nowhere", "http://nowhere.invalid"),
  route("/open", UP, { allow_private = false }),
  route("/sock", "unix:%s", { strip = 1 }),
  { path = "/each", GET = function()
    local res = web.proxy(UP)
    res.headers = { ["X-Ours"] = "yes", ["Content-Type"] = "text/x" }
    res.request_headers = { ["X-Tenant-ID"] = "t1" }
    return res
  end },
  { path = "/loop", GET = function(req)
    return web.proxy("http://127.0.0.1:" .. req.query.port)
  end },
  { path = "/echo", WS = { message = function(ws, text) ws:send("echo " .. text) end } },
  { path = "/tunnel/**", GET = function(req)
    return web.proxy("http://127.0.0.1:" .. req.query.port, { strip = 1, idle_timeout = 4 })
  end },
  { path = "/feed/{port}", GET = feed, POST = feed },
  { path = "/read", POST = function(req)
    assert(#req.body > 0)
    return web.proxy(UP)
  end },
}
]]

describe("web.proxy", function()
  local up, sock, app

  setup(function()
    up = upstream.start()
    local path = server.folder() .. "/up.sock"
    sock = upstream.start("node", { "spec/support/upstream.mjs", path })
    app = server.start {
      workers = 1,
      files = { ["lua/routes/all.lua"] = ROUTES:format(up.url, path) },
    }
  end)

  teardown(function()
    app:stop()
    up:stop()
    sock:stop()
  end)

  before_each(function() up:forget() end)

  -- What the upstream got of a request.
  local function got(path, options, method)
    local res = app[method or "get"](app, path, options)
    assert.equal(200, res.status, res.body)
    return up:records()[1].raw
  end

  -- Sends a GET whose upstream answers with these bytes; returns what the client got.
  local function answered(bytes, what, options)
    options = options or {}
    options.headers = upstream.answer(bytes, what)
    return app[options.method or "get"](app, options.path or "/up/x", options)
  end

  local function value(raw, name)
    return raw:lower():match("\r\n" .. name:lower():gsub("%-", "%%-") .. ": ([^\r]*)")
  end

  it("builds the request anew: path, query, Host", function()
    assert.matches("^GET /a/b%?q=1&r HTTP/1.1\r\n", got "/up/a/b?q=1&r")
    up:forget()
    assert.matches("^GET /base/c%%20d HTTP/1.1\r\n", got "/deep/b/c%20d")
    up:forget()
    assert.matches("^DELETE /whole/%%C3%%A4//?%%3F HTTP/1.1\r\n",
      got("/whole/%c3%a4//%3f", nil, "delete"))
    up:forget()
    assert.equal("127.0.0.1:" .. up.port, value(got "/whole/x", "host"))
    up:forget()
    assert.equal("spec", value(got "/host/x", "host"))
  end)

  it("says who asked, and what it is", function()
    local raw = got "/up/x"
    assert.equal("127.0.0.1", value(raw, "x-forwarded-for"))
    assert.equal("http", value(raw, "x-forwarded-proto"))
    assert.equal("spec", value(raw, "x-forwarded-host"))
    assert.matches("^1.1 lunacast%-%x+$", value(raw, "via"))
    assert.matches("^00%-%x+%-%x+%-01$", value(raw, "traceparent"))
  end)

  it("keeps a good traceparent and replaces a bad one", function()
    local good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    local raw = got("/up/x", { headers = { traceparent = good, tracestate = "a=1" } })
    assert.equal(good, value(raw, "traceparent"))
    assert.equal("a=1", value(raw, "tracestate"))
    up:forget()
    raw = got("/up/x", { headers = { traceparent = "00-zz", tracestate = "a=1" } })
    assert.matches("^00%-%x+%-%x+%-01$", value(raw, "traceparent"))
    assert.is_nil(value(raw, "tracestate"))
  end)

  it("drops what belongs to the connection, but nothing that a client must not hide", function()
    local raw = got("/up/x", { headers = {
      Connection = "close, X-Secret, Authorization, Host, Content-Length, X-Forwarded-For, Cookie",
      ["X-Secret"] = "a", Authorization = "Bearer t", Cookie = "c=1", ["Keep-Alive"] = "timeout=5",
      ["Proxy-Connection"] = "x", TE = "trailers", Trailer = "X-T", ["Last-Event-ID"] = "7",
    }, body = "hello" }, "put")
    assert.is_nil(value(raw, "x-secret"))
    assert.equal("bearer t", value(raw, "authorization"))
    assert.equal("c=1", value(raw, "cookie"))
    assert.equal("7", value(raw, "last-event-id"))
    assert.equal("127.0.0.1", value(raw, "x-forwarded-for"))
    assert.equal("5", value(raw, "content-length"))
    for _, name in ipairs { "connection", "keep-alive", "proxy-connection", "te", "trailer" } do
      assert.is_nil(value(raw, name), name)
    end
  end)

  it("does not pass on what a client says about itself", function()
    local forged = {
      ["X-Forwarded-For"] = "1.2.3.4", ["X-Real-IP"] = "1.2.3.4", ["X-Forwarded-Proto"] = "https",
      ["X-Forwarded-Port"] = "1", Forwarded = "for=1.2.3.4", ["X-User-ID"] = "root",
      ["X-User_ID"] = "root", X_Forwarded_For = "1.2.3.4", ["X-Tenant-ID"] = "all",
    }
    local raw = got("/up/x", { headers = forged })
    assert.is_nil(raw:find("1.2.3.4", 1, true))
    assert.is_nil(raw:find("root", 1, true))
    assert.is_nil(value(raw, "x-tenant-id"))
    assert.is_nil(value(raw, "x-forwarded-port"))
    assert.equal("http", value(raw, "x-forwarded-proto"))
    local res = app:get("/refuse/x", { headers = { ["X-User-ID"] = "root" } })
    assert.equal(400, res.status)
    assert.equal("untrusted_header", res:json().code)
    res = app:get("/refuse/x", { headers = { a_b = "root" } })
    assert.equal(400, res.status)
    up:forget()
    assert.equal("joe", value(got("/trust/x", { headers = { ["X-User-ID"] = "joe" } }), "x-user-id"))
  end)

  it("sets headers of its own, in both directions", function()
    local raw = got("/own/x", { headers = { ["x-user-id"] = "root", cookie = "a=1" } })
    assert.equal("joe", value(raw, "x-user-id"))
    assert.is_nil(value(raw, "cookie"))
    up:forget()
    local res = app:get "/each"
    assert.equal("yes", res.headers["x-ours"])
    assert.equal("text/x", res.headers["content-type"])
    assert.equal("t1", value(up:records()[1].raw, "x-tenant-id"))
  end)

  it("passes bodies on, by length or by chunks", function()
    local body = ("0123456789"):rep(20000)
    local raw = got("/up/x", { body = body }, "post")
    assert.equal("200000", value(raw, "content-length"))
    assert.equal(body, raw:match "\r\n\r\n(.*)$")
    up:forget()
    local c = http.connect(app)
    c:send "POST /up/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    wait.till(function() return app:metric "lunacast_client_connections" end)
    c:send "4\r\ndefg\r\n0\r\nX-Trailer: evil\r\n\r\n"
    assert.equal(200, http.read_response(c).status)
    raw = up:records()[1].raw
    assert.equal("chunked", value(raw, "transfer-encoding"))
    assert.matches("abc\r\n4\r\ndefg\r\n0\r\n\r\n$", raw)
    c:close()
  end)

  it("passes a body on that the script has read", function()
    assert.matches("\r\n\r\nhello$", got("/read", { body = "hello" }, "post"))
  end)

  it("answers 100 Continue itself", function()
    local c = http.connect(app)
    c:send "POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert.matches("^HTTP/1.1 100", c:read_until "\r\n\r\n")
    c:send "hello"
    assert.equal(200, http.read_response(c).status)
    assert.is_nil(value(up:records()[1].raw, "expect"))
    c:close()
  end)

  it("refuses bodies over the route's limit", function()
    assert.equal(413, app:post("/small/x", { body = ("x"):rep(1001) }).status)
    assert.equal(0, #up:records())
    assert.equal(200, app:post("/small/x", { body = ("x"):rep(1000) }).status)
  end)

  it("gives back status, headers and body as they are", function()
    local res = answered("HTTP/1.1 418 Teapot\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n",
      "keep", { path = "/hasty/x" })
    assert.equal(504, res.status) -- no end of the head
    res = answered("HTTP/1.1 418 Teapot\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nServer: x\r\n"
      .. "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nContent-Length: 3\r\n\r\nabc")
    assert.equal(418, res.status)
    assert.equal("abc", res.body)
    assert.equal("3", res.headers["content-length"])
    assert.is_nil(res.headers["x-hop"])
    assert.is_nil(res.headers["keep-alive"])
    assert.equal("lunacast", res.headers.server)
    local cookies = 0
    for _, header in ipairs(res.list) do
      if header[1] == "Set-Cookie" then cookies = cookies + 1 end
    end
    assert.equal(2, cookies)
    res = answered "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert.equal("abc", res.body)
    res = answered("HTTP/1.1 200 OK\r\n\r\nabc", "close")
    assert.equal("abc", res.body)
    assert.is_nil(res.cut)
  end)

  it("leaves out bodies where there is none", function()
    local res = answered "HTTP/1.1 204 No Content\r\n\r\n"
    assert.same({ 204, "" }, { res.status, res.body })
    assert.is_nil(res.headers["transfer-encoding"])
    assert.is_nil(res.headers["content-length"])
    res = answered "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n"
    assert.equal(304, res.status)
    assert.equal('"a"', res.headers.etag)
    local c = http.connect(app)
    local options = { headers = upstream.answer "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" }
    res = http.ask(c, "HEAD", "/up/x", options)
    assert.equal("5", res.headers["content-length"])
    assert.equal(200, http.ask(c, "GET", "/up/x").status) -- on the same connection
    c:close()
  end)

  it("serves a client of HTTP/1.0", function()
    local c = http.connect(app)
    local headers = upstream.answer(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    c:send("GET /up/x HTTP/1.0\r\nX-Answer: " .. headers["X-Answer"] .. "\r\n\r\n")
    assert.matches("\r\n\r\nabc$", c:read_all())
    c:close()
  end)

  it("answers 502 or 504 when there is no answer", function()
    for path, code in pairs {
      ["/nobody/x"] = "upstream_connect", ["/nowhere/x"] = "upstream_dns",
      ["/open/x"] = "upstream_refused",
    } do
      local res = app:get(path)
      assert.equal(502, res.status)
      assert.equal(code, res:json().code)
    end
    local res = app:get("/hasty/x", { headers = { ["X-Then"] = "hang" } })
    assert.equal(504, res.status)
    assert.equal("upstream_timeout", res:json().code)
    res = answered("", "close")
    assert.equal(502, res.status)
    assert.equal("upstream_reset", res:json().code)
  end)

  for name, bytes in pairs {
    ["length and coding"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
      .. "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["two lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    ["101 that nobody asked for"] = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nabc",
    ["204 with a body"] = "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab",
    ["endless interim answers"] = ("HTTP/1.1 102 Processing\r\n\r\n"):rep(40),
    ["no HTTP"] = "hello\r\n\r\n",
  } do
    it("answers 502 to " .. name, function()
      local res = answered(bytes)
      assert.equal(502, res.status)
      assert.equal("upstream_bad_response", res:json().code)
      assert.equal(200, app:get("/up/x").status)
      local records = up:records()
      assert.not_equal(records[1].connection, records[2].connection)
    end)
  end

  it("answers 502 to a head of 1 MiB, long before it has all of it", function()
    for _, head in ipairs { ("X: %s\r\n"):format(("x"):rep(1 << 20)), ("X: y\r\n"):rep(200000) } do
      local raw = wire.listen()
      local c = http.connect(app)
      c:send(http.format("GET", "/loop?port=" .. raw.port))
      local near = raw:accept(10)
      near:read_until "\r\n\r\n"
      near:post("HTTP/1.1 200 OK\r\n" .. head .. "Content-Length: 0\r\n\r\n")
      local res = http.read_response(c)
      assert.equal(502, res.status)
      assert.equal("upstream_bad_response", res:json().code)
      assert.is_true(near:ends_within())
      near:close()
      raw:close()
      c:close()
    end
  end)

  for name, case in pairs {
    ["a body of known length"] = { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "close" },
    ["a chunk"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "close" },
    ["chunks"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "reset" },
    ["a bad chunk"] = { { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      "zz\r\n" } },
    ["a body that falls silent"] = { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "keep",
      { path = "/hasty/x" } },
  } do
    it("shows the client that " .. name .. " broke off", function()
      local res = answered(table.unpack(case))
      assert.equal(200, res.status)
      assert.equal("abc", res.body)
      assert.equal("cut", res.cut)
    end)
  end

  it("takes an answer in whatever pieces it comes, but no head that never ends", function()
    local pieces = { "HT", "TP/1.1 200 OK\r", "\nTransfer-Enc", "oding: chunked\r\n\r", "\n" }
    for byte in ("3\r\nabc\r\n0\r\n\r\n"):gmatch "." do pieces[#pieces + 1] = byte end
    local res = answered(pieces)
    assert.equal(200, res.status)
    assert.equal("abc", res.body)
    assert.is_nil(res.cut)
    pieces = { "HTTP/1.1 200 OK\r\n" }
    for i = 2, 200 do pieces[i] = "X: y\r\n" end -- six seconds of them
    res = answered(pieces, "keep", { path = "/hasty/x" })
    assert.equal(504, res.status)
    assert.equal("upstream_timeout", res:json().code)
  end)

  it("passes events on one by one, also as the answer to a POST", function()
    for _, method in ipairs { "GET", "POST" } do
      local raw, c = wire.listen(), http.connect(app)
      c:send(http.format(method, "/feed/" .. raw.port, { body = "{}" }))
      local near = raw:accept()
      near:read_until "{}"
      near:send "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      local head = http.read_head(c)
      assert.equal("no-cache", head.headers["cache-control"])
      assert.equal("no", head.headers["x-accel-buffering"])
      for _, piece in ipairs { "9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "0\r\n\r\n" } do
        near:send(piece) -- the next one is not there yet: nothing gathers
        assert.equal(piece, c:read(#piece))
      end
      near:close()
      raw:close()
      c:close()
    end
  end)

  it("ends the upstream's request when the client leaves", function()
    for _, how in ipairs { "close", "reset" } do
      local before = up:ended()
      local c = http.connect(app)
      c:send(http.format("GET", "/up/x", { headers = upstream.answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n") }))
      c:read_until "abc\r\n"
      c[how](c)
      wait.till(function() return up:ended() > before end, "the upstream's end")
    end
  end)

  it("meets itself once, and says so", function()
    local res = app:get("/loop?port=" .. app.port)
    assert.equal(508, res.status)
    assert.equal("loop", res:json().code)
  end)

  it("passes WebSockets through, both ways, and their ends", function()
    local c = ws.connect(app, "/tunnel/echo?port=" .. app.port)
    c:text "one"
    assert.equal("echo one", c:read().data)
    local long = ("x"):rep(60000)
    c:text(long)
    assert.equal("echo " .. long, c:read().data)
    assert.equal(1, app:metric "lunacast_tunnels")
    c.wire:close()
    wait.till(function() return app:metric "lunacast_tunnels" == 0 end)
    c = ws.connect(app, "/tunnel/echo?port=" .. app.port)
    assert.is_true(c.wire:ends_within()) -- idle for 4 s
  end)

  it("gives back an upstream's refusal of a WebSocket", function()
    local c = ws.open(app, "/up/x")
    assert.equal(200, c.status)
    c.wire:close()
  end)

  it("talks to a unix socket", function()
    assert.equal(200, app:get("/sock/x").status)
    assert.matches("^GET /x HTTP", sock:records()[1].raw)
  end)

  it("answers pipelined requests in their order", function()
    local c = http.connect(app)
    local text = ""
    for i = 1, 20 do text = text .. "GET /up/" .. i .. " HTTP/1.1\r\nHost: a\r\n\r\n" end
    c:send(text)
    for i = 1, 20 do
      assert.matches("GET /" .. i .. " ", http.read_response(c):json().echo)
    end
    c:close()
  end)
end)
