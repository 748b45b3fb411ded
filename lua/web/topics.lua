-- Topics whose newest value lives in the store. A file in lua/topics/ returns
--   { prefixes = { "session:" }, read = function(topic) -> data, version, ttl_seconds }
-- where read gives nil when the value is gone, and nil, message, code when the world failed. With
-- it a stream opens on the newest value and no update is lost between reading and listening, and
-- after a lost link to Redis nobody stays on an old value. A function renew(topic), where there is
-- one, makes the value anew after the scripts have changed.
--
-- It may also say what topics are like: the fields of a rule (web.rules) beside `prefixes` count
-- for all of these, and `rules = { ["news.*"] = { ... } }` for names of their own. The section
-- `topics` of config.lua is such a table, too, and counts more.
local config = require "host.config"
local hub = require "host.hub"
local loader = require "web.loader"
local log = require "host.log"
local rules = require "web.rules"
local time = require "host.time"

local topics = {}

local TELL_SECONDS = 10
local told_away = -math.huge

local sources -- loaded at first use: reading the folder is for boot, not for a spec of one module


local NO_RULE = { prefixes = true, read = true, renew = true, rules = true }
local added = {} -- by plugins


local function wrong(origin)
  error(origin .. ": a topic file returns { prefixes = { ... }, read = function(topic) }, or rules",
    0)
end


-- The fields of a rule that stand beside `prefixes`, and `rules`; returns what takes them away.
local function add_rules(source, origin)
  local rule, undos = {}, {}
  for name, value in pairs(source) do
    if not NO_RULE[name] then rule[name] = value end
  end
  if next(rule) ~= nil then
    if type(source.prefixes) ~= "table" then wrong(origin) end
    for _, prefix in ipairs(source.prefixes) do
      undos[#undos + 1] = rules.add({ [prefix .. "*"] = rule }, origin)
    end
  end
  if source.rules then undos[#undos + 1] = rules.add(source.rules, origin) end
  return undos
end


local function check(source, origin)
  if type(source) ~= "table" or source.read ~= nil and type(source.read) ~= "function" then
    wrong(origin)
  end
  if source.read and type(source.prefixes) ~= "table" then wrong(origin) end
  if not source.read and not source.rules and not source.prefixes then wrong(origin) end
end


local function load_sources()
  local found = {}
  loader.each("topics", function(source, origin)
    check(source, origin)
    add_rules(source, origin)
    if source.read then found[#found + 1] = source end
  end)
  return table.move(added, 1, #added, #found + 1, found)
end


local function without(list, item)
  for i = #list, 1, -1 do
    if list[i] == item then table.remove(list, i) end
  end
end


--- Adds what a file in lua/topics/ would return; for plugins, before `load`.
---@param source web.TopicSource
---@param origin string
---@return fun() undo
function topics.add(source, origin)
  check(source, origin)
  local undos = add_rules(source, origin)
  if source.read then added[#added + 1] = source end
  return function()
    without(added, source)
    without(sources or {}, source)
    for _, undo in ipairs(undos) do undo() end
    if #undos > 0 then rules.apply() end
  end
end


--- Loads lua/topics/; called by boot so that a wrong file fails the load.
function topics.load()
  sources = load_sources()
  rules.add(config.section "topics" or {}, "config.lua: topics")
end


--- Hands the rules to the hub; called by boot when all else is loaded.
function topics.apply()
  rules.apply()
end

topics.may = rules.may


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
---@param options? { mode?: "latest"|"log", since?: string } without a mode the rule says it; since:
--- the position that the subscriber has got to
---@return any|nil watch to be closed when subscribed
---@return string|nil message
---@return string|nil code
function topics.follow(topic, options)
  local watch, message, code = hub.watch(topic, options and options.since)
  if not watch then return nil, message, code end
  local mode = options and options.mode or hub.rule(topic).mode
  local source = mode ~= "log" and source_of(topic)
  if not source or watch.data then return watch end
  local found
  found, message, code = read_into_hub(source, topic)
  if found or not code then return watch end
  watch:close()
  return nil, message, code
end


-- A store that is away fails for all topics, and each second again.
local function tell_away(topic, message, code)
  local now = time.monotonic()
  if now < told_away + TELL_SECONDS then return end
  told_away = now
  log.warn("topics can't be read again now; trying again",
    { topic = topic, error = message, code = code })
end


--- Reads a live topic again after the link to the other nodes was lost.
---@param topic string
---@return boolean done false: the store is away
function topics.refresh(topic)
  local source = source_of(topic)
  if not source then return true end
  local found, message, code = read_into_hub(source, topic)
  if not found and code then
    tell_away(topic, message, code)
    return false
  end
  if not found then hub.close_local(topic) end
  return true
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
