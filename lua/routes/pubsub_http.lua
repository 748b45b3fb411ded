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


-- The channels that a client asks for and may have. Nobody is present in a pattern.
local function channels_of(req, claims, id, list, present)
  local channels = {}
  local sessions = each_of(req, "session_id", #list)
  for i, topic in ipairs(list) do
    local channel, session = access.place(claims, topic, sessions[i] or sessions[1], not present[i])
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
  if count > 1 and #given ~= 0 and #given ~= count then
    web.throw(400, "invalid", '"since" must come once for each topic; empty where there is none',
      nil, { field = "since" })
  end
  return since
end


-- Where it is to be present beyond what the topics' rules say.
local function presence_of(req, count)
  local given, present = each_of(req, "presence", count), {}
  for i = 1, count do
    local text = given[i] or given[1]
    if text ~= nil and text ~= "true" and text ~= "false" then
      web.throw(400, "invalid", '"presence" must be true or false', nil, { field = "presence" })
    end
    present[i] = text == "true" or nil
  end
  return present
end


-- GET /sse?topic=T[&topic=...][&session_id=S][&since=P][&history=N][&presence=true][&token=T]
local function events(req)
  local claims, id = access.claims(req), hub.connection_id()
  local identity = claims and revocations.identity(claims)
  admission.connect(req, id, identity, "sse")
  local list = topics_of(req)
  local present = presence_of(req, #list)
  local channels = channels_of(req, claims, id, list, present)
  local options = {
    mode = "log", history = history_of(req), since = since_of(req, #list), presence = present,
    identity = identity, id = id,
  }
  if #list > 1 then return web.sse(channels, options) end
  options.since, options.presence = options.since[1], present[1]
  return web.sse(channels[1], options)
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
