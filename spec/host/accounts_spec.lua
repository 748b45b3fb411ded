-- Accounts: registering, tokens that are renewed, and what ends them; on both stores and databases.
local crypto = require "host.crypto"
local http = require "spec.support.http"
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- Makes a use of a refresh token one of long ago.
local AGE = [[
local json = require "host.json"
local store = require "host.store"
return { path = "/age/{digest}", POST = function(req)
  local key = "refresh:" .. req.params.digest
  local record = json.decode((store.get(key)))
  record.used = record.used - 3600
  store.set(key, json.encode(record))
  return require("web").empty()
end } ]]

local CHEAP = { ["password.ln"] = 10 }


local function start(set, more)
  local options = { workers = 2, set = {}, files = { ["lua/routes/age.lua"] = AGE } }
  for name, value in pairs(CHEAP) do options.set[name] = value end
  for name, value in pairs(set or {}) do options.set[name] = value end
  for name, value in pairs(more or {}) do options[name] = value end
  return server.start(options)
end


local function register(app, name, more)
  local body = { username = name, password = "password of " .. name }
  for key, value in pairs(more or {}) do body[key] = value end
  return app:post("/auth/register", { json = body })
end


local function login(app, name, password)
  return app:post("/auth/login", { json = { username = name, password = password or "password of " .. name } })
end


local function refresh(app, token)
  return app:post("/auth/refresh", { json = { refresh_token = token } })
end


local function bearer(token)
  return { Authorization = "Bearer " .. token }
end


local function me(app, token)
  return app:get("/auth/me", { headers = bearer(token) })
end


local function logout(app, access, token)
  return app:post("/auth/logout", { headers = bearer(access), json = token and { refresh_token = token } })
end


local function contract(kind, set)
  describe("accounts on the " .. kind .. " store", function()
    local app

    setup(function() app = start(set()) end)
    teardown(function() app:stop() end)

    it("are registered once, logged into, and know themselves", function()
      local res = register(app, "ann-" .. kind, { email = "Ann-" .. kind .. "@Example.org" })
      assert.equal(201, res.status, res.body)
      local user = res:json()
      assert.equal("ann-" .. kind, user.username)
      assert.equal("Ann-" .. kind .. "@Example.org", user.email)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT", user.created_at)
      res = register(app, "ann-" .. kind)
      assert.equal(409, res.status)
      assert.equal("username_taken", res:json().code)
      res = register(app, "ben-" .. kind, { email = "ann-" .. kind .. "@example.ORG" })
      assert.equal(409, res.status)
      assert.equal("email_taken", res:json().code)
      local pair = login(app, "ann-" .. kind):json()
      assert.equal("Bearer", pair.token_type)
      assert.equal(900, pair.expires_in)
      assert.same(user, me(app, pair.access_token):json())
    end)

    it("renew their tokens; the old refresh token is no good any more", function()
      register(app, "rea-" .. kind)
      local first = login(app, "rea-" .. kind):json()
      local second = refresh(app, first.refresh_token)
      assert.equal(200, second.status, second.body)
      assert.equal(200, me(app, second:json().access_token).status)
      assert.equal(401, refresh(app, first.refresh_token).status)
      local third = refresh(app, second:json().refresh_token)
      assert.equal(200, third.status)
    end)

    it("let one of eight refreshes at once win", function()
      register(app, "par-" .. kind)
      local token = login(app, "par-" .. kind):json().refresh_token
      local body = json.encode { refresh_token = token }
      local sockets, won = {}, {}
      for i = 1, 8 do
        sockets[i] = app:connect()
        sockets[i]:send(http.format("POST", "/auth/refresh", { body = body, type = "application/json" }))
      end
      for _, c in ipairs(sockets) do
        local res = http.read_response(c, "POST")
        if res.status == 200 then won[#won + 1] = json.decode(res.body) end
        c:close()
      end
      assert.equal(1, #won)
      assert.equal(200, refresh(app, won[1].refresh_token).status)
    end)

    it("end at the logout: both tokens at once, and the user's streams", function()
      local name = "out-" .. kind
      register(app, name)
      local pair = login(app, name):json()
      app:post("/api/session", { json = { session_id = name, template = "<svg/>" } })
      local view = http.pictures(app, "/stream/" .. name .. "?token=" .. pair.access_token)
      assert.equal("<svg/>", view:next())
      assert.equal(204, logout(app, pair.access_token).status)
      assert.is_true(view.wire:ends_within())
      view:close()
      wait.till(function() return me(app, pair.access_token).status == 401 end)
      assert.equal(401, refresh(app, pair.refresh_token).status)
      assert.equal(200, login(app, name).status)
    end)

    it("end at the logout with every token that came of that login, and no other login's", function()
      local name = "all-" .. kind
      register(app, name)
      local first, other = login(app, name):json(), login(app, name):json()
      local second = refresh(app, first.refresh_token):json()
      local third = refresh(app, second.refresh_token):json()
      assert.equal(204, logout(app, second.access_token).status)
      for i, pair in ipairs { first, second, third } do
        wait.till(function() return me(app, pair.access_token).status == 401 end, "token " .. i)
        assert.equal(401, refresh(app, pair.refresh_token).status)
      end
      assert.equal(200, me(app, other.access_token).status)
      assert.equal(200, refresh(app, other.refresh_token).status)
    end)

    it("give a name that many want at once to one of them, with that one's e-mail address", function()
      local name, sockets, winner = "race-" .. kind, {}, nil
      for i = 1, 8 do
        sockets[i] = app:connect()
        sockets[i]:send(http.format("POST", "/auth/register", { json = { username = name,
          password = "password " .. i, email = ("%s-%d@example.org"):format(name, i) } }))
      end
      for i, c in ipairs(sockets) do
        local res = http.read_response(c, "POST")
        if res.status == 201 then
          assert.is_nil(winner)
          winner = { password = "password " .. i, user = json.decode(res.body) }
        else
          assert.equal(409, res.status, res.body)
        end
        c:close()
      end
      local pair = login(app, name, winner.password):json()
      assert.same(winner.user, me(app, pair.access_token):json())
      local free = 0
      for i = 1, 8 do
        local email = ("%s-%d@example.org"):format(name, i)
        local res = register(app, ("%s-%d"):format(name, i), { email = email })
        free = free + (res.status == 201 and 1 or 0)
      end
      assert.equal(7, free)
    end)

    it("are the same users as those of live pictures", function()
      local name = "pic-" .. kind
      local claimed = app:post("/api/auth/token", { json = { user_id = name, password = "password of " .. name } })
      assert.equal(200, claimed.status)
      assert.equal(409, register(app, name).status)
      local pair = login(app, name):json()
      assert.equal(name, me(app, pair.access_token):json().username)
      local res = app:post(("/api/user/%s/session"):format(name), { headers = bearer(pair.access_token),
        json = { session_id = "a", template = "<svg/>" } })
      assert.equal(201, res.status, res.body)
      assert.equal(200, me(app, claimed:json().token).status)
    end)
  end)
end

contract("embedded", function() return {} end)
contract("redis", function() return { ["redis.url"] = redis_server.shared() } end)


describe("accounts", function()
  local app

  setup(function() app = start() end)
  teardown(function() app:stop() end)

  it("tell every wrong field", function()
    local res = app:post("/auth/register", { json = { username = 7, password = "short", email = "nobody" } })
    assert.equal(400, res.status)
    local fields = {}
    for _, e in ipairs(res:json().errors) do fields[e.field] = e.error end
    assert.equal("must be a string, got integer", fields.username)
    assert.equal("must have at least 8 characters, has 5", fields.password)
    assert.matches("e%-mail", fields.email)
    for _, name in ipairs { "a b", "..", "", ("x"):rep(101), "a/b" } do
      assert.equal(400, register(app, name).status, name)
    end
    assert.equal(400, app:post("/auth/register", { json = { username = "nul", password = "12345678\0" } }).status)
    assert.equal(400, app:post("/auth/register", { json = { username = "long", password = ("x"):rep(1025) } }).status)
  end)

  it("have an e-mail address of their own, whatever its case and script", function()
    local function try(name, email) return register(app, name, { email = email }) end
    assert.equal(201, try("mail1", "Jörg.ΟΔΟΣ@Post.example").status)
    for i, email in ipairs { "jörg.οδος@post.example", "JÖRG.οδοσ@POST.EXAMPLE",
      "jo\u{308}rg.οδος@post.example" } do
      local res = try("mail" .. 1 + i, email)
      assert.equal(409, res.status, email)
      assert.equal("email_taken", res:json().code)
    end
    assert.equal(201, try("mail2", "jorg.οδος@post.example").status, "the name is free still")
  end)

  it("never take one kind of token for the other", function()
    register(app, "kim")
    local pair = login(app, "kim"):json()
    assert.equal(401, me(app, pair.refresh_token).status)
    assert.equal(401, refresh(app, pair.access_token:sub(1, 200)).status)
    for _, rubbish in ipairs { "x", ("A"):rep(43), "' or 1=1 --" } do
      assert.equal(401, refresh(app, rubbish).status, rubbish)
    end
    assert.equal(400, refresh(app, ("A"):rep(5000)).status)
    assert.equal(400, refresh(app, 7).status)
  end)

  it("end as a family when an old refresh token is shown by somebody else", function()
    register(app, "fam")
    local first = login(app, "fam"):json()
    local second = refresh(app, first.refresh_token):json()
    assert.equal(401, refresh(app, first.refresh_token).status, "repeated at once: no harm")
    second = refresh(app, second.refresh_token):json()
    app:post("/age/" .. crypto.sha256(first.refresh_token, "hex"))
    local res = refresh(app, first.refresh_token)
    assert.equal("reused", res:json().code)
    for _, pair in ipairs { first, second } do
      wait.till(function() return me(app, pair.access_token).status == 401 end)
    end
    assert.equal("revoked", refresh(app, second.refresh_token):json().code)
    assert.truthy(app:logged "auth: refresh_reused")
    assert.equal(200, login(app, "fam").status)
  end)

  it("say the same about a wrong password and a user that is not there", function()
    register(app, "sam")
    local wrong, unknown = login(app, "sam", "wrong password"), login(app, "nobody-there")
    assert.equal(401, wrong.status)
    assert.equal(wrong.status, unknown.status)
    assert.equal(wrong.body, unknown.body)
  end)

  it("are slowed down after ten failures, and not for good", function()
    register(app, "slow")
    for _ = 1, 10 do assert.equal(401, login(app, "slow", "wrong password").status) end
    local res = login(app, "slow", "wrong password")
    assert.equal(429, res.status)
    local seconds = tonumber(res.headers["retry-after"])
    assert.is_true(seconds >= 1 and seconds <= 600, tostring(seconds))
    assert.equal(429, login(app, "slow").status)
    register(app, "other")
    assert.equal(200, login(app, "other").status)
  end)

  it("can't be guessed by many at once either", function()
    local own = start({ ["password.ln"] = 12 }, { workers = 1 })
    register(own, "ann")
    local function burst(count, password)
      local open, seen = {}, {}
      for i = 1, count do
        open[i] = own:connect()
        open[i]:post(http.format("POST", "/auth/login", { json = { username = "ann", password = password } }))
      end
      for i = 1, count do
        local status = http.read_response(open[i], "POST", 60).status
        seen[status] = (seen[status] or 0) + 1
        open[i]:close()
      end
      return seen
    end
    assert.same({ [200] = 40 }, burst(40, "password of ann"))
    assert.same({ [401] = 10, [429] = 50 }, burst(60, "wrong password"))
    assert.equal(429, login(own, "ann").status)
    own:stop()
  end)

  it("wait in a line that has an end", function()
    local own = start({ ["password.ln"] = 15 }, { workers = 1 })
    register(own, "ann")
    local open, seen = {}, {}
    for i = 1, 120 do
      open[i] = own:connect()
      open[i]:post(http.format("POST", "/auth/login", { json = { username = "ann", password = "password of ann" } }))
    end
    for i = 1, 20 do open[i]:reset() end
    for i = 21, 120 do
      local res = http.read_response(open[i], "POST", 60)
      seen[res.status] = (seen[res.status] or 0) + 1
      if res.status == 503 then assert.equal("1", res.headers["retry-after"]) end
      open[i]:close()
    end
    assert.is_true(seen[200] >= 30 and (seen[503] or 0) >= 1 and seen[200] + seen[503] == 100,
      ("%d good, %d busy"):format(seen[200] or 0, seen[503] or 0))
    assert.equal(200, login(own, "ann").status)
    own:stop()
  end)

  it("can't be guessed through another door", function()
    local own = start()
    register(own, "ann")
    local function try(path, body, times)
      for _ = 1, times do assert.equal(401, own:post(path, { json = body }).status) end
    end
    try("/api/auth/token", { user_id = "ann", password = "wrong" }, 50)
    try("/auth/token", { username = "ann", password = "wrong" }, 50)
    for path, name in pairs { ["/api/auth/token"] = "user_id", ["/auth/token"] = "username" } do
      for _, password in ipairs { "wrong", "password of ann" } do
        local res = own:post(path, { json = { [name] = "ann", password = password } })
        assert.equal(429, res.status)
        assert.equal("too_many_failures", res:json().code)
        assert.is_true(tonumber(res.headers["retry-after"]) >= 1)
      end
    end
    own:stop()
  end)

  it("are slowed down by address, of which a /64 of IPv6 is one", function()
    local own = start { ["proxy.trusted"] = "127.0.0.1" }
    local function try(address, i)
      return own:post("/auth/login", { headers = { ["X-Forwarded-For"] = address },
        json = { username = "nobody" .. i, password = "wrong password" } }).status
    end
    for i = 1, 100 do assert.equal(401, try(("2001:db8:1:2:%x::%x"):format(i * 7, i), i)) end
    assert.equal(429, try("2001:db8:1:2:ffff::1", 101))
    assert.equal(401, try("2001:db8:1:3::1", 102))
    assert.equal(401, try("9.9.9.9", 103))
    own:stop()
  end)

  it("leave no secret in the log", function()
    register(app, "log")
    local pair = login(app, "log"):json()
    refresh(app, pair.refresh_token)
    app:logged "auth: refreshed"
    local text = app.process.err
    for _, secret in ipairs { "password of log", pair.refresh_token, pair.access_token } do
      assert.is_nil(text:find(secret, 1, true))
    end
    assert.truthy(text:find('"event":"login"', 1, true))
  end)

  it("keep only digests of refresh tokens", function()
    register(app, "dig")
    local token = login(app, "dig"):json().refresh_token
    app:stop()
    local found = assert(io.popen(("grep -rlF '%s' '%s'"):format(token, app.data))):read "a"
    assert.equal("", found)
    app = start()
  end)

  it("cost as much for an unknown user as for a wrong password", function()
    local real = start { ["password.ln"] = 14 }
    local function time_of(name)
      local began = wait.now()
      login(real, name, "wrong password")
      return wait.now() - began
    end
    local known, unknown = math.huge, math.huge
    local function alike() return unknown > known * 0.5 and unknown < known * 2 end
    for i = 1, 6 do -- the least of ever more, in turns: what a busy machine adds goes away
      if i > 1 and alike() then break end
      register(real, "tim" .. i)
      for j = 1, 8 do
        known = math.min(known, time_of("tim" .. i))
        unknown = math.min(unknown, time_of(("nobody%d_%d"):format(i, j)))
      end
    end
    assert.is_true(alike(), known .. " " .. unknown)
    real:stop()
  end)
end)
