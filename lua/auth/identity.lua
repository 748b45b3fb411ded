-- Whose request is it, in a landscape where several services issue tokens? A token is taken when it
-- is good by one of these, in this order:
--   the setting identity.secret (HS256, shared with the service that issues them)
--   a key set by URL, identity.jwks (auth.remote_keys)
--   our own key; such tokens name no tenant and belong to identity.tenant; not where that is empty
-- Its claims must have sub and tenant_id as text. The header's alg never chooses: a token with
-- another algorithm than the key's is no good token (RFC 8725).
local config = require "host.config"
local crypto = require "host.crypto"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local own = require "auth.tokens"
local remote = require "auth.remote_keys"
local revocations = require "auth.revocations"

local identity = {}

local NAME_MAX = 200
local SECRET, URLS = config.get "identity.secret", config.get "identity.jwks"
local OWN_TENANT = config.get "identity.tenant"

local policy = { leeway = config.get "token.leeway" }
if config.get "identity.issuer" ~= "" then policy.issuer = config.get "identity.issuer" end
if config.get "identity.audience" ~= "" then policy.audience = config.get "identity.audience" end

local shared ---@type any the key set of the secret


local function by_secret(token)
  if SECRET == "" then return nil end
  if not shared then
    local key = { kty = "oct", alg = "HS256", k = crypto.base64url_encode(SECRET) }
    shared = jwk.set { assert(jwk.import(key)) }
  end
  return jwt.verify(token, shared, policy)
end


local function by_own_key(token)
  if OWN_TENANT == "" then return nil end
  local claims, message, code = own.claims(token)
  if claims then claims.tenant_id = OWN_TENANT end
  return claims, message, code
end


local function is_name(value)
  return type(value) == "string" and #value >= 1 and #value <= NAME_MAX
    and not value:find "%c"
end


local function complete(claims)
  local wrong = not is_name(claims.sub) and "sub" or not is_name(claims.tenant_id) and "tenant_id"
  if wrong then
    return nil, ("the token's claim %s is missing or no name"):format(wrong), "malformed"
  end
  return revocations.check(claims)
end

local WAYS = { by_secret, remote.claims, by_own_key }

-- Which of several refusals tells most: the one of the key that did know the token.
local WEAK = { signature = true, unknown_key = true, malformed = true }


--- The claims of a good token, with sub and tenant_id; waits when keys must be fetched.
---@param token string
---@return table|nil claims
---@return string|nil message
---@return string|nil code as host.jwt's, "expired" among them
function identity.claims(token)
  local message, code = "nothing is set that tokens are verified by", nil
  for _, way in ipairs(WAYS) do
    local claims, why, word = way(token, URLS, policy)
    if claims then return complete(claims) end
    if word and (not code or WEAK[code]) then message, code = why, word end
  end
  return nil, message, code or "unknown_key"
end

return identity
