---@meta host.jwt

---JSON Web Tokens, signed (RFC 7515, 7519, 8725). The key decides the algorithm, never the token;
---"none" does not exist; a token brings no keys along. A token is at most 8 KiB.
---@class host.jwt
local jwt = {}

---@alias jwt.code
---| "malformed" not a signed JWT of a form that is accepted here; or the wrong typ, or no exp
---| "unknown_key" its kid is not in the set (without a kid: the set has not exactly one key)
---| "signature" not its key's
---| "expired"
---| "not_yet" nbf is in the future
---| "issuer" another one, or none
---| "audience" another one, or none; or it has one and options name none

---@class jwt.options
---@field issuer? string the claim iss must be exactly this
---@field audience? string|string[] one of these must be among the claim aud
---@field leeway? number seconds that exp and nbf are stretched by, 0 to 30, default 0
---@field typ? string the header's typ must be this; default: JWT or absent
---@field exp_optional? boolean a token without exp is accepted
---@field now? number Unix time to check against; default: now

---The claims of a good token. A token that was seen before costs no signature check until it
---expires or the set changes. Both tables are the caller's own. An unknown option raises.
---@param token string
---@param keys jwk.set
---@param options? jwt.options
---@return table? claims
---@return table|string|nil header or message
---@return jwt.code? code
function jwt.verify(token, keys, options) end

---A token with the header alg, typ ("JWT", or as given) and kid. RSA keys wait, without blocking,
---about a millisecond; the others sign at once. Claims that are no object, or whose exp, nbf, iat,
---iss or aud nobody would accept, raise. Codes: "too_large", "memory".
---@param claims table|string a table, or JSON
---@param key jwk.key one that can sign
---@param header? { typ?: string }
---@return string? token
---@return string? message
---@return "too_large"|"memory"|nil code
function jwt.sign(claims, key, header) end

---The cache of verified tokens of this worker.
---@return { hits: integer, misses: integer, evictions: integer, entries: integer, limit: integer }
function jwt.stats() end

return jwt
