-- Several processes on one Redis.
local http = require "spec.support.http"
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>{{ x }}</text></svg>'

local function picture(x)
  return (SVG:gsub("{{ x }}", tostring(x)))
end

-- A topic whose store can be away, at once and for itself alone.
local FLAKY = {
  ["lua/topics/flaky.lua"] = [[
local store = require "host.store"
return { prefixes = { "flaky:" }, read = function()
  local value = store.get "flaky-value"
  if value ~= "away" then return "<svg>" .. value .. "</svg>", math.tointeger(value) end
  store.incr "flaky-refused"
  return nil, "it is away", "unavailable"
end }]],
  ["lua/routes/flaky.lua"] = [[
local store, topics, web = require "host.store", require "web.topics", require "web"
return {
  { path = "/flaky", GET = function()
    return web.mixed("flaky:a", { watch = assert(topics.open "flaky:a") })
  end },
  { path = "/flaky/refused", GET = function() return web.text(store.get "flaky-refused" or "0") end },
  { path = "/flaky/{value}", POST = function(req)
    store.set("flaky-value", req.params.value)
    return web.text "set"
  end },
}]],
}

-- Settings of a node; a cheap password hash, since the machine is shared.
local function node(redis, more)
  local set = { ["redis.url"] = redis.url, ["password.ln"] = 10, max_fps = 0 }
  for name, value in pairs(more or {}) do set[name] = value end
  return server.start { workers = 2, set = set, files = FLAKY }
end

local function put(app, id, x)
  return app:put("/api/session/" .. id, { json = { args = { x = x } } })
end

local function create(app, id)
  local res = app:post("/api/session", { json = { session_id = id, template = SVG, args = { x = 0 } } })
  assert.equal(201, res.status, res.body)
end


describe("two processes on one Redis #workers", function()
  local redis, one, two

  setup(function()
    redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    one, two = node(redis), node(redis)
  end)

  teardown(function()
    one:stop()
    two:stop()
    redis:down()
  end)

  it("show an update of the one to the viewers of the other", function()
    create(one, "a")
    local here, there = http.pictures(one, "/stream/a"), http.pictures(two, "/stream/a")
    assert.equal(picture(0), here:next())
    assert.equal(picture(0), there:next())
    for i = 1, 20 do assert.equal(200, put(i % 2 == 0 and one or two, "a", i).status) end
    here:till(">20<")
    there:till(">20<")
    here:close()
    there:close()
  end)

  it("bring each message of publish/subscribe to the clients of both, in one order", function()
    local readers = {}
    for i, app in ipairs { one, two, one, two } do
      readers[i] = ws.connect(app, "/ws")
      readers[i]:text "subscribe:news|s"
      readers[i]:text "sync"
      assert.matches("unknown_command", readers[i]:read_text(), 1, true)
    end
    local stranger = ws.connect(two, "/ws")
    stranger:text "subscribe:news|other"
    local writers = { ws.connect(one, "/ws"), ws.connect(two, "/ws") }
    for i = 1, 300 do
      writers[i % 2 + 1]:text(
        ('publish-json:{"topic":"news","session_id":"s","payload":%d}'):format(i))
    end
    local first, seen = {}, {}
    for i = 1, 300 do
      first[i] = readers[1]:read_text()
      seen[tonumber(first[i]:match '"payload":(%d+)')] = true
    end
    for i = 1, 300 do assert.is_true(seen[i]) end
    for k = 2, 4 do
      for i = 1, 300 do assert.equal(first[i], readers[k]:read_text()) end
    end
    assert.is_true((stranger:is_quiet()))
    for _, c in ipairs { stranger, writers[1], writers[2], table.unpack(readers) } do c:close() end
  end)

  it("never show an older picture after a newer one", function()
    create(one, "order")
    local there = http.pictures(two, "/stream/order")
    for i = 1, 100 do put(i % 2 == 0 and one or two, "order", i) end
    local last = -1
    repeat
      local x = tonumber(there:next():match "<text>(%d+)</text>")
      assert.is_true(x >= last, ("%d after %d"):format(x, last))
      last = x
    until x == 100
    there:close()
  end)

  it("render an update once for both", function()
    create(one, "once")
    local there = http.pictures(two, "/stream/once")
    assert.equal(picture(0), there:next())
    local before = two:metric "lunacast_pictures_rendered_total"
    put(one, "once", 1)
    assert.equal(picture(1), there:next())
    assert.equal(before, two:metric "lunacast_pictures_rendered_total")
    there:close()
  end)

  it("end the viewers of both when a session is deleted", function()
    create(one, "gone")
    local there = http.pictures(two, "/stream/gone")
    assert.equal(picture(0), there:next())
    assert.equal(204, one:delete("/api/session/gone").status)
    assert.is_nil(there:next())
    assert.equal(404, two:get("/svg/gone").status)
  end)

  it("show on both what is stored, wherever the one that stores it loses its link", function()
    local way = redis:proxy()
    local far = node(way)
    create(far, "split")
    local view, seen = http.pictures(one, "/stream/split"), 0
    assert.equal(picture(0), view:next())
    for i = 1, 24 do
      wait.till(function() return far:get("/ready").status == 200 end, "the link", 30)
      way:cut { after = i * 70 }
      pcall(put, far, "split", i)
      way:cut { refuse = true }
      local stored = one:json("/api/session/split").args.x
      if stored ~= seen then view:till((">%d<"):format(stored)) end
      seen = stored
      way:mend()
    end
    view:close()
    far:stop()
    way:close()
  end)

  it("lose nothing of changes at once through both", function()
    create(one, "race")
    local open = {}
    for i = 1, 40 do
      local c = http.connect(i % 2 == 0 and one or two)
      c:send(http.format("PATCH", "/api/session/race", { json = { args = { ["k" .. i] = i } } }))
      open[i] = c
    end
    for i = 1, 40 do
      local res = http.read_response(open[i], "PATCH", 30)
      assert.equal(200, res and res.status, res and res.body)
      open[i]:close()
    end
    local args = two:json("/api/session/race").args
    for i = 1, 40 do assert.equal(i, args["k" .. i]) end
  end)

  it("take each other's tokens", function()
    local res = one:post("/api/auth/token", { json = { user_id = "ann", password = "x" } })
    local token = res:json().token
    assert.equal(one:json("/api/auth/jwks").keys[1].kid, two:json("/api/auth/jwks").keys[1].kid)
    assert.equal(200, two:get("/api/user/ann/session", { token = token }).status)
    assert.equal(401, two:post("/api/auth/token", { json = { user_id = "ann", password = "y" } }).status)
  end)

  it("catch up when the link for messages was cut in between", function()
    create(one, "cut")
    local there = http.pictures(two, "/stream/cut")
    assert.equal(picture(0), there:next())
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    assert.equal(200, put(one, "cut", 1).status)
    there:till(">1<")
    assert.equal(200, put(one, "cut", 2).status)
    there:till(">2<")
    there:close()
  end)

  it("read values again until the store gives them, when that link was cut", function()
    assert.equal(200, two:post("/flaky/1").status)
    local view = http.pictures(two, "/flaky")
    assert.matches("<svg>1</svg>", view:next())
    assert.equal(200, two:post("/flaky/away").status)
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    wait.till(function() return two:get("/flaky/refused").body >= "2" end, "two readings to fail")
    assert.equal(200, two:post("/flaky/3").status)
    view:till "<svg>3</svg>"
    view:close()
    assert.equal(1, select(2, two.process.err:gsub("topics can't be read again now", "")))
  end)

  it("say that messages may be lost when that link was cut", function()
    local c = ws.connect(two, "/ws")
    c:text "subscribe:cut|s"
    c:text "sync"
    c:read_text()
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    local gap = json.decode(c:read_text())
    assert.same({ "gap", "cut", "s" }, { gap.code, gap.topic, gap.session_id })
    c:text 'publish-json:{"topic":"cut","session_id":"s","payload":1}'
    assert.matches('"payload":1', c:read_text(), 1, true)
    c:close()
  end)

  it("keep streams open while Redis is stopped, answer 503, and go on after it", function()
    create(one, "away")
    local here, there = http.pictures(one, "/stream/away"), http.pictures(two, "/stream/away")
    assert.equal(picture(0), here:next())
    assert.equal(picture(0), there:next())
    redis:down()
    local began = wait.now()
    local res = put(one, "away", 1)
    assert.equal(503, res.status)
    assert.truthy(res.headers["retry-after"])
    assert.equal("unavailable", res:json().code)
    assert.is_true(wait.now() - began < 15) -- 2 s where the machine has time
    assert.equal(503, two:get("/api/session/away").status)
    assert.equal("degraded", one:json("/health").status)
    assert.equal(503, two:get("/ready").status)
    wait.pause(3)
    redis:up()
    wait.till(function() return put(one, "away", 2).status == 200 end, "writes to work again")
    here:till(">2<")
    there:till(">2<")
    wait.till(function() return two:get("/ready").status == 200 end, "readiness")
    wait.till(function() return one:json("/health").status == "ok" end, "health")
    assert.equal(200, put(two, "away", 3).status)
    here:till(">3<")
    there:till(">3<")
    here:close()
    there:close()
  end)
end)


describe("many processes that start at once", function()
  it("agree on one signing key", function()
    local redis = redis_server.start()
    local nodes = {}
    for i = 1, 20 do
      nodes[i] = server.launch { workers = 1, set = { ["redis.url"] = redis.url } }
    end
    local kids = {}
    for i, app in ipairs(nodes) do
      server.await(app)
      kids[app:json("/api/auth/jwks").keys[1].kid] = i
    end
    local count = 0
    for _ in pairs(kids) do count = count + 1 end
    assert.equal(1, count)
    for _, app in ipairs(nodes) do app:stop() end
    redis:down()
  end)
end)


describe("a rotation of the signing key", function()
  it("is learnt by the other nodes", function()
    local redis = redis_server.start()
    local files = { ["lua/routes/rotate.lua"] = [[
      return { path = "/rotate", POST = function()
        return require("web").json { rotated = require("auth.keys").rotate() }
      end }]] }
    local set = { ["redis.url"] = redis.url, ["password.ln"] = 10 }
    local one = server.start { workers = 1, set = set, files = files }
    local two = server.start { workers = 1, set = set }
    local function login(app)
      return app:post("/api/auth/token", { json = { user_id = "a", password = "b" } }):json().token
    end
    local old = login(two)
    local kid = two:json("/api/auth/jwks").keys[1].kid
    assert.same({ rotated = true }, one:post("/rotate"):json())
    wait.till(function()
      return two:get("/api/user/a/session", { token = login(one) }).status == 200
    end, "the other node to take a token of the new key")
    assert.equal(200, two:get("/api/user/a/session", { token = old }).status)
    wait.till(function() return two:json("/api/auth/jwks").keys[1].kid ~= kid end, "the new key")
    assert.equal(2, #two:json("/api/auth/jwks").keys)
    one:stop()
    two:stop()
    redis:down()
  end)
end)
