-- Numbers as people read them.
local units = {}


--- 1536 -> "1.5 KiB"
---@param bytes number|nil
---@return string
function units.bytes(bytes)
  if not bytes then return "-" end
  if bytes < 1024 then return ("%d B"):format(bytes) end
  for _, unit in ipairs { "KiB", "MiB", "GiB" } do
    bytes = bytes / 1024
    if bytes < 1024 or unit == "GiB" then return ("%.1f %s"):format(bytes, unit) end
  end
end


--- 1, "error" -> "1 error"; 2, "error" -> "2 errors"
---@param n integer
---@param what string
---@return string
function units.count(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end


--- 93784 -> "1 d 2 h"
---@param seconds number|nil
---@return string
function units.span(seconds)
  if not seconds then return "-" end
  seconds = math.max(0, math.floor(seconds))
  local days, hours = seconds // 86400, seconds // 3600 % 24
  local minutes, rest = seconds // 60 % 60, seconds % 60
  if days > 0 then return ("%d d %d h"):format(days, hours) end
  if hours > 0 then return ("%d h %d min"):format(hours, minutes) end
  if minutes > 0 then return ("%d min %d s"):format(minutes, rest) end
  return ("%d s"):format(rest)
end


--- Local time of a moment.
---@param seconds number|nil
---@return string
function units.moment(seconds)
  return seconds and os.date("%Y-%m-%d %H:%M:%S", math.floor(seconds)) or "-"
end

return units
