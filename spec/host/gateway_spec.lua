-- Routes to other servers from config.lua, and several servers that stand for each other.
local crypto = require "host.crypto"
local http = require "spec.support.http"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local process = require "spec.support.process"
local server = require "spec.support.server"
local upstream = require "spec.support.upstream"
local uv = require "luv"
local wait = require "spec.support.wait"

local BINARY = uv.fs_realpath(server.BINARY)
local SECRET = ("s"):rep(32)

local function config(text)
  return { ["config.lua"] = "return { gateway = {" .. text .. "} }" }
end

local function start(text, options)
  options = options or {}
  options.workers = options.workers or 2
  options.files = config(text)
  return server.start(options)
end

local function states(app)
  local p = process.run(BINARY, { "upstreams", "--app", app.folder, "--data", app.data, "--json" })
  assert.equal(0, p.code, p.err)
  local found = {}
  for _, peer in ipairs(json.decode(p.out)) do found[peer.url] = peer end
  return found
end


describe("The section gateway", function()
  local ups = {}

  setup(function()
    for i = 1, 3 do ups[i] = upstream.start() end
  end)

  teardown(function()
    for _, up in ipairs(ups) do up:stop() end
  end)

  before_each(function()
    for _, up in ipairs(ups) do up:forget() end
  end)

  local function list(n)
    local urls = {}
    for i = 1, n do urls[i] = ("%q"):format(ups[i].url) end
    return "{" .. table.concat(urls, ",") .. "}"
  end

  local function target(i)
    return ups[i]:records()[1].raw:match "^%S+ (%S+)"
  end

  it("makes routes: every method, the prefix and what is below it", function()
    local app = start(([[{ prefix = "/api/aura", upstream = env "SPEC_UP" or "%s", strip = 1,
      response_headers = { ["X-By"] = "gateway" } }]]):format(ups[1].url))
    for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } do
      ups[1]:forget()
      local res = http.request(app, method, "/api/aura/test/stream?x=1")
      assert.equal(200, res.status)
      assert.equal("gateway", res.headers["x-by"])
      assert.equal("/aura/test/stream?x=1", target(1))
    end
    ups[1]:forget()
    assert.equal(200, app:get("/api/aura").status)
    assert.equal("/aura", target(1))
    assert.equal(404, app:get("/api/auras").status)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("takes the environment over the default, and everything below / that is not ours", function()
    local app = start([[{ prefix = "/", upstream = env "SPEC_UP" or "http://127.0.0.1:1" }]],
      { env = { SPEC_UP = ups[2].url } })
    assert.equal(200, app:get("/any/thing").status)
    assert.equal("/any/thing", target(2))
    assert.is_nil(app:get("/health").body:find("echo", 1, true))
    app:stop()
  end)

  it("changes live, and what runs goes on #workers", function()
    local app = start(('{ prefix = "/a", upstream = "%s" }'):format(ups[1].url))
    local c = http.connect(app)
    c:send(http.format("GET", "/a/stream", { headers = upstream.answer {
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n" } }))
    c:read_until "data: 1\n\n"
    server.write(app.folder, config(('{ prefix = "/b", upstream = "%s" }'):format(ups[2].url)))
    for _ = 1, 8 do
      wait.till(function() -- workers do not change at the same moment
        return app:get("/b/x").status == 200 and app:get("/a/x").status == 404
      end, "the new route only")
    end
    assert.is_nil(c.ended)
    c:close()
    app:stop()
  end)

  it("keeps a stream open over a reload and its drain time, and its events come #workers", function()
    local pieces = { "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" }
    for i = 1, 80 do pieces[#pieces + 1] = ("data: %d\n\n"):format(i) end
    local app = start(('{ prefix = "/a", upstream = "%s" }'):format(ups[1].url),
      { set = { drain = "200ms" } })
    local c = http.connect(app)
    c:send(http.format("GET", "/a/stream", { headers = upstream.answer(pieces, "close") }))
    c:read_until "data: 1\n\n"
    app.process:kill "sighup"
    c:read_until "data: 80\n\n"
    c:close()
    app:stop()
  end)

  it("ends streams of events at a shutdown, cleanly and at once", function()
    local app = start(('{ prefix = "/a", upstream = "%s" }'):format(ups[1].url))
    local c = http.connect(app)
    c:send(http.format("GET", "/a/stream", { headers = upstream.answer(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n") }))
    c:read_until "data: 1\n\n"
    local began = wait.now()
    app:stop()
    assert.matches("0\r\n\r\n$", c:read_all())
    assert.is_true(wait.now() - began < 20) -- the drain is 30
    c:close()
  end)

  it("asks for a token where it is told, and says to the upstream who it is", function()
    local key = assert(jwk.import { kty = "oct", alg = "HS256", k = crypto.base64url_encode(SECRET) })
    local function bearer(user)
      local now = os.time()
      return "Bearer " .. assert(jwt.sign(
        { sub = user, tenant_id = "acme", iat = now, exp = now + 60 }, key))
    end
    local app = start(('{ prefix = "/a", upstream = "%s", identity = true }'):format(ups[1].url),
      { set = { ["identity.secret"] = SECRET } })
    assert.equal(401, app:get("/a/x").status)
    local res = app:get("/a/x", { headers = { Authorization = bearer "ann", ["X-User-ID"] = "bob" } })
    assert.equal(403, res.status)
    assert.equal(0, #ups[1]:records())
    res = app:get("/a/x", { headers = { Authorization = bearer "ann" } })
    assert.equal(200, res.status)
    assert.matches("\r\nX%-User%-ID: ann\r\n", ups[1]:records()[1].raw)
    assert.matches("\r\nX%-Tenant%-ID: acme\r\n", ups[1]:records()[1].raw)
    app:stop()
  end)

  it("says what is wrong with an entry", function()
    for text, message in pairs {
      ['{ upstream = "http://a" }'] = 'gateway[1] needs a prefix such as "/api"',
      ['{ prefix = "/a" }'] = "gateway[1] needs an upstream",
      ['{ prefix = "/a", upstream = "ftp://a" }'] = "gateway[1] is wrong: a wrong upstream: a URL must",
      ['{ prefix = "/a", upstream = "http://a", stripp = 1 }'] = "did you mean strip?",
      ['{ prefix = "/a", upstream = "http://a", strip = "x" }'] = "gateway[1] is wrong",
      ['{ prefix = "/a", upstream = "http://a", check = {} }'] = "needs a check with a path",
      ['{ prefix = "/a", upstream = "http://a", middleware = { "nope" } }'] = 'middleware "nope"',
    } do
      local app = server.launch { files = config(text) }
      assert.equal(1, app.process:wait(20))
      assert.is_truthy(app.process.err:find(message, 1, true), app.process.err)
    end
  end)

  it("takes servers in turn", function()
    local app = start('{ prefix = "/a", upstream = ' .. list(3) .. " }")
    for _ = 1, 9 do assert.equal(200, app:get("/a/x").status) end
    for i = 1, 3 do assert.equal(3, #ups[i]:records()) end
    app:stop()
  end)

  it("takes the one with the fewest running requests", function()
    local app = start('{ prefix = "/a", balance = "least", upstream = ' .. list(2) .. " }")
    local held = http.connect(app)
    held:send(http.format("GET", "/a/x", { headers = { ["X-Then"] = "hang" } }))
    wait.till(function() return #ups[1]:records() + #ups[2]:records() == 1 end)
    local busy = #ups[1]:records() == 1 and 1 or 2
    for _ = 1, 6 do assert.equal(200, app:get("/a/x").status) end
    assert.equal(1, #ups[busy]:records())
    held:close()
    app:stop()
  end)

  it("goes to another server when one is not reached, once, and gives it rest", function()
    local dead = upstream.start()
    local app = start(('{ prefix = "/a", upstream = { "%s", "%s" }, out_time = 60 }'):format(dead.url,
      ups[1].url))
    dead:stop()
    for i = 1, 12 do
      assert.equal(200, app:post("/a/x", { body = "n" .. i }).status)
    end
    assert.equal(12, #ups[1]:records())
    local peer = states(app)[dead.url]
    assert.equal("out", peer.state)
    assert.equal(3, peer.failures)
    assert.equal(3, peer.requests)
    assert.is_true(peer.out_for > 30)
    assert.equal(1, app:metric "lunacast_upstreams_out")
    assert.equal(3, app:metric "lunacast_upstream_failures_total")
    assert.equal(12, app:metric(('lunacast_upstream_seconds_count{upstream="%s"}'):format(ups[1].url)))
    app:stop()
  end)

  it("sends a request again only when it may be", function()
    local app = start(('{ prefix = "/a", upstream = %s, fails = 0 }'):format(list(2)))
    local headers = upstream.answer("", "reset")
    assert.equal(502, app:get("/a/x", { headers = headers }).status)
    assert.equal(2, #ups[1]:records() + #ups[2]:records())
    assert.equal(502, app:post("/a/x", { headers = headers, body = "x" }).status)
    assert.equal(3, #ups[1]:records() + #ups[2]:records())
    assert.equal(502, app:put("/a/x", { headers = headers, body = "x" }).status)
    assert.equal(4, #ups[1]:records() + #ups[2]:records())
    app:stop()
  end)

  it("breaks the circuit to a server without a stand-in, and tries it again", function()
    local port_holder = upstream.start()
    local url = port_holder.url
    local app = start(('{ prefix = "/a", upstream = "%s", out_time = 60 }'):format(url),
      { set = { ["test.clock"] = true } })
    assert.equal(200, app:get("/a/x").status)
    port_holder:stop()
    for _ = 1, 3 do assert.equal(502, app:get("/a/x").status) end
    local res = app:get "/a/x"
    assert.equal(503, res.status)
    assert.equal("upstream_out", res:json().code)
    assert.is_truthy(res.headers["retry-after"])
    app.clock:advance(61)
    assert.equal(502, app:get("/a/x").status, "a trial")
    assert.equal(503, app:get("/a/x").status)
    local again = upstream.start("node", { "spec/support/upstream.mjs", url:match ":(%d+)$" })
    wait.till(function()
      app.clock:advance(61)
      return app:get("/a/x").status == 200
    end, "the server's return")
    assert.equal("up", states(app)[url].state)
    again:stop()
    app:stop()
  end)

  it("is not put out by a client that knows a slow address", function()
    local app = start(('{ prefix = "/a", upstream = "%s", timeout = 0.2 }'):format(ups[1].url))
    for _ = 1, 4 do
      assert.equal(504, app:get("/a/x", { headers = { ["X-Then"] = "hang" } }).status)
    end
    local status -- out it would be 503; a machine that is busy may be late once more
    wait.till(function()
      status = app:get("/a/x").status
      return status ~= 504
    end, "an answer in time")
    assert.equal(200, status)
    app:stop()
  end)

  it("opens so many connections to a server and no more; further requests wait their turn", function()
    local app = start(('{ prefix = "/a", upstream = "%s" }'):format(ups[1].url),
      { workers = 1, set = { ["client.connections"] = 2, ["client.idle"] = "1s" } })
    local slow = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" }
    for _ = 1, 6 do slow[#slow + 1] = "" end
    slow[#slow + 1] = "ok"
    local all = {}
    for i = 1, 6 do
      all[i] = http.connect(app)
      all[i]:post(http.format("GET", "/a/" .. i, { headers = upstream.answer(slow) }))
    end
    local most = 0
    for i = 1, 6 do
      most = math.max(most, app:metric "lunacast_client_connections")
      assert.equal("ok", http.read_response(all[i]).body)
      all[i]:close()
    end
    assert.equal(2, most)
    assert.equal(6, #ups[1]:records())
    wait.till(function() return app:metric "lunacast_client_connections" == 0 end,
      "unused connections to be closed")
    app:stop()
  end)

  it("is busy, not ill, while all connections to it are in use", function()
    local app = start(('{ prefix = "/a", upstream = %s, connect_timeout = 0.2, fails = 1 }'):format(list(2)),
      { workers = 1, set = { ["client.connections"] = 1 } })
    local held = {}
    for i = 1, 2 do
      held[i] = http.connect(app)
      held[i]:send(http.format("GET", "/a/stream", { headers = upstream.answer {
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n" } }))
      held[i]:read_until "data: 1\n\n"
    end
    for _ = 1, 3 do
      local res = app:get "/a/x"
      assert.equal(503, res.status)
      assert.equal("upstream_busy", res:json().code)
    end
    for _, peer in pairs(states(app)) do assert.equal("up", peer.state) end
    for _, c in ipairs(held) do c:close() end
    wait.till(function() return app:get("/a/x").status == 200 end)
    app:stop()
  end)

  it("does not fail when a server has closed a kept connection", function()
    local up = upstream.start()
    local app = start(('{ prefix = "/a", upstream = "%s" }'):format(up.url))
    for _ = 1, 3 do assert.equal(200, app:get("/a/x").status) end
    up:stop()
    up = upstream.start("node", { "spec/support/upstream.mjs", tostring(up.port) })
    for _ = 1, 3 do assert.equal(200, app:get("/a/x").status) end
    for _ = 1, 3 do assert.equal(200, app:post("/a/x", { body = "x" }).status) end
    assert.equal(6, #up:records())
    up:stop()
    app:stop()
  end)

  it("speaks TLS with a server, and only with the right one", function()
    local folder = server.folder()
    assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
      .. " -keyout %s/key.pem -out %s/cert.pem -subj /CN=localhost"
      .. " -addext subjectAltName=DNS:localhost 2>/dev/null"):format(folder, folder)))
    local far = server.start { files = { ["lua/routes/all.lua"] = [[
      local web = require "web"
      return { { path = "/far/echo", POST = function(req) return web.text(req.body) end },
        { path = "/far/big", GET = function() return web.text(("x"):rep(3000000)) end } } ]] },
      set = { ["tls.cert"] = folder .. "/cert.pem", ["tls.key"] = folder .. "/key.pem",
        ["gzip.min"] = 0, ["limits.body"] = "4M" } }
    local url = "https://localhost:" .. far.port
    local app = start(([[{ prefix = "/good", upstream = "%s/far", strip = 1 },
      { prefix = "/name", upstream = "https://127.0.0.1:%d/far", strip = 1 },
      { prefix = "/any", upstream = "https://127.0.0.1:%d/far", strip = 1, insecure = true },
      { prefix = "/plain", upstream = "https://127.0.0.1:%d", strip = 1 }]]):format(url, far.port,
      far.port, ups[1].port), { set = { ["client.ca"] = folder .. "/cert.pem" } })
    assert.equal("hello", app:post("/good/echo", { body = "hello" }).body)
    assert.equal(3000000, #app:get("/good/big").body)
    local long = ("0123456789"):rep(200000)
    assert.equal(long, app:post("/good/echo", { body = long }).body)
    assert.equal("hello", app:post("/any/echo", { body = "hello" }).body)
    for _, path in ipairs { "/name/echo", "/plain/x" } do
      local res = app:get(path)
      assert.equal(502, res.status)
      assert.equal("upstream_tls", res:json().code)
    end
    app:stop()
    far:stop()
  end)

  it("asks servers how they are", function()
    local app = start(([[{ prefix = "/a", upstream = { "%s", "%s" },
      check = { path = "/health", every = 0.2, timeout = 2 } }]]):format(ups[1].url, ups[2].url))
    wait.till(function() return #ups[2]:records() > 0 end)
    assert.matches("^GET /health HTTP", ups[2]:records()[1].raw)
    ups[2].process:kill "sigstop"
    wait.till(function() return states(app)[ups[2].url].state == "down" end, "the check")
    for _ = 1, 6 do assert.equal(200, app:get("/a/x").status) end
    ups[2].process:kill "sigcont"
    wait.till(function() return states(app)[ups[2].url].state == "up" end, "the check")
    app:stop()
  end)
end)
