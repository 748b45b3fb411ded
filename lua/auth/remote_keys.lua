-- Key sets of other services (JWKS, RFC 7517), by URL from the settings.
--
-- A set is fetched at its first use, again after FRESH seconds, and when a token names a key that
-- is not in it, at most once in REFETCH seconds. While the service is away, slow, or sends rubbish,
-- the keys of before stay; a redirect is not followed. One task fetches, the others wait for it.
-- What must never happen: a fetch per request; a key set whose size the sender chooses.
local flight = require "web.flight"
local http = require "host.http"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local log = require "host.log"
local time = require "host.time"

local remote = {}

local FRESH, REFETCH, RETRY = 3600, 300, 10
local BYTES_MAX, KEYS_MAX, SECONDS = 64 * 1024, 50, 5
local SIGNS = { RSA = true, EC = true, OKP = true }

---@class auth.RemoteSet
---@field set any|nil
---@field loaded number
---@field tried number
---@field refetched number because of a key that it had not

local fetches = flight.new()
local sets = {} ---@type table<string, auth.RemoteSet>


local function keys_of(document)
  local list, seen = {}, {}
  if type(document) ~= "table" or type(document.keys) ~= "table" then return list end
  for i = 1, math.min(#document.keys, KEYS_MAX) do
    local member = document.keys[i]
    local usable = type(member) == "table" and SIGNS[member.kty] and (member.use or "sig") == "sig"
    local key = usable and jwk.import(member)
    if key and not seen[key:kid()] then
      seen[key:kid()] = true
      list[#list + 1] = key
    end
  end
  return list
end


local function fetch(url)
  local res, message = http.request { url = url, timeout = SECONDS, max = BYTES_MAX,
    allow_private = true, headers = { Accept = "application/json" } }
  if not res then return nil, message end
  if res.status ~= 200 then return nil, "it answered " .. res.status end
  local document, wrong = json.decode(res.body)
  if document == nil then return nil, "it is not JSON: " .. wrong end
  local list = keys_of(document)
  if #list == 0 then return nil, "there is no key in it that signs tokens" end
  return jwk.set(list)
end


local function load(url, known)
  known.tried = time.monotonic()
  local set, message = fetch(url)
  if set then
    known.set, known.loaded = set, known.tried
  else
    log.warn("a key set could not be fetched", { url = url, error = message })
  end
end


local function is_due(known, now)
  if not known.set then return now - known.tried > RETRY end
  return now - known.loaded > FRESH and now - known.tried > RETRY
end


local function current(url, again)
  local known = sets[url]
  if not known then
    known = { loaded = -math.huge, tried = -math.huge, refetched = -math.huge }
    sets[url] = known
  end
  local now = time.monotonic()
  local under_way = fetches:under_way(url)
  local unknown = again and now - known.refetched > REFETCH
  if unknown and not under_way then known.refetched = now end
  local wanted = unknown or is_due(known, now)
  if under_way then wanted = again or not known.set end
  if wanted then fetches:run(url, function() load(url, known) end) end
  return known.set
end


local function verify(url, token, policy)
  local set = current(url, false)
  if not set then return nil, "the keys of tokens can't be read now", "unknown_key" end
  local claims, message, code = jwt.verify(token, set, policy)
  if claims or code ~= "unknown_key" then return claims, message, code end
  local newer = current(url, true)
  if newer == set then return nil, message, code end
  return jwt.verify(token, newer, policy)
end


--- The claims of a token that a key of one of these sets has signed; waits for a fetch.
---@param token string
---@param urls string[]
---@param policy jwt.options
---@return table|nil claims
---@return string|nil message
---@return string|nil code nil when there is no URL
function remote.claims(token, urls, policy)
  local message, code
  for _, url in ipairs(urls) do
    local claims, why, word = verify(url, token, policy)
    if claims then return claims end
    if not code or code == "unknown_key" then message, code = why, word end
  end
  return nil, message, code
end

return remote
