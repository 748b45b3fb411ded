-- WebSockets for routes: `WS = { open, message, gap, close, protocols }` beside GET, POST ...
--
--   request -> middleware -> open(ws, req) -> nil or true: 101, else the answer that refuses it
--   message(ws, data, binary) ..., one at a time -> close(ws, code, reason), once
--
-- Until `open` has agreed nothing is sent: what it does to ws is recorded and done when the 101 is
-- out, so that a refusal is an ordinary answer. After a reload the next message goes to the new
-- code: what a script keeps of a connection is plain data, which moves along as JSON.
local admission = require "web.admission"
local errors = require "web.errors"
local hub = require "host.hub"
local json = require "host.json"
local topics = require "web.topics"

local sockets = {}

local FUNCTIONS = { open = true, message = true, gap = true, close = true }
local EARLY_MAX = 1000
local SUBSCRIPTIONS_MAX = 128
local SEALED = "sealed:"
local PRESENCE_MAX = 4096

---@class web.Ws
---@field id string
---@field data table plain data of the script's own
---@field user any whose connection it is; plain data, set by the script or by `identify`
---@field tenant string|nil of whose connection it is
---@field params table<string, string> of `{name}` in the route's path
---@field pattern string the route's path
---@field protocol string|nil the subprotocol that was agreed on
---@field peer string the address of the other side
---@field sealed boolean|nil its messages are sealed
---@field raw any
---@field package handlers table
---@field package early table|nil what to do when the 101 is out
local Ws = {}
Ws.__index = Ws
Ws.__name = "web.Ws"

local by_pattern = {}


local function later(self, name, ...)
  local early = self.early
  if not early or #early >= EARLY_MAX then return nil, "this WebSocket is closed", "closed" end
  early[#early + 1] = { name, ... }
  return true
end


--- Sends a message.
---@param data string text must be UTF-8
---@param binary? boolean
---@return true|nil sent
---@return string|nil message
---@return "closed"|"utf8"|nil code
function Ws:send(data, binary)
  if self.raw then return self.raw:send(data, binary) end
  return later(self, "send", data, binary)
end


---@class web.Subscribing
---@field mode? "latest"|"log" latest: the newest value, now and whenever it changes, skipping some
--- when the client is slow; log: each message that is published with mode = "log". Without a mode
--- the topic's rule says it
---@field since? string the position of the last message that the client has: it gets what it missed
---@field history? integer so many of the newest messages first, when it has none or missed too much
---@field envelope? boolean messages leave as {"channel","position","data"}
---@field presence? boolean it is present in the topic; what the topic's rule says when absent

---@class web.Subscribed
---@field position string|nil what comes follows on this one; nil: the topic keeps no history
---@field recovered boolean|nil whether all that was missed since `since` follows

--- Sends what is published to a topic. Waits until this node listens. What was missed leaves in the
--- worker's next turn: what is sent before anything waits comes first.
---@param topic string 1 to 255 bytes
---@param options? web.Subscribing
---@return web.Subscribed|nil subscribed
---@return string|nil message
---@return "closed"|"too_many"|"unavailable"|nil code
function Ws:subscribe(topic, options)
  local watch <close>, message, code = topics.follow(topic, options)
  if not watch then return nil, message, code end
  if self.raw then return self.raw:subscribe(topic, options) end
  if self.subscribing >= SUBSCRIPTIONS_MAX then
    message = ("a WebSocket can have %d subscriptions at most"):format(SUBSCRIPTIONS_MAX)
    return nil, message, "too_many"
  end
  self.subscribing = self.subscribing + 1
  local ok
  ok, message, code = later(self, "subscribe", topic, options)
  if ok then return {} end
  return nil, message, code
end


--- Ends a subscription.
---@param topic string
---@return boolean was_subscribed
function Ws:unsubscribe(topic)
  if self.raw then return self.raw:unsubscribe(topic) end
  return later(self, "unsubscribe", topic) == true
end


--- Makes the connection present in a topic, or absent (web.presence).
---@param topic string
---@param here boolean
function Ws:present(topic, here)
  if self.raw then self.raw:present(topic, here) else later(self, "present", topic, here) end
end


--- Sets what others see of this connection where it is present.
---@param value any plain data, json.null for nothing; 4,096 bytes as JSON
---@return true|nil
---@return string|nil message
---@return "too_large"|"closed"|nil code
function Ws:set_presence(value)
  local text = value == json.null and "" or json.encode(value)
  if #text > PRESENCE_MAX then
    return nil, ("presence data has %d bytes at most"):format(PRESENCE_MAX), "too_large"
  end
  if not self.raw then return later(self, "presence_data", text) end
  self.raw:presence_data(text)
  return true
end


--- Seals the connection: the greeting leaves in the clear, everything after it sealed with the
--- channel's keys, which are the connection's from now on. The client's messages are opened before
--- hooks and handlers see them; what comes in the clear is refused.
---@param channel crypto.Channel
---@param greeting string
---@return true|nil sealed
---@return string|nil message
---@return "closed"|"too_late"|nil code too_late: it is sealed already, or has subscribed
function Ws:seal(channel, greeting)
  local ok, message, code
  if self.raw then
    ok, message, code = self.raw:seal(channel, greeting)
  else
    ok, message, code = later(self, "seal", channel, greeting)
  end
  self.sealed = self.sealed or ok
  return ok, message, code
end


--- Closes the connection; the handler `close` is called with the same code and reason.
---@param code? integer 1000 when absent; 3000 to 3999 registered, 4000 to 4999 the application's
---@param reason? string at most 123 bytes
function Ws:close(code, reason)
  if self.raw then self.raw:close(code, reason) else later(self, "close", code, reason) end
end


--- Closes the connection by itself after so many seconds, such as when a token expires.
---@param seconds number 0: now
---@param code integer
---@param reason? string
function Ws:expire(seconds, code, reason)
  if self.raw then
    self.raw:expire(seconds, code, reason)
  else
    later(self, "expire", seconds, code, reason)
  end
end


---@class web.Identity
---@field user? string
---@field tenant? string
---@field jti? string of its token
---@field iat? number Unix seconds at which the token was issued; absent: now
---@field exp? number Unix seconds at which the connection ends with 4401 "expired"

--- Says whose connection it is, so that it can be found, ends with its token, and ends when the
--- token or the user is revoked. A later call, with a newer token, takes the place of the earlier.
---@param identity web.Identity
function Ws:identify(identity)
  self.user, self.tenant, self.identified = identity.user, identity.tenant, true
  if self.raw then self.raw:identify(identity) else later(self, "identify", identity) end
end


--- Called from C when the 101 is out.
function Ws:opened()
  if not self.identified and type(self.user) == "string" then self:identify { user = self.user } end
  local early = self.early or {}
  self.early, self.subscribing = nil, nil
  for _, call in ipairs(early) do
    self.raw[call[1]](self.raw, table.unpack(call, 2, 4))
  end
end


-- The first of the client's subprotocols that the route speaks.
local function choose(handlers, offered)
  for name in (offered or ""):gmatch "[^%s,]+" do
    for _, known in ipairs(handlers.protocols or {}) do
      if name == known then return name end
    end
  end
end


local function new(handlers, pattern, req)
  return setmetatable({
    id = hub.connection_id(),
    data = {},
    params = req.params,
    pattern = pattern,
    protocol = choose(handlers, req.headers["sec-websocket-protocol"]),
    peer = req.peer,
    handlers = handlers,
    early = {},
    subscribing = 0,
  }, Ws)
end


local function refuse(status, code, message)
  local headers
  if status == 426 then headers = { Upgrade = "websocket", ["Sec-WebSocket-Version"] = "13" } end
  errors.throw(status, code, message, headers)
end


local function check(handlers, pattern, origin)
  local function fail(text, ...)
    error(("%s: WS of %s " .. text):format(origin, tostring(pattern), ...), 0)
  end
  if type(handlers) ~= "table" then fail("is a %s, not a table", type(handlers)) end
  for name, value in pairs(handlers) do
    if FUNCTIONS[name] then
      if type(value) ~= "function" then fail("has a field %s that is no function", name) end
    elseif name ~= "protocols" then
      fail("has a field %s; there are open, message, gap, close and protocols", tostring(name))
    elseif type(value) ~= "table" then
      fail("has a field protocols that is no list")
    end
  end
end


--- The GET handler of a route with WebSockets.
---@param handlers table
---@param plain? web.Handler for requests that ask for no WebSocket
---@param pattern string
---@param origin string the file, for error messages
---@return web.Handler
function sockets.handler(handlers, plain, pattern, origin)
  check(handlers, pattern, origin)
  by_pattern[pattern] = handlers
  return function(req)
    if plain and not req.x:wants_ws() then return plain(req) end
    local status, code, message = req.x:check_ws()
    if status then refuse(status, code, message) end
    local self = new(handlers, pattern, req)
    local answer = handlers.open and handlers.open(self, req)
    if answer ~= nil and answer ~= true then return answer end
    admission.connect(req, self.id, { user = self.user, tenant = self.tenant }, "ws")
    local headers = self.protocol and { ["Sec-WebSocket-Protocol"] = self.protocol } or nil
    return { status = 101, headers = headers, ws = self }
  end
end


local function call(name)
  return function(self, ...)
    local handler = self.handlers[name]
    if handler then handler(self, ...) end
  end
end

-- What a message of a sealed connection holds. Nothing is taken in the clear: somebody on the way
-- could have put it there.
local function unseal(self, data, binary)
  if binary or data:sub(1, #SEALED) ~= SEALED then
    return nil, "this connection is sealed; the message was in the clear", "not_sealed"
  end
  return self.raw:unseal(data)
end


-- A hook that refuses a message answers for the handler.
local function message(self, data, binary)
  if self.sealed then
    local plain, problem, why = unseal(self, data, binary)
    if not plain then return self:send(errors.body(problem, why)) end
    data = plain
  end
  local context, refusal, code = admission.ask("message", self,
    { data = data, binary = binary, path = self.pattern })
  if not context then return self:send(errors.body(refusal, code)) end
  local handler = self.handlers.message
  if handler then handler(self, context.data, binary) end
end

-- What C calls, as tasks.
sockets.calls = { message = message, gap = call "gap", close = call "close" }

local MOVED = {
  "id", "data", "user", "tenant", "identified", "sealed", "params", "pattern", "protocol", "peer",
}


--- A connection as text, to be restored by newer code.
---@param self web.Ws
---@return string
function sockets.calls.save(self)
  local saved = {}
  for _, name in ipairs(MOVED) do saved[name] = self[name] end
  return json.encode(saved)
end


--- A connection that older code has saved.
---@param raw any
---@param text string
---@return web.Ws
function sockets.calls.restore(raw, text)
  local self = assert(json.decode(text))
  self.handlers = by_pattern[self.pattern]
  if not self.handlers then error(("no route has WS at %s any more"):format(self.pattern), 0) end
  self.raw = raw
  return setmetatable(self, Ws)
end

return sockets
