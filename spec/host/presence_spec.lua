-- Presence and hooks over workers, restarts and nodes.
local http = require "spec.support.http"
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local HOOKS = [[
local log = require "host.log"
local seen = {}
for _, name in ipairs { "close", "slow", "gone" } do
  local stuck = 0
  seen[name] = function(c)
    if c.user == "stuck" then stuck = stuck + 1 end
    while stuck == 1 and c.user == "stuck" do end
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

local RULES = [[
return { rules = { ["lobby*"] = { mode = "log", presence = true },
  ["session:shown"] = { presence = true } } } ]]

local PICTURE = '<svg xmlns="http://www.w3.org/2000/svg"/>'

local KEY = ("k"):rep(32)

local function start(redis, more, files)
  local set = { ["server.key"] = KEY, ["password.ln"] = 10, ["presence.grace"] = "2s",
    ["redis.url"] = redis and redis.url }
  for name, value in pairs(more or {}) do set[name] = value end
  return server.start { workers = 2, set = set,
    files = files or { ["lua/hooks/spec.lua"] = HOOKS, ["lua/topics/spec.lua"] = RULES } }
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

-- A stream that goes on until it is closed.
local function stream(app, path)
  local c = http.connect(app)
  c:send(http.format("GET", path, {}))
  local head = assert(http.read_head(c))
  assert.equal(200, head.status)
  return c, head.headers["stream-id"]
end

local function presence_of(app, topic)
  return app:get("/api/server/presence?channel=" .. topic,
    { headers = { Authorization = "Bearer " .. KEY } }):json()
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

    it("has who reads by events as a member, and not in topics of which nothing says so", function()
      local ann = open(app, "ann")
      follow(ann, "lobby")
      await(ann, "join")
      local query = "&session_id=room&token=" .. login(app, "ed")
      local ed, id = stream(app, "/sse?topic=lobby" .. query)
      local join = await(ann, "join")
      assert.same({ "ed", id, "pubsub:0:4:roomlobby" }, { join.user, join.connection, join.channel })
      wait.till(function() return ask(ann, "lobby").count == 2 end, "two members")
      local several = stream(app, "/sse?topic=lobby&topic=hall&topic=asked&presence=false"
        .. "&presence=false&presence=true" .. query)
      assert.equal("ed", await(ann, "join").user)
      wait.till(function()
        return ask(ann, "asked").count == 1 and ask(ann, "hall").count == 0
      end, "the topic that was asked for")
      ed:close()
      assert.equal(id, await(ann, "leave").connection)
      several:close()
      await(ann, "leave")
      wait.till(function()
        return ask(ann, "lobby").count == 1 and ask(ann, "asked").count == 0
      end, "the streams to be gone")
      assert.equal(400, app:get("/sse?topic=lobby&presence=maybe").status)
      ann:close()
    end)

    it("has who looks at a picture as a member where its rule says so", function()
      for _, name in ipairs { "shown", "unseen_by_rule" } do
        assert.equal(201,
          app:post("/api/session", { json = { session_id = name, template = PICTURE } }).status)
      end
      local img, id = stream(app, "/stream/shown")
      local other = stream(app, "/stream/unseen_by_rule")
      local tab = http.connect(app)
      tab:send(http.format("GET", "/stream/shown", { headers = { Accept = "text/event-stream" } }))
      assert(http.read_head(tab))
      local eye = ws.connect(app, "/ws")
      eye:text "watch:/stream/shown"
      await(eye, "watching")
      local list
      wait.till(function()
        list = presence_of(app, "session:shown")
        return list.count == 3
      end, "three viewers")
      local connections = {}
      for _, member in ipairs(list.members) do connections[member.connection] = true end
      assert.is_true(connections[id])
      assert.equal(0, presence_of(app, "session:unseen_by_rule").count)
      img:close()
      eye:text "unwatch:/stream/shown"
      wait.till(function() return presence_of(app, "session:shown").count == 1 end, "one viewer")
      app:delete "/api/session/shown"
      wait.till(function() return presence_of(app, "session:shown").count == 0 end, "no viewer")
      for _, c in ipairs { other, tab, eye } do c:close() end
    end)

    it("takes those out whose picture is gone while they stay connected", function()
      app:post("/api/session", { json = { session_id = "shown", template = PICTURE } })
      local eye = ws.connect(app, "/ws")
      eye:text "watch:/stream/shown"
      await(eye, "watching")
      wait.till(function() return presence_of(app, "session:shown").count == 1 end, "the viewer")
      app:delete "/api/session/shown"
      wait.till(function() return presence_of(app, "session:shown").count == 0 end, "no viewer")
      eye:close()
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
      app:post("/api/session", { json = { session_id = "p", template = PICTURE } })
      local viewer = stream(app, "/stream/p")
      viewer:read_until "/>"
      viewer:close()
      line = wait.till(function() return hook("transport", "mixed") end, "the picture's hook")
      assert.equal("the connection was lost", line.reason)
    end)

    it("calls the hook gone once, when the last connection is away for the grace", function()
      local before = count_logged(app, "hook gone")
      local a, b, c = open(app, "jill"), open(app, "jill"), open(app, "jill")
      local token = login(app, "jill")
      a:close()
      b:close()
      c:close()
      local again = ws.connect(app, "/ws?token=" .. token)
      wait.pause(2.5)
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
      wait.pause(2.2)
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
        local _, events = stream(other,
          "/sse?topic=t&presence=true&session_id=room&token=" .. login(other, "lena"))
        assert.equal("lena", await(here, "join").user)
        other:crash()
        local gone = {}
        for i = 1, 2 do gone[i] = await(here, "leave").connection end
        table.sort(gone)
        local expected = { join.connection, events }
        table.sort(expected)
        assert.same(expected, gone)
        assert.same({ "kate" }, users_of(ask(here, "t")))
        app:logged '"user":"liam"'
        wait.till(function()
          for _, l in ipairs(app:log()) do
            if l.msg == "hook gone" and l.user == "liam" then return true end
          end
        end, "liam to be gone")
        here:close()
      end)
    end
  end)
end


-- Not for the thread sanitizer: it keeps a signal from a loop that calls nothing.
describe("hooks", function()
  it("go on after one that was stopped, since it ran too long", function()
    local app = start()
    for _ = 1, 6 do open(app, "stuck"):close() end
    app:logged "ran out of its time budget"
    local free = {}
    for i = 1, 6 do free[i] = open(app, "free" .. i) end
    for i = 1, 6 do free[i]:close() end
    wait.till(function()
      local closed = 0
      for _, l in ipairs(app:log()) do
        if l.msg == "hook close" and l.user:find "^free" then closed = closed + 1 end
      end
      return closed == 6
    end, "the hooks of the others")
    wait.till(function()
      open(app, "stuck"):close()
      wait.pause(2.2) -- the grace is two seconds
      for _, l in ipairs(app:log()) do
        if l.msg == "hook gone" and l.user == "stuck" then return true end
      end
    end, "the hook gone, after one that was stopped", 60)
    app:stop()
  end)
end)
