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


-- A parameter that is given once, or once for each topic; by the topic's place.
local function each_of(req, name, count)
  local list = req.query_all[name] or {}
  if #list > 1 and #list ~= count then
    web.throw(400, "invalid", ('"%s" must come once, or once for each topic'):format(name), nil,
      { field = name })
  end
  return list
end


-- The channels that a client asks for and may have.
local function channels_of(req, claims, id)
  local channels, list = {}, topics_of(req)
  local sessions = each_of(req, "session_id", #list)
  for i, topic in ipairs(list) do
    local channel, session = access.place(claims, topic, sessions[i] or sessions[1])
    access.demand("subscribe", claims, {
      connection = id, transport = "sse", channel = channel, topic = topic, session_id = session,
    })
    channels[i] = channel
  end
  return channels
end


-- Positions belong to their topics, so one can't be for all of several.
local function since_of(req, count)
  local given, since = req.query_all.since or {}, {}
  for i, text in ipairs(given) do since[i] = text ~= "" and text or nil end
  if count == 1 then return since[1] end
  if #given ~= 0 and #given ~= count then
    web.throw(400, "invalid", '"since" must come once for each topic; empty where there is none',
      nil, { field = "since" })
  end
  return since
end


-- GET /sse?topic=T[&topic=...][&session_id=S][&since=POSITION][&history=N][&token=T]
local function events(req)
  local claims, id = access.claims(req), hub.connection_id()
  local identity = claims and revocations.identity(claims)
  admission.connect(req, id, identity, "sse")
  local channels = channels_of(req, claims, id)
  local options = {
    mode = "log", history = history_of(req), since = since_of(req, #channels),
    identity = identity, id = id,
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
