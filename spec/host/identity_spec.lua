-- Whose connection it is: listed, ended, revoked, expired and refreshed, over workers and nodes.
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local KEY = ("k"):rep(32)
local SVG = '<svg xmlns="http://www.w3.org/2000/svg">{{ x }}</svg>'

local function start(redis, more)
  local set = { ["server.key"] = KEY, ["password.ln"] = 10, ["redis.url"] = redis and redis.url }
  for name, value in pairs(more or {}) do set[name] = value end
  return server.start { workers = 2, set = set }
end

local function api(app, path, body)
  local res = app:post("/api/server/" .. path,
    { json = body, headers = { Authorization = "Bearer " .. KEY } })
  assert.equal(200, res.status, res.body)
  return res:json()
end

local function connections(app, query)
  local res = app:get("/api/server/connections?" .. query,
    { headers = { Authorization = "Bearer " .. KEY } })
  assert.equal(200, res.status, res.body)
  return res:json().connections
end

-- The same, when there are so many: a worker that is late is left out.
local function listed(app, query, count)
  local list
  wait.till(function()
    list = connections(app, query)
    return #list == count
  end, ("%d connections of %s"):format(count, query))
  return list
end

-- A token of /auth/token, for /ws.
local function login(app, user, session)
  local res = app:post("/auth/token",
    { json = { username = user, password = "pw of " .. user, session_id = session } })
  assert.equal(200, res.status, res.body)
  return res:json().token
end

local function open(app, token)
  return ws.connect(app, "/ws?token=" .. token)
end

-- A subscription, which may have to wait for the bus.
local function follow(app, c, user, topic, channel)
  local before = #connections(app, ("user=%s&channel=%s"):format(user, channel))
  c:text("subscribe:" .. topic)
  wait.till(function()
    return #connections(app, ("user=%s&channel=%s"):format(user, channel)) > before
  end, "the subscription")
end

-- A token of /api/auth/token, for the pictures.
local function viewer(app, user, seconds)
  local res = app:post("/api/auth/token",
    { json = { user_id = user, password = "pw of " .. user, ttl_seconds = seconds } })
  assert.equal(200, res.status, res.body)
  return res:json().token
end

local function events(app, path, token)
  local c = app:connect()
  c:send(("GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n%s\r\n"):format(path,
    token and "Authorization: Bearer " .. token .. "\r\n" or ""))
  local head = c:read_until("\r\n\r\n")
  return c, tonumber(head:match "^HTTP/1.1 (%d+)"), head:match "[Ss]tream%-[Ii]d: (%S+)"
end


for _, store in ipairs { "embedded", "redis" } do
  describe("identity, store " .. store .. " #workers", function()
    local redis, app

    setup(function()
      redis = store == "redis" and redis_server.start() or nil
      app = start(redis)
      assert.equal(201,
        app:post("/api/session", { json = { session_id = "a", template = SVG, args = { x = 1 } } }).status)
    end)

    teardown(function()
      app:stop()
      if redis then redis:down() end
    end)

    it("lists the connections of all workers, with user, topics and transport", function()
      local token = login(app, "ann", "room")
      local clients = {}
      for i = 1, 6 do
        clients[i] = open(app, token)
        follow(app, clients[i], "ann", "news", "pubsub:0:4:roomnews")
      end
      local picture = app:connect()
      picture:send "GET /stream/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
      picture:read_until("</svg>")
      local list = listed(app, "user=ann", 6)
      local ids, one = {}, list[1]
      for _, row in ipairs(list) do ids[row.id] = true end
      local count = 0
      for _ in pairs(ids) do count = count + 1 end
      assert.equal(6, count)
      assert.same({ "ws", "ann", { "pubsub:0:4:roomnews" }, "127.0.0.1" },
        { one.transport, one.user, { one.topics[1] }, one.peer })
      assert.equal("string", type(one.jti))
      assert.is_true(one.exp > os.time())
      assert.is_true(#connections(app, "user=ann&limit=1") <= 2) -- one of each worker
      assert.equal("mixed", listed(app, "channel=session:a", 1)[1].transport)
      assert.equal(0, #connections(app, "user=nobody"))
      picture:close()
      for _, c in ipairs(clients) do c:close() end
      listed(app, "", 0)
    end)

    it("disconnects by id and by user, with code and reason", function()
      local a, b = open(app, login(app, "ben")), open(app, login(app, "ben"))
      local id = listed(app, "user=ben", 2)[1].id
      assert.equal(1, api(app, "disconnect", { id = id }).count)
      listed(app, "user=ben", 1)
      assert.equal(1, api(app, "disconnect", { user = "ben", code = 4000, reason = "moved" }).count)
      local ends = {}
      for _, c in ipairs { a, b } do
        local code, reason = c:read_close()
        ends[code] = reason
      end
      assert.same({ [4409] = "kicked", [4000] = "moved" }, ends)
      assert.equal(0, api(app, "disconnect", { id = id }).count)
    end)

    it("unsubscribes", function()
      local c = open(app, login(app, "cem", "room"))
      local channel = "pubsub:0:4:roomx"
      follow(app, c, "cem", "x", channel)
      assert.equal(1, api(app, "unsubscribe", { user = "cem", channel = channel }).count)
      listed(app, "user=cem&channel=" .. channel, 0)
      listed(app, "user=cem", 1)
      c:close()
    end)

    it("says something to the connections of a user, whatever they are subscribed to", function()
      local a, b = open(app, login(app, "zoe")), open(app, login(app, "zoe"))
      local stream = events(app, "/stream/a", viewer(app, "zoe", 60))
      local other = open(app, login(app, "zed"))
      assert.equal(3, api(app, "say", { user = "zoe", data = { hello = 1 } }).count)
      for _, c in ipairs { a, b } do assert.equal('{"hello":1}', c:read_text()) end
      assert.truthy(stream:read_until('event: say\ndata: {"hello":1}\n\n'))
      assert.is_true(other:is_quiet())
      for _, c in ipairs { a, b, stream, other } do c:close() end
    end)

    it("ends the streams of a revoked user, and refuses the tokens of until then", function()
      local old = viewer(app, "dan")
      local socket = open(app, login(app, "dan"))
      local stream, status = events(app, "/stream/a", old)
      assert.equal(200, status)
      assert.equal(2, api(app, "revoke", { user = "dan" }).count)
      assert.same({ 4403, "revoked" }, { socket:read_close() })
      assert.truthy(stream:read_until('event: end\ndata: {"code":"revoked"}\n\n'))
      assert.is_true(stream:ends_within())
      local _, refused = events(app, "/stream/a", old)
      assert.equal(401, refused)
      local headers = { Authorization = "Bearer " .. old }
      assert.equal(401, app:get("/api/user/dan/session", { headers = headers }).status)
      local new = viewer(app, "dan")
      headers.Authorization = "Bearer " .. new
      assert.equal(200, app:get("/api/user/dan/session", { headers = headers }).status)
      open(app, login(app, "dan")):close()
    end)

    it("makes no anonymous connection of a token in a form that it does not know", function()
      for _, offered in ipairs { "bearer", "bearer, a, b", "bearer," } do
        local c = ws.open(app, "/ws", { ["Sec-WebSocket-Protocol"] = offered })
        assert.equal(401, c.status, offered)
        c:close()
      end
      assert.equal(401, ws.open(app, "/ws?token=").status)
      assert.equal(401, app:get("/stream/a?token=").status)
    end)

    it("revokes one token by its jti", function()
      local one, two = login(app, "eva"), login(app, "eva")
      local a, b = open(app, one), open(app, two)
      local jti = listed(app, "user=eva", 2)[1].jti
      assert.equal(1, api(app, "revoke", { jti = jti }).count)
      assert.not_equal(jti, listed(app, "user=eva", 1)[1].jti)
      local statuses = {}
      for _, token in ipairs { one, two } do
        statuses[ws.open(app, "/ws?token=" .. token).status] = true
      end
      assert.same({ [401] = true, [101] = true }, statuses)
      a:close()
      b:close()
    end)

    it("keeps a revocation for as long as clocks may differ beyond the token's time", function()
      local lenient = start(redis, { ["token.leeway"] = "30s" })
      local token = viewer(lenient, "lea", 1)
      local headers = { Authorization = "Bearer " .. token }
      assert.equal(204, lenient:post("/auth/logout", { headers = headers }).status)
      wait.pause(3)
      api(lenient, "revoke", { user = "somebody" }) -- what is over goes at such a moment
      local res = lenient:get("/api/user/lea/session", { headers = headers })
      assert.equal(401, res.status)
      assert.truthy(res.body:find("revoked", 1, true), res.body)
      lenient:stop()
    end)

    it("keeps revocations over a restart", function()
      local token = login(app, "fay")
      api(app, "revoke", { user = "fay" })
      local again = app
      app:stop()
      app = again:restart()
      assert.equal(401, ws.open(app, "/ws?token=" .. token).status)
      open(app, login(app, "fay")):close()
    end)

    it("ends a stream when its token expires, on every transport", function()
      local token = viewer(app, "gil", 2)
      local stream = events(app, "/stream/a", token)
      local picture = app:connect()
      picture:send("GET /stream/a?token=" .. token .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")
      assert.truthy(picture:read_until("</svg>"))
      assert.truthy(stream:read_until('event: end\ndata: {"code":"expired"}\n\n'))
      assert.is_true(stream:ends_within())
      assert.is_true(picture:ends_within())
      wait.till(function()
        local _, status = events(app, "/stream/a", token)
        return status == 401
      end, "the expired token to be refused")
    end)

    it("lets a stream live on by a newer token of its user", function()
      local stream, _, id = events(app, "/stream/a", viewer(app, "hal", 30))
      assert.equal(404, app:post("/sse/" .. id .. "/token", { json = { token = viewer(app, "ida") } }).status)
      assert.equal(401, app:post("/sse/" .. id .. "/token", { json = { token = "x.y.z" } }).status)
      assert.equal(204, app:post("/sse/" .. id .. "/token", { json = { token = viewer(app, "hal") } }).status)
      assert.is_true(listed(app, "id=" .. id, 1)[1].exp > os.time() + 60)
      stream:close()
    end)

    if store == "redis" then
      it("works over the nodes, as soon as one is there", function()
        local other = start(redis)
        local here, there = open(app, login(app, "jan")), open(other, login(app, "jan"))
        listed(app, "user=jan", 1)
        listed(app, "user=jan&nodes=true", 2)
        local stream, _, id = events(other, "/stream/a", viewer(app, "jan", 60))
        assert.equal(204,
          app:post("/sse/" .. id .. "/token", { json = { token = viewer(app, "jan") } }).status)
        local count = api(app, "revoke", { user = "jan" }).count
        assert.is_true(count >= 1 and count <= 3) -- of the workers that answer within half a second
        for _, c in ipairs { here, there } do assert.equal(4403, c:read_close()) end
        assert.truthy(stream:read_until('{"code":"revoked"}'))
        other:stop()
      end)

      it("hears of revocations that it missed when the link is back", function()
        local other = start(redis)
        local token = login(app, "kim")
        local c = open(other, token)
        other:freeze()
        api(app, "revoke", { user = "kim" })
        redis:command("client", "kill", "type", "pubsub")
        other:thaw()
        assert.equal(4403, c:read_close())
        assert.equal(401, ws.open(other, "/ws?token=" .. token).status)
        other:stop()
      end)
    end
  end)
end


describe("the server's API", function()
  it("is not there without a key, and closed to another key", function()
    local app = server.start { workers = 1 }
    assert.equal(404, app:get("/api/server/connections").status)
    app:stop()
    app = start()
    assert.equal(401, app:get("/api/server/connections").status)
    assert.equal(401, app:get("/api/server/connections",
      { headers = { Authorization = "Bearer " .. ("x"):rep(32) } }).status)
    app:stop()
  end)

  it("publishes and broadcasts", function()
    local app = start()
    local c = open(app, login(app, "ann", "room"))
    follow(app, c, "ann", "news", "pubsub:0:4:roomnews")
    api(app, "publish", { topic = "news", session_id = "room", payload = { n = 1 } })
    local text = c:read_text()
    assert.truthy(text:find('"payload":{"n":1}', 1, true))
    assert.truthy(text:find('"publisher_name":"server"', 1, true))
    assert.equal(2, api(app, "broadcast",
      { channels = { "pubsub:0:4:roomnews", "other" }, data = "hello" }).count)
    assert.equal("hello", c:read_text())
    c:text 'subscribe-json:{"topic":"t","presence":true}'
    local function read(path)
      return app:get("/api/server/" .. path, { headers = { Authorization = "Bearer " .. KEY } }):json()
    end
    wait.till(function() return read("presence?topic=t&session_id=room").count == 1 end, "ann")
    assert.equal("ann", read("presence?channel=pubsub:0:4:roomt").members[1].user)
    assert.same({}, read("history?channel=nothing").items)
    local found = false
    for _, row in ipairs(read "channels".channels) do
      found = found or row.channel == "pubsub:0:4:roomt" and row.subscribers == 1
      assert.is_nil(row.channel:find "^%$")
    end
    assert.is_true(found)
    c:close()
    app:stop()
  end)
end)
