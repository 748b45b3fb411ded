-- Where hooks are asked before something happens to a connection; the one place that knows what
-- their contexts hold (docs/hooks.md).
local hooks = require "web.hooks"
local web = require "web.errors"

local admission = {}


-- The fields that all contexts of a connection have.
local function context_of(connection, identity, more)
  identity = identity or {}
  local context = { connection = connection, user = identity.user, tenant = identity.tenant }
  for name, value in pairs(more) do context[name] = value end
  return context
end


--- May this connection open? Ends the request with the hook's answer when it may not.
---@param req web.Request
---@param connection string its id
---@param identity web.Identity|nil
---@param transport "ws"|"sse"|"mixed"
---@param topic? string of a stream of one topic
function admission.connect(req, connection, identity, transport, topic)
  if not hooks.any "connect" and not (topic and hooks.any "subscribe") then return end
  local context = context_of(connection, identity,
    { transport = transport, channel = topic, peer = req.peer, path = req.path, req = req })
  local refused, message, code, status = hooks.run("connect", context)
  if refused == nil and topic then
    refused, message, code, status = hooks.run("subscribe", context)
  end
  if refused == false then web.throw(status or 403, code, message) end
end


--- May a connection do this?
---@param name "subscribe"|"publish"|"message"
---@param ws web.Ws
---@param more table what the context has besides connection, user and tenant
---@return table|nil context as the hooks have left it; nil: no
---@return string|nil message
---@return string|nil code
function admission.ask(name, ws, more)
  if not hooks.any(name) then return more end
  more.transport = more.transport or "ws"
  local context = context_of(ws.id, { user = ws.user, tenant = ws.tenant }, more)
  local refused, message, code = hooks.run(name, context)
  if refused == false then return nil, message, code end
  return context
end

return admission
