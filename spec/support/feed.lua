-- A topic whose messages are numbered, on any number of nodes, and clients that follow it and check
-- what they are given: no hole without a signal before it, nothing twice.
--   local one = feed.node(redis)
--   local client, said = feed.follow(one), {}
--   feed.say(one, 1, 10, said)
--   client:till(10)
--   client:has_all(said)
local assert = require "luassert"
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local feed = { TOPIC = "news.a", KEY = "pubsub:0:1:snews.a" }

local FILES = {
  ["config.lua"] = [[return { topics = {
    ["news.*"] = { history = { messages = 10000, bytes = 10000000, age = 600 } } } }]],
  ["lua/routes/feed.lua"] = [[
    local hub = require "host.hub"
    local web = require "web"
    local KEY = hub.key("", "s", "news.a")
    return {
      { path = "/say", POST = function(req)
        local ok, position = hub.publish(KEY, req.body)
        if not ok then return web.error(503, "unavailable", "no") end
        return web.json { position = position }
      end },
      { path = "/page", GET = function(req)
        return web.json(hub.history(KEY, { since = req.query.since, limit = 1000 }))
      end },
    }]],
}


---@param redis table a server or a way to it, with `url`
---@param set? table<string, any> more settings
function feed.node(redis, set)
  local all = { ["redis.url"] = redis.url, ["password.ln"] = 10 }
  for name, value in pairs(set or {}) do all[name] = value end
  return server.start { workers = 2, files = FILES, set = all }
end


--- Says numbers from a to b; notes those that were taken by their positions, and returns the last.
function feed.say(app, a, b, said)
  local last
  for i = a, b do
    local res = app:post("/say", { body = tostring(i) })
    if res.status == 200 then
      last = res:json().position
      said[last] = i
    end
  end
  return last
end


--- Says a number until it is taken.
function feed.say_at_last(app, number, said)
  return wait.till(function() return feed.say(app, number, number, said) end,
    "a message to be taken again", 20)
end


-- Clients ---------------------------------------------------------------------------------------

local Follower = {}
Follower.__index = Follower


--- Follows the topic, from a position on. `gaps` counts the signals, `count` the messages, `seen` has
--- the positions by number.
function feed.follow(app, since)
  local self = setmetatable({ c = ws.connect(app, "/ws"), seen = {}, gaps = 0, count = 0 }, Follower)
  self.c:text("subscribe-json:" .. json.encode { topic = feed.TOPIC, session_id = "s", since = since })
  self.begun = json.decode(self.c:read_text())
  assert.equal("subscribed", self.begun.type, self.begun.error)
  self.last = self.begun.position
  return self
end


-- Epochs may change from one message to the next; the offsets go on.
local function follows(position, last)
  return tonumber(position:match ":(%d+)$") == tonumber(last:match ":(%d+)$") + 1
end


--- Takes what comes next; its position, nil: it is a gap.
function Follower:take(seconds)
  local message = json.decode(self.c:read_text(seconds))
  if message.gap then
    self.gaps, self.last = self.gaps + 1, nil
    return nil
  end
  local position = assert.truthy(message.position, json.encode(message))
  assert.is_true(self.last == nil or follows(position, self.last),
    ("%s after %s"):format(position, self.last))
  self.seen[message.data], self.last, self.count = position, position, self.count + 1
  return position
end


--- Takes what comes until it has that number.
function Follower:till(number)
  while not self.seen[number] do self:take(10) end
end


--- It has got all that was taken.
function Follower:has_all(said)
  for _, number in pairs(said) do assert.truthy(self.seen[number], number .. " is missing") end
end


function Follower:close()
  self.c:close()
end

return feed
