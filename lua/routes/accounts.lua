-- Accounts: registering, logging in and out, and tokens that are renewed.
local accounts = require "auth.accounts"
local attempts = require "auth.attempts"
local config = require "host.config"
local hub = require "host.hub"
local ids = require "pictures.ids"
local json = require "host.json"
local jwt = require "host.jwt"
local keys = require "auth.keys"
local logs = require "web.logs"
local refresh = require "auth.refresh"
local revocations = require "auth.revocations"
local store = require "host.store"
local users = require "auth.users"
local web = require "web"

local ACCESS <const>, SESSION <const> = refresh.ACCESS_LIFE, 1800 -- seconds
local ISSUER = config.get "token.issuer"
local NO_STORE = { ["Cache-Control"] = "no-store" }
local TAGS = { "accounts" }

local NAME = { type = "string", min = 1, max = 100, about = ids.RULE, pattern = ids.PATTERN }
local PASSWORD = { type = "string", min = 1, bytes = 1024 }
local REGISTER = { fields = {
  username = NAME,
  password = { type = "string", min = 8, bytes = 1024 },
  email = { type = "string", format = "email", optional = true },
} }
local LOGIN = { fields = { username = NAME, password = PASSWORD } }
local TOKEN = { type = "string", min = 1, max = 200 }
local REFRESH = { fields = { refresh_token = TOKEN } }
local LOGOUT = { optional = true, fields = { refresh_token = {
  type = "string", min = 1, max = 200, optional = true,
} } }
local USER = { fields = {
  id = { type = "integer" }, username = { type = "string" },
  email = { type = "string", nullable = true }, created_at = { type = "string" },
} }
local PAIR = { fields = {
  access_token = { type = "string" }, refresh_token = { type = "string" },
  token_type = { type = "string" }, expires_in = { type = "integer" },
} }

local is_right = attempts.limited("login-account", 10, accounts.verify)


local function shown(user)
  return {
    id = user.id, username = user.username, email = user.email or json.null,
    created_at = user.created_at,
  }
end


local function register(req)
  local body = req.valid.body
  local user = users.register(body.username, body.password, body.email)
  logs.auth("registered", { user = user.username, address = req.peer })
  return web.with(web.json(201, shown(user)), NO_STORE)
end


local function access_token(user, family, now)
  local token, message, code = jwt.sign({
    sub = user.username, uid = user.id, jti = refresh.jti(family), iss = ISSUER, iat = now,
    exp = now + ACCESS,
  }, keys.secret())
  if not token then web.throw_world(message, code, "the token can't be signed now") end
  return token
end


local function session_key(id)
  return "account:session:" .. id
end


local function pair(req, user, family)
  local now = revocations.time_of_issue(user.username)
  local access = access_token(user, family, now)
  local token = refresh.issue { family = family, user = user.username, id = user.id }
  store.set(session_key(user.id), json.encode { username = user.username, since = now,
    address = req.peer }, { ttl = SESSION })
  return web.with(web.json {
    access_token = access, refresh_token = token, token_type = "Bearer", expires_in = ACCESS,
  }, NO_STORE)
end


local function login(req)
  local body = req.valid.body
  if not is_right(req, body.username, body.password) then
    web.throw(401, "wrong_login", "there is no such user with this password",
      { ["WWW-Authenticate"] = 'Bearer error="wrong_login"' })
  end
  local user = users.of(body.username)
  logs.auth("login", { user = user.username, address = req.peer })
  return pair(req, user, refresh.new_family())
end


local function renew(req)
  local record = refresh.use(req.valid.body.refresh_token, req.peer)
  local user = { id = record.id, username = record.user }
  logs.auth("refreshed", { user = user.username, address = req.peer })
  return pair(req, user, record.family)
end


local function must(value, message, code)
  if value == nil and code then web.throw_world(message, code, "the logout can't be kept now") end
  return value
end


-- The family of the access token ends, and that of the refresh token, if it is this user's. A token
-- of another kind, which has no family, ends alone.
local function logout(req)
  local claims = req.claims
  local token = req.valid.body and req.valid.body.refresh_token
  local record, family = token and refresh.find(token), refresh.family_of(claims)
  if family then
    refresh.revoke(family)
  elseif claims.jti then
    must(hub.revoke { jti = claims.jti, exp = claims.exp })
  end
  if record and record.user == claims.sub and record.family ~= family then
    refresh.revoke(record.family)
  end
  must(hub.disconnect { user = claims.sub, code = 4403, reason = "logged out" })
  if claims.uid then store.delete(session_key(claims.uid)) end
  logs.auth("logout", { user = claims.sub, address = req.peer })
  return web.empty(204, NO_STORE)
end


local function me(req)
  return web.with(web.json(shown(users.of(req.claims.sub))), NO_STORE)
end


local function described(summary, body, answers, open)
  return { POST = { summary = summary, body = body, answers = answers, open = open, tags = TAGS } }
end

return {
  {
    path = "/auth/register",
    describe = described("Make an account", REGISTER, { [201] = USER,
      [409] = "the username or the e-mail address is taken" }, true),
    POST = register,
  },
  {
    path = "/auth/login",
    describe = described("Log in", LOGIN, { [200] = PAIR,
      [401] = "there is no such user with this password",
      [429] = "too many failed logins" }, true),
    POST = login,
  },
  {
    path = "/auth/refresh",
    describe = described("A new pair of tokens; the refresh token is used up", REFRESH,
      { [200] = PAIR, [401] = "unknown, expired, used or revoked" }, true),
    POST = renew,
  },
  {
    path = "/auth/logout",
    middleware = { "bearer" },
    describe = described("End this login on all nodes, and its streams", LOGOUT,
      { [204] = "done" }),
    POST = logout,
  },
  {
    path = "/auth/me",
    middleware = { "bearer" },
    describe = { GET = { summary = "Who am I", answers = { [200] = USER }, tags = TAGS } },
    GET = me,
  },
}
