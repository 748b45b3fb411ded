-- Live pictures on a connection of the publish/subscribe contract, so that one connection carries
-- all pictures of a page: each is named by its stream's path, and the newest one is sent, now and
-- whenever it changes, in the envelope of its topic. Like the streams, they need no token.
local admission = require "web.admission"
local ids = require "pictures.ids"
local json = require "host.json"
local topics = require "web.topics"

local pictures = {}

local LATEST = { mode = "latest", envelope = true }


-- "/stream/SESSION" or "/stream/USER/SESSION" as the session's topic; nil: neither.
local function key_of(path)
  local user, session = path:match "^/stream/([^/]+)/([^/]+)$"
  if not user then session = path:match "^/stream/([^/]+)$" end
  if not ids.valid(session) or user and not ids.valid(user) then return nil end
  return ids.key(user, session)
end


local function absent()
  return nil, "there is no such picture; it may have expired", "not_found"
end


--- Follows a picture. The answer, which names its channel, comes before the first picture.
---@param ws web.Ws
---@param path string of its stream
---@return true|nil
---@return string|nil message
---@return string|nil code
function pictures.watch(ws, path)
  local key = key_of(path)
  if not key then return absent() end
  local allowed, refusal, why = admission.ask("subscribe", ws, { channel = key, path = path })
  if not allowed then return nil, refusal, why end
  local watch <close>, message, code = topics.open(key)
  if not watch then
    if code then return nil, message, code end
    return absent()
  end
  ws:send(json.encode { type = "watching", path = path, channel = key })
  local ok
  ok, message, code = ws:subscribe(key, LATEST)
  if not ok then return nil, message, code end
  return true
end


--- Ends that.
---@param ws web.Ws
---@param path string
---@return boolean was_watched
function pictures.unwatch(ws, path)
  local key = key_of(path)
  return key ~= nil and ws:unsubscribe(key)
end

return pictures
