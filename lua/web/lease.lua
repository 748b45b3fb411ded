-- Leases: what must run once in the cluster runs where the lease is held. A lease is a key of the
-- store with a life; the value names the holder, and each change is a compare-and-set, so of
-- several takers one wins and a holder that slept through its lease can't prolong it.
--
--   take --> held --renew--> held
--              |--release--> free
--              '--its seconds pass--> free, another may take it
--
-- A lease is no lock on what it protects: a holder that is stopped (a frozen machine) wakes up
-- without it. Work that takes long asks `held()` between its steps, and what must never happen
-- twice is guarded by its own compare-and-set.
local crypto = require "host.crypto"
local store = require "host.store"
local time = require "host.time"

local lease = {}

local PREFIX = "lease:"
local ID_BYTES = 12

---@class web.Lease
---@field name string
---@field holder string
---@field seconds number
local Lease = {}
Lease.__index = Lease


local function held(self, version, began)
  self.version, self.till = version, began + self.seconds
  return self
end


-- The version of the key when it is ours, else nil and who holds it ("" nobody).
local function find(self)
  local holder, version, code = store.get(PREFIX .. self.name)
  if code then return nil, version, code end
  if holder == self.holder then return version end
  return nil, holder or ""
end


-- Prolongs what is ours already; nil, message, code when it is not any more.
local function prolong(self, version, began)
  local renewed, message, code =
    store.cas(PREFIX .. self.name, self.holder, version, { ttl = self.seconds })
  if renewed then return held(self, renewed, began) end
  return nil, message, code
end


--- Takes the lease if nobody holds it. Waits for the store, never for the holder.
---@param name string 1 to 1,000 bytes
---@param seconds number its life without a renewal
---@param options? { holder?: string } who asks; the same holder gets its lease again (one that
--- outlives a reload of scripts); absent: a name of this call's own
---@return web.Lease|nil
---@return string|nil holder who holds it; or the message, when the store is away
---@return string|nil code nil: somebody holds it; "unavailable": the store is away
function lease.take(name, seconds, options)
  if type(name) ~= "string" or name == "" then error("a lease needs a name", 2) end
  if type(seconds) ~= "number" or seconds ~= seconds or seconds <= 0 then
    error("a lease needs a life in seconds, more than 0", 2)
  end
  local holder = options and options.holder or crypto.base64url_encode(crypto.random(ID_BYTES))
  local self = setmetatable({ name = name, seconds = seconds, holder = holder }, Lease)
  for _ = 1, 2 do -- the holder's may end between the two looks
    local began = time.monotonic()
    local version, message, code = store.add(PREFIX .. name, holder, { ttl = seconds })
    if version then return held(self, version, began) end
    if code ~= "exists" then return nil, message, code end
    local other
    version, other, code = find(self)
    if code then return nil, other, code end
    if version then return prolong(self, version, began) end
    if other ~= "" then return nil, other end
  end
  return nil, "somebody else"
end


--- Prolongs the lease by its seconds from now.
---@return true|nil
---@return string|nil message
---@return string|nil code "lost": it ended, maybe another holds it; "unavailable": try again
function Lease:renew()
  local began = time.monotonic()
  local ok, message, code = prolong(self, self.version, began)
  if not ok and code == "conflict" then -- an earlier renewal may have come through unanswered
    local version, _, away = find(self)
    if version then ok, message, code = prolong(self, version, began) end
    code = away or code
  end
  if ok then return true end
  if code == "unavailable" then return nil, message, code end
  self.till = 0
  return nil, ("the lease %s has ended: another may hold it"):format(self.name), "lost"
end


--- Whether it is held for sure, by this node's clock; asks nobody.
---@return boolean
function Lease:held()
  return time.monotonic() < self.till
end


--- Gives it back. One that has ended already is no failure.
---@return boolean released false: it was not ours any more
---@return string|nil message
---@return string|nil code
function Lease:release()
  self.till = 0
  local version, message, code = find(self)
  if not version then return false, code and message, code end
  local deleted
  deleted, message, code = store.delete(PREFIX .. self.name, { version = version })
  if deleted == nil and code ~= "conflict" then return false, message, code end
  return deleted == true
end

return lease
