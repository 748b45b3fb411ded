-- One client of the publish/subscribe contract: its text commands, on the plain data of its
-- connection, so that it lives on through a reload.
--
-- data: name, session (as registered), bound (the token's session), tenant, topics (key -> { topic,
-- session, presence } of what it follows, to name a gap).
--
-- What must never happen: a topic of the hub made from a client's text anywhere but in `place`.
local admission = require "web.admission"
local errors = require "web.errors"
local hub = require "host.hub"
local json = require "host.json"
local members = require "pubsub.presence"
local names = require "pubsub.names"
local presence = require "web.presence"
local publication = require "pubsub.publication"

local pictures = require "pubsub.pictures"
local sealed = require "pubsub.sealed"
local tokens = require "pubsub.tokens"
local topics = require "web.topics"

local client = {}

local LOG = { mode = "log" }
local HISTORY_MAX = 1000 -- messages in one answer


-- Answers the client's mistake, or the world's; the connection lives on.
local function say(ws, code, message, fields)
  ws:send(errors.body(message, code, fields))
end


local function session_of(data)
  if data.bound then return data.bound end
  return data.session or (data.name and "session-" .. data.name) or "default"
end


-- The hub's topic and the session; nothing when the client was told what is wrong.
local function place(ws, topic, session, or_pattern)
  local data = ws.data
  if not (or_pattern and names.is_pattern or names.is_topic)(topic) then
    return say(ws, "bad_topic",
      "a topic must be " .. (or_pattern and names.PATTERN_RULE or names.TOPIC_RULE))
  end
  if session == nil then session = session_of(data) end
  if not names.is_session(session) then
    return say(ws, "bad_session", "a session must be " .. names.SESSION_RULE)
  end
  if data.bound and session ~= data.bound then
    return say(ws, "other_session", "this token is for another session than the one that was named")
  end
  return names.key(data.tenant, session, topic), session
end


-- Whether the topic's rule and the hooks allow it; nothing when the client was told that not. Else
-- what the hooks have left of the context.
local function may(ws, action, topic, key, session, out)
  local data = ws.data
  local identity = { user = ws.user, tenant = data.tenant, claims = data.claims }
  local ok, message, code = topics.may(action, topic, identity)
  if not ok then return say(ws, code, message) end
  local context
  context, message, code = admission.ask(action, ws,
    { channel = key, topic = topic, session_id = session, data = out })
  if not context then return say(ws, code, message) end
  return context
end


-- "TOPIC" or "TOPIC|SID"
local function split(text)
  local topic, session = text:match "^([^|]*)|(.*)$"
  return topic or text, session
end

local commands = {}


commands["register-name"] = function(ws, name)
  if not names.is_name(name) then
    return say(ws, "bad_name", "a name must be " .. names.NAME_RULE)
  end
  ws.data.name = name
end


commands["register-session"] = function(ws, session)
  if not names.is_session(session) then
    return say(ws, "bad_session", "a session must be " .. names.SESSION_RULE)
  end
  if ws.data.bound and session ~= ws.data.bound then
    return say(ws, "other_session", "this token is for another session than the one that was named")
  end
  ws.data.session = session
end


function commands.subscribe(ws, text)
  local topic, named = split(text)
  local key, session = place(ws, topic, named)
  if not key or not may(ws, "subscribe", topic, key, session) then return end
  local ok, message, code = ws:subscribe(key, LOG)
  if not ok then return say(ws, code, message) end
  ws.data.topics[key] = { topic, session }
end


-- The object of a command, with null for what is absent; nothing when the client was told.
local function request_of(ws, text, fields)
  local object, message = json.decode(text)
  if object == nil then return say(ws, "bad_json", "the message is not JSON: " .. message) end
  if type(object) ~= "table" or object == json.null or getmetatable(object) == json.array_mt then
    return say(ws, "bad_message", "the message must be a JSON object")
  end
  for name, kind in pairs(fields) do
    local value = object[name]
    if value == json.null then value = nil end
    object[name] = value
    local fits = type(value) == kind or kind == "integer" and math.type(value) == kind
    if value ~= nil and not fits then
      return say(ws, "bad_message", ('"%s" must be of type %s'):format(name, kind))
    end
  end
  return object
end

local SUBSCRIBE = {
  topic = "string", session_id = "string", since = "string", history = "integer",
  presence = "boolean",
}


-- The topic is named before its messages come, so that the client knows what they belong to.
commands["subscribe-json"] = function(ws, text)
  local object = request_of(ws, text, SUBSCRIBE)
  if not object then return end
  local key, session = place(ws, object.topic, object.session_id, not object.presence)
  if not key or not may(ws, "subscribe", object.topic, key, session) then return end
  local history = math.min(math.max(object.history or 0, 0), HISTORY_MAX)
  local options = { mode = "log", since = object.since, history = history, envelope = true }
  local there, got, message, code
  if object.presence then
    there, message, code = presence.of(key)
    if not there then return say(ws, code, message) end
    options.presence = false -- it enters when it hears of those who do
  end
  got, message, code = ws:subscribe(key, options)
  if not got then return say(ws, code, message) end
  ws.data.topics[key] = { object.topic, session, there ~= nil }
  ws:send(json.encode {
    type = "subscribed", topic = object.topic, session_id = session, channel = key,
    position = got.position, recovered = got.recovered, presence = there,
  })
  if there then
    got, message, code = members.follow(ws, key, there)
    if not got then say(ws, code, message) end
  end
end

local PRESENCE = { topic = "string", session_id = "string" }


commands["presence-json"] = function(ws, text)
  local object = request_of(ws, text, PRESENCE)
  if not object then return end
  local key, session = place(ws, object.topic, object.session_id)
  if not key or not may(ws, "subscribe", object.topic, key, session) then return end
  local answer, message, code = members.list(key, object.topic, session)
  if not answer then return say(ws, code, message) end
  ws:send(answer)
end


commands["set-data"] = function(ws, text)
  local value, message = json.decode(text)
  if value == nil then return say(ws, "bad_json", "the data is not JSON: " .. message) end
  local ok, problem, code = ws:set_presence(value)
  if not ok then say(ws, code, problem) end
end


-- What was published as JSON is given back as JSON.
local function item_of(item)
  local data = json.decode(item.data)
  if data == nil then data = item.data end
  return { position = item.position, data = data, time = item.time }
end

local HISTORY = { topic = "string", session_id = "string", since = "string", limit = "integer" }


commands["history-json"] = function(ws, text)
  local object = request_of(ws, text, HISTORY)
  if not object then return end
  local key, session = place(ws, object.topic, object.session_id)
  if not key or not may(ws, "subscribe", object.topic, key, session) then return end
  local limit = math.min(math.max(object.limit or 100, 0), HISTORY_MAX)
  local page, message, code = hub.history(key, { since = object.since, limit = limit })
  if not page then return say(ws, code, message) end
  local items = setmetatable({}, json.array_mt)
  for i, item in ipairs(page.items) do items[i] = item_of(item) end
  ws:send(json.encode {
    type = "history", topic = object.topic, session_id = session, channel = key, items = items,
    position = page.position, recovered = page.recovered,
  })
end


function commands.unsubscribe(ws, text)
  local topic, named = split(text)
  local key = place(ws, topic, named, true)
  if not key then return end
  local followed = ws.data.topics[key]
  ws.data.topics[key] = nil
  if followed and followed[3] then members.unfollow(ws, key) end
  if not ws:unsubscribe(key) then
    say(ws, "not_subscribed", "this client is not subscribed to that topic in that session")
  end
end


commands["publish-json"] = function(ws, text)
  local object, out, problem = publication.read(text, ws.data.name or "anonymous")
  if not object then return say(ws, problem, out) end
  local session = object.session_id
  local key, place_session = place(ws, object.topic, session)
  local context = key and may(ws, "publish", object.topic, key, place_session, out)
  if not context then return end
  local ok, message, code = hub.publish(key, context.data, LOG)
  if not ok then say(ws, code, message) end
end


local function identify(ws, claims)
  ws:identify {
    user = claims.sub, tenant = claims.tenant_id, jti = claims.jti, iat = claims.iat,
    exp = claims.exp,
  }
end


-- Before the token ends: a new one of the same user and session.
commands["refresh-token"] = function(ws, token)
  local known, claims, message, code = pcall(tokens.claims, token)
  if not known then -- the keys or the revocations can't be read now
    if not errors.is(claims) then error(claims, 0) end
    return say(ws, claims.code, claims.message)
  end
  if not claims then return say(ws, code, "this token is not accepted: " .. message) end
  if not ws.user or claims.sub ~= ws.user or claims.sid ~= ws.data.bound
    or (claims.tenant_id or "") ~= ws.data.tenant then
    return say(ws, "other_user", "this token is for another user or session than the connection's")
  end
  identify(ws, claims)
end


--- Begins a connection.
---@param ws web.Ws
---@param claims table|nil of its token
function client.open(ws, claims)
  local data = ws.data
  data.tenant, data.topics = "", {}
  if not claims then return end
  data.name, data.bound = claims.sub, claims.sid
  data.tenant, data.claims = claims.tenant_id or "", claims
  identify(ws, claims)
end


function commands.watch(ws, path)
  local ok, message, code = pictures.watch(ws, path)
  if not ok then say(ws, code, message, { path = path }) end
end


function commands.unwatch(ws, path)
  if not pictures.unwatch(ws, path) then
    say(ws, "not_subscribed", "this client does not watch that picture", { path = path })
  end
end


commands["hello-json"] = function(ws, text)
  local ok, message, code = sealed.agree(ws, text)
  if not ok then say(ws, code, message) end
end


--- Handles a message.
---@param ws web.Ws
---@param text string
---@param binary boolean
function client.message(ws, text, binary)
  if binary then return say(ws, "binary", "this protocol is text; the message was binary") end
  local name, rest = text:match "^([%a-]+):(.*)$"
  local command = name and commands[name]
  if not command then
    return say(ws, "unknown_command", "a message is register-name:, register-session:, subscribe:, "
      .. "subscribe-json:, unsubscribe:, publish-json:, history-json:, presence-json:, set-data:, "
      .. "watch:, unwatch:, refresh-token: or hello-json: and what belongs to it")
  end
  command(ws, rest)
end


-- Joins and leaves were missed: who is there.
local function anew(ws, key)
  local followed = ws.data.topics[key]
  local answer = followed and members.list(key, followed[1], followed[2])
  if answer then ws:send(answer) end
end


--- Tells of messages that this server had to drop.
---@param ws web.Ws
---@param key string
---@param lost integer 0: nobody knows how many
function client.gap(ws, key, lost)
  local of_events = members.topic_of(key)
  if of_events then return anew(ws, of_events) end
  local place_of = ws.data.topics[key]
  if not place_of then return end
  say(ws, "gap", "messages of this topic were lost on the way",
    { topic = place_of[1], session_id = place_of[2], lost = lost > 0 and lost or nil })
end

return client
