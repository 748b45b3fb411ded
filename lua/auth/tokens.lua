-- Bearer tokens: RS256, signed by our own key, checked without a look-up in the store.
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local jwt = require "host.jwt"
local keys = require "auth.keys"
local revocations = require "auth.revocations"

local tokens = {}

local ID_BYTES = 16
local ISSUER = config.get "token.issuer"
local POLICY = { issuer = ISSUER, leeway = config.get "token.leeway" }


--- A token for a user.
---@param user_id string
---@param seconds integer its life
---@return string
function tokens.issue(user_id, seconds)
  local now = revocations.time_of_issue(user_id)
  local token, message, code = jwt.sign({
    sub = user_id,
    iat = now,
    exp = now + seconds,
    iss = ISSUER,
    jti = crypto.base64url_encode(crypto.random(ID_BYTES)),
  }, keys.signing())
  if not token then errors.throw_world(message, code, "the token can't be signed now") end
  return token
end


local function verify(token, policy)
  local claims, message, code = jwt.verify(token, keys.verifying(), policy)
  if claims or code ~= "unknown_key" then return claims, message, code end
  local set = keys.verifying(true)
  if not set then return nil, message, code end
  return jwt.verify(token, set, policy)
end


--- The claims of a token that is good and was not revoked.
---@param token string
---@param policy? jwt.options what else it must be than a token of `issue`
---@return table|nil claims
---@return string|nil message what is wrong with it
---@return string|nil code
function tokens.claims(token, policy)
  local claims, message, code = verify(token, policy or POLICY)
  if not claims then return nil, message, code end
  return revocations.check(claims)
end

return tokens
