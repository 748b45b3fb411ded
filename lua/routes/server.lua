-- The server's API over HTTP, for backends: what scripts do by host.hub, behind the setting
-- server.key (docs/server-api.md).
local hub = require "host.hub"
local hooks = require "web.hooks"
local json = require "host.json"
local names = require "pubsub.names"
local presence = require "web.presence"
local time = require "host.time"
local web = require "web"

local KEY = { "server_key" }
local CHANNELS_MAX = 1000

local TEXT = { type = "string", min = 1, bytes = 255, optional = true }
local CHANNEL = { type = "string", min = 1, bytes = 255 }
local MODE = { type = "string", enum = { "log", "latest" }, default = "log" }

-- Of whom: any of these, all that are given must fit.
local function whom(more)
  local fields = { id = TEXT, user = TEXT, tenant = TEXT, jti = TEXT, channel = TEXT }
  for name, field in pairs(more) do fields[name] = field end
  return { fields = fields }
end


local function filter(body)
  return { id = body.id, user = body.user, tenant = body.tenant, jti = body.jti,
    topic = body.channel }
end


local function need_somebody(body)
  if body.id or body.user or body.tenant or body.jti or body.channel then return end
  web.throw(400, "invalid", "name an id, a user, a tenant, a jti or a channel")
end


local function world(message, code, what)
  web.throw_world(message, code, what)
end


-- A channel is a topic of the hub; or it is named as clients of /ws do, by topic and session.
local function channel_of(body)
  if body.channel then return body.channel end
  local session, tenant = body.session_id or "default", body.tenant or ""
  if not names.is_topic(body.topic) then
    web.throw(400, "invalid", '"channel" is missing, or "topic", which must be '
      .. names.TOPIC_RULE)
  end
  if not names.is_session(session) then
    web.throw(400, "invalid", '"session_id" must be ' .. names.SESSION_RULE)
  end
  return names.key(tenant, session, body.topic)
end


-- Strings go as they are, everything else as JSON; for clients of /ws in their envelope.
local function data_of(body)
  if body.data ~= nil then
    return type(body.data) == "string" and body.data or json.encode(body.data)
  end
  if body.payload == nil then web.throw(400, "invalid", '"data" or "payload" is missing') end
  return json.encode {
    topic = body.topic, session_id = body.session_id, payload = body.payload,
    publisher_name = "server", timestamp = time.iso8601(),
  }
end


local function publish_to(channel, data, mode)
  if channel:sub(1, 1) == "$" then
    web.throw(400, "invalid", "channels that begin with $ are the server's own")
  end
  if hooks.any "publish" then
    local context = { channel = channel, data = data, server = true }
    local refused, message, code, status = hooks.run("publish", context)
    if refused == false then web.throw(status or 403, code, message) end
    data = context.data
  end
  local ok, position, code = hub.publish(channel, data, { mode = mode })
  if not ok then world(position, code, "the message was not published") end
  return position
end


local function publish(req)
  local body = req.valid.body
  return web.json {
    position = publish_to(channel_of(body), data_of(body), body.mode),
  }
end


local function broadcast(req)
  local body = req.valid.body
  local data = data_of(body)
  for _, channel in ipairs(body.channels) do publish_to(channel, data, body.mode) end
  return web.json { count = #body.channels }
end


local function disconnect(req)
  local body = req.valid.body
  need_somebody(body)
  local what = filter(body)
  what.code, what.reason = body.code, body.reason
  return web.json { count = hub.disconnect(what) }
end


local function say(req)
  local body = req.valid.body
  need_somebody(body)
  return web.json { count = hub.say(data_of(body), filter(body)) }
end


local function unsubscribe(req)
  return web.json { count = hub.unsubscribe(filter(req.valid.body)) }
end


local function revoke(req)
  local body = req.valid.body
  if not (body.jti or body.user or body.tenant) then
    web.throw(400, "invalid", "name a jti, a user or a tenant")
  end
  local count, message, code = hub.revoke {
    jti = body.jti, user = not body.jti and body.user or nil,
    tenant = not body.jti and body.tenant or nil, seconds = body.seconds,
  }
  if not count then world(message, code, "the revocation is not kept") end
  return web.json { count = count }
end


local function connections(req)
  local query = req.valid.query
  local what = filter(query)
  what.limit, what.nodes = query.limit, query.nodes
  local list, whole = hub.connections(what)
  return web.json { connections = web.array(list), complete = whole }
end


local function channels(req)
  local list = web.array()
  for _, name in ipairs(hub.topics(req.valid.query.prefix)) do
    if #list < CHANNELS_MAX then
      list[#list + 1] = { channel = name, subscribers = hub.count(name) }
    end
  end
  return web.json { channels = list }
end


local function who_is_there(req)
  local channel = channel_of(req.valid.query)
  local found, message, code = presence.of(channel)
  if not found then world(message, code, "who is present can't be read now") end
  return web.json { channel = channel, members = web.array(found.members), count = found.count }
end


-- What was published as JSON is given back as JSON.
local function item_of(item)
  local data = json.decode(item.data)
  if data == nil then data = item.data end
  return { position = item.position, data = data, time = item.time }
end


local function history(req)
  local query = req.valid.query
  local channel = channel_of(query)
  local page, message, code = hub.history(channel,
    { since = query.since, limit = query.limit, reverse = query.reverse })
  if not page then world(message, code, "the history can't be read now") end
  local items = web.array()
  for i, item in ipairs(page.items) do items[i] = item_of(item) end
  return web.json {
    channel = channel, items = items, position = page.position, recovered = page.recovered,
  }
end


local function route(path, method, handler, describe)
  describe.tags = { "server" }
  return {
    path = "/api/server/" .. path, middleware = KEY, [method] = handler,
    describe = { [method] = describe },
  }
end

local NAMED = {
  channel = TEXT, topic = TEXT, session_id = TEXT, tenant = TEXT,
  data = { type = "any", optional = true }, payload = { type = "any", optional = true },
  mode = MODE,
}

return {
  route("publish", "POST", publish, {
    summary = "Publishes a message", body = { fields = NAMED },
  }),
  route("broadcast", "POST", broadcast, {
    summary = "Publishes a message to many channels",
    body = { fields = {
      channels = { type = "array", min = 1, max = CHANNELS_MAX, items = CHANNEL },
      data = { type = "any" }, mode = MODE,
    } },
  }),
  route("disconnect", "POST", disconnect, {
    summary = "Ends connections, on all nodes",
    body = whom {
      code = { type = "integer", min = 1000, max = 4999, optional = true },
      reason = { type = "string", bytes = 123, optional = true },
    },
  }),
  route("say", "POST", say, {
    summary = "Says a text to connections, whatever they are subscribed to, on all nodes",
    body = whom { data = { type = "any" } },
  }),
  route("unsubscribe", "POST", unsubscribe, {
    summary = "Ends subscriptions, on all nodes", body = whom { channel = CHANNEL },
  }),
  route("revoke", "POST", revoke, {
    summary = "Makes tokens worthless and ends their connections, on all nodes",
    body = { fields = {
      jti = TEXT, user = TEXT, tenant = TEXT,
      seconds = { type = "integer", min = 1, max = 1000000000, optional = true },
    } },
  }),
  route("connections", "GET", connections, {
    summary = "Who is connected",
    query = whom {
      limit = { type = "integer", min = 1, max = 10000, default = 100 },
      nodes = { type = "boolean", default = false, about = "ask the other nodes too" },
    },
  }),
  route("presence", "GET", who_is_there, {
    summary = "Who is present in a channel",
    query = { fields = { channel = TEXT, topic = TEXT, session_id = TEXT, tenant = TEXT } },
  }),
  route("history", "GET", history, {
    summary = "The messages that a channel has kept",
    query = { fields = {
      channel = TEXT, topic = TEXT, session_id = TEXT, tenant = TEXT, since = TEXT,
      limit = { type = "integer", min = 1, max = 1000, default = 100 },
      reverse = { type = "boolean", default = false },
    } },
  }),
  route("channels", "GET", channels, {
    summary = "The topics that are live on this node",
    query = { fields = { prefix = TEXT } },
  }),
}
