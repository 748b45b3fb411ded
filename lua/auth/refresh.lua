-- Refresh tokens (RFC 9700): random, used once, in families.
--
--   login -> live --refresh--> used, and a new live one of the same family
--                                |--shown again--> the family is revoked
--   logout, reuse -> the family is revoked: no token of it is good any more
--
--   refresh:{token_id}          the record of a token; its id is the SHA-256 of the token, so that
--                               who reads the store can't use what is there
--   refresh:family:{family}     there once the family is revoked
--
-- The access tokens of a family have its name in front of the dot in their jti, so that all of them
-- are revoked as one (host.hub.revoke).
--
-- The change from live to used is a compare-and-set: of two refreshes at once one wins. The loser,
-- and who repeats it within GRACE seconds from the same address (an answer that was lost on the
-- way), is refused without harm; anybody else who shows a used token has stolen it, or was stolen
-- from, and nobody knows which: the family ends, its access tokens and streams with it.
local crypto = require "host.crypto"
local errors = require "web.errors"
local hub = require "host.hub"
local json = require "host.json"
local logs = require "web.logs"
local store = require "host.store"
local time = require "host.time"

local refresh = {}

local LIFE = 7 * 86400
refresh.ACCESS_LIFE = 900 -- of the access token that comes with one
local GRACE = 10
local BYTES, TEXT = 32, 43
local JTI_BYTES = 16

---@class auth.RefreshRecord
---@field family string
---@field user string
---@field id integer the user's
---@field used? number when
---@field by? string address that used it


local function world(message, code)
  errors.throw_world(message, code, "the tokens can't be kept now")
end


local function must(value, message, code)
  if value == nil and code then world(message, code) end
  return value
end


local function key_of(token)
  return "refresh:" .. crypto.sha256(token, "hex")
end


local function family_key(family)
  return "refresh:family:" .. family
end


local function random(bytes)
  return crypto.base64url_encode(crypto.random(bytes))
end


---@return string family
function refresh.new_family()
  return random(BYTES)
end


--- Makes a token. 503.
---@param record auth.RefreshRecord
---@return string token
function refresh.issue(record)
  local token = random(BYTES)
  must(store.add(key_of(token), json.encode(record), { ttl = LIFE }))
  return token
end


--- The jti of a new access token of a family.
---@param family string
---@return string
function refresh.jti(family)
  return family .. "." .. random(JTI_BYTES)
end


--- The family of an access token; nil: it has none.
---@param claims table
---@return string|nil
function refresh.family_of(claims)
  return type(claims.jti) == "string" and claims.jti:match "^([^.]+)%." or nil
end


--- Ends a family: its refresh tokens, its access tokens, and their streams. 503.
---@param family string
function refresh.revoke(family)
  must(store.set(family_key(family), "revoked", { ttl = LIFE }))
  must(hub.revoke { jti = family, exp = math.ceil(time.now()) + 1 + refresh.ACCESS_LIFE })
end


local function refuse(code, message)
  errors.throw(401, code, message, { ["WWW-Authenticate"] = ('Bearer error="%s"'):format(code) })
end


local function reused(record, address)
  if time.now() - record.used < GRACE and record.by == address then
    refuse("already_used", "this refresh token was used a moment ago; use the one that came then")
  end
  refresh.revoke(record.family)
  logs.auth("refresh_reused", { user = record.user, family = record.family, address = address })
  refuse("reused", "this refresh token was used before; log in again")
end


--- Uses a token up: its record. 401, 503.
---@param token string
---@param address string of the client
---@return auth.RefreshRecord
function refresh.use(token, address)
  if #token ~= TEXT then refuse("invalid_token", "this is no refresh token") end
  local key = key_of(token)
  local text, version, code = store.get(key)
  must(text, version, code)
  if not text then refuse("invalid_token", "this refresh token is unknown or has expired") end
  local record = json.decode(text)
  if must(store.get(family_key(record.family))) then
    refuse("revoked", "this login was ended; log in again")
  end
  if record.used then reused(record, address) end
  record.used, record.by = time.now(), address
  local written, message
  written, message, code = store.cas(key, json.encode(record), version)
  if not written and code ~= "conflict" and code ~= "absent" then world(message, code) end
  if not written then
    refuse("already_used", "this refresh token was used a moment ago; use the one that came then")
  end
  return record
end


--- The record of a token, without using it; nil: there is none. 503.
---@param token string
---@return auth.RefreshRecord|nil
function refresh.find(token)
  local text = #token == TEXT and must(store.get(key_of(token)))
  return text and json.decode(text) or nil
end

return refresh
