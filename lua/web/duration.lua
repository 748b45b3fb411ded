-- Spans of time as people write them: 90s, 15m, 2h, 1d.
local duration = {}

local UNITS = { s = 1, m = 60, h = 3600, d = 86400 }


--- Seconds of a span; nil when it is none.
---@param text any
---@return integer|nil
function duration.parse(text)
  if type(text) ~= "string" or #text > 12 then return nil end
  local count, unit = text:match "^(%d+)([smhd])$"
  if not count then return nil end
  return math.tointeger(tonumber(count)) * UNITS[unit]
end


--- The shortest exact way to write seconds: 86400 -> "1d".
---@param seconds integer
---@return string
function duration.format(seconds)
  for _, unit in ipairs { "d", "h", "m" } do
    if seconds > 0 and seconds % UNITS[unit] == 0 then return seconds // UNITS[unit] .. unit end
  end
  return seconds .. "s"
end

return duration
