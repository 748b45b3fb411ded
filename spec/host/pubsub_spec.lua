-- Session-scoped publish/subscribe, message by message, as a client of the contract sees it.
local crypto = require "host.crypto"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SECRET = "a secret of the spec that is long enough"
local SET = { ["password.ln"] = 10, ["limits.ws_rate"] = 0 }


local function publish(c, topic, payload, more)
  local message = { publisher_name = "p", topic = topic, payload = payload, timestamp = "t" }
  for name, value in pairs(more or {}) do message[name] = value end
  c:text("publish-json:" .. json.encode(message))
end


-- A message has been handled when the answer to the next one, an error, has come.
local function sync(c)
  c:text "sync"
  local answer = json.decode(c:read_text())
  assert(answer.code == "unknown_command", answer.code)
end


local function refused(c, text, code)
  c:text(text)
  local answer = json.decode(c:read_text())
  assert.equal(code, answer.code)
  assert.equal("string", type(answer.error))
  return answer
end


describe("publish/subscribe #workers", function()
  local app
  setup(function() app = server.start { workers = 2, set = SET } end)
  teardown(function() app:stop() end)

  local function client(...)
    local c = ws.connect(app, "/ws")
    for _, text in ipairs { ... } do c:text(text) end
    sync(c)
    return c
  end

  it("delivers within the session and nowhere else", function()
    local a, b = client("register-session:s1", "subscribe:news"), client("subscribe:news|s1")
    local other, topic = client("register-session:s2", "subscribe:news"), client("subscribe:new|s1")
    publish(a, "news", "hello")
    local wanted = { publisher_name = "p", topic = "news", payload = "hello", timestamp = "t" }
    for _, c in ipairs { a, b } do assert.same(wanted, json.decode(c:read_text())) end
    for _, c in ipairs { other, topic } do assert.is_true((c:is_quiet())) end
    for _, c in ipairs { a, b, other, topic } do c:close() end
  end)

  it("takes the session of the message, of the client, of its name, or the default", function()
    local named = client("register-name:ann", "subscribe:t")
    local default, given = client "subscribe:t", client "subscribe:t|given"
    local writer = client()
    publish(writer, "t", 1)
    assert.equal(1, json.decode(default:read_text()).payload)
    publish(writer, "t", 2, { session_id = "given" })
    assert.equal(2, json.decode(given:read_text()).payload)
    writer:text "register-name:ann"
    publish(writer, "t", 3)
    assert.equal(3, json.decode(named:read_text()).payload)
    writer:text "register-session:given"
    publish(writer, "t", 4)
    assert.equal(4, json.decode(given:read_text()).payload)
    for _, c in ipairs { named, default, given } do assert.is_true((c:is_quiet())) end
    for _, c in ipairs { named, default, given, writer } do c:close() end
  end)

  it("carries any JSON value as the payload, byte for byte", function()
    local c = client "subscribe:t|values"
    for _, payload in ipairs { '"text é \\u0000"', "1.50", "-0", "9007199254740993", "true", "null",
      "[]", "{}", '{"a":[1,{"b":null}]}', '""' } do
      local text = ('{"publisher_name":"p","topic":"t","payload":%s,"timestamp":"now",')
        :format(payload) .. '"session_id":"values"}'
      c:text("publish-json:" .. text)
      assert.equal(text, c:read_text())
    end
    c:close()
  end)

  it("fills in a missing timestamp (RFC 3339) and name", function()
    local c = client("register-name:bob", "subscribe:t")
    c:text 'publish-json:{"topic":"t","payload":{"n":[]}}'
    local text = c:read_text()
    local message = json.decode(text)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[.%d]*Z$", message.timestamp)
    assert.equal("bob", message.publisher_name)
    assert.matches('"payload":{"n":[]}', text, 1, true)
    c:close()
  end)

  it("ends a subscription", function()
    local c = client("subscribe:a|s", "subscribe:b|s", "unsubscribe:a|s")
    publish(c, "a", 1, { session_id = "s" })
    publish(c, "b", 2, { session_id = "s" })
    assert.equal(2, json.decode(c:read_text()).payload)
    refused(c, "unsubscribe:a|s", "not_subscribed")
    c:close()
  end)

  it("answers what it can't obey, and lives on", function()
    local c = client()
    refused(c, "", "unknown_command")
    refused(c, "hello", "unknown_command")
    refused(c, "Subscribe:x", "unknown_command")
    refused(c, "subscribe:", "bad_topic")
    refused(c, "subscribe:" .. ("x"):rep(101), "bad_topic")
    refused(c, "subscribe:*", "bad_topic")
    refused(c, "subscribe:news.*", "bad_topic")
    refused(c, "subscribe:a\tb", "bad_topic")
    refused(c, "subscribe:a|", "bad_session")
    refused(c, "subscribe:a|b|c", "bad_session")
    refused(c, "subscribe:a|" .. ("x"):rep(81), "bad_session")
    refused(c, "register-name:", "bad_name")
    refused(c, "register-name:a|b", "bad_name")
    refused(c, "register-session:", "bad_session")
    refused(c, "publish-json:", "bad_json")
    refused(c, "publish-json:{", "bad_json")
    refused(c, "publish-json:[1]", "bad_message")
    refused(c, "publish-json:[]", "bad_message")
    refused(c, "publish-json:null", "bad_message")
    refused(c, 'publish-json:"x"', "bad_message")
    refused(c, 'publish-json:{"topic":"a"}', "bad_message")
    refused(c, 'publish-json:{"payload":1}', "bad_topic")
    refused(c, 'publish-json:{"payload":1,"topic":7}', "bad_topic")
    refused(c, 'publish-json:{"payload":1,"topic":"a|b"}', "bad_topic")
    refused(c, 'publish-json:{"payload":1,"topic":"a","session_id":7}', "bad_session")
    refused(c, 'publish-json:{"payload":1,"topic":"a","publisher_name":7}', "bad_message")
    refused(c, "refresh-token:x", "malformed")
    c:binary "subscribe:a"
    assert.equal("binary", json.decode(c:read_text()).code)
    for i = 1, 128 do c:text("subscribe:t" .. i) end
    refused(c, "subscribe:one-more", "too_many")
    sync(c)
    c:close()
  end)

  it("keeps names apart that would be one when joined", function()
    local pairs_of = { { "b", "a" }, { "ab", "" }, { "1:a", "a" }, { "a:1", "a" }, { "a", "b" },
      { "ba", "a" }, { "a", "ab" }, { "/b", "a" }, { "b", "a/" }, { "%2F", "a" }, { "/", "a" } }
    local clients = {}
    for i, pair in ipairs(pairs_of) do
      if pair[2] ~= "" then clients[i] = client(("subscribe:%s|%s"):format(pair[1], pair[2])) end
    end
    local writer = client()
    for i in pairs(clients) do
      publish(writer, pairs_of[i][1], i, { session_id = pairs_of[i][2] })
      assert.equal(i, json.decode(clients[i]:read_text()).payload)
    end
    sync(writer)
    for _, c in pairs(clients) do
      assert.is_true((c:is_quiet()))
      c:close()
    end
    writer:close()
  end)

  it("lets not one message cross, whatever is subscribed and published", function()
    math.randomseed(20)
    local topics, sessions = { "a", "b", "ab", "a:b" }, { "s", "t", "st", "s:t" }
    local clients, wanted = {}, {}
    for i = 1, 12 do clients[i], wanted[i] = client(), {} end
    local follows = {}
    for i = 1, #clients do follows[i] = {} end
    local function pick(list) return list[math.random(#list)] end
    for n = 1, 1500 do
      local i, topic, session = math.random(#clients), pick(topics), pick(sessions)
      local key = topic .. "|" .. session
      local roll = math.random(10)
      if roll <= 3 and not follows[i][key] then
        clients[i]:text("subscribe:" .. key)
        follows[i][key] = true
        sync(clients[i])
      elseif roll == 4 and follows[i][key] then
        clients[i]:text("unsubscribe:" .. key)
        follows[i][key] = nil
        wanted[i].settle = true
      elseif roll > 4 then
        publish(clients[i], topic, n, { session_id = session })
        for k = 1, #clients do
          if follows[k][key] then table.insert(wanted[k], { n, topic, session }) end
        end
      end
      -- After each step everyone has exactly what it should have.
      for k = 1, #clients do
        for _, want in ipairs(wanted[k]) do
          local got = json.decode(clients[k]:read_text())
          assert.same(want, { got.payload, got.topic, got.session_id })
        end
        if wanted[k].settle then sync(clients[k]) end
        wanted[k] = {}
      end
      if n % 100 == 0 then
        for k = 1, #clients do assert.is_true((clients[k]:is_quiet())) end
      end
    end
    for _, c in ipairs(clients) do c:close() end
  end)

  it("keeps clients, names and subscriptions through a reload", function()
    local c, empty = client("register-name:ann", "subscribe:t"), client()
    local reloads = app:metric "lunacast_reloads_total" or 0
    for i = 1, 2 do
      app.process:kill "sighup"
      wait.till(function() return (app:metric "lunacast_reloads_total" or 0) >= reloads + i end)
      c:text 'publish-json:{"topic":"t","payload":1}'
      assert.equal("ann", json.decode(c:read_text()).publisher_name)
      empty:text "subscribe:u"
      publish(empty, "u", 2)
      assert.equal(2, json.decode(empty:read_text()).payload)
      empty:text "unsubscribe:u"
    end
    c:close()
    empty:close()
  end)
end)


for kind, env in pairs { HS256 = { JWT_SECRET_KEY = SECRET }, RS256 = { JWT_SECRET_KEY = false } } do
  describe("a token signed by " .. kind, function()
    local app
    setup(function() app = server.start { workers = 2, set = SET, env = env } end)
    teardown(function() app:stop() end)

    local function ask(username, session, password)
      return app:post("/auth/token", { json = { username = username,
        password = password or "pw of " .. username, session_id = session } })
    end

    local function token_of(...)
      local res = ask(...)
      assert.equal(200, res.status, res.body)
      return res:json().token
    end

    local function part(token, n)
      local parts = {}
      for text in token:gmatch "[^.]+" do parts[#parts + 1] = text end
      return json.decode(crypto.base64url_decode(parts[n]))
    end

    it("has the claims of the contract", function()
      local res = ask("ann", "room")
      assert.equal(200, res.status)
      assert.equal("no-store", res.headers["cache-control"])
      local body = res:json()
      assert.equal(3600, body.expires_in)
      local claims = part(body.token, 2)
      assert.equal(kind, part(body.token, 1).alg)
      assert.same({ "ann", "room", 3600 }, { claims.sub, claims.sid, claims.exp - claims.iat })
      assert.is_nil(part(token_of "ann", 2).sid)
    end)

    it("needs the name's password, and valid names", function()
      token_of("carl", nil, "right")
      local res = ask("carl", nil, "wrong")
      assert.equal(401, res.status)
      assert.equal("wrong_password", res:json().code)
      assert.equal(400, ask("a b").status)
      assert.equal(400, ask("carl", "a|b", "right").status)
      assert.equal(400, ask("carl", nil, "").status)
      assert.equal(400, app:post("/auth/token", { json = { username = "x" } }).status)
    end)

    it("binds a connection by query, header or subprotocol", function()
      local token = token_of("ann", "room")
      for _, way in ipairs {
        { "/ws?token=" .. token }, { "/ws", { Authorization = "Bearer " .. token } },
        { "/ws", { ["Sec-WebSocket-Protocol"] = "bearer, " .. token } },
      } do
        local c = ws.connect(app, way[1], way[2])
        assert.equal(way[2] and way[2]["Sec-WebSocket-Protocol"] and "bearer",
          c.headers["sec-websocket-protocol"])
        refused(c, "subscribe:t|elsewhere", "other_session")
        refused(c, "unsubscribe:t|elsewhere", "other_session")
        refused(c, "register-session:elsewhere", "other_session")
        refused(c, 'publish-json:{"topic":"t","payload":1,"session_id":"elsewhere"}', "other_session")
        c:text "subscribe:t"
        c:text "register-name:somebody"
        publish(c, "t", 5, { session_id = "room" })
        assert.equal(5, json.decode(c:read_text()).payload)
        c:text 'publish-json:{"topic":"t","payload":6}'
        assert.equal("somebody", json.decode(c:read_text()).publisher_name)
        c:close()
      end
    end)

    it("of no session leaves the choice to its user", function()
      local c = ws.connect(app, "/ws?token=" .. token_of "dora")
      c:text "subscribe:t|any"
      c:text "subscribe:t"
      publish(c, "t", 1, { session_id = "any" })
      assert.equal(1, json.decode(c:read_text()).payload)
      publish(c, "t", 2, { session_id = "session-dora" })
      assert.equal(2, json.decode(c:read_text()).payload)
      c:close()
    end)

    it("that is wrong never becomes an anonymous connection", function()
      local good = token_of "ann"
      local account = app:post("/api/auth/token", { json = { user_id = "ann", password = "pw of ann" } })
      for _, token in ipairs { "x", good .. "x", good:sub(1, -5) .. "AAAA", account:json().token, "" } do
        local c = ws.open(app, "/ws", { Authorization = "Bearer " .. token })
        assert.equal(401, c.status)
        assert.matches("^Bearer error=", c.headers["www-authenticate"])
        c:close()
      end
      assert.equal(401, app:put("/api/user/ann/session/x", { json = { args = {} },
        headers = { Authorization = "Bearer " .. good } }).status)
    end)
  end)
end


describe("the end of a token", function()
  local app, key
  setup(function()
    app = server.start { workers = 1, set = SET, env = { JWT_SECRET_KEY = SECRET,
      JWT_EXPIRATION_SECONDS = "2" } }
    key = assert(jwk.import { kty = "oct", alg = "HS256", k = crypto.base64url_encode(SECRET) })
  end)
  teardown(function() app:stop() end)

  local function sign(claims)
    return assert(jwt.sign(claims, key))
  end

  it("closes the connection with 4401 within five seconds", function()
    local res = app:post("/auth/token", { json = { username = "ann", password = "x" } }):json()
    assert.equal(2, res.expires_in)
    local c = ws.connect(app, "/ws?token=" .. res.token)
    local code, reason = c:read_close(2 + 5)
    assert.same({ 4401, "expired" }, { code, reason })
    c:close()
  end)

  it("can be put off by a new token of the same user and session", function()
    local now = os.time()
    local function token(sub, sid, seconds, tenant)
      return sign { sub = sub, sid = sid, iat = now, exp = now + seconds, tenant_id = tenant }
    end
    local c = ws.connect(app, "/ws?token=" .. token("ann", "room", 4))
    refused(c, "refresh-token:" .. token("bob", "room", 60), "other_user")
    refused(c, "refresh-token:" .. token("ann", "hall", 60), "other_user")
    refused(c, "refresh-token:" .. token("ann", "room", 60, "other"), "other_user")
    refused(c, "refresh-token:" .. token("ann", "room", -60), "expired")
    c:text("refresh-token:" .. token("ann", "room", 60))
    sync(c)
    wait.pause(5)
    sync(c)
    c:close()
    local anonymous = ws.connect(app, "/ws")
    refused(anonymous, "refresh-token:" .. token("ann", "room", 60), "other_user")
    anonymous:close()
  end)

  it("is not reached by claims that make no sense", function()
    local exp = os.time() + 60
    for _, claims in ipairs { { sub = "a|b", exp = exp }, { exp = exp }, { sub = "a", sid = "", exp = exp },
      { sub = "a", sid = 7, exp = exp }, { sub = "a", tenant_id = {}, exp = exp } } do
      local c = ws.open(app, "/ws?token=" .. sign(claims))
      assert.equal(401, c.status)
      c:close()
    end
  end)

  it("keeps tenants apart that use the same names", function()
    local clients = {}
    for i, tenant in ipairs { false, "t1", "t2" } do
      local claims = { sub = "ann", exp = os.time() + 60, tenant_id = tenant or nil }
      clients[i] = ws.connect(app, "/ws?token=" .. sign(claims))
      clients[i]:text "subscribe:news|s"
      sync(clients[i])
    end
    for i, c in ipairs(clients) do
      publish(c, "news", i, { session_id = "s" })
      assert.equal(i, json.decode(c:read_text()).payload)
    end
    for _, c in ipairs(clients) do
      assert.is_true((c:is_quiet()))
      c:close()
    end
  end)
end)


describe("the settings of publish/subscribe", function()
  it("can close /ws to clients without a token", function()
    local app = server.start { workers = 1, set = { ["pubsub.anonymous"] = false } }
    local c = ws.open(app, "/ws")
    assert.equal(401, c.status)
    c:close()
    app:stop()
  end)

  it("refuse a short secret at the start, and never print one", function()
    local app = server.launch { env = { JWT_SECRET_KEY = "short and secret" } }
    assert.not_equal(0, (app.process:wait()))
    assert.matches("pubsub.secret (JWT_SECRET_KEY) has 16 bytes", app.process.err, 1, true)
    assert.is_nil(app.process.err:find("short and secret", 1, true))
  end)
end)
