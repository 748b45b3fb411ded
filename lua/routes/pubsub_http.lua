-- Publish/subscribe over plain HTTP: GET /sse for events, POST /publish; and what is left of a
-- handler's stream that its client has lost.
local access = require "pubsub.access"
local admission = require "web.admission"
local hub = require "host.hub"
local publication = require "pubsub.publication"
local revocations = require "auth.revocations"
local sse = require "web.sse"
local web = require "web"

local LOG = { mode = "log" }
local TOPICS_MAX, HISTORY_MAX = 128, 1000


local function topics_of(req)
  local list = req.query_all.topic or {}
  if #list == 0 then
    web.throw(400, "bad_topic", "name a topic: /sse?topic=T", nil, { field = "topic" })
  end
  if #list > TOPICS_MAX then
    web.throw(400, "too_many", ("a stream can have %d topics at most"):format(TOPICS_MAX), nil,
      { field = "topic" })
  end
  return list
end


local function history_of(req)
  local text = req.query.history
  local n = text and math.tointeger(tonumber(text)) or text == nil and 0
  if not n or n < 0 or n > HISTORY_MAX then
    web.throw(400, "invalid", ('"history" must be 0 to %d'):format(HISTORY_MAX), nil,
      { field = "history" })
  end
  return n
end


-- The channels that a client asks for and may have.
local function channels_of(req, claims, id)
  local channels = {}
  for i, topic in ipairs(topics_of(req)) do
    local channel, session = access.place(claims, topic, req.query.session_id)
    access.demand("subscribe", claims, {
      connection = id, transport = "sse", channel = channel, topic = topic, session_id = session,
    })
    channels[i] = channel
  end
  return channels
end


-- GET /sse?topic=T[&topic=...][&session_id=S][&since=POSITION][&history=N][&token=T]
local function events(req)
  local claims, id = access.claims(req), hub.connection_id()
  local identity = claims and revocations.identity(claims)
  admission.connect(req, id, identity, "sse")
  local channels = channels_of(req, claims, id)
  local options = {
    mode = "log", history = history_of(req), since = req.query.since, identity = identity, id = id,
  }
  return web.sse(#channels == 1 and channels[1] or channels, options)
end


-- POST /publish {"topic","payload","session_id"?}
local function publish(req)
  local claims = access.claims(req)
  local object, out, code = publication.read(req.body, claims and claims.sub or "anonymous")
  if not object then web.throw(400, code, out) end
  local channel, session = access.place(claims, object.topic, object.session_id)
  local context = access.demand("publish", claims, {
    transport = "http", channel = channel, topic = object.topic, session_id = session, data = out,
  })
  local ok, position, why = hub.publish(channel, context.data, LOG)
  if not ok then web.throw_world(position, why, "the message was not published") end
  return web.json { position = position }
end

return {
  { path = "/sse", GET = events },
  {
    path = "/sse/{id}",
    GET = function(req)
      return sse.rest(req.params.id, sse.last_id(req))
    end,
  },
  { path = "/publish", POST = publish },
}
