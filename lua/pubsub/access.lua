-- Whose request it is, for every transport of publish/subscribe: the claims of its token, nobody
-- where it shows none and that is allowed, else 401. A token in a form that is not known is a bad
-- token and not none: an expired or damaged one must never become an anonymous connection.
local config = require "host.config"
local names = require "pubsub.names"
local tokens = require "pubsub.tokens"
local web = require "web.errors"

local access = {}


-- Authorization: Bearer TOKEN; Sec-WebSocket-Protocol: bearer, TOKEN; ?token=TOKEN
local function token_of(req)
  local header = req:header "authorization"
  if header then return header:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+) *$" or "" end
  local protocols = req.headers["sec-websocket-protocol"] or ""
  if protocols:find "^%s*bearer%s*," then
    return protocols:match "^%s*bearer%s*,%s*([^%s,]+)%s*$" or ""
  end
  return req.query.token or protocols:match "^%s*bearer%s*()$" and ""
end


local function refuse(code, message)
  web.throw(401, code, message, { ["WWW-Authenticate"] = ('Bearer error="%s"'):format(code) })
end


-- Claims that make no sense here are refused, not left out: the token's maker meant something.
local function check_claims(claims)
  if not names.is_name(claims.sub) then refuse("invalid_token", "the claim sub must be a name") end
  if claims.sid ~= nil and not names.is_session(claims.sid) then
    refuse("invalid_token", "the claim sid must be a session")
  end
  if claims.tenant_id ~= nil and not names.is_tenant(claims.tenant_id) then
    refuse("invalid_token", "the claim tenant_id must be a name")
  end
end


--- The claims of a request's token; ends the request with 401 when it is not accepted.
---@param req web.Request
---@return table|nil claims nil: it shows none
function access.claims(req)
  local text = token_of(req)
  if not text then
    if not config.get "pubsub.anonymous" then refuse("missing_token", "this needs a token") end
    return nil
  end
  local claims, message = tokens.claims(text)
  if not claims then refuse("invalid_token", message) end
  check_claims(claims)
  return claims
end

return access
