-- Redis dies and comes back, a node dies, while messages flow: what a client sees has no hole
-- without a signal before it, and nothing twice.
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local FILES = {
  ["config.lua"] = [[return { topics = {
    ["news.*"] = { history = { messages = 10000, bytes = 10000000, age = 600 } } } }]],
  ["lua/routes/spec.lua"] = [[
    local hub = require "host.hub"
    local web = require "web"
    return { path = "/say/{topic}", POST = function(req)
      local ok, position = hub.publish(hub.key("", "s", req.params.topic), req.body)
      if not ok then return web.error(503, "unavailable", "no") end
      return web.json { position = position }
    end }]],
}


local function node(redis)
  return server.start { workers = 2, files = FILES,
    set = { ["redis.url"] = redis.url, ["password.ln"] = 10 } }
end


-- A client that follows a topic and checks what it is given. `gaps` are the signals it got.
local Follower = {}
Follower.__index = Follower


local function follow(app, topic, since)
  local self = setmetatable({ c = ws.connect(app, "/ws"), seen = {}, gaps = 0 }, Follower)
  self.c:text("subscribe-json:" .. json.encode { topic = topic, session_id = "s", since = since })
  self.begun = json.decode(self.c:read_text())
  assert.equal("subscribed", self.begun.type, self.begun.error)
  self.last = self.begun.position
  return self
end


function Follower:take(seconds)
  local message = json.decode(self.c:read_text(seconds))
  if message.gap then
    self.gaps, self.last = self.gaps + 1, nil
    return
  end
  local position = assert(message.position, json.encode(message))
  if self.last then
    local epoch, offset = self.last:match "^(%x+):(%d+)$"
    assert.equal(("%s:%d"):format(epoch, offset + 1), position)
  end
  assert.is_nil(self.seen[position], "twice")
  self.seen[position], self.last = message.data, position
end


function Follower:till(position)
  while not self.seen[position] do self:take(10) end
end


-- Says numbers from a to b; the positions of those that were taken.
local function say(app, topic, a, b, said)
  for i = a, b do
    local res = app:post("/say/" .. topic, { body = tostring(i) })
    if res.status == 200 then said[res:json().position] = i end
  end
end


local function has_all(client, said)
  for position, number in pairs(said) do assert.equal(number, client.seen[position]) end
end


-- Says something until it is taken; its position.
local function say_at_last(app, topic, number, said)
  return wait.till(function()
    local fresh = {}
    say(app, topic, number, number, fresh)
    local position = next(fresh)
    if position then said[position] = number end
    return position
  end, "a message is taken again", 20)
end


describe("under chaos #workers", function()
  it("a Redis that keeps what it took costs nobody a message", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local one, two = node(redis), node(redis)
    local here, there, said = follow(one, "news.a"), follow(two, "news.a"), {}
    for round = 1, 2 do
      say(one, "news.a", round * 100, round * 100 + 20, said)
      redis:down()
      say(one, "news.a", round * 100 + 21, round * 100 + 21, said)
      redis:up()
      local position = say_at_last(two, "news.a", round * 100 + 50, said)
      here:till(position)
      there:till(position)
    end
    has_all(here, said)
    has_all(there, said)
    assert.equal(0, here.gaps + there.gaps)
    one:stop()
    two:stop()
    redis:down()
  end)

  it("a Redis that forgot everything is told as a gap, and as not recovered", function()
    local redis = redis_server.start {}
    local one, two = node(redis), node(redis)
    local there, said = follow(two, "news.a"), {}
    say(one, "news.a", 1, 10, said)
    for _ = 1, 10 do there:take() end
    local had = there.last
    redis:down()
    redis:up()
    local position = say_at_last(one, "news.a", 50, {})
    there:till(position)
    assert.equal(1, there.gaps)
    assert.is_false(follow(one, "news.a", had).begun.recovered)
    one:stop()
    two:stop()
    redis:down()
  end)

  it("the clients of a node that dies go on at another one where they were", function()
    local redis = redis_server.start {}
    local one, two = node(redis), node(redis)
    local client, said = follow(two, "news.a"), {}
    say(one, "news.a", 1, 30, said)
    client:take()
    two:crash()
    say(one, "news.a", 31, 60, said)
    local ok = true
    while ok do ok = pcall(client.take, client, 2) end
    local back = follow(one, "news.a", client.last)
    assert.is_true(back.begun.recovered)
    assert.equal(client.last, back.begun.position)
    local position = say_at_last(one, "news.a", 61, said)
    back:till(position)
    for p, data in pairs(client.seen) do
      assert.is_nil(back.seen[p])
      back.seen[p] = data
    end
    has_all(back, said)
    assert.equal(0, back.gaps + client.gaps)
    one:stop()
    redis:down()
  end)

  it("a Redis that has less than its nodes have seen begins a new epoch", function()
    local redis = redis_server.start {}
    local one, two = node(redis), node(redis)
    local there, said = follow(two, "news.a"), {}
    say(one, "news.a", 1, 10, said)
    for _ = 1, 10 do there:take() end
    local had = there.last
    -- As after a failover to a replica that had not got everything.
    redis:command("DEL", "lunacast:history:pubsub:0:1:snews.a")
    redis:command("HSET", "lunacast:position:pubsub:0:1:snews.a", "o", 3)
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    there:take(10)
    assert.equal(1, there.gaps)
    there:till(say_at_last(one, "news.a", 11, said))
    assert.not_equal(had:match "^%x+", there.last:match "^%x+")
    one:stop()
    two:stop()
    redis:down()
  end)

  it("a link that is cut again and again loses nothing", function()
    local redis = redis_server.start {}
    local one, two = node(redis), node(redis)
    local there, said = follow(two, "news.a"), {}
    for i = 1, 5 do
      say(one, "news.a", i * 100, i * 100 + 10, said)
      redis:command("CLIENT", "KILL", "TYPE", "pubsub")
      say(one, "news.a", i * 100 + 11, i * 100 + 20, said)
    end
    there:till(say_at_last(one, "news.a", 999, said))
    has_all(there, said)
    assert.equal(0, there.gaps)
    one:stop()
    two:stop()
    redis:down()
  end)
end)
