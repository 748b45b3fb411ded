-- Behind proxies: whom X-Forwarded-* is believed, and what follows for addresses, schemes and hosts.
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local ROUTES = { ["lua/routes/x.lua"] = [[
  local web = require "web"
  return {
    { path = "/who", GET = function(req)
      return web.json { peer = req.peer, scheme = req.scheme, origin = req.origin }
    end },
    { path = "/up/**", GET = function()
      return web.proxy("http://127.0.0.1:" .. require "host.config".app.up, { strip = 1 })
    end },
  }]] }

local function start(trusted, set)
  set = set or {}
  set["proxy.trusted"] = trusted
  return server.start { files = ROUTES, set = set, workers = 1 }
end

local function who(app, headers)
  return app:get("/who", { headers = headers }):json()
end


describe("a request without trusted proxies", function()
  it("is from who is connected, whatever it says", function()
    local app = start(nil)
    local seen = who(app, { ["X-Forwarded-For"] = "1.1.1.1", ["X-Forwarded-Proto"] = "https",
      ["X-Forwarded-Host"] = "evil.example", Forwarded = "for=2.2.2.2", Host = "here.example" })
    assert.same({ peer = "127.0.0.1", scheme = "http", origin = "http://here.example" }, seen)
    app:stop()
  end)

  it("is so also when others are trusted", function()
    local app = start "10.0.0.0/8,::1,unix"
    assert.equal("127.0.0.1", who(app, { ["X-Forwarded-For"] = "1.1.1.1" }).peer)
    assert.equal("http", who(app, { ["X-Forwarded-Proto"] = "https" }).scheme)
    app:stop()
  end)
end)


describe("a request by a trusted proxy", function()
  local app

  setup(function() app = start "127.0.0.0/8,10.0.0.0/8,2001:db8::/32" end)
  teardown(function() app:stop() end)

  it("is from the last hop that is no proxy", function()
    for list, peer in pairs {
      ["1.1.1.1"] = "1.1.1.1",
      ["9.9.9.9, 1.1.1.1, 10.2.3.4"] = "1.1.1.1",
      ["9.9.9.9,1.1.1.1 , 10.2.3.4,\t10.1.1.1"] = "1.1.1.1",
      ["5.5.5.5:1234"] = "5.5.5.5",
      ["[2001:db9::1]:443"] = "2001:db9::1",
      ["2001:db9::1, 2001:db8::1"] = "2001:db9::1",
      ["::ffff:7.7.7.7"] = "7.7.7.7",
      ["10.9.9.9, 10.2.3.4"] = "10.9.9.9",
      ["made up, by nobody"] = "127.0.0.1",
      ["1.1.1.1, unknown"] = "127.0.0.1",
      ["1.1.1.1, unknown, 10.1.2.3"] = "10.1.2.3",
      [""] = "127.0.0.1", [",,"] = "127.0.0.1", ["1.1.1.1,"] = "127.0.0.1",
      [("x"):rep(5000)] = "127.0.0.1",
    } do
      assert.equal(peer, who(app, { ["X-Forwarded-For"] = list }).peer, list)
    end
    assert.equal("127.0.0.1", who(app).peer)
  end)

  it("may name it by Forwarded too, where X-Forwarded-For is absent", function()
    assert.equal("7.7.7.7", who(app, { Forwarded = 'for=9.9.9.9, For="7.7.7.7:80";proto=https' }).peer)
    assert.equal("2001:db9::5", who(app, { Forwarded = 'proto=http;for="[2001:db9::5]"' }).peer)
    assert.equal("127.0.0.1", who(app, { Forwarded = "for=_hidden" }).peer)
    assert.equal("1.1.1.1", who(app, { ["X-Forwarded-For"] = "1.1.1.1", Forwarded = "for=2.2.2.2" }).peer)
  end)

  it("has the scheme and the host that Forwarded tells of the client's own hop", function()
    for list, seen in pairs {
      ["for=1.1.1.1;proto=https;host=www.example"] = { "1.1.1.1", "https", "https://www.example" },
      ['For=1.1.1.1;Proto="https";HOST="www.example:8443"'] = { "1.1.1.1", "https", "https://www.example:8443" },
      ["for=9.9.9.9;proto=http;host=evil, for=1.1.1.1;proto=https;host=a, for=10.2.3.4;proto=http;host=in2"] =
        { "1.1.1.1", "https", "https://a" },
      ["for=_hidden;proto=https;host=www.example"] = { "127.0.0.1", "https", "https://www.example" },
      ["proto=https"] = { "127.0.0.1", "https", "https://in" },
      ["for=1.1.1.1;proto=gopher;host=a/b"] = { "1.1.1.1", "http", "http://in" },
      ["for=9.9.9.9;proto=https;host=evil, for=1.1.1.1"] = { "1.1.1.1", "http", "http://in" },
      ["for=1.1.1.1;xproto=https;host"] = { "1.1.1.1", "http", "http://in" },
      ['for="1.1.1.1;proto=https'] = { "127.0.0.1", "https", "https://in" },
      ["for=1.1.1.1;;proto=https;"] = { "1.1.1.1", "https", "https://in" },
    } do
      assert.same({ peer = seen[1], scheme = seen[2], origin = seen[3] },
        who(app, { Forwarded = list, Host = "in" }), list)
    end
  end)

  it("is not described by a Forwarded that stands beside X-Forwarded-For: the client wrote it", function()
    assert.same({ peer = "1.1.1.1", scheme = "http", origin = "http://in" }, who(app, {
      ["X-Forwarded-For"] = "1.1.1.1", Forwarded = "for=2.2.2.2;proto=https;host=evil", Host = "in" }))
    assert.same({ peer = "2.2.2.2", scheme = "http", origin = "http://www" }, who(app, {
      ["X-Forwarded-Proto"] = "http", ["X-Forwarded-Host"] = "www",
      Forwarded = "for=2.2.2.2;proto=https;host=evil", Host = "in" }))
  end)

  it("is walked back for a few hops only", function()
    local hops = {}
    for i = 1, 40 do hops[i] = "10.0.0." .. i end
    assert.equal("10.0.0.9", who(app, { ["X-Forwarded-For"] = "1.1.1.1, " .. table.concat(hops, ", ") }).peer)
  end)

  it("has the scheme and the host that the proxy tells", function()
    local seen = who(app, { ["X-Forwarded-Proto"] = "https", ["X-Forwarded-Host"] = "www.example", Host = "in" })
    assert.same({ peer = "127.0.0.1", scheme = "https", origin = "https://www.example" }, seen)
    seen = who(app, { ["X-Forwarded-Proto"] = "gopher", ["X-Forwarded-Host"] = "a/b?c", Host = "in" })
    assert.same({ peer = "127.0.0.1", scheme = "http", origin = "http://in" }, seen)
    assert.equal("http", who(app, { ["X-Forwarded-Proto"] = "https, http" }).scheme)
  end)

  it("may open a WebSocket from a page of the host that the proxy tells", function()
    local function opens(headers)
      return ws.open(app, "/ws", headers).status == 101
    end
    assert.is_true(opens { Host = "in", ["X-Forwarded-Host"] = "www.example", Origin = "https://www.example" })
    assert.is_false(opens { Host = "in", ["X-Forwarded-Host"] = "www.example", Origin = "https://evil.example" })
  end)

  it("that becomes a stream is listed with the client's address", function()
    local key = ("k"):rep(32)
    local other = start("127.0.0.1", { ["server.key"] = key })
    local stream = other:sse("/sse?topic=news", { headers = { ["X-Forwarded-For"] = "1.1.1.1" } })
    assert.equal(200, stream.status)
    local list = other:get("/api/server/connections", { headers = { Authorization = "Bearer " .. key } })
    assert.is_truthy(list.body:find('"peer":"1.1.1.1"', 1, true), list.body)
    stream:close()
    other:stop()
  end)

  it("is passed on with both addresses", function()
    local up = start "127.0.0.1"
    local front = start("127.0.0.1", { ["app.up"] = up.port })
    local seen = front:get("/up/who", { headers = { ["X-Forwarded-For"] = "9.9.9.9, 1.1.1.1",
      ["X-Forwarded-Proto"] = "https", ["X-Forwarded-Host"] = "www.example" } })
    assert.same({ peer = "1.1.1.1", scheme = "https", origin = "https://www.example" }, seen:json())
    front:stop()
    up:stop()
  end)
end)


describe("https", function()
  it("is where requests by http are sent, but for probes", function()
    local app = start("127.0.0.1", { ["https.redirect"] = true, ["https.hsts"] = "365d" })
    for path, method in pairs { ["/who?a=b%20c"] = "get", ["/nothing"] = "get", ["/hello/a"] = "post",
      ["//evil.example/x"] = "get" } do
      local res = app[method](app, path, { headers = { Host = "www.example:8080" } })
      assert.equal(308, res.status, path)
      assert.equal("https://www.example" .. path, res.headers.location)
      assert.is_nil(res.headers["strict-transport-security"])
    end
    assert.equal(200, app:get("/health").status)
    assert.equal(200, app:get("/metrics").status)
    local res = app:get("/who", { headers = { ["X-Forwarded-Proto"] = "https" } })
    assert.equal(200, res.status)
    assert.equal("max-age=31536000", res.headers["strict-transport-security"])
    app:stop()
    app = start(nil, { ["https.redirect"] = true, ["https.port"] = 8443 })
    res = app:get("/who", { headers = { Host = "[::1]:80", ["X-Forwarded-Proto"] = "https" } })
    assert.equal("https://[::1]:8443/who", res.headers.location)
    app:stop()
  end)
end)


describe("proxy.trusted", function()
  it("is refused with an address that is none", function()
    for _, item in ipairs { "10.0.0.0/33", "somewhere", "::1/129" } do
      local app = server.launch { set = { ["proxy.trusted"] = item } }
      assert.equal(1, (app.process:wait(30)))
      assert.is_truthy(app.process.err:find(('proxy.trusted: "%s" is no address'):format(item), 1, true), app.process.err)
    end
  end)
end)
