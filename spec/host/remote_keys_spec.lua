-- Tokens of another service, whose keys are fetched from a URL (JWKS).
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- The other service: serves what it was told to, and counts.
local ISSUER = [[
local store = require "host.store"
local time = require "host.time"
local web = require "web"
return {
  { path = "/keys", GET = function()
    store.incr "fetched"
    local how = store.get "how" or "well"
    if how == "down" then web.throw(500, "down", "down") end
    if how == "redirect" then return web.redirect("/elsewhere") end
    if how == "slow" then time.sleep(1) end
    if how == "dead" then time.sleep(30) end
    if how == "large" then return web.text(("x"):rep(200000)) end
    if how == "rubbish" then return web.text("{") end
    return { status = 200, type = "application/json", body = store.get "keys" }
  end },
  { path = "/elsewhere", GET = function() return web.text(store.get "keys") end },
  { path = "/set/{name}", PUT = function(req)
    store.set(req.params.name, req.body)
    return web.empty()
  end },
  { path = "/fetched", GET = function() return web.text(store.get "fetched" or "0") end },
} ]]

local WHO = [[
local web = require "web"
return {
  { path = "/who", middleware = { "identity" }, GET = function(req)
    return web.json { sub = req.claims.sub, tenant = req.tenant }
  end },
  { path = "/now", GET = function()
    return web.text(("%d"):format(require("host.time").now() // 1))
  end },
} ]]


describe("tokens of another service", function()
  local issuer, app
  local key = assert(jwk.generate "ES256")

  local function publish(...)
    issuer:put("/set/keys", { body = jwk.set({ ... }):json() })
  end

  local function start()
    return server.start { workers = 1, files = { ["lua/routes/who.lua"] = WHO }, set = {
      ["identity.jwks"] = ("http://127.0.0.1:%d/keys"):format(issuer.port), ["test.clock"] = true } }
  end

  local function who(signer)
    local now = math.tointeger(app:get("/now").body)
    local token = jwt.sign({ sub = "ann", tenant_id = "acme", iat = now, exp = now + 60 }, signer)
    return app:get("/who", { headers = { Authorization = "Bearer " .. token } })
  end

  before_each(function()
    issuer = server.start { workers = 1, set = { drain = "100ms" }, files = { ["lua/routes/keys.lua"] = ISSUER } }
    app = start()
    publish(key)
  end)

  after_each(function()
    app:stop()
    issuer:stop()
  end)

  local function fetched()
    return tonumber(issuer:get("/fetched").body)
  end

  it("are taken, and their keys fetched once", function()
    for _ = 1, 5 do
      assert.same({ sub = "ann", tenant = "acme" }, json.decode(who(key).body))
    end
    assert.equal(1, fetched())
  end)

  it("with a key of which the set says nothing cost one more fetch, and then no other", function()
    assert.equal(200, who(key).status)
    local new = assert(jwk.generate "ES256")
    publish(key, new)
    assert.equal(200, who(new).status)
    assert.equal(200, who(key).status)
    assert.equal(2, fetched())
    for _ = 1, 5 do assert.equal(401, who(assert(jwk.generate "ES256")).status) end
    assert.equal(2, fetched())
  end)

  it("are refused once their key is taken out of the set, and asked about again after five minutes", function()
    local old, new = key, assert(jwk.generate "ES256")
    assert.equal(200, who(old).status)
    publish(old, new) -- both, for a while
    assert.equal(200, who(new).status)
    assert.equal(200, who(old).status)
    publish(new)
    app.clock:advance(301)
    assert.equal(401, who(assert(jwk.generate "ES256")).status) -- looks at the set again
    assert.equal(3, fetched())
    assert.equal(401, who(old).status)
    assert.equal(200, who(new).status)
    assert.equal(3, fetched())
    publish(key)
    app.clock:advance(3601) -- a set is not believed for longer than an hour
    assert.equal(401, who(new).status)
    assert.equal(200, who(key).status)
  end)

  it("are taken on while their service is down, slow, or sends rubbish", function()
    assert.equal(200, who(key).status)
    for _, how in ipairs { "down", "rubbish", "large", "redirect" } do
      issuer:put("/set/how", { body = how })
      assert.equal(401, who(assert(jwk.generate "ES256")).status)
      assert.equal(200, who(key).status, how)
    end
  end)

  it("are taken at once while another request waits for a service that says nothing", function()
    assert.equal(200, who(key).status)
    issuer:put("/set/how", { body = "dead" })
    local now = os.time()
    local stranger = jwt.sign({ sub = "ann", tenant_id = "acme", iat = now, exp = now + 60 },
      assert(jwk.generate "ES256"))
    local c = app:connect()
    c:send(("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"):format(stranger))
    wait.till(function() return fetched() == 2 end, "the second fetch")
    assert.equal(200, who(key).status)
    assert.equal("", c:peek())
    assert.matches("^HTTP/1.1 401", c:read_all()) -- after the 5 s that a fetch may take
    c:close()
  end)

  it("are refused, not waited for, when their keys were never there", function()
    for _, how in ipairs { "down", "rubbish", "large", "redirect" } do
      issuer:put("/set/how", { body = how })
      local res = who(key)
      assert.equal(401, res.status, how)
      app:stop()
      app = start()
    end
  end)

  it("wait for one fetch together", function()
    issuer:put("/set/how", { body = "slow" })
    local now, sockets = os.time(), {}
    local token = jwt.sign({ sub = "ann", tenant_id = "acme", iat = now, exp = now + 60 }, key)
    for i = 1, 10 do
      sockets[i] = app:connect()
      sockets[i]:send(("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        .. "Authorization: Bearer %s\r\n\r\n"):format(token))
    end
    for _, c in ipairs(sockets) do assert.matches("^HTTP/1.1 200", c:read_all()) end
    assert.equal(1, fetched())
  end)
end)
