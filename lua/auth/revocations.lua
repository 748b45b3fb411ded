-- Revoked tokens, for the checks of tokens. The table is the process's own (host.hub.revoke),
-- so that a check asks no store. What the store keeps of it is read here, once after the start and
-- again after every lost link to the other nodes, before any token is answered for.
local errors = require "web.errors"
local flight = require "web.flight"
local hub = require "host.hub"
local log = require "host.log"
local store = require "host.store"
local time = require "host.time"

local revocations = {}

local PREFIX = "revoked:"
local PAGE = 1000

local readings = flight.new()


local function restore(name)
  local value, message, code = store.get(name)
  if not value and code then return nil, message, code end
  local before, expires = (value or ""):match "^(%d+) (%d+)$"
  if before then
    hub.restore_revocation(name:sub(#PREFIX + 1), math.tointeger(before), math.tointeger(expires))
  end
  return true
end


local function restore_all()
  local epoch = hub.revocations()
  local cursor
  repeat
    local names, next_cursor, code = store.list(PREFIX, { limit = PAGE, cursor = cursor })
    if not names then return nil, next_cursor, code end
    for _, name in ipairs(names) do
      local ok, message, why = restore(name)
      if not ok then return nil, message, why end
    end
    cursor = next_cursor
  until not cursor
  hub.revocations_restored(epoch)
  return true
end


--- Reads what the store keeps, and ends the streams that it concerns. Waits; one at a time.
---@return true|nil
---@return string|nil message
---@return string|nil code
function revocations.read()
  while not select(2, hub.revocations()) do
    local ok, message, code = readings:run("all", restore_all)
    if not ok then return nil, message, code end
  end
  return true
end


local function text(value)
  return type(value) == "string" and value or nil
end


local function number(value)
  return type(value) == "number" and value >= 0 and value or nil
end


--- Whose token it is, for host.hub.
---@param claims table
---@return web.Identity
function revocations.identity(claims)
  return {
    user = text(claims.sub), tenant = text(claims.tenant_id), jti = text(claims.jti),
    iat = number(claims.iat), exp = number(claims.exp),
  }
end


--- A token's claims, unless it was revoked. Ends the request with 503 when nobody can know.
---@param claims table
---@return table|nil claims
---@return string|nil message
---@return string|nil code
function revocations.check(claims)
  local identity = revocations.identity(claims)
  local revoked, fresh = hub.revoked(identity)
  if not fresh then
    local ok, message, code = revocations.read()
    if not ok then errors.throw_world(message, code, "the token can't be checked now") end
    revoked = hub.revoked(identity)
  end
  if revoked then return nil, "the token was revoked", "revoked" end
  return claims
end


--- Keeps the table good, also where nobody shows a token. For lua/start/.
---@param pause number seconds
function revocations.follow(pause)
  while true do
    local ok, message, code = revocations.read()
    if not ok then
      log.warn("the revoked tokens can't be read now", { error = message, code = code })
    end
    time.sleep(pause)
  end
end


--- The time of issue for a new token: behind a revocation of everything that the user had until
--- this second.
---@param user string
---@param tenant? string
---@return integer
function revocations.time_of_issue(user, tenant)
  local now = math.floor(time.now())
  if hub.revoked { user = user, tenant = tenant, iat = now } then return now + 1 end
  return now
end

return revocations
