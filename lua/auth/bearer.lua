-- The token that a request carries for a stream, of either kind (for sessions or for
-- publish/subscribe). Who shows none is anonymous; who shows a bad one is refused: an expired token
-- must not become an anonymous connection.
local header = require "auth.header"
local pubsub = require "pubsub.tokens"
local revocations = require "auth.revocations"
local sessions = require "auth.tokens"
local web = require "web"

local bearer = {}


--- Authorization: Bearer TOKEN, or ?token=TOKEN where headers can't be set (img, EventSource).
---@param req web.Request
---@return string|nil
function bearer.token(req)
  return header.bearer(req) or req.query.token
end


--- The claims of a token of either kind.
---@param token string
---@return table|nil claims
---@return string|nil message
---@return string|nil code
function bearer.claims(token)
  local claims, message, code = sessions.claims(token)
  if claims or code == "revoked" or code == "expired" then return claims, message, code end
  local others = pubsub.claims(token)
  if others then return others end
  return nil, message, code
end


--- Whose stream a request begins; ends the request with 401 when its token is not good.
---@param req web.Request
---@return web.Identity|nil identity nil: it shows no token
function bearer.identity(req)
  local token = bearer.token(req)
  if not token then return nil end
  local claims, message = bearer.claims(token)
  if claims then return revocations.identity(claims) end
  web.throw(401, "invalid_token", message,
    { ["WWW-Authenticate"] = 'Bearer error="invalid_token"', ["Cache-Control"] = "no-store" })
end

return bearer
