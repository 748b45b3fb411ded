-- GET /messages?topic=T[&mode=log|latest][&since=POSITION]: what is published on a topic, as
-- events; without a mode both values and messages. GET /messages?prefix=P: the same of all topics
-- that are live on this node, also of those that become so. POST /publish {"topic","data","mode"?}.
--
-- Each topic is followed by a task, which puts what it gets into the stream's queue. A reader that
-- is too slow loses the oldest, and is told how many.
local check = require "web.check"
local control = require "host.control"
local event = require "host.event"
local hub = require "host.hub"
local json = require "host.json"
local listen = require "web.listen"
local task = require "host.task"
local time = require "host.time"
local web = require "web"

local QUEUE, TOPICS = 1000, 500
local LOOK, HEARTBEAT = 1, 10 -- seconds
local MODES = { log = true, latest = true }

local TOPIC_MAX = 255 -- bytes

local Queue = {}
Queue.__index = Queue

local function new_queue()
  return setmetatable({ items = {}, lost = 0, filled = event.new(), followed = {}, count = 0 },
    Queue)
end


function Queue:put(item)
  if #self.items >= QUEUE then
    table.remove(self.items, 1)
    self.lost = self.lost + 1
  end
  self.items[#self.items + 1] = item
  self.filled:set()
end


function Queue:take()
  local items = self.items
  if self.lost > 0 and items[1] then items[1].lost = (items[1].lost or 0) + self.lost end
  self.items, self.lost, self.filled = {}, 0, event.new()
  return items
end


-- The tasks that fill it end within two turns of their waits.
function Queue:__close()
  self.closed = true
end


local function follow(queue, topic, mode, since)
  local sub <close>, message, code = listen(topic, { mode = mode, since = since })
  if not sub then return queue:put { topic = topic, failure = message, code = code } end
  while not queue.closed do
    local data, lost, position = sub:next(LOOK)
    if data then
      queue:put { topic = topic, mode = mode, data = data, time = time.now(), position = position,
        lost = lost > 0 and lost or nil }
    elseif position ~= "timeout" then
      queue.followed[topic] = nil
      return
    end
  end
end


local function begin(queue, topic, mode, since)
  if queue.followed[topic] or queue.count == TOPICS then return end
  queue.followed[topic] = true
  queue.count = queue.count + 1
  for _, one in ipairs(mode and { mode } or { "latest", "log" }) do
    task.spawn(follow, queue, topic, one, one == "log" and since or nil)
  end
end


local function look_for_topics(queue, prefix)
  for _, topic in ipairs(hub.topics(prefix)) do
    if prefix ~= "" or not topic:find "^[$_]" then begin(queue, topic) end -- those are the host's
  end
end


local function stream(queue, prefix, write)
  local last = time.monotonic()
  write ": listening\n\n"
  while not control.state().stopping do
    if prefix then look_for_topics(queue, prefix) end
    queue.filled:wait(LOOK)
    for _, item in ipairs(queue:take()) do
      write("data: " .. json.encode(item) .. "\n\n")
      last = time.monotonic()
    end
    if time.monotonic() - last > HEARTBEAT then
      write ":\n\n"
      last = time.monotonic()
    end
  end
end


local function check_topic(topic)
  if topic == "" or #topic > TOPIC_MAX then
    web.throw(400, "bad_topic", "a topic has 1 to " .. TOPIC_MAX .. " bytes")
  end
end


return {
  {
    path = "/messages",
    GET = function(req)
      local topic, mode, prefix = req.query.topic, req.query.mode, req.query.prefix
      if mode and not MODES[mode] then web.throw(400, "invalid", "a mode is log or latest") end
      if not topic and not prefix then web.throw(400, "invalid", "topic or prefix is missing") end
      if topic then check_topic(topic) end
      return web.chunks("text/event-stream", function(write)
        local queue <close> = new_queue()
        if topic then begin(queue, topic, mode, req.query.since) end
        stream(queue, not topic and prefix or nil, write)
      end)
    end,
  },
  {
    path = "/publish",
    POST = function(req)
      local body = check.fields(req.json, { topic = "string", data = "string", mode = "string?" })
      if body.mode and not MODES[body.mode] then
        web.throw(400, "invalid", "a mode is log or latest")
      end
      check_topic(body.topic)
      local ok, position, code = hub.publish(body.topic, body.data, { mode = body.mode })
      if not ok then web.throw_world(position, code, "the message can't be published now") end
      return web.json { position = position or json.null }
    end,
  },
}
