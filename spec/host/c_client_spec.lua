-- The client library in C against real servers.
local certificate = require "spec.support.certificate"
local driver = require "spec.support.client_driver"
local json = require "host.json"
local process = require "spec.support.process"
local proxy = require "host.test.proxy"
local redis_server = require "spec.support.redis"
local wait = require "spec.support.wait"


local function follow(client, topic)
  client:say("subscribe", topic, false, false, false, "resume")
  repeat
    client:say("look", topic)
    local position = client:hears "looked"[5]
  until position ~= "-"
end


describe("the client in C", function()
  local app, address

  setup(function()
    app = driver.server()
    address = app.address
  end)

  teardown(function() app:stop() end)

  it("delivers inside a session and not across: the example", function()
    local done = process.run(driver.program "client_example", { driver.url(address) })
    assert.equal(0, done.code, done.out .. done.err)
    assert.matches("each heard the own session, and nothing else", done.out)
  end)

  it("shows live pictures, until they are gone or not wanted any more", function()
    local ann = driver.start(driver.url(address))
    local function shown() return table.concat(ann:hears "picture", " ", 2) end
    assert.equal(201, app:post("/api/session", { json = {
      session_id = "lamp", template = "<svg>{{ n }}</svg>", args = { n = 1 } } }).status)
    ann:say("watch", "/stream/lamp")
    ann:opens()
    assert.equal("/stream/lamp - <svg>1</svg>", shown())
    ann:say("watch", "/stream/lamp")
    assert.equal("-7", ann:hears "failed"[2])
    app:put("/api/session/lamp", { json = { args = { n = 2 } } })
    assert.equal("/stream/lamp - <svg>2</svg>", shown())
    ann:say("close")
    ann:say("connect")
    assert.equal("/stream/lamp - <svg>2</svg>", shown())
    ann:say("watch", "/stream/none")
    assert.matches("^/stream/none not_found", shown())
    app:delete "/api/session/lamp"
    assert.matches("^/stream/lamp not_found", shown())
    ann:say("unwatch", "/stream/lamp")
    ann:say("unwatch", "/stream/other")
    ann:say("watch", "no|path")
    assert.equal("-2", ann:hears "failed"[2])
    ann:quit()
  end)

  it("subscribes, publishes any JSON, and unsubscribes", function()
    local ann = driver.start(driver.url(address), { name = "ann", session = "room" })
    ann:say("subscribe", "news")
    ann:say("publish", "news", false, '{"n":[1,null,"é"]}')
    ann:opens()
    assert.same({ n = { 1, json.null, "é" } }, ann:payload())
    ann:say("unsubscribe", "news")
    ann:say("publish", "news", false, "1")
    ann:say("subscribe", "other")
    ann:say("publish", "other", false, "2")
    assert.equal(2, ann:payload())
    ann:quit()
  end)

  it("says what was wrong with a call", function()
    local ann = driver.start(driver.url(address))
    ann:say("publish", "news", false, "{broken")
    assert.equal("-3", ann:hears "failed"[2])
    ann:say("publish", "a|b", false, "1")
    assert.equal("-2", ann:hears "failed"[2])
    ann:say("presence", "news")
    assert.equal("-6", ann:hears "failed"[2])
    ann:say("subscribe", "news")
    ann:say("subscribe", "news")
    assert.equal("-7", ann:hears "failed"[2])
    ann:quit()
  end)

  it("keeps a bounded queue while there is no connection", function()
    local ann = driver.start(driver.url(address), { queue = 2 })
    for i = 1, 3 do ann:say("publish", "news", false, i) end
    assert.equal("-5", ann:hears "failed"[2])
    ann:say "close" -- before there was a connection
    ann:say "look"
    assert.equal("0", ann:hears "looked"[3])
    ann:say("publish", "news", false, 1)
    assert.equal("-6", ann:hears "failed"[2])
    ann:quit()
    local bob = driver.start(driver.url(address), { queue = 2, drop = 1 })
    bob:say("subscribe", "queue")
    for i = 1, 3 do bob:say("publish", "queue", false, i) end
    bob:say "look"
    assert.same({ "2", "1" }, { table.unpack(bob:hears "looked", 3, 4) })
    bob:opens()
    assert.equal(2, bob:payload())
    assert.equal(3, bob:payload())
    bob:quit()
  end)

  it("asks for history and presence, and is told who comes", function()
    local ann = driver.start(driver.url(address), { name = "ann", session = "q" })
    ann:opens()
    ann:say("publish", "kept.q", false, '"first"')
    ann:say("history", "kept.q", false, false, 10)
    local answer = ann:hears "answer"
    assert.equal("0", answer[2])
    assert.equal("first", json.decode(answer[3]).items[1].data.payload)
    ann:say("subscribe", "kept.q", false, false, false, false, "presence")
    assert.is_number(json.decode(ann:hears "presence"[2]).count)
    ann:say("data", '{"typing":true}')
    ann:say("presence", "kept.q")
    assert.equal(1, json.decode(ann:hears "answer"[3]).count)
    ann:quit()
  end)

  it("goes on at its position after the connection was cut", function()
    local way = proxy.new(address)
    local bob = driver.start(driver.url(way), { session = "cut", delay = 50 })
    local ann = driver.start(driver.url(address), { session = "cut" })
    ann:opens()
    bob:opens()
    follow(bob, "kept.cut")
    ann:say("publish", "kept.cut", false, 1)
    assert.equal(1, bob:payload())
    way:cut { refuse = true }
    bob:becomes "waiting"
    ann:say("publish", "kept.cut", false, 2)
    ann:say("publish", "kept.cut", false, 3)
    way:mend()
    assert.equal(2, bob:payload())
    assert.equal(3, bob:payload())
    bob:say("look", "kept.cut")
    assert.equal("1", bob:hears "looked"[6])
    bob:quit()
    ann:quit()
    way:close()
  end)

  it("tells a gap when more was missed than is kept", function()
    local way = proxy.new(address)
    local bob = driver.start(driver.url(way), { session = "gap", delay = 50 })
    local ann = driver.start(driver.url(address), { session = "gap" })
    ann:opens()
    bob:opens()
    follow(bob, "kept.gap")
    way:cut { refuse = true }
    bob:becomes "waiting"
    for i = 1, 6 do ann:say("publish", "kept.gap", false, i) end
    ann:say("history", "kept.gap", false, false, 1)
    ann:hears "answer"
    way:mend()
    assert.equal("kept.gap", bob:hears "gap"[2])
    assert.equal(6, bob:payload())
    bob:say("look", "kept.gap")
    assert.equal("0", bob:hears "looked"[6])
    bob:quit()
    ann:quit()
    way:close()
  end)

  it("says that something may have been missed where there is no history", function()
    local way = proxy.new(address)
    local bob = driver.start(driver.url(way), { delay = 50 })
    bob:say("subscribe", "plain")
    bob:opens()
    way:cut()
    assert.same({ "gap", "-", "-", "-1" }, bob:hears "gap")
    bob:say("publish", "plain", false, 5)
    assert.equal(5, bob:payload())
    bob:quit()
    way:close()
  end)

  it("opens with a token by header and by query, and is closed for good by a wrong one", function()
    local token = app:post("/auth/token",
      { json = { username = "cli", password = "pw", session_id = "mine" } }):json().token
    for _, options in ipairs { {}, { query = 1 } } do
      local ann = driver.start(driver.url(address), options)
      ann:say("token", token, 3600)
      ann:opens()
      ann:say "look"
      assert.equal("1", ann:hears "looked"[2])
      ann:say("subscribe", "news", "elsewhere")
      assert.equal("other_session", ann:hears "error"[2])
      ann:quit()
    end
    local eve = driver.start(driver.url(address))
    eve:say("token", token .. "x", 3600)
    eve:say "connect"
    assert.equal("invalid_token", eve:hears "error"[2])
    eve:becomes "closed"
    eve:quit()
  end)

  it("goes on with a token that was set while an older one was on its way", function()
    local way = proxy.new(address)
    local token = app:post("/auth/token", { json = { username = "late", password = "pw" } }):json().token
    local ann = driver.start(driver.url(way), { delay = 50 })
    way:drop() -- what is on its way stays there
    ann:say("token", "wrong", 3600)
    ann:say "connect"
    ann:becomes "connecting"
    wait.till(function() return next(way.pairs) end, "the opening")
    ann:say("token", token, 3600)
    ann:say "look"
    ann:hears "looked"
    way:mend()
    ann:hears "error" -- of the older one
    ann:becomes "open"
    ann:quit()
    way:close()
  end)

  it("waits for a token where one can be asked for, and asks again for a refused one", function()
    local ann = driver.start(driver.url(address), { tokens = 1, delay = 50 })
    ann:say "connect"
    ann:hears "wanted"
    ann:say("token", "wrong", 3600)
    ann:hears "error"
    ann:hears "wanted"
    ann:say "look"
    assert.equal("0", ann:hears "looked"[2])
    ann:say("token", app:post("/auth/token",
      { json = { username = "ask", password = "pw" } }):json().token, 3600)
    ann:becomes "open"
    ann:quit()
  end)
end)


describe("the client in C and the network", function()
  it("gives up a server that does not answer pings", function()
    local app = driver.server()
    local way = proxy.new(app.address)
    local ann = driver.start(driver.url(way), { pong = 100, delay = 50 })
    ann:opens()
    way:drop()
    assert.equal("timeout", ann:hears "error"[2])
    ann:becomes "waiting"
    way:mend()
    ann:becomes "open"
    ann:quit()
    way:close()
    app:stop()
  end)

  it("says why nothing could be opened, and tries again", function()
    local ann = driver.start("ws://127.0.0.1:1/ws", { delay = 50 })
    ann:say "connect"
    for _ = 1, 2 do assert.equal("connect", ann:hears "error"[2]) end
    ann:quit()
    local app = driver.server()
    local bob = driver.start(app.url, { delay = 50 }) -- a page, and no WebSocket
    bob:say "connect"
    assert.same({ "error", "refused", "the server has answered 200 to the opening" }, bob:hears "error")
    bob:becomes "waiting"
    bob:quit()
    app:stop()
  end)

  it("speaks TLS, and with servers only whose certificate is right", function()
    local cert, key = certificate.make()
    local app = driver.server { ["tls.cert"] = cert, ["tls.key"] = key }
    local url = ("wss://127.0.0.1:%d/ws"):format(app.port)
    local ann = driver.start(url, { ca = cert })
    ann:say("subscribe", "news")
    ann:say("publish", "news", false, '"sealed"')
    ann:opens()
    assert.equal("sealed", ann:payload())
    ann:quit()
    local eve = driver.start(url)
    eve:say "connect"
    assert.equal("tls", eve:hears "error"[2])
    eve:quit()
    app:stop()
  end)
end)


describe("the client in C and a token of a second", function()
  it("comes back with a new one when it has expired, and refreshes before", function()
    local app = driver.server { ["pubsub.ttl"] = "2s" }
    local function fresh()
      return app:post("/auth/token", { json = { username = "u", password = "p" } }):json().token
    end
    local ann = driver.start(driver.url(app.address), { tokens = 1, delay = 50 })
    ann:say "connect"
    ann:hears "wanted"
    ann:say("token", fresh())
    ann:becomes "open"
    ann:becomes "waiting" -- 4401
    ann:hears "wanted"
    ann:say("token", fresh(), 2)
    ann:becomes "open"
    ann:hears "wanted" -- before it expires
    ann:quit()
    app:stop()
  end)
end)


describe("the client in C and a server that starts again", function()
  it("goes on at its position, which Redis has kept", function()
    local redis = redis_server.start()
    local app = driver.server { ["redis.url"] = redis.url }
    local way = proxy.new(app.address)
    local bob = driver.start(driver.url(way), { session = "s", delay = 50 })
    bob:opens()
    follow(bob, "kept.r")
    bob:say("publish", "kept.r", false, 1)
    assert.equal(1, bob:payload())
    app:stop()
    bob:becomes "waiting"
    app = app:restart()
    local ann = driver.start(driver.url(app.address), { session = "s" })
    ann:opens()
    ann:say("publish", "kept.r", false, 2)
    way:to(app.address)
    assert.equal(2, bob:payload())
    bob:quit()
    ann:quit()
    way:close()
    app:stop()
    redis:down()
  end)
end)
