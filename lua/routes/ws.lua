-- Session-scoped publish/subscribe: GET /ws, and the tokens for it.
local access = require "pubsub.access"
local accounts = require "auth.accounts"
local attempts = require "auth.attempts"
local check = require "web.check"
local client = require "pubsub.client"
local ids = require "pictures.ids"
local names = require "pubsub.names"
local tokens = require "pubsub.tokens"
local web = require "web"

local is_right = attempts.limited("token-account", 100, accounts.login)
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
  if not is_right(req, user, login.password) then
    web.throw(401, "wrong_password", "this username is taken, and its password is another one",
      { ["WWW-Authenticate"] = 'Bearer error="wrong_password"' })
  end
  local made, seconds = tokens.issue(user, session)
  return web.with(web.json { token = made, expires_in = seconds },
    { ["Cache-Control"] = "no-store" })
end


local function open(ws, req)
  client.open(ws, access.claims(req))
end

return {
  { path = "/auth/token", POST = token },
  {
    path = "/ws",
    WS = { protocols = { "bearer" }, open = open, message = client.message, gap = client.gap },
  },
}
