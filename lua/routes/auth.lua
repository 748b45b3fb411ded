-- Tokens for users, and the public keys that verify them.
local accounts = require "auth.accounts"
local attempts = require "auth.attempts"
local check = require "web.check"
local config = require "host.config"
local ids = require "pictures.ids"
local keys = require "auth.keys"
local tokens = require "auth.tokens"
local web = require "web"

local LOGIN = { user_id = "string", password = "string", ttl_seconds = "integer?" }
local is_right = attempts.limited("token-account", 100, accounts.login)
local KEYS = { ["Cache-Control"] = "public, max-age=60" }


local function life_of(wanted)
  if not wanted then return math.tointeger(config.get "token.ttl" // 1) end
  local longest = config.get "token.max_ttl" // 1
  if wanted < 1 or wanted > longest then
    web.throw(400, "invalid", ('"ttl_seconds" must be from 1 to %d'):format(longest), nil,
      { field = "ttl_seconds" })
  end
  return math.tointeger(wanted)
end


local function token(req)
  local login = check.fields(req.json, LOGIN)
  if not ids.valid(login.user_id) then
    web.throw(400, "invalid", '"user_id" must have ' .. ids.RULE, nil, { field = "user_id" })
  end
  local life = life_of(login.ttl_seconds)
  if not is_right(req, login.user_id, login.password) then
    web.throw(401, "wrong_password", "this user_id is taken, and its password is another one",
      { ["WWW-Authenticate"] = 'Bearer error="wrong_password"' })
  end
  return web.with(web.json { token = tokens.issue(login.user_id, life) },
    { ["Cache-Control"] = "no-store" })
end


local function jwks()
  return { status = 200, type = "application/json", headers = KEYS, body = keys.json() }
end

return {
  { path = "/api/auth/token", POST = token },
  { path = "/api/auth/jwks", GET = jwks },
  { path = "/.well-known/jwks.json", GET = jwks },
}
