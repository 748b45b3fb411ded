-- The tokens of the publish/subscribe contract: claims sub, sid, iat, exp; HS256 with the secret of
-- the setting pubsub.secret, else RS256 with the key of all other tokens and an audience of their
-- own, so that neither kind passes for the other.
local base = require "auth.tokens"
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local keys = require "auth.keys"
local revocations = require "auth.revocations"

local tokens = {}

local ID_BYTES = 16

local ISSUER, AUDIENCE = config.get "token.issuer", "pubsub"
local POLICY = { issuer = ISSUER, audience = AUDIENCE, leeway = config.get "token.leeway" }

local secret_key, secret_set


local function secret()
  local text = config.get "pubsub.secret"
  if not secret_key and text ~= "" then
    local k = crypto.base64url_encode(text)
    secret_key = assert(jwk.import { kty = "oct", alg = "HS256", k = k })
    secret_set = jwk.set { secret_key }
  end
  return secret_key
end


--- A token for a user.
---@param user string
---@param session string|nil the only session it is for
---@return string token
---@return integer seconds its life
function tokens.issue(user, session)
  local key = secret()
  local now = revocations.time_of_issue(user)
  local seconds = math.tointeger(config.get "pubsub.ttl" // 1)
  local claims = {
    sub = user, sid = session, iat = now, exp = now + seconds,
    jti = crypto.base64url_encode(crypto.random(ID_BYTES)),
  }
  if not key then
    claims.aud, claims.iss = AUDIENCE, ISSUER
    key = keys.signing()
  end
  local token, message, code = jwt.sign(claims, key)
  if not token then errors.throw_world(message, code, "the token can't be signed now") end
  return token, seconds
end


--- The claims of a token that is good and was not revoked.
---@param token string
---@return table|nil claims
---@return string|nil message
---@return string|nil code
function tokens.claims(token)
  if secret() then
    local claims, message, code = jwt.verify(token, secret_set, { leeway = POLICY.leeway })
    if not claims then return nil, message, code end
    return revocations.check(claims)
  end
  return base.claims(token, POLICY)
end

return tokens
