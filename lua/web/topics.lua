-- Topics whose newest value lives in the store. A file in lua/topics/ returns
--   { prefixes = { "session:" }, read = function(topic) -> data, version, ttl_seconds }
-- where read gives nil when the value is gone, and nil, message, code when the world failed. With
-- it a stream opens on the newest value and no update is lost between reading and listening, and
-- after a lost link to Redis nobody stays on an old value. A function renew(topic), where there is
-- one, makes the value anew after the scripts have changed.
local hub = require "host.hub"
local loader = require "web.loader"
local log = require "host.log"

local topics = {}

local sources -- loaded at first use: reading the folder is for boot, not for a spec of one module


local function load_sources()
  local found = {}
  loader.each("topics", function(source, origin)
    if type(source) ~= "table" or type(source.read) ~= "function"
      or type(source.prefixes) ~= "table" then
      error(origin .. ": a topic file returns { prefixes = { ... }, read = function(topic) }", 0)
    end
    found[#found + 1] = source
  end)
  return found
end


--- Loads lua/topics/; called by boot so that a wrong file fails the load.
function topics.load()
  sources = load_sources()
end


local function source_of(topic)
  for _, source in ipairs(sources) do
    for _, prefix in ipairs(source.prefixes) do
      if topic:sub(1, #prefix) == prefix then return source end
    end
  end
end


local function read_into_hub(source, topic)
  local data, version, ttl = source.read(topic)
  if data then
    hub.publish_local(topic, data, { version = version, ttl = ttl })
    return true
  end
  return nil, version, ttl
end


--- Makes a topic live on this node with its newest value, for a stream that is about to begin.
--- Listening starts before the store is read, so that an update in between is not lost.
---@param topic string
---@return any|nil watch to be given to web.mixed or web.sse as options.watch; nil: no such value
---@return string|nil message when the world failed
---@return string|nil code
function topics.open(topic)
  local source = source_of(topic)
  if not source then error("no file in lua/topics/ has a prefix of the topic " .. topic, 2) end
  local watch, message, code = hub.watch(topic)
  if not watch then return nil, message, code end
  if watch.data then return watch end
  local found
  found, message, code = read_into_hub(source, topic)
  if found then return watch end
  watch:close()
  return nil, message, code
end


--- Makes this node listen to a topic, for a subscription that is about to begin: with the newest
--- value where lua/topics/ knows one, unless mode is "log".
---@param topic string
---@param options? { mode?: "latest"|"log" }
---@return any|nil watch to be closed when subscribed
---@return string|nil message
---@return string|nil code
function topics.follow(topic, options)
  local watch, message, code = hub.watch(topic)
  if not watch then return nil, message, code end
  local source = not (options and options.mode == "log") and source_of(topic)
  if not source or watch.data then return watch end
  local found
  found, message, code = read_into_hub(source, topic)
  if found or not code then return watch end
  watch:close()
  return nil, message, code
end


--- Reads a live topic again after the link to the other nodes was lost.
---@param topic string
function topics.refresh(topic)
  local source = source_of(topic)
  if not source then return end
  local found, message, code = read_into_hub(source, topic)
  if found then return end
  if code then
    log.warn("a topic could not be read again", { topic = topic, error = message, code = code })
  else
    hub.close_local(topic)
  end
end

-- One topic's trouble must not keep the others from being renewed.
local function renew(source, topic)
  local ok, err = pcall(source.renew, topic)
  if not ok then
    log.warn("a value could not be made anew", { topic = topic, error = tostring(err) })
  end
end


--- Makes the values of all live topics anew, after the scripts have changed.
function topics.renew()
  for _, topic in ipairs(hub.topics()) do
    local source = source_of(topic)
    if source and source.renew then renew(source, topic) end
  end
end

return topics
