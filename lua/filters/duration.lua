-- {{ 3725 | duration }}: 1h 2m. Seconds in words; `parts` units at most, the rest is cut off.
local arguments = require "web.arguments"

local units = { { 86400, "d" }, { 3600, "h" }, { 60, "m" }, { 1, "s" } }

---@param value number  seconds
---@param args { parts: integer? }
---@return string
return function(value, args)
  local seconds = arguments.number_value(value)
  local parts = arguments.integer(args, "parts", 1, 4, 2)
  if seconds < 0 then return "-" .. require "filters.duration"(-seconds, args) end
  if seconds > 1e15 then error("that is longer than 30 million years", 0) end
  if seconds < 1 then
    return seconds == 0 and "0s" or ("%dms"):format(math.floor(seconds * 1000 + 0.5))
  end
  local words, rest = {}, math.floor(seconds)
  for _, unit in ipairs(units) do
    local n = rest // unit[1]
    if n > 0 then
      words[#words + 1] = n .. unit[2]
      rest = rest % unit[1]
    end
    if #words == parts or #words > 0 and n == 0 then break end
  end
  return table.concat(words, " ")
end
