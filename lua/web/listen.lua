-- A subscription of a task that misses nothing from the moment it is there:
--   local events <close>, message, code = listen("jobs", { mode = "log" })
--   while true do handle((events:next())) end
local hub = require "host.hub"
local topics = require "web.topics"


--- Waits until this node receives the topic, then subscribes; the newest value comes first where
--- lua/topics/ knows one, unless mode is "log".
---@param topic string
---@param options? { mode?: "latest"|"log", since?: string } since: the position of a message, what
--- follows on it comes first
---@return hub.Subscription|nil
---@return string|nil message
---@return string|nil code "unavailable"
return function(topic, options)
  local watch <close>, message, code = topics.follow(topic, options)
  if not watch then return nil, message, code end
  return hub.subscribe(topic, options)
end
