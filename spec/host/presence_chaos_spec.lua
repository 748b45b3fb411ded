-- Presence and revocations while nodes freeze and Redis goes away.
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local KEY = ("k"):rep(32)

local function start(redis)
  return server.start { workers = 2, set = { ["server.key"] = KEY, ["password.ln"] = 10,
    ["redis.url"] = redis.url } }
end

local function api(app, method, path, body)
  return app[method](app, "/api/server/" .. path,
    { json = body, headers = { Authorization = "Bearer " .. KEY } })
end

local function open(app, user)
  local res
  wait.till(function()
    res = app:post("/auth/token", { json = { username = user, password = "pw of " .. user,
      session_id = "room" } })
    return res.status == 200
  end, "a token")
  local c = ws.connect(app, "/ws?token=" .. res:json().token)
  c:text 'subscribe-json:{"topic":"t","presence":true}'
  return c
end

local function members(app)
  local res = api(app, "get", "presence?topic=t&session_id=room")
  if res.status ~= 200 then return "status " .. res.status end
  local users = {}
  for _, member in ipairs(res:json().members) do users[#users + 1] = member.user end
  table.sort(users)
  return table.concat(users, " ")
end

local function see(app, users, seconds)
  wait.till(function() return members(app) == users end, "to see " .. users, seconds)
end


describe("presence #workers #soak", function()
  local redis, one, two

  setup(function()
    redis = redis_server.start()
    one, two = start(redis), start(redis)
  end)

  teardown(function()
    one:stop()
    two:stop()
    redis:down()
  end)

  it("takes a frozen node's members away, and has them back when it goes on", function()
    local ann, ben = open(one, "ann"), open(two, "ben")
    see(one, "ann ben")
    see(two, "ann ben")
    local function await(kind)
      local event
      wait.till(function()
        event = json.decode(ann:read_text())
        return event.type == kind and event.user == "ben"
      end, "ben's " .. kind, 25)
    end
    await "join"
    two:freeze()
    await "leave"
    assert.equal("ann", members(one))
    two:thaw()
    await "join"
    see(one, "ann ben")
    see(two, "ann ben")
    ann:close()
    ben:close()
    see(one, "")
  end)

  it("is right again after Redis has lost everything", function()
    local ann, ben = open(one, "ann"), open(two, "ben")
    see(one, "ann ben")
    redis:down()
    ben:close()
    wait.pause(1)
    redis:up()
    see(one, "ann", 30)
    see(two, "ann", 30)
    ann:close()
    see(two, "", 30)
  end)

  it("enforces a revocation that Redis can't keep, and says so", function()
    local cem = open(one, "cem")
    see(one, "cem")
    redis:down()
    local res = api(one, "post", "revoke", { user = "cem" })
    assert.equal(503, res.status)
    assert.equal("unavailable", res:json().code)
    assert.equal(4403, cem:read_close())
    redis:up()
    see(one, "", 30)
  end)
end)
