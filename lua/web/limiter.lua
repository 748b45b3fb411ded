-- How often somebody may do something: `limit` times in a sliding window of `window` seconds,
-- counted in the store, so that all workers and nodes count together.
--   local limiter = require("web.limiter").new { name = "login", limit = 5, window = 60 }
--   local ok, state = limiter:take(user)     -- state: { limit, remaining, reset }; waits
--
-- A sliding window from two fixed ones: what the fixed window before had counts by the share of it
-- that still lies within the last `window` seconds, as if it had come evenly. One number per key
-- and window in the store instead of a list of times, and one operation per take. Rejected: fixed
-- windows (twice the limit around their border); a token bucket (needs compare-and-set, where an
-- increment cannot conflict); counting what was refused (who hammers would never get in again).
--
-- Exact where many take at once: an increment that goes over the limit is taken back, and refused
-- without the store until the moment at which one more could pass.
--
-- The store is away: each worker counts for itself, so that a limit still holds, times the number
-- of workers; the store is tried again each second. Clocks: windows are of the wall clock, which
-- nodes share; waits are of the monotonic one, and none is longer than two windows, whatever a
-- clock does.
--
-- Bounded: at most `keys` keys are remembered per worker (those used last), and as many new ones
-- per window and worker go to the store, where a counter lives for two windows; further ones are
-- counted by each worker for itself. So whoever has millions of addresses fills no memory.
local cache = require "web.template.cache"
local crypto = require "host.crypto"
local log = require "host.log"
local metrics = require "host.metrics"
local store = require "host.store"
local time = require "host.time"

local KEYS <const> = 10000
local KEY_BYTES <const> = 200
local AWAY_SECONDS <const> = 1

local refused = metrics.counter("limiter_refused_total", "Requests over a limit of web.limiter.")
local alone = metrics.counter("limiter_local_total",
  "Takes counted by one worker only: the store was away, or there were too many keys.")

local limiter = {}

---@class web.LimiterState
---@field limit integer
---@field remaining integer how many more could pass now
---@field reset number seconds: until one more can pass, where none can; else until the window ends

---@class web.Limiter
local Limiter = {}
Limiter.__index = Limiter


local function check_number(options, name, least)
  local value = options[name]
  if type(value) ~= "number" or value < least or value ~= value or value == math.huge then
    error(("limiter.new: %s must be a number of at least %g, got %s"):format(name, least,
      tostring(value)), 3)
  end
  return value
end


--- Make it once, at the top of a file: it remembers keys.
---@param options { name: string, limit: integer, window: number, keys?: integer } window in seconds
---@return web.Limiter
function limiter.new(options)
  if type(options.name) ~= "string" or not options.name:find "^[%w_.-]+$" then
    error("limiter.new: name must be letters, digits, '.', '_' and '-'", 2)
  end
  local keys = options.keys or KEYS
  return setmetatable({
    name = options.name,
    limit = math.floor(check_number(options, "limit", 1)),
    window = check_number(options, "window", 0.1),
    keys = keys,
    fresh = 0, -- keys that went to the store in this window
    seen = cache.new(keys, math.huge),
    own = cache.new(keys, math.huge),
    away_until = 0,
  }, Limiter)
end


-- Keys come from peers; a long one is counted by its hash.
local function short(key)
  return #key <= KEY_BYTES and key or "#" .. crypto.base64_encode(crypto.sha256(key))
end


-- Seconds until one more can pass. `share`: how much of the current window is over.
local function wait_for(self, before, current, share)
  local limit, window = self.limit, self.window
  if current < limit then
    return math.max(0, 1 - (limit - current - 1) / before - share) * window
  end
  return (1 - share + 1 - (limit - 1) / current) * window
end


local function state(self, count, reset)
  return {
    limit = self.limit, remaining = math.max(0, math.floor(self.limit - count)), reset = reset,
  }
end


-- What both ways of counting share: `entry` has index, before (the window before) and blocked.
local function judge(self, entry, current, share)
  local count = entry.before * (1 - share) + current
  if count <= self.limit then return true, state(self, count, (1 - share) * self.window) end
  -- The increment that did not fit is not counted, neither are those of others at this moment.
  local wait = wait_for(self, entry.before, math.min(current - 1, self.limit), share)
  entry.blocked = time.monotonic() + wait
  refused:inc(1, { limiter = self.name })
  return false, state(self, self.limit, wait)
end


local function still_blocked(self, entry)
  local left = entry and entry.blocked and entry.blocked - time.monotonic()
  if not left or left <= 0 then return nil end
  refused:inc(1, { limiter = self.name })
  return state(self, self.limit, left)
end


local function roll(entry, index)
  if entry.index == index then return end
  entry.before = entry.index == index - 1 and entry.current or 0
  entry.index, entry.current = index, 0
end


local function take_alone(self, key)
  alone:inc(1, { limiter = self.name })
  local entry = self.own:get(key)
  local left = still_blocked(self, entry)
  if left then return false, left end
  if not entry then
    entry = { before = 0, current = 0 }
    self.own:put(key, entry, 0)
  end
  local at = time.monotonic() / self.window
  roll(entry, at // 1)
  local ok, now = judge(self, entry, entry.current + 1, at % 1)
  if ok then entry.current = entry.current + 1 end
  return ok, now
end


local function went_away(self, message)
  if not self.away then
    log.warn("the store is away; each worker limits for itself",
      { limiter = self.name, error = message })
  end
  self.away, self.away_until = true, time.monotonic() + AWAY_SECONDS
end


local function store_key(self, key, index)
  return ("limiter:%s:%s:%d"):format(self.name, key, index)
end


-- The entry of this key and window, with the count of the window before; false: there are too many
-- keys.
local function entry_of(self, key, index)
  local entry = self.seen:get(key)
  if entry and entry.index == index then return entry end
  if self.index ~= index then self.index, self.fresh = index, 0 end
  if self.fresh >= self.keys then return false end
  self.fresh = self.fresh + 1
  local text, message, code = store.get(store_key(self, key, index - 1))
  if not text and code then return nil, message end
  entry = { index = index, before = math.min(tonumber(text) or 0, self.limit) }
  self.seen:put(key, entry, 0)
  return entry
end


local function take_shared(self, key)
  local left = still_blocked(self, self.seen:get(key))
  if left then return false, left end
  local at = time.now() / self.window
  local index = math.floor(at)
  local life = { ttl = 2 * self.window }
  local entry, message = entry_of(self, key, index)
  if entry == false then return take_alone(self, key) end
  local current
  if entry then current, message = store.incr(store_key(self, key, index), 1, life) end
  if not current then return nil, message end
  local ok, now = judge(self, entry, current, at - index)
  if not ok then store.incr(store_key(self, key, index), -1, life) end
  return ok, now
end


--- Counts one for this key if it still fits. Waits for the store.
---@param key string user, address ...
---@return boolean ok false: over the limit, nothing was counted
---@return web.LimiterState state
function Limiter:take(key)
  key = short(key)
  if time.monotonic() < self.away_until then return take_alone(self, key) end
  local ok, result = take_shared(self, key)
  if ok == nil then
    went_away(self, result)
    return take_alone(self, key)
  end
  if self.away then
    log.info("the store is back; limits are shared again", { limiter = self.name })
  end
  self.away = false
  return ok, result
end


local function would_fit(self, before, current, share)
  local count = before * (1 - share) + current
  if count + 1 <= self.limit then return true, state(self, count, (1 - share) * self.window) end
  return false, state(self, self.limit, wait_for(self, before, current, share))
end


local function peek_alone(self, key)
  local entry = self.own:get(key)
  local left = still_blocked(self, entry)
  if left then return false, left end
  local at = time.monotonic() / self.window
  if not entry then return would_fit(self, 0, 0, at % 1) end
  roll(entry, at // 1)
  return would_fit(self, entry.before, entry.current, at % 1)
end


local function peek_shared(self, key)
  local left = still_blocked(self, self.seen:get(key))
  if left then return false, left end
  local at = time.now() / self.window
  local index = math.floor(at)
  local entry, message = entry_of(self, key, index)
  if entry == false then return peek_alone(self, key) end
  if not entry then return nil, message end
  local text, why, code = store.get(store_key(self, key, index))
  if not text and code then return nil, why end
  return would_fit(self, entry.before, math.min(tonumber(text) or 0, self.limit), at - index)
end


--- Would one more fit? Counts nothing, so that what is limited can be failures only: peek before,
--- take after. Waits for the store.
---@param key string
---@return boolean ok
---@return web.LimiterState state
function Limiter:peek(key)
  key = short(key)
  if time.monotonic() < self.away_until then return peek_alone(self, key) end
  local ok, result = peek_shared(self, key)
  if ok ~= nil then return ok, result end
  went_away(self, result)
  return peek_alone(self, key)
end

return limiter
