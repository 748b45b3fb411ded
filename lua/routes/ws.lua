-- Session-scoped publish/subscribe: GET /ws, and the tokens for it.
local accounts = require "auth.accounts"
local check = require "web.check"
local client = require "pubsub.client"
local config = require "host.config"
local ids = require "pictures.ids"
local names = require "pubsub.names"
local tokens = require "pubsub.tokens"
local web = require "web"

local LOGIN = { username = "string", password = "string", session_id = "string?" }


local function token(req)
  local login = check.fields(req.json, LOGIN)
  local user, session = login.username, login.session_id
  if not ids.valid(user) or not names.is_name(user) then
    web.throw(400, "invalid", '"username" must have ' .. ids.RULE .. " and be " .. names.NAME_RULE,
      nil, { field = "username" })
  end
  if session and not names.is_session(session) then
    web.throw(400, "invalid", '"session_id" must be ' .. names.SESSION_RULE, nil,
      { field = "session_id" })
  end
  if not accounts.login(user, login.password) then
    web.throw(401, "wrong_password", "this username is taken, and its password is another one",
      { ["WWW-Authenticate"] = 'Bearer error="wrong_password"' })
  end
  local made, seconds = tokens.issue(user, session)
  return web.with(web.json { token = made, expires_in = seconds },
    { ["Cache-Control"] = "no-store" })
end


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


local function open(ws, req)
  local text = token_of(req)
  if not text then
    if not config.get "pubsub.anonymous" then refuse("missing_token", "this needs a token") end
    return client.open(ws)
  end
  local claims, message = tokens.claims(text)
  if not claims then refuse("invalid_token", message) end
  check_claims(claims)
  client.open(ws, claims)
end

return {
  { path = "/auth/token", POST = token },
  {
    path = "/ws",
    WS = { protocols = { "bearer" }, open = open, message = client.message, gap = client.gap },
  },
}
