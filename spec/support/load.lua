-- Nodes with writers and readers (spec.support.feed) on each, which go on while a spec makes trouble.
--   local all = load.begin(redis, redis)
--   all:flow(20)
--   all.nodes[2]:crash()
--   all:settle { all.nodes[1] }
--   all:have_all()
local feed = require "spec.support.feed"
local wait = require "spec.support.wait"

local load = {}
local Load = {}
Load.__index = Load

local LAST = 1 -- a number that no writer says


--- A node for each way to Redis, each with a writer and a reader of each kind, who go to another one
--- when theirs is gone. A node that dies may get another in its place.
---@param ... table servers of Redis, or ways to one
function load.begin(...)
  local ways, count = { ... }, select("#", ...)
  local self = setmetatable({ nodes = {}, writers = {}, readers = {}, gaps = 0 }, Load)
  for i = 1, count do self.nodes[i] = feed.node(ways[i]) end
  for i = 1, count do
    self.readers[i] = feed.read_on(self.nodes, i, "ws")
    self.readers[count + i] = feed.read_on(self.nodes, i, "sse")
  end
  for _, reader in ipairs(self.readers) do
    wait.till(function() return reader.last end, "the reader to begin")
  end
  for i = 1, count do self.writers[i] = feed.write_on(self.nodes, i) end
  return self
end


--- Waits until so many more messages of each writer were taken.
function Load:flow(messages)
  for _, writer in ipairs(self.writers) do
    local till = writer.count + messages
    wait.till(function() return writer.count >= till end, "messages to flow", 60)
  end
end


--- Ends the writers; nothing was wrong with what readers got up to the end. `gaps` are the signals.
---@param living? table[] all nodes, when absent
function Load:settle(living)
  for _, writer in ipairs(self.writers) do writer:stop() end
  feed.say_at_last((living or self.nodes)[1], LAST, {})
  for _, reader in ipairs(self.readers) do
    reader:till(LAST)
    self.gaps = self.gaps + reader.gaps
  end
end


--- Every reader has got every message that was taken.
function Load:have_all()
  for _, writer in ipairs(self.writers) do
    for _, reader in ipairs(self.readers) do reader:has_all(writer.said) end
  end
end


---@param living? table[]
function Load:finish(living)
  for _, reader in ipairs(self.readers) do reader:stop() end
  for _, node in ipairs(living or self.nodes) do node:stop() end
end

return load
