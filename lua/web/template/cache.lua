-- A bounded cache by content: two generations, the older one is dropped when the younger is full.
-- What is used stays; nothing is ever sorted.
local cache = {}

---@class TemplateCache
---@field hits integer
---@field misses integer
---@field dropped integer
local Cache = {}
Cache.__index = Cache

---@param entries integer  at most so many values
---@param bytes integer    of at most so many bytes together
---@return TemplateCache
function cache.new(entries, bytes)
  return setmetatable({
    young = {}, old = {}, count = 0, bytes = 0, old_count = 0, hits = 0, misses = 0, dropped = 0,
    most_entries = math.max(1, entries // 2), most_bytes = math.max(1, bytes // 2),
  }, Cache)
end

function Cache:get(key)
  local entry = self.young[key]
  if not entry then
    entry = self.old[key]
    if not entry then
      self.misses = self.misses + 1
      return nil
    end
    self:put(key, entry.value, entry.bytes)
  end
  self.hits = self.hits + 1
  return entry.value
end

--- What was used lately, without counting.
function Cache:peek(key)
  local entry = self.young[key]
  return entry and entry.value
end

function Cache:put(key, value, bytes)
  if self.count >= self.most_entries or self.bytes + bytes > self.most_bytes then
    self.dropped = self.dropped + self.old_count
    self.old, self.old_count = self.young, self.count
    self.young, self.count, self.bytes = {}, 0, 0
  end
  if self.old[key] then
    self.old[key] = nil
    self.old_count = self.old_count - 1
  end
  self.young[key] = { value = value, bytes = bytes }
  self.count, self.bytes = self.count + 1, self.bytes + bytes
end

--- How many values it has.
function Cache:size()
  return self.count + self.old_count
end

return cache
