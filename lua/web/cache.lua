-- Answers and other texts that cost something to make, kept for a while:
--   local text = cache.get("posts:first", 300, function() return json.encode(read()) end)
--   cache.forget "posts"        -- everything below "posts:", on all workers and nodes
--
-- One caller makes the value, others who want it meanwhile wait for that one (no stampede). Each
-- worker keeps its own, bounded by bytes, the least recently used go first. A value that is no text
-- is a table that says its `bytes` and is never changed: all who ask get the same one.
--
-- A key's group is what stands before its first colon. A group is forgotten by a value that is
-- published on the topic "cache:GROUP": an entry holds the topic's version from before it was made,
-- and counts only while the topic still has that one. So an entry that was read before a change and
-- finished after it is never used, and forgetting costs the same for one entry and a million.
-- Rejected: entries deleted by key, where each write has to know every answer that it changes; one
-- cache for all workers, which would need a lock and copies to save a few misses.
--
-- What must never happen: a value used after the forgetting of its group was answered on this node;
-- an error kept.
local config = require "host.config"
local flight = require "web.flight"
local hub = require "host.hub"
local metrics = require "host.metrics"
local time = require "host.time"

local cache = {}

local BYTES = config.get "cache.bytes"
local OVERHEAD = 200 -- of an entry's tables and links
local GROUPS_MAX = 1000
local WATCH_MAX = 25 -- seconds; a watch of the hub ends after thirty

local hits = metrics.counter("cache_hits_total", "values found in web.cache")
local misses = metrics.counter("cache_misses_total", "values made for web.cache")
local dropped = metrics.counter("cache_dropped_total",
  "values dropped from web.cache to make room")

local entries, groups, group_count, serial = {}, {}, 0, 0
local makings = flight.new()
local bytes = 0
local ends = {} -- of a ring of entries, linked by `older` and `newer`
ends.older, ends.newer = ends, ends


local function unlink(entry)
  entry.newer.older, entry.older.newer = entry.older, entry.newer
end


local function link_first(entry)
  entry.older, entry.newer = ends.older, ends
  ends.older.newer = entry
  ends.older = entry
end


local function drop(entry)
  unlink(entry)
  entries[entry.key] = nil
  bytes = bytes - entry.size
end


local function keep(key, group, value, stamp, ttl)
  local size = #key + (type(value) == "table" and value.bytes or #value) + OVERHEAD
  if entries[key] then drop(entries[key]) end
  if size > BYTES // 4 then return end -- would push out too much of what others use
  local entry = { key = key, group = group, value = value, size = size, stamp = stamp,
    until_ = time.monotonic() + ttl }
  entries[key] = entry
  link_first(entry)
  bytes = bytes + size
  while bytes > BYTES do
    drop(ends.newer)
    dropped:inc()
  end
end


-- A watch keeps the group's topic live on this node; without one nobody would know what was
-- forgotten. It lasts for WATCH_MAX: one that is renewed in time goes on with the same serial,
-- after a lapse a new serial makes all older entries void.
local function watch(group, now)
  local known = groups[group]
  if known and now < known.renew_at then return known end
  if not known and group_count >= GROUPS_MAX then return nil end
  local opened = hub.watch("cache:" .. group) -- waits, at first; another task may have been faster
  if not opened then return nil end
  local old = groups[group]
  if not old then group_count = group_count + 1 end
  local lasting = old and time.monotonic() < old.void_at
  serial = serial + 1
  groups[group] = { watch = opened, renew_at = now + WATCH_MAX / 3, void_at = now + WATCH_MAX,
    serial = lasting and old.serial or serial }
  if old then old.watch:close() end
  return groups[group]
end


local function stamp_of(watched)
  return watched.serial << 56 ~ (watched.watch.version or 0)
end


local function find(key)
  local entry, now = entries[key], time.monotonic()
  if not entry or entry.until_ <= now then return nil end
  local watched = watch(entry.group, now)
  if not watched or entry.stamp ~= stamp_of(watched) then return nil end
  hits:inc()
  if ends.older ~= entry then
    unlink(entry)
    link_first(entry)
  end
  return entry.value
end


local function make(key, group, ttl, fn)
  local watched = watch(group, time.monotonic())
  local stamp = watched and stamp_of(watched)
  misses:inc()
  local value, message, code = fn()
  if watched and value ~= nil and ttl > 0 then keep(key, group, value, stamp, ttl) end
  return value, message, code
end


--- The value under a key; when there is none, what fn() returns, for ttl seconds. fn may wait, and
--- may give nil, message, code, which is passed on and not kept. What fn raises, all who wait for
--- it raise.
---@generic T: string|{ bytes: integer }
---@param key string "GROUP:REST"
---@param ttl number seconds
---@param fn fun(): T|nil, string|nil, string|nil
---@return T|nil
---@return string|nil message
---@return string|nil code
function cache.get(key, ttl, fn)
  local value = find(key)
  if value then return value end
  local group = key:match "^([^:]+):"
  if not group then error("a cache's key is GROUP:REST, got " .. key, 2) end
  return makings:run(key, function() return make(key, group, ttl, fn) end)
end


--- Forgets all keys of a group, on all workers and nodes. Call it after the change is durable and
--- before it is answered.
---@param group string
---@return true|nil
---@return string|nil message
---@return "unavailable"|nil code
function cache.forget(group)
  return hub.publish("cache:" .. group, "")
end

return cache
