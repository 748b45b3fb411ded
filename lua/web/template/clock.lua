-- The only place of the engine that knows the time.
local time = require "host.time"

local clock = {}

--- Seconds that only go forward, for the time limit.
---@return number
clock.steady = time.monotonic

--- The time of day: seconds since 1970 in UTC, and nanoseconds.
---@return integer seconds, integer nanoseconds
function clock.now()
  local now = time.now()
  local seconds = math.floor(now)
  return seconds, math.floor((now - seconds) * 1e6) * 1000
end

return clock
