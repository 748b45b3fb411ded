-- The RSA key that signs tokens, the older ones that still verify, and their publication as a JWKS.
--
--   rsa:private_pem    the key that signs; made once for all nodes by store.add
--   rsa:public_pem     its public half, for those who read the store
--   rsa:retired:{kid}  public keys of before; they expire with the last token they have signed
--   rsa:fresh          expires when the key is due for rotation
--   auth:secret        a secret that signs short-lived tokens of accounts (HS256), which only this
--                      cluster verifies: a hundredth of the cost of an RSA signature
--
-- Each worker keeps them in memory and reads them again when a token names a key that it does not
-- know (at most once in RELOAD_SECONDS), when another node has rotated (the topic rsa:rotation),
-- and after MAX_AGE. What must never happen: two nodes that sign with different first keys; a token
-- refused because of a rotation.
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local flight = require "web.flight"
local hub = require "host.hub"
local jwk = require "host.jwk"
local log = require "host.log"
local store = require "host.store"
local time = require "host.time"

local keys = {}

local PRIVATE, PUBLIC, FRESH = "rsa:private_pem", "rsa:public_pem", "rsa:fresh"
local RETIRED, TOPIC, SECRET = "rsa:retired:", "rsa:rotation", "auth:secret"
local SECRET_BYTES = 32
local RELOAD_SECONDS = 2
local MAX_AGE = 60
local SIGN_SLACK = 2 * MAX_AGE -- a node that has not heard yet signs with the old key for so long
local RETIRED_MAX = 50

---@class auth.KeyState
---@field key any the key that signs
---@field secret any the one that signs tokens of accounts
---@field set any all keys that verify
---@field json string the JWKS
---@field loaded number
---@field rotation integer the newest rotation heard of when it was loaded

local state ---@type auth.KeyState|nil
local loads = flight.new()


local function world(message, code)
  errors.throw_world(message, code, "the signing keys can't be read now")
end


local function get(name)
  local value, version, code = store.get(name)
  if not value and code then world(version, code) end
  return value, version
end


local function key_of(pem, name)
  local key, message = jwk.from_pem(pem, { alg = "RS256" })
  if not key then error(("the key %s in the store can't be used: %s"):format(name, message)) end
  return key
end


local function generate()
  local key, message, code = jwk.generate("RS256")
  if not key then world(message, code) end
  return key
end


local function mark_fresh()
  local seconds = config.get "token.rotate"
  if seconds > 0 then store.set(FRESH, "1", { ttl = seconds }) end
end


-- Makes the first key unless another node is faster; the key that holds.
local function create()
  local key = generate()
  mark_fresh() -- before the key is there: nobody may find it and think it is due
  local added, message, code = store.add(PRIVATE, key:pem())
  if not added and code ~= "exists" then world(message, code) end
  return key_of(get(PRIVATE), PRIVATE)
end


local function retired()
  local found, message, code = store.list(RETIRED, { limit = RETIRED_MAX })
  if not found then world(message, code) end
  local list = {}
  for _, name in ipairs(found) do
    local pem = get(name)
    if pem and #list < RETIRED_MAX then list[#list + 1] = key_of(pem, name) end
  end
  return list
end


-- Made once for all nodes.
local function shared_secret()
  local text = get(SECRET)
  if not text then
    local _, message, code =
      store.add(SECRET, crypto.base64url_encode(crypto.random(SECRET_BYTES)))
    if code and code ~= "exists" then world(message, code) end
    text = get(SECRET)
  end
  local key, message = jwk.import { kty = "oct", alg = "HS256", k = text, kid = "accounts" }
  if not key then error(("%s in the store can't be used: %s"):format(SECRET, message)) end
  return key
end


local function rotation()
  return select(2, hub.latest(TOPIC)) or 0
end


local function load()
  local heard = rotation()
  local pem = get(PRIVATE)
  local key = pem and key_of(pem, PRIVATE) or create()
  local public = key:public_pem()
  if get(PUBLIC) ~= public then store.set(PUBLIC, public) end
  local all, seen = { key }, { [key:kid()] = true }
  for _, old in ipairs(retired()) do
    if not seen[old:kid()] then all[#all + 1] = old end
    seen[old:kid()] = true
  end
  local secret = shared_secret()
  all[#all + 1] = secret
  local set = jwk.set(all)
  return {
    key = key, secret = secret, set = set, json = set:json(), loaded = time.monotonic(),
    rotation = heard,
  }
end


local function load_or_keep()
  local ok, result = pcall(load)
  if ok then
    state = result
  elseif not state then
    error(result, 0)
  else
    log.warn("the signing keys could not be read again", { error = tostring(result) })
    state.loaded = time.monotonic()
  end
  return state
end


-- One load at a time: a burst at the first start must not make a key for each request.
local function reload()
  return loads:run("all", load_or_keep)
end


local function current()
  local s = state
  if not s or s.rotation ~= rotation() or time.monotonic() - s.loaded > MAX_AGE then
    return reload()
  end
  return s
end


--- The key that signs.
function keys.signing()
  return current().key
end


--- The secret that signs tokens of accounts.
function keys.secret()
  return current().secret
end


--- All keys that verify; `again` after a token named one that is not among them.
---@param again? boolean
---@return any|nil set nil: it has just been read, there is nothing new
function keys.verifying(again)
  if not again then return current().set end
  local s = current()
  if time.monotonic() - s.loaded < RELOAD_SECONDS then return nil end
  return reload().set
end


--- The public keys as JSON (RFC 7517).
---@return string
function keys.json()
  return current().json
end


--- Makes a new key sign from now on, on all nodes; the old one verifies until its last token has
--- expired. Of two rotations at once one happens.
---@return boolean rotated
function keys.rotate()
  local pem, version = get(PRIVATE)
  if not pem then
    reload()
    return false
  end
  local old, new = key_of(pem, PRIVATE), generate()
  local life = config.get "token.max_ttl" + config.get "token.leeway" + SIGN_SLACK
  local kept, message, code = store.set(RETIRED .. old:kid(), old:public_pem(), { ttl = life })
  if not kept then world(message, code) end
  mark_fresh()
  local written
  written, message, code = store.cas(PRIVATE, new:pem(), version)
  if not written and code ~= "conflict" then world(message, code) end
  if not written then return false end
  store.set(PUBLIC, new:public_pem())
  hub.publish(TOPIC, new:kid(), { version = math.floor(time.now() * 1000) })
  reload()
  log.info("the signing key was rotated", { kid = new:kid() })
  return true
end


--- The key that signs, and those of before that verify until they expire.
---@return { kid: string, alg: string, use: "signs"|"verifies", seconds?: number }[]
function keys.list()
  local signing = current().key
  local list = { { kid = signing:kid(), alg = signing:alg(), use = "signs" } }
  for _, key in ipairs(retired()) do
    if key:kid() ~= signing:kid() then
      local seconds = store.ttl(RETIRED .. key:kid())
      list[#list + 1] = { kid = key:kid(), alg = key:alg(), use = "verifies", seconds = seconds }
    end
  end
  return list
end


--- Takes away a key of before, at once and on all nodes: its tokens are good no longer.
---@param kid string
---@return boolean removed false: there is no such key of before
function keys.retire(kid)
  local deleted, message, code = store.delete(RETIRED .. kid)
  if deleted == nil and code then world(message, code) end
  if not deleted then return false end
  hub.publish(TOPIC, kid, { version = math.floor(time.now() * 1000) })
  reload()
  log.info("a signing key was retired", { kid = kid })
  return true
end


--- Rotates when the setting token.rotate says that it is time.
function keys.rotate_if_due()
  if config.get "token.rotate" > 0 and not get(FRESH) then keys.rotate() end
end


--- Makes this process hear of rotations, for 30 s at most: to be called again before, with what it
--- has returned.
---@param before? any
---@return any watch
function keys.listen(before)
  local watch = hub.watch(TOPIC)
  if before then before:close() end
  return watch
end

return keys
