-- Accounts, tokens and signing keys through real HTTP.
local crypto = require "host.crypto"
local json = require "host.json"
local jwt = require "host.jwt"
local jwk = require "host.jwk"
local http = require "spec.support.http"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local SVG = '<svg xmlns="http://www.w3.org/2000/svg">{{ x }}</svg>'
-- Cheap hashing: the cost is proven elsewhere, and the machine is shared.
local SET = { ["password.ln"] = 10 }

local ROTATE = [[
return { path = "/rotate", POST = function()
  return require("web").json { rotated = require("auth.keys").rotate() }
end }]]

local END_A_READING = [[
local hub, keys = require "host.hub", require "auth.keys"
local task, time = require "host.task", require "host.time"
local function rotated() -- the next who needs the keys reads them again
  hub.publish_local("rsa:rotation", "")
  return hub.latest "rsa:rotation" ~= nil
end
return { path = "/end", GET = function() return require("web").json(rotated()) end,
POST = function()
  rotated()
  local id = task.spawn(keys.signing)
  time.sleep(0.05)
  local waited = task.alive(id)
  task.cancel(id)
  return require("web").json(waited)
end }]]


describe("tokens", function()
  local app

  setup(function() app = server.start { workers = 2, set = SET, files = { ["lua/routes/rotate.lua"] = ROTATE } } end)
  teardown(function() app:stop() end)

  local function login(user_id, password, more)
    local body = { user_id = user_id, password = password or "pw of " .. user_id }
    for name, value in pairs(more or {}) do body[name] = value end
    return app:post("/api/auth/token", { json = body })
  end

  local function token_of(user_id)
    local res = login(user_id)
    assert.equal(200, res.status, res.body)
    return res:json().token
  end

  local function parts(token)
    local header, payload = token:match "^([^.]+)%.([^.]+)%.[^.]+$"
    return json.decode(crypto.base64url_decode(header)), json.decode(crypto.base64url_decode(payload))
  end

  it("are RS256 with sub, iat, exp, iss, jti and kid", function()
    local header, claims = parts(token_of "ann")
    assert.equal("RS256", header.alg)
    assert.equal(app:json("/api/auth/jwks").keys[1].kid, header.kid)
    assert.equal("ann", claims.sub)
    assert.equal("realtime-svg", claims.iss)
    assert.equal(3600, claims.exp - claims.iat)
    assert.is_true(math.abs(claims.iat - os.time()) <= 5)
    assert.is_true(#claims.jti >= 16)
    local _, other = parts(token_of "ann")
    assert.is_true(other.jti ~= claims.jti)
  end)

  it("live ttl_seconds where they are given, within bounds", function()
    local _, claims = parts(login("ann", nil, { ttl_seconds = 60 }):json().token)
    assert.equal(60, claims.exp - claims.iat)
    for _, ttl in ipairs { 0, -5, 1.5, "60", 1e12 } do
      assert.equal(400, login("ann", nil, { ttl_seconds = ttl }).status)
    end
  end)

  it("go to whoever has the password of the first use", function()
    assert.equal(200, login("carl", "first").status)
    local res = login("carl", "second")
    assert.equal(401, res.status)
    assert.truthy(res.headers["www-authenticate"]:find '^Bearer error="')
    assert.equal(200, login("carl", "first").status)
  end)

  it("go to one password when many claim a name at once", function()
    local open, right = {}, {}
    for i = 1, 8 do
      open[i] = http.connect(app)
      open[i]:send(http.format("POST", "/api/auth/token", { json = { user_id = "race", password = "p" .. i } }))
    end
    for i = 1, 8 do
      local res = http.read_response(open[i], "POST", 30)
      if res.status == 200 then right[#right + 1] = i else assert.equal(401, res.status) end
      open[i]:close()
    end
    assert.equal(1, #right)
    assert.equal(200, login("race", "p" .. right[1]).status)
  end)

  it("are refused for odd bodies, without a trace", function()
    for _, body in ipairs { "", "[]", "null", "{", '{"user_id":"a"}', '{"password":"a"}',
      '{"user_id":"","password":"a"}', '{"user_id":"a","password":""}',
      '{"user_id":"a:b","password":"x"}', '{"user_id":{},"password":"x"}',
      '{"user_id":"a","password":["x"]}', '{"user_id":"a","password":"x\\u0000y"}',
      '{"user_id":"a","password":"' .. ("x"):rep(1025) .. '"}',
      '{"user_id":"a","password":"x","is_admin":true}' } do
      local res = app:post("/api/auth/token", { body = body,
        headers = { ["Content-Type"] = "application/json" } })
      assert.equal(400, res.status, body .. res.body)
      assert.is_nil(res.body:find(".lua", 1, true))
    end
  end)

  it("are counted when they are issued and when they are verified", function()
    local function counts()
      return app:metric "lunacast_tokens_issued_total",
        app:metric "lunacast_token_cache_hits_total" + app:metric "lunacast_token_cache_misses_total"
    end
    local issued, verified = counts()
    local token = token_of "counted"
    for _ = 1, 3 do assert.equal(200, app:get("/api/user/counted/session", { token = token }).status) end
    local now_issued, now_verified = counts()
    assert.same({ 1, 3 }, { math.tointeger(now_issued - issued), math.tointeger(now_verified - verified) })
  end)

  it("are verified by the published keys alone", function()
    for _, path in ipairs { "/.well-known/jwks.json", "/api/auth/jwks" } do
      local res = app:get(path)
      assert.equal(200, res.status)
      local key = res:json().keys[1]
      assert.equal("RSA", key.kty)
      assert.equal("RS256", key.alg)
      assert.equal("sig", key.use)
      assert.equal("AQAB", key.e)
      assert.equal(2048 // 8, #crypto.base64url_decode(key.n))
      assert.is_nil(key.d)
      assert.equal("ann", jwt.verify(token_of "ann", jwk.import(res.body),
        { issuer = "realtime-svg" }).sub)
    end
  end)

  local function session(user_id, token, method, path, body)
    return app[method or "get"](app, ("/api/user/%s/session%s"):format(user_id, path or ""),
      { token = token, json = body })
  end

  it("open their user's sessions, and no others", function()
    local ann, bob = token_of "ann", token_of "bob"
    local res = session("ann", ann, "post", "", { session_id = "s", template = SVG, args = { x = 1 } })
    assert.equal(201, res.status, res.body)
    assert.same({ session_id = "s" }, res:json())
    assert.equal(409, session("ann", ann, "post", "", { session_id = "s", template = SVG, args = { x = 1 } }).status)
    assert.same({ items = { { session_id = "s" } } }, session("ann", ann):json())
    assert.same({ items = { { session_id = "s" } } },
      app:get("/api/user/ann/sessions", { token = ann }):json())
    assert.equal('{"items":[]}', session("bob", bob).body)
    local stream = http.pictures(app, "/stream/ann/s")
    assert.truthy(stream:next())
    res = session("ann", ann, "put", "/s", { args = { x = 2 } })
    assert.equal(204, res.status)
    assert.equal("", res.body)
    assert.truthy(stream:next():find(">2<", 1, true))
    assert.equal(204, session("ann", ann, "patch", "/s", { args = { y = 1 } }).status)
    assert.same({ x = 2, y = 1 }, session("ann", ann, "get", "/s"):json().args)
    for _, call in ipairs { { "get", "" }, { "get", "/s" }, { "put", "/s" }, { "patch", "/s" },
      { "delete", "/s" }, { "post", "" } } do
      local body = call[1] ~= "get" and call[1] ~= "delete" and { args = {} } or nil
      assert.equal(403, session("ann", bob, call[1], call[2], body).status)
      res = session("ann", nil, call[1], call[2], body)
      assert.equal(401, res.status)
      assert.truthy(res.headers["www-authenticate"]:find '^Bearer error="')
    end
    assert.equal(204, session("ann", ann, "delete", "/s").status)
    assert.is_nil(stream:next())
  end)

  it("are refused when they were changed, are another's, or are none", function()
    local good = token_of "ann"
    local header, payload, signature = good:match "^([^.]+)%.([^.]+)%.([^.]+)$"
    local function encode(value) return crypto.base64url_encode(json.encode(value)) end
    local _, claims = parts(good)
    claims.sub = "bob"
    local foreign = jwk.generate "RS256"
    local now = os.time()
    local bad = {
      "x", "..", header .. "." .. payload .. ".", header .. "." .. payload .. "." .. signature:reverse(),
      header .. "." .. encode(claims) .. "." .. signature,
      encode { alg = "none" } .. "." .. payload .. ".",
      encode { alg = "HS256", kid = (parts(good)).kid } .. "." .. payload .. "." .. signature,
      jwt.sign({ sub = "ann", iat = now, exp = now + 60, iss = "realtime-svg" }, foreign),
    }
    for _, token in ipairs(bad) do
      local res = session("ann", token)
      assert.equal(401, res.status, token)
      assert.truthy(res.headers["www-authenticate"]:find '^Bearer error="')
    end
    assert.equal(200, session("ann", good).status)
    for _, header_value in ipairs { "Bearer", "Basic YTpi", "Bearer  ", good } do
      assert.equal(401, app:get("/api/user/ann/session", { headers = { Authorization = header_value } }).status)
    end
  end)

  it("outlive a rotation of the keys, on all workers, and new ones have a new kid", function()
    local old = token_of "ann"
    local before = app:json("/api/auth/jwks").keys[1].kid
    assert.same({ rotated = true }, app:post("/rotate"):json())
    for _ = 1, 8 do -- connections spread over both workers
      local keys
      wait.till(function() -- the other worker hears of it
        keys = app:json("/api/auth/jwks").keys
        return #keys == 2
      end, "both keys")
      assert.equal(before, keys[2].kid)
      local new = token_of "ann"
      assert.equal(keys[1].kid, (parts(new)).kid)
      assert.equal(200, session("ann", new).status)
      assert.equal(200, session("ann", old).status)
    end
  end)

  it("and passwords never come into the log", function()
    local token = token_of "secretive"
    session("secretive", token)
    session("secretive", token .. "x")
    for _, line in ipairs(app:log()) do
      local text = json.encode(line)
      assert.is_nil(text:find("pw of ", 1, true), text)
      assert.is_nil(text:find(token:match "[^.]+$", 1, true), text)
    end
  end)
end)


describe("the signing key", function()
  it("stays the same over restarts", function()
    local app = server.start { workers = 2, set = SET }
    local kid = app:json("/api/auth/jwks").keys[1].kid
    app:stop()
    local again = app:restart()
    assert.equal(kid, again:json("/api/auth/jwks").keys[1].kid)
    again:stop()
  end)

  it("is read again, though a task was ended while it read it", function()
    local redis = redis_server.start {}
    local app = server.start { workers = 1, set = { ["redis.url"] = redis.url },
      files = { ["lua/routes/end.lua"] = END_A_READING } }
    assert.equal(200, app:get("/api/auth/jwks").status)
    wait.till(function() return app:get("/end").body == "true" end, "the worker to hear of rotations")
    redis:freeze()
    assert.equal("true", app:post("/end").body)
    redis:thaw()
    assert.equal(200, app:get("/api/auth/jwks", { seconds = 10 }).status)
    app:stop()
    redis:down()
  end)

  it("expires tokens by the clock", function()
    local app = server.start { workers = 1, set = { ["password.ln"] = 10, ["token.leeway"] = 0 } }
    local res = app:post("/api/auth/token", { json = { user_id = "a", password = "b", ttl_seconds = 1 } })
    local token = res:json().token
    wait.till(function()
      return app:get("/api/user/a/session", { token = token }).status == 401
    end, "the token to expire")
    app:stop()
  end)
end)
