-- Who speaks in the publish/subscribe contract, and in which session, for all its transports: the
-- claims of the request's token, nobody where it shows none and that is allowed, else 401. A token
-- in a form that is not known is a bad token and not none: an expired or damaged one must never
-- become an anonymous connection.
local config = require "host.config"
local header = require "auth.header"
local hooks = require "web.hooks"
local names = require "pubsub.names"
local tokens = require "pubsub.tokens"
local topics = require "web.topics"
local web = require "web.errors"

local access = {}


-- Authorization: Bearer TOKEN; Sec-WebSocket-Protocol: bearer, TOKEN; ?token=TOKEN
local function token_of(req)
  local token = header.bearer(req)
  if token then return token end
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


-- The token's session, else the one that was named, else that of the user's name.
local function session_of(claims, named)
  if claims and claims.sid then
    if named ~= nil and named ~= claims.sid then
      web.throw(403, "other_session",
        "this token is for another session than the one that was named")
    end
    return claims.sid
  end
  if named ~= nil then return named end
  return claims and "session-" .. claims.sub or "default"
end


--- The hub's topic for what a request names; 400, 403.
---@param claims table|nil
---@param topic any
---@param named any the session, or nil
---@param or_pattern? boolean the topic may end in a star
---@return string channel
---@return string session
function access.place(claims, topic, named, or_pattern)
  if not (or_pattern and names.is_pattern or names.is_topic)(topic) then
    local rule = or_pattern and names.PATTERN_RULE or names.TOPIC_RULE
    web.throw(400, "bad_topic", "a topic must be " .. rule, nil, { field = "topic" })
  end
  local session = session_of(claims, named)
  if not names.is_session(session) then
    web.throw(400, "bad_session", "a session must be " .. names.SESSION_RULE, nil,
      { field = "session_id" })
  end
  return names.key(claims and claims.tenant_id or "", session, topic), session
end


--- May they, by the topic's rule and by the hooks? 403.
---@param action "subscribe"|"publish"
---@param claims table|nil
---@param context { channel: string, topic: string, session_id: string } and more for hooks
---@return table context as the hooks have left it
function access.demand(action, claims, context)
  context.user = claims and claims.sub
  context.tenant = claims and claims.tenant_id
  local identity = { user = context.user, tenant = context.tenant or "", claims = claims }
  local ok, message, code = topics.may(action, context.topic, identity)
  if not ok then web.throw(403, code, message) end
  local refused, reason, why, status = hooks.run(action, context)
  if refused == false then web.throw(status or 403, why, reason) end
  return context
end

return access
