-- Asking a person: over HTTP and from scripts, on both stores, across nodes and restarts.
local crypto = require "host.crypto"
local http = require "spec.support.http"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local wire = require "spec.support.wire"
local ws = require "spec.support.ws"

local SECRET = "an approval secret of more than 32 bytes"
local KEY = assert(jwk.import { kty = "oct", alg = "HS256", k = crypto.base64url_encode(SECRET) })

local ASK = [[
local ask = require "web.ask"
local store = require "host.store"
local web = require "web"
return {
  {
    path = "/ask/{session}",
    POST = function(req)
      local decision, message, code = ask {
        session = req.params.session, question = "Send it?", action = "send", tenant = "acme",
        timeout = tonumber(req.query.timeout),
        on_asked = function(id) store.set("asked:" .. req.params.session, id) end,
      }
      if not decision then web.throw_world(message, code) end
      return web.json(decision)
    end,
  },
  { path = "/asked/{session}", GET = function(req)
    return web.text(store.get("asked:" .. req.params.session) or "")
  end },
  { path = "/many/{tenant}", POST = function(req)
    local requests = require "hitl.requests"
    for i = 1, 230 do
      local request = requests.create { tenant = req.params.tenant, session = "many", action = "a",
        question = tostring(i) }
      if i > 20 then requests.decide(req.params.tenant, request.requestId, { status = "approved" }) end
    end
    return web.empty()
  end },
  { path = "/resume/{id}", POST = function(req)
    local decision, message, code = ask.resume(req.params.id, "acme")
    return web.json(decision or { error = message, code = code })
  end },
}
]]


local function token(claims, seconds, key)
  local now = os.time()
  claims.iat, claims.exp = now, now + (seconds or 600)
  return (assert(jwt.sign(claims, key or KEY)))
end


local function person(name, tenant, more)
  local claims = { sub = name, tenant_id = tenant }
  for key, value in pairs(more or {}) do claims[key] = value end
  return { Authorization = "Bearer " .. token(claims), ["X-User-ID"] = name, ["X-Tenant-ID"] = tenant }
end

local ANN, BOB, EVE = person("ann", "acme", { role = "approver" }), person("bob", "acme"), person("eve", "evil")


local function start(set, more)
  set = set or {}
  set["identity.secret"] = SECRET
  local options = { workers = 2, set = set, files = { ["lua/routes/ask.lua"] = ASK } }
  for name, value in pairs(more or {}) do options[name] = value end
  return server.start(options)
end


local function create(app, body, who, prefix)
  body = body or { sessionId = "s1", actionType = "send_email", message = "Send it?", context = { to = "x" } }
  return app:post((prefix or "/api/aura") .. "/hitl/requests", { json = body, headers = who or BOB })
end


local function decide(app, how, id, who, user, reason)
  return app:post("/api/aura/hitl/" .. how .. "/" .. id,
    { headers = who, json = { userId = user, reason = reason } })
end


-- A request in the background; finish() gives its answer.
local function begin(app, path)
  local c = app:connect()
  c:send(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"):format(path))
  return function()
    local res = http.read_response(c, "POST", 20)
    c:close()
    return json.decode(res.body)
  end
end


local function asked(app, session)
  return wait.till(function()
    local id = app:get("/asked/" .. session).body
    return id ~= "" and id
  end, "the question")
end


local function contract(kind, set)
  describe("approvals on the " .. kind .. " store", function()
    local app

    setup(function() app = start(set()) end)
    teardown(function() app:stop() end)

    it("puts a request, and shows it to its tenant only", function()
      local res = create(app)
      assert.equal(201, res.status, res.body)
      local body = res:json()
      assert.equal("SUCCESS", body.status)
      assert.is_true(body.success)
      local id = body.data.requestId
      assert.matches("^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$", id)
      local got = app:get("/aura/hitl/requests/" .. id, { headers = ANN }):json().data
      assert.equal("pending", got.status)
      assert.same({ to = "x" }, got.context)
      assert.is_nil(got.tenantId)
      local other = app:get("/aura/hitl/requests/" .. id, { headers = EVE })
      assert.equal(404, other.status)
      assert.equal("E1004", other:json().errorCode)
      assert.equal(404, decide(app, "approve", id, EVE, "eve").status)
    end)

    it("takes one decision; the second one is told what was decided and by whom", function()
      local id = create(app):json().data.requestId
      local first = decide(app, "approve", id, ANN, "ann")
      assert.equal(200, first.status, first.body)
      assert.equal("approved", first:json().data.status)
      local second = decide(app, "reject", id, BOB, "bob", "no")
      assert.equal(409, second.status)
      local body = second:json()
      assert.equal("ERROR", body.status)
      assert.equal("it was approved already by ann", body.message)
      assert.equal("ann", body.data.decidedBy)
    end)

    it("lets one of many decide at once", function()
      local id = create(app):json().data.requestId
      local sockets = {}
      for i = 1, 10 do
        local body = json.encode { userId = i % 2 == 0 and "ann" or "bob" }
        local who = i % 2 == 0 and ANN or BOB
        local c = app:connect()
        c:send(http.format("POST", ("/api/aura/hitl/%s/%s"):format(i % 3 == 0 and "reject" or "approve", id),
          { headers = who, body = body, type = "application/json" }))
        sockets[i] = c
      end
      local won = 0
      for _, c in ipairs(sockets) do
        local res = http.read_response(c, "POST")
        if res.status == 200 then won = won + 1 else assert.equal(409, res.status, res.body) end
        c:close()
      end
      assert.equal(1, won)
    end)

    it("keeps the signal of the session in the form that clients know", function()
      assert.equal(404, app:get("/api/aura/hitl/signals/s-sig", { headers = ANN }).status)
      local id = create(app, { sessionId = "s-sig", actionType = "a", message = "m" }):json().data.requestId
      decide(app, "reject", id, ANN, "ann", "too dear")
      local signal = app:get("/api/aura/hitl/signals/s-sig", { headers = BOB }):json().data
      assert.is_true(math.abs(signal.timestamp - os.time()) < 30)
      signal.timestamp = nil
      assert.same({ type = "rejection", requestId = id, status = "rejected", reason = "too dear" }, signal)
      assert.equal(404, app:get("/api/aura/hitl/signals/s-sig", { headers = EVE }).status)
    end)

    it("lets only those decide who were asked", function()
      local body = { sessionId = "s2", actionType = "a", message = "m", who = { role = "approver" } }
      local id = create(app, body):json().data.requestId
      local res = decide(app, "approve", id, BOB, "bob")
      assert.equal(403, res.status)
      assert.equal("E2001", res:json().errorCode)
      assert.equal(200, decide(app, "approve", id, ANN, "ann").status)
      body.who = { user = "bob" }
      id = create(app, body):json().data.requestId
      assert.equal(403, decide(app, "approve", id, ANN, "ann").status)
      assert.equal(200, decide(app, "approve", id, BOB, "bob").status)
    end)

    it("wakes the script that asks, as soon as it is decided", function()
      local finish = begin(app, "/ask/live")
      local id = asked(app, "live")
      assert.equal("pending", app:get("/aura/hitl/requests/" .. id, { headers = ANN }):json().data.status)
      decide(app, "reject", id, ANN, "ann", "not today")
      assert.same({ id = id, status = "rejected", approved = false, by = "ann", reason = "not today" }, finish())
    end)

    it("counts as expired after its time, for the script and for who comes late", function()
      local finish = begin(app, "/ask/late?timeout=1")
      local id = asked(app, "late")
      assert.same({ id = id, status = "expired", approved = false }, finish())
      local res = decide(app, "approve", id, ANN, "ann")
      assert.equal(409, res.status)
      assert.equal("it was expired already", res:json().message)
    end)

    it("is not lost when the one who asked is gone: resume waits on, or answers at once", function()
      local c = app:connect()
      c:send "POST /ask/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
      local id = asked(app, "gone")
      c:close()
      local finish = begin(app, "/resume/" .. id)
      decide(app, "approve", id, ANN, "ann")
      assert.equal("approved", finish().status)
      assert.equal("ann", begin(app, "/resume/" .. id)().by)
      assert.equal("gone", begin(app, "/resume/never-there")().code)
    end)

    it("lists what waits and what was decided", function()
      local id = create(app, { sessionId = "s3", actionType = "list", message = "m" }):json().data.requestId
      local items = app:get("/aura/hitl/requests", { headers = ANN }):json().data.items
      local found
      for _, item in ipairs(items) do found = item.requestId == id and item or found end
      assert.equal("pending", found.status)
      assert.same({}, app:get("/aura/hitl/requests", { headers = EVE }):json().data.items)
    end)

    it("lies in the inbox of those who may decide, and of who has asked", function()
      local cara = person("cara", "acme")
      local inboxes = {}
      for i, who in ipairs { ANN, BOB, cara } do
        inboxes[i] = http.events(app, "/api/aura/hitl/inbox", { headers = who })
      end
      local function ask(action, who)
        return create(app, { sessionId = "inbox", actionType = action, message = "m", who = who }):json().data.requestId
      end
      local secret, open = ask("secret", { role = "approver" }), ask "open"
      for i, expected in ipairs { secret, secret, open } do
        local first = json.decode(inboxes[i]:next().data)
        assert.same({ "asked", expected }, { first.event, first.request.requestId })
        inboxes[i]:close()
      end
      local function lists(who, id)
        for _, item in ipairs(app:get("/aura/hitl/requests", { headers = who }):json().data.items) do
          if item.requestId == id then return true end
        end
        return false
      end
      assert.is_true(lists(ANN, secret) and lists(BOB, secret) and lists(cara, open))
      assert.is_false(lists(cara, secret))
    end)

    it("writes an audit line for each decision", function()
      local id = create(app):json().data.requestId
      decide(app, "approve", id, ANN, "ann")
      local line = app:logged(id)
      assert.equal("hitl", line.audit)
      assert.equal("ann", line.by)
    end)
  end)
end

contract("embedded", function() return {} end)
contract("redis", function() return { ["redis.url"] = redis_server.shared() } end)


describe("approvals", function()
  local app

  setup(function() app = start() end)
  teardown(function() app:stop() end)

  local function code_of(headers, path)
    local res = app:get(path or "/api/aura/hitl/requests", { headers = headers })
    return res.status .. " " .. tostring(res:json().errorCode), res:json().message
  end

  it("need a good token, and say what is wrong with one", function()
    assert.equal("401 E2000", (code_of {}))
    assert.equal("401 E2003", (code_of { Authorization = "Bearer rubbish" }))
    assert.equal("401 E2003", (code_of { Authorization = "Basic x" }))
    assert.equal("401 E2002", (code_of { Authorization = "Bearer " .. token({ sub = "a", tenant_id = "b" }, -60) }))
    local other = assert(jwk.import { kty = "oct", alg = "HS256", k = crypto.base64url_encode(("x"):rep(32)) })
    assert.equal("401 E2003", (code_of { Authorization = "Bearer " .. token({ sub = "a", tenant_id = "b" }, 60, other) }))
    assert.equal("401 E2003", (code_of { Authorization = "Bearer " .. token { sub = "a" } }))
    assert.equal("401 E2003", (code_of { Authorization = "Bearer " .. token { tenant_id = "a" } }))
  end)

  it("refuse headers that say another user or tenant than the token", function()
    local headers = { Authorization = ANN.Authorization, ["X-User-ID"] = "bob" }
    local code, message = code_of(headers)
    assert.equal("403 E2001", code)
    assert.equal("User ID mismatch between JWT and header", message)
    headers = { Authorization = ANN.Authorization, ["X-Tenant-ID"] = "evil" }
    code, message = code_of(headers)
    assert.equal("403 E2001", code)
    assert.equal("Tenant ID mismatch between JWT and header", message)
  end)

  it("need to know who decides, three times the same", function()
    local id = create(app):json().data.requestId
    assert.equal(401, decide(app, "approve", id, { Authorization = ANN.Authorization }, "ann").status)
    assert.equal(403, decide(app, "approve", id, ANN, "bob").status)
  end)

  it("list every wrong field of a request", function()
    local res = create(app, { sessionId = "a|b", message = "" })
    assert.equal(400, res.status)
    local body = res:json()
    assert.equal("E1001", body.errorCode)
    assert.equal(3, #body.data.errors)
    assert.equal(400, create(app, { sessionId = "a", actionType = "a", message = "m", who = { role = "" } }).status)
  end)

  it("take tokens of this server too, for its own tenant", function()
    local own = app:post("/api/auth/token", { json = { user_id = "olga", password = "pw of olga" } }):json().token
    local res = create(app, nil, { Authorization = "Bearer " .. own })
    assert.equal(201, res.status, res.body)
  end)

  it("are listed with what waits first, however many were decided since", function()
    assert.equal(204, app:post("/many/busy").status)
    local items = app:get("/aura/hitl/requests", { headers = person("ann", "busy") }):json().data.items
    assert.equal(200, #items)
    for i, item in ipairs(items) do assert.equal(i <= 20 and "pending" or "approved", item.status) end
  end)

  it("take no tokens of this server where its tenant is called nothing", function()
    local strict = start { ["identity.tenant"] = "", ["password.ln"] = 10 }
    local own = strict:post("/api/auth/token", { json = { user_id = "olga", password = "pw of olga" } }):json().token
    local res = create(strict, nil, { Authorization = "Bearer " .. own })
    assert.equal("401 E2003", res.status .. " " .. res:json().errorCode)
    assert.equal(201, create(strict).status)
    strict:stop()
    local bare = server.start { set = { ["identity.tenant"] = "" } }
    assert.equal(401, create(bare).status)
    bare:stop()
  end)

  it("are told on the session's topic as they happen", function()
    local events = http.events(app, "/api/aura/hitl/stream/live", { headers = ANN })
    local id = create(app, { sessionId = "live", actionType = "a", message = "m" }):json().data.requestId
    local e = events:next()
    assert.equal("hitl", e.event)
    local data = json.decode(e.data)
    assert.equal("asked", data.event)
    assert.equal(id, data.request.requestId)
    assert.is_nil(data.request.tenantId)
    decide(app, "approve", id, ANN, "ann")
    data = json.decode(events:next().data)
    assert.equal("decided", data.event)
    assert.equal("approved", data.request.status)
    events:close()
  end)
end)


describe("the topic hitl of /ws", function()
  local app

  setup(function() app = start { ["password.ln"] = 10 } end)
  teardown(function() app:stop() end)

  local function login(path, name)
    local body = { user_id = path == "/api/auth/token" and name or nil, password = "pw of olga",
      username = path == "/auth/token" and name or nil }
    return app:post(path, { json = body }):json().token
  end

  it("tells those with a token what is asked in their session", function()
    local c = ws.connect(app, "/ws?token=" .. login("/auth/token", "olga"))
    c:text 'subscribe-json:{"topic":"hitl","session_id":"room"}'
    assert.equal("subscribed", json.decode(c:read_text()).type)
    local id = create(app, { sessionId = "room", actionType = "a", message = "m" },
      { Authorization = "Bearer " .. login("/api/auth/token", "olga") }):json().data.requestId
    local told = json.decode(c:read_text()).data
    assert.same({ "hitl", "room", "asked", id },
      { told.topic, told.session_id, told.payload.event, told.payload.request.requestId })
    c:close()
  end)

  it("takes nothing from clients, and tells nothing to who shows no token", function()
    local known, nobody = ws.connect(app, "/ws?token=" .. login("/auth/token", "olga")), ws.connect(app, "/ws")
    local forged = 'publish-json:{"publisher_name":"x","topic":"hitl","session_id":"room","timestamp":"t","payload":{}}'
    for _, c in ipairs { known, nobody } do
      c:text(forged)
      assert.equal("forbidden", json.decode(c:read_text()).code)
    end
    for _, message in ipairs { 'subscribe-json:{"topic":"hitl","session_id":"room"}', "subscribe:hitl|room",
      'subscribe-json:{"topic":"h*","session_id":"room"}', 'history-json:{"topic":"hitl","session_id":"room"}',
      'presence-json:{"topic":"hitl","session_id":"room"}' } do
      nobody:text(message)
      assert.equal("forbidden", json.decode(nobody:read_text()).code, message)
    end
    assert.equal(403, app:post("/publish", { json = { topic = "hitl", session_id = "room", payload = {} } }).status)
    assert.equal(403, app:get("/sse?topic=hitl&session_id=room").status)
    known:close()
    nobody:close()
  end)
end)


describe("approvals over Redis", function()
  it("reach a plain Redis client, and another node's script", function()
    local redis = redis_server.start()
    local one = start { ["redis.url"] = redis.url }
    local two = start { ["redis.url"] = redis.url }
    local c = wire.connect(redis.address)
    c:send "SUBSCRIBE hitl:channel:both\r\n"
    c:read_until "both\r\n:1\r\n"
    local finish = begin(one, "/ask/both")
    local id = asked(one, "both")
    decide(two, "approve", id, ANN, "ann")
    assert.equal("approved", finish().status)
    local form = '{"type":"%s","requestId":"%s","status":"%s"%s,"timestamp":TIME}'
    local function signal() return (c:read_until("}"):match "{.*$":gsub("%d+}$", "TIME}")) end
    assert.equal(form:format("approval", id, "approved", ""), signal())
    id = create(two, { sessionId = "both", actionType = "a", message = "m" }):json().data.requestId
    decide(one, "reject", id, ANN, "ann", 'too "dear"')
    assert.equal(form:format("rejection", id, "rejected", [[,"reason":"too \"dear\""]]), signal())
    c:close()
    one:stop()
    two:stop()
    redis:down()
  end)

  it("survive Redis being killed while somebody waits", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local one = start { ["redis.url"] = redis.url }
    local two = start { ["redis.url"] = redis.url }
    local finish = begin(one, "/ask/away?timeout=60")
    local id = asked(one, "away")
    redis:down()
    wait.pause(5) -- who waits has looked at the question meanwhile
    redis:up()
    wait.till(function() return decide(two, "approve", id, ANN, "ann").status ~= 503 end)
    assert.equal("approved", finish().status)
    one:stop()
    two:stop()
    redis:down()
  end)

  it("survive the death of the node that asked", function()
    local redis = redis_server.start()
    local one = start { ["redis.url"] = redis.url }
    local two = start { ["redis.url"] = redis.url }
    local c = one:connect()
    c:send "POST /ask/died HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    local id = asked(two, "died")
    one:crash()
    c:close()
    decide(two, "approve", id, ANN, "ann")
    assert.equal("ann", begin(two, "/resume/" .. id)().by)
    two:stop()
    redis:down()
  end)
end)
