---@meta host.time

local time = {}

--- Unix time in seconds, with milliseconds.
---@return number
function time.now() end

--- Seconds since some moment in the past; never steps. For durations.
---@return number
function time.monotonic() end

--- Waits; other tasks go on.
---@param seconds number
function time.sleep(seconds) end

--- "2026-03-01T12:00:00Z" (RFC 3339, UTC), with milliseconds where there are any.
---@param seconds? number Unix time; now when absent
---@return string
function time.iso8601(seconds) end

return time
