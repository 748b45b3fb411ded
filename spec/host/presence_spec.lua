-- Presence and hooks over workers, restarts and nodes.
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local HOOKS = [[
local log = require "host.log"
local seen = {}
for _, name in ipairs { "close", "slow", "gone" } do
  seen[name] = function(c)
    log.info("hook " .. name, { user = c.user or "", transport = c.transport or "",
      reason = c.reason or "", code = c.code or 0, whole = math.type(c.seconds) or "" })
  end
end
seen.connect = function(c)
  if c.user == "banned" then return false, "you are banned", "banned" end
  if c.path == "/stream/hidden" then return false, "this is hidden", "hidden" end
end
seen.subscribe = function(c)
  if c.topic == "secret" then return false, "not this one", "no_secrets" end
  if c.path == "/stream/unseen" then return false, "not this one", "no_pictures" end
end
seen.publish = function(c)
  if c.data:find "damn" then return false, "mind your words", "rude" end
  c.data = c.data:gsub("hello", "HELLO")
end
seen.message = function(c)
  if c.data == "subscribe:quiet" then return false, "not now", "quiet_please" end
end
return seen ]]

local KEY = ("k"):rep(32)

local function start(redis, more, files)
  local set = { ["server.key"] = KEY, ["password.ln"] = 10, ["presence.grace"] = "1s",
    ["redis.url"] = redis and redis.url }
  for name, value in pairs(more or {}) do set[name] = value end
  return server.start { workers = 2, set = set,
    files = files or { ["lua/hooks/spec.lua"] = HOOKS } }
end

local function login(app, user)
  local res = app:post("/auth/token",
    { json = { username = user, password = "pw of " .. user, session_id = "room" } })
  assert.equal(200, res.status, res.body)
  return res:json().token
end

local function open(app, user)
  return ws.connect(app, "/ws?token=" .. login(app, user))
end

-- The next message of a type; others are left out.
local function await(c, kind)
  local found
  wait.till(function()
    found = json.decode(c:read_text())
    return found.type == kind
  end, "a message of type " .. kind)
  return found
end

local function follow(c, topic)
  c:text("subscribe-json:" .. json.encode { topic = topic, presence = true })
  return await(c, "subscribed")
end

local function ask(c, topic)
  c:text("presence-json:" .. json.encode { topic = topic })
  return await(c, "presence")
end

local function users_of(answer)
  local users = {}
  for _, member in ipairs(answer.members) do users[#users + 1] = member.user end
  table.sort(users)
  return users
end

local function count_logged(app, text)
  local count = 0
  for _, line in ipairs(app:log()) do
    if line.msg == text then count = count + 1 end
  end
  return count
end


for _, store in ipairs { "embedded", "redis" } do
  describe("presence, store " .. store .. " #workers", function()
    local redis, app

    setup(function()
      redis = store == "redis" and redis_server.start() or nil
      app = start(redis)
    end)

    teardown(function()
      app:stop()
      if redis then redis:down() end
    end)

    it("says who is there, on all workers, and tells of joins, leaves and data", function()
      local ann = open(app, "ann")
      local first = follow(ann, "t")
      assert.same({}, users_of(first.presence))
      assert.equal("ann", await(ann, "join").user)
      local others = {}
      for i = 1, 4 do
        others[i] = open(app, "user" .. i)
        others[i]:text('set-data:{"n":' .. i .. "}")
        follow(others[i], "t")
        local join
        repeat join = await(ann, "join") until join.user == "user" .. i
        assert.same({ n = i }, join.data)
        assert.equal("pubsub:0:4:roomt", join.channel)
      end
      local list
      wait.till(function()
        list = ask(ann, "t")
        return list.count == 5
      end, "five members")
      assert.same({ "ann", "user1", "user2", "user3", "user4" }, users_of(list))
      others[1]:text 'set-data:{"n":100}'
      local changed
      repeat changed = await(ann, "join") until changed.user == "user1" and changed.data.n == 100
      others[2]:text "unsubscribe:t"
      assert.equal("user2", await(ann, "leave").user)
      others[3]:close()
      local left = await(ann, "leave")
      assert.equal("user3", left.user)
      wait.till(function() return ask(ann, "t").count == 3 end, "three members")
      for _, c in ipairs(others) do c:close() end
      ann:close()
    end)

    it("counts beyond the members that it names", function()
      local few = start(redis, { ["presence.members"] = 2, workers = 1 })
      local clients = {}
      for i = 1, 7 do
        clients[i] = open(few, "many" .. i)
        follow(clients[i], "crowd")
      end
      local list
      wait.till(function()
        list = ask(clients[1], "crowd")
        return list.count == 7
      end, "seven members")
      assert.is_true(#list.members <= 4) -- two of each worker
      few:stop()
    end)

    it("calls hooks: connect, subscribe, publish and message may refuse", function()
      local refused = ws.open(app, "/ws?token=" .. login(app, "banned"))
      assert.equal(403, refused.status)
      assert.equal(403, app:get("/stream/hidden").status)
      local c = open(app, "hank")
      local function answer(text)
        c:text(text)
        local said = json.decode(c:read_text())
        return said.code
      end
      assert.equal("no_secrets", answer "subscribe:secret")
      assert.equal("no_pictures", answer "watch:/stream/unseen")
      assert.equal(403, app:get("/stream/unseen").status)
      assert.equal("quiet_please", answer "subscribe:quiet")
      assert.equal("rude", answer 'publish-json:{"topic":"open","payload":"damn"}')
      follow(c, "open")
      c:text 'publish-json:{"topic":"open","payload":"hello you"}'
      local message
      repeat message = json.decode(c:read_text()) until message.data and message.data.payload
      assert.equal("HELLO you", message.data.payload)
      c:close()
    end)

    it("calls the hook close with the reason, on every transport", function()
      local function hook(name, value)
        for _, line in ipairs(app:log()) do
          if line.msg == "hook close" and line[name] == value then return line end
        end
      end
      open(app, "iris"):close()
      local line = wait.till(function() return hook("user", "iris") end, "the hook")
      assert.same({ "ws", 1006, "float" }, { line.transport, line.code, line.whole })
      local kicked = open(app, "ivan")
      app:post("/api/server/disconnect",
        { json = { user = "ivan" }, headers = { Authorization = "Bearer " .. KEY } })
      kicked:read_close()
      line = wait.till(function() return hook("user", "ivan") end, "the hook")
      assert.same({ 4409, "kicked" }, { line.code, line.reason })
      local svg = '<svg xmlns="http://www.w3.org/2000/svg"/>'
      app:post("/api/session", { json = { session_id = "p", template = svg } })
      local stream = app:connect()
      stream:send "GET /stream/p HTTP/1.1\r\nHost: localhost\r\n\r\n"
      stream:read_until("/>", 5)
      stream:close()
      line = wait.till(function() return hook("transport", "mixed") end, "the picture's hook")
      assert.equal("the connection was lost", line.reason)
    end)

    it("calls the hook gone once, when the last connection is away for the grace", function()
      local before = count_logged(app, "hook gone")
      local a, b, c = open(app, "jill"), open(app, "jill"), open(app, "jill")
      a:close()
      b:close()
      c:close()
      wait.pause(0.3)
      local again = open(app, "jill")
      wait.pause(1.5)
      local function gone()
        local count = 0
        for _, l in ipairs(app:log()) do
          if l.msg == "hook gone" and l.user == "jill" then count = count + 1 end
        end
        return count
      end
      assert.equal(0, gone())
      again:close()
      wait.till(function() return gone() == 1 end, "the hook gone")
      wait.pause(1.2)
      assert.equal(1, gone())
      assert.is_true(count_logged(app, "hook gone") > before)
    end)

    it("calls the hook gone also when scripts are reloaded during the grace", function()
      local mona = open(app, "mona")
      mona:close()
      wait.till(function()
        for _, l in ipairs(app:log()) do
          if l.msg == "hook close" and l.user == "mona" then return true end
        end
      end, "mona's close")
      server.write(app.folder, { ["lua/hooks/spec.lua"] = HOOKS .. "\n-- saved" })
      app:logged "the scripts were reloaded"
      wait.till(function()
        for _, l in ipairs(app:log()) do
          if l.msg == "hook gone" and l.user == "mona" then return true end
        end
      end, "mona to be gone")
    end)

    if store == "redis" then
      it("is right after a node has died: leaves are told, users are gone, each once", function()
        local other = start(redis)
        local here = open(app, "kate")
        follow(here, "t")
        local there = open(other, "liam")
        follow(there, "t")
        local join
        repeat join = await(here, "join") until join.user == "liam"
        other:crash()
        local leave = await(here, "leave")
        assert.equal("liam", leave.user)
        assert.equal(join.connection, leave.connection)
        assert.same({ "kate" }, users_of(ask(here, "t")))
        app:logged('"user":"liam"', 20)
        wait.till(function()
          for _, l in ipairs(app:log()) do
            if l.msg == "hook gone" and l.user == "liam" then return true end
          end
        end, "liam to be gone", 10)
        here:close()
      end)
    end
  end)
end
