-- Who is present in a topic, over all workers and nodes. Each worker knows its own part (host.hub:
-- rooms) and keeps it in the store, one value per topic and worker, written anew when it has
-- changed, however many came and went meanwhile; reading asks for the part of each living worker.
-- So a reader costs one look-up per worker, a join is written together with those beside it, and
-- nothing is renewed but the nodes' leases.
--
--   present:{node}.{worker}:{topic}   {"count":N,"members":[{"connection","user","data"}, ...]}
--
-- Each part names so many members as presence.members says; the count has all. Joins and leaves are
-- messages on the topic TOPIC#presence. When a node dies, a living one deletes its parts, and who
-- has deleted a part tells of the leaves, so that each is told once.
local config = require "host.config"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local nodes = require "web.nodes"
local store = require "host.store"
local task = require "host.task"
local time = require "host.time"

local presence = { PREFIX = "present:" }

local SUFFIX = "#presence"
local TOPIC_MAX = 255 - #SUFFIX
local KEY_MAX = 1024
local RETRY = 1
local PAGE = 1000
local LOG = { mode = "log" }

---@class presence.Member
---@field connection string
---@field user? string
---@field data? any plain data that the client has set

local unwritten = {}
local retrier -- the task that writes them


--- This worker's name among all of all nodes.
---@return string
function presence.holder()
  return ("%s.%d"):format(nodes.self, hub.worker())
end


--- Under which key a worker keeps its part of a room.
---@param holder string
---@param room string
---@return string
function presence.key(holder, room)
  return presence.PREFIX .. holder .. ":" .. room
end


--- The topic on which joins and leaves are told.
---@param topic string
---@return string|nil nil: the topic's name is too long for presence
function presence.events(topic)
  if #topic > TOPIC_MAX then return nil end
  return topic .. SUFFIX
end


--- All workers of all living nodes but this one.
---@return string[]|nil
---@return string|nil message
---@return string|nil code
function presence.others()
  local living, message, code = nodes.living()
  if not living then return nil, message, code end
  local own, list = presence.holder(), {}
  for node, workers in pairs(living) do
    for worker = 0, workers - 1 do
      local holder = ("%s.%d"):format(node, worker)
      if holder ~= own then list[#list + 1] = holder end
    end
  end
  return list
end


--- Who is present in a topic.
---@param topic string
---@return { members: presence.Member[], count: integer }|nil
---@return string|nil message
---@return string|nil code
function presence.of(topic)
  local limit = config.get "presence.members"
  local others, message, code = presence.others()
  if not others then return nil, message, code end
  local all = json.decode((hub.room(topic, limit)))
  for _, holder in ipairs(others) do
    local text, version, why = store.get(presence.key(holder, topic))
    if why then return nil, version, why end
    local part = text and json.decode(text)
    if part then
      all.count = all.count + part.count
      table.move(part.members, 1, #part.members, #all.members + 1, all.members)
    end
  end
  return all
end


--- How many are present in a topic.
---@param topic string
---@return integer|nil
---@return string|nil message
---@return string|nil code
function presence.count(topic)
  local found, message, code = presence.of(topic)
  if not found then return nil, message, code end
  return found.count
end


-- Tells of a join or a leave; data is JSON already.
local function tell(kind, topic, member)
  local events = presence.events(topic)
  if not events then return end
  local text = ('{"type":"%s","channel":%s,"connection":%s'):format(kind, json.encode(topic),
    json.encode(member.connection))
  if member.user then text = text .. ',"user":' .. json.encode(member.user) end
  if member.data then text = text .. ',"data":' .. member.data end
  hub.publish(events, text .. "}", LOG)
end


--- Tells what C has seen.
---@param item table of hub.next_news
function presence.tell(item)
  tell(item.kind, item.topic, item)
end


local function put(room)
  local key = presence.key(presence.holder(), room)
  if #key > KEY_MAX then return true end
  local text, count = hub.room(room, config.get "presence.members")
  local ok, message, code
  if count > 0 then
    ok, message, code = store.set(key, text)
  else
    ok, message, code = store.delete(key)
  end
  if ok == nil then return nil, message, code end
  return true
end


local function retry()
  while next(unwritten) do
    time.sleep(RETRY)
    local rooms = unwritten
    unwritten = {}
    for room in pairs(rooms) do
      if not put(room) then unwritten[room] = true end
    end
  end
end


--- Keeps this worker's part of a room in the store; again later when the store is away.
---@param room string
function presence.write(room)
  local ok, message, code = put(room)
  if ok then return end
  log.warn("who is present can't be kept now; trying again",
    { topic = room, error = message, code = code })
  unwritten[room] = true
  if not retrier or not task.alive(retrier) then retrier = task.spawn(retry) end
end


-- A dead worker's part of a topic: who has deleted it tells of the leaves.
local function bury(key, room, text, version)
  local part = json.decode(text)
  if store.delete(key, { version = version }) ~= true or not part then return end
  for _, member in ipairs(part.members) do
    local data = member.data
    tell("leave", room, {
      connection = member.connection, user = member.user,
      data = data ~= nil and json.encode(data) or nil,
    })
  end
end


--- Clears up after a dead node.
---@param node string
---@param bury_user fun(key: string, room: string, text: string, version: string)
---@return true|nil done
---@return string|nil message
---@return string|nil code
function presence.clear(node, bury_user)
  local cursor
  repeat
    local prefix = presence.PREFIX .. node .. "."
    local keys, next_cursor, code = store.list(prefix, { limit = PAGE, cursor = cursor })
    if not keys then return nil, next_cursor, code end
    for _, key in ipairs(keys) do
      local room = key:match "^present:%x+%.%d+:(.*)$"
      local text, version = store.get(key)
      if text and room then
        (room:sub(1, 6) == "$user:" and bury_user or bury)(key, room, text, version)
      end
    end
    cursor = next_cursor
  until not cursor
  return true
end

return presence
