-- Single flight: of all tasks that want the same thing made at the same time, one makes it, and the
-- others get what it made.
--   local flights = require("web.flight").new()
--   local value = flights:run("keys", read_keys)
--
--   none --run--> under way, of one task --returns, raises--> none; all who wait have the same
--                         \--that task ends in the middle--> none; one of those who wait makes it
--
-- A task ends in the middle when its client has left, when its scripts were replaced, or when it
-- was stopped since it ran too long. A <close> of its own that never ends may keep ours from being
-- run then, so those who wait also look whether it still lives.
--
-- What must never happen: somebody who waits for a task that has ended.
local event = require "host.event"
local task = require "host.task"

local flight = {}

local LOOK = 0.5 -- seconds


---@class web.Flights
---@field private under_way_of table<string, table>
local Flights = {}
Flights.__index = Flights


---@return web.Flights
function flight.new()
  return setmetatable({ under_way_of = {} }, Flights)
end


local function land(one)
  if one.flights[one.key] == one then one.flights[one.key] = nil end
  one.landed:set()
end

local One = { __close = land }


-- What came of it, for the one who made it and for those who waited.
local function outcome(results)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end


local function make(flights, key, fn)
  local one <close> = setmetatable(
    { flights = flights, key = key, maker = task.current(), landed = event.new() }, One)
  flights[key] = one
  one.results = table.pack(pcall(fn))
  return outcome(one.results)
end


local function wait_for(one)
  if one.maker == task.current() then
    error(("%s is made by what waits for it"):format(one.key), 0)
  end
  while not one.landed:wait(LOOK) do
    if not task.alive(one.maker) then land(one) end
  end
  return one.results
end


--- What fn() returns, or returned to the one who made it meanwhile; what it raises, all raise.
--- Waits.
---@param key string
---@param fn fun(): ...
---@return any ...
function Flights:run(key, fn)
  local one = self.under_way_of[key]
  if not one then return make(self.under_way_of, key, fn) end
  local results = wait_for(one)
  if not results then return self:run(key, fn) end
  return outcome(results)
end


---@param key string
---@return boolean
function Flights:under_way(key)
  return self.under_way_of[key] ~= nil
end

return flight
