-- Presence for clients of the publish/subscribe contract: who follows a topic with "presence" is
-- present in it and hears who joins and leaves.
--
-- A client must miss nobody between the list it gets and the first event: so it gets the list of
-- before, follows the events, and is told what has changed meanwhile as if it were events. To be
-- told of somebody twice is harmless, since members go by their connection.
local json = require "host.json"
local presence = require "web.presence"

local members = {}

local LOG = { mode = "log" }


local function event(kind, channel, member)
  return json.encode {
    type = kind, channel = channel, user = member.user, connection = member.connection,
    data = kind == "join" and member.data or nil,
  }
end


local function by_connection(list)
  local found = {}
  for _, member in ipairs(list) do found[member.connection] = member end
  return found
end


local function send_changes(ws, key, before, after)
  local then_there, now_there = by_connection(before.members), by_connection(after.members)
  for connection, member in pairs(now_there) do
    if not then_there[connection] and connection ~= ws.id then
      ws:send(event("join", key, member))
    end
  end
  for connection, member in pairs(then_there) do
    if not now_there[connection] then ws:send(event("leave", key, member)) end
  end
end


--- Makes a client present in a topic that it follows, and tells it of the others.
---@param ws web.Ws
---@param key string the hub's topic
---@param before table of presence.of, as the client was told
---@return true|nil
---@return string|nil message
---@return string|nil code
function members.follow(ws, key, before)
  local ok, message, code = ws:subscribe(presence.events(key), LOG)
  if not ok then return nil, message, code end
  ws:present(key, true)
  local after
  after, message, code = presence.of(key)
  if not after then return nil, message, code end
  send_changes(ws, key, before, after)
  return true
end


--- Ends that.
---@param ws web.Ws
---@param key string
function members.unfollow(ws, key)
  ws:unsubscribe(presence.events(key))
end


--- The answer to presence-json.
---@param key string
---@param topic string
---@param session string
---@return string|nil text
---@return string|nil message
---@return string|nil code
function members.list(key, topic, session)
  local found, message, code = presence.of(key)
  if not found then return nil, message, code end
  return json.encode {
    type = "presence", topic = topic, session_id = session, channel = key,
    members = found.members, count = found.count,
  }
end


--- The topic whose joins and leaves these are; nil: it is another topic.
---@param events string
---@return string|nil
function members.topic_of(events)
  return events:match "^(.*)#presence$"
end

return members
