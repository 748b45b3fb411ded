-- A topic whose messages are numbered, on any number of nodes, and clients that follow it and check
-- what they are given: no hole without a signal before it, nothing twice.
--   local one = feed.node(redis)
--   local client, said = feed.follow(one), {}
--   feed.say(one, 1, 10, said)
--   client:till(10)
--   client:has_all(said)
-- Under load, while the spec does something else: writers that go on saying numbers, and readers that
-- come back to any node with their position whenever their stream ends.
--   local writer, reader = feed.write_on({ one, two }, 1), feed.read_on({ one, two }, 2, "sse")
local assert = require "luassert"
local http = require "spec.support.http"
local json = require "host.json"
local server = require "spec.support.server"
local task = require "host.task"
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
---@param size? integer bytes of each message
function feed.say(app, a, b, said, size)
  local last
  for i = a, b do
    local res = app:post("/say", { body = ("%d%s"):format(i, (" "):rep((size or 0) - 7)) })
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

-- Writers ---------------------------------------------------------------------------------------

local Writer = {}
Writer.__index = Writer
local last_number = 1000000


--- Says number after number until `stop`, to the i-th of the nodes, and to the next one when it fails.
--- `said` has those that were taken; what got no answer may have been taken, too, and is not said again.
---@param nodes table[]
---@param i integer
function feed.write_on(nodes, i)
  local self = setmetatable({ said = {}, count = 0, failed = 0 }, Writer)
  self.task = task.spawn(function()
    local at = i
    while not self.stopped do
      last_number = last_number + 1
      local number = last_number
      local ok, position = pcall(feed.say, nodes[at], number, number, self.said)
      if ok and position then
        self.count = self.count + 1
      else
        self.failed, at = self.failed + 1, at % #nodes + 1
        wait.pause(0.05)
      end
    end
  end)
  return self
end


--- Ends when the last one is said.
function Writer:stop()
  self.stopped = true
  wait.till(function() return not task.alive(self.task) end, "the writer to end", 30)
end


-- Readers ---------------------------------------------------------------------------------------

local open = {}


function open.ws(app, since)
  local c = ws.connect(app, "/ws")
  c:text("subscribe-json:" .. json.encode {
    topic = feed.TOPIC, session_id = "s", since = since, presence = true })
  local begun = json.decode(c:read_text())
  if begun.type ~= "subscribed" then error(begun.error) end
  local first = { gap = since and begun.recovered ~= true, begun = begun.position }
  return c, function()
    if first then
      local message = first
      first = nil
      return message
    end
    local message = json.decode(c:read_text(60))
    return { gap = message.gap, position = message.position, number = message.data }
  end
end


function open.sse(app, since)
  local c = http.events(app, ("/sse?topic=%s&session_id=s%s"):format(feed.TOPIC,
    since and "&since=" .. since or ""))
  if c.status ~= 200 then error("status " .. c.status) end
  return c, function()
    local event = c:next(60)
    if not event or event.event == "end" then error "the stream has ended" end
    if not event.data then return { begun = event.id } end
    return { gap = event.event == "gap", position = event.id, number = tonumber(event.data) }
  end
end


local Reader = {}
Reader.__index = Reader


-- A hole that nobody told, or something twice: what is wrong with a message.
local function fault(self, message)
  if self.last and not follows(message.position, self.last) then
    return ("%s after %s"):format(message.position, self.last)
  elseif self.seen[message.number] then
    return ("%d twice: %s, %s"):format(message.number, self.seen[message.number], message.position)
  end
end


local function take(self, message)
  if message.gap then self.gaps, self.last = self.gaps + 1, nil end
  if message.number then
    self.fault = self.fault or fault(self, message)
    self.seen[message.number], self.last = message.position, message.position
    self.count = self.count + 1
  elseif message.begun and not self.last then
    self.last = message.begun
  end
end


--- Reads until `stop`, from the i-th of the nodes, and from the next one when the stream ends.
---@param nodes table[]
---@param i integer
---@param transport "ws"|"sse"
function feed.read_on(nodes, i, transport)
  local self = setmetatable({ seen = {}, gaps = 0, count = 0, openings = 0 }, Reader)
  self.task = task.spawn(function()
    local at = i
    while not self.stopped do
      local ok, client, next_message = pcall(open[transport], nodes[at], self.last)
      self.client = ok and client
      self.openings = self.openings + (ok and 1 or 0)
      while ok do
        local message
        ok, message = pcall(next_message)
        if ok then take(self, message) end
      end
      if self.client then self.client:close() end
      at = at % #nodes + 1
      if not self.stopped then wait.pause(0.05) end
    end
  end)
  return self
end


--- Waits until it has that number; nothing was wrong with what it has got.
function Reader:till(number)
  wait.till(function() return self.seen[number] or self.fault end, number .. " to be read", 30)
  assert.is_nil(self.fault)
end

Reader.has_all = Follower.has_all


function Reader:stop()
  self.stopped = true
  if self.client then self.client:close() end
  wait.till(function() return not task.alive(self.task) end, "the reader to end", 70)
end

return feed
